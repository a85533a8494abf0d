//! The storage engines of both services, SQLite and PostgreSQL, and their migrations.
//!
//! This crate knows no table of a service but `quarantine`, `deployment` and `deployment_channels`,
//! which both have.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod migration;
mod misfit;
pub mod pairing;
pub mod postgres;
pub mod quarantine;
pub mod sqlite;

pub use misfit::Misfit;
