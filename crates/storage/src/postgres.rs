//! What a PostgreSQL adapter needs around its SQL: safe connections, a pool of them, transactions
//! and migrations.

use std::time::Duration;

mod address;
mod connection;
mod database;
mod error;
mod idle;
mod migrate;
mod pool;
mod privileges;
mod readers;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod write_check;

pub use database::Database;
pub use error::{OpenError, failure};
pub use migrate::{Schema, migrate, migrate_at};
pub use privileges::{Roles, Table};
pub use readers::Readers;
pub use server::Server;
pub use transaction::{Parameter, Time, Transaction, page_from};
pub use write_check::WriteCheck;

/// How long a committer waits for more commands before it begins a batch: a transaction costs both
/// processes as much as some ten of its commands do.
pub const LINGER: Duration = Duration::from_millis(2);
