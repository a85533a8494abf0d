//! What a SQLite adapter needs around its SQL: safe opening, migrations, a writer thread and
//! readers.

use std::fmt;

use platform::failure::{Failure, Suspicion};
use rusqlite::{CachedStatement, Connection, ToSql};

mod checkpoints;
mod database;
mod error;
mod files;
mod keeper;
mod migrate;
mod open;
mod readers;
mod snapshot;
mod vacant;
mod visitor;
mod writer;

pub use database::Database;
pub use error::{OpenError, failure};
pub use keeper::Keeper;
pub use open::{open_existing_reader, open_reader, open_writer};
pub use readers::Readers;
pub use snapshot::{Snapshot, Source, log_bytes};
pub(crate) use snapshot::{check_file, of_one_moment};
pub use vacant::Vacant;
pub use visitor::Visitor;

/// Executes a statement that must change exactly one row, as the decision predicted (R11).
///
/// # Errors
///
/// [`Failure::Suspect`] if it changed none or several, otherwise that of the engine. The caller
/// must not commit the transaction.
pub fn exactly_one(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<(), Failure> {
    OneRow::prepare(connection, sql)?.write(row)
}

/// A statement of which each execution must change exactly one row, prepared once for all rows of a
/// batch.
pub struct OneRow<'c> {
    statement: CachedStatement<'c>,
    sql: &'c str,
}

impl fmt::Debug for OneRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneRow").field("sql", &self.sql).finish_non_exhaustive()
    }
}

impl<'c> OneRow<'c> {
    /// Prepares the statement, or finds it among those that the connection keeps.
    ///
    /// # Errors
    ///
    /// That of the engine.
    pub fn prepare(connection: &'c Connection, sql: &'c str) -> Result<Self, Failure> {
        let statement = connection.prepare_cached(sql).map_err(failure)?;
        Ok(Self { statement, sql })
    }

    /// Writes one row.
    ///
    /// # Errors
    ///
    /// As [`exactly_one`].
    pub fn write(&mut self, row: &[&dyn ToSql]) -> Result<(), Failure> {
        match self.statement.execute(row).map_err(failure)? {
            1 => Ok(()),
            count => {
                let (written, sql) = (count as u64, self.sql.to_owned());
                Err(Suspicion::RowCount { written, expected: 1, sql }.into())
            }
        }
    }
}
