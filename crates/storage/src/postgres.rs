//! What a PostgreSQL adapter needs around its SQL: safe connections, a pool of them, transactions
//! and migrations.

mod connection;
mod database;
mod error;
mod idle;
mod migrate;
mod pool;
mod readers;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod write_check;

pub use database::Database;
pub use error::{OpenError, failure};
pub use migrate::{Grants, Schema, migrate, migrate_at};
pub use readers::Readers;
pub use server::Server;
pub use transaction::{Parameter, Time, Transaction, page_from};
pub use write_check::WriteCheck;
