//! The storage engines that both services stand on, SQLite and PostgreSQL, and their migrations. It
//! knows no table of a service but the one that both have.
#![forbid(unsafe_code)]

pub mod migration;
mod misfit;
pub mod postgres;
pub mod quarantine;
pub mod sqlite;

pub use misfit::Misfit;
