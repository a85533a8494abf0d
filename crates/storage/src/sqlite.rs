//! What a SQLite adapter needs around its SQL: safe opening, migrations, a writer thread and
//! readers.

use platform::failure::{Failure, Suspicion};
use rusqlite::{Connection, ToSql};

mod database;
mod error;
mod files;
mod keeper;
mod migrate;
mod open;
mod readers;
mod writer;

pub use database::Database;
pub use error::{OpenError, failure};
pub use keeper::Keeper;
pub use open::{open_existing_reader, open_reader, open_writer};
pub use readers::Readers;

/// Executes a statement that must change exactly one row, as the decision predicted (R11).
///
/// # Errors
///
/// [`Failure::Suspect`] if it changed none or several, otherwise that of the engine. The caller
/// must not commit the transaction.
pub fn exactly_one(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<(), Failure> {
    let count = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(row))
        .map_err(failure)?;
    match count {
        1 => Ok(()),
        _ => {
            Err(Suspicion::RowCount { written: count as u64, expected: 1, sql: sql.to_owned() }
                .into())
        }
    }
}
