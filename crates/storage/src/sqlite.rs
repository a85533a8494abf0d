//! What every SQLite adapter needs around its SQL: safe opening, migrations, a writer thread and a
//! few readers.

use platform::failure::{Failure, Suspicion};
use rusqlite::{Connection, ToSql};

mod database;
mod error;
mod lock;
mod migrate;
mod open;
mod readers;
mod writer;

pub use database::Database;
pub use error::{OpenError, failure};
pub use open::{open_existing_reader, open_reader, open_writer};
pub use readers::Readers;

/// Executes a statement that must change exactly one row, as was predicted (R11).
///
/// # Errors
///
/// `Suspect` if it changed none or several; the caller's transaction must not be committed.
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
