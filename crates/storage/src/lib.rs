//! The storage engines of both services, SQLite and PostgreSQL, and their migrations.
//!
//! This crate knows no table of a service but those that both have: `quarantine`, `deployment`,
//! `deployment_channels`, `api_keys`, `api_keys_version`, `admin_log`, `journal` and
//! `journal_head`.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod admin_log;
pub mod backup;
pub mod journal;
pub mod keys;
pub mod migration;
mod misfit;
pub mod pairing;
pub mod postgres;
pub mod quarantine;
pub mod sqlite;

pub use misfit::Misfit;
