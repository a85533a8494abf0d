//! The one writing connection of a service, and what happens to it when something goes wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::clock::{Clock, Timestamp};
use platform::failure::Failure;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::{Lock, OpenError, connect_writer, failure, open_writer};
use crate::migration::Migration;

/// Writes to one file, which it has locked. Synchronous: whoever wants to wait for it elsewhere wraps it.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// None after an error: the next transaction opens a new one (R3).
    connection: Option<Connection>,
    _lock: Lock,
}

impl Session {
    /// Locks the file, opens or makes it, and brings its schema up to date.
    pub fn open(path: &Path, migrations: &[Migration], clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let lock = Lock::acquire(path)?;
        let connection = open_writer(path, migrations)?;
        Ok(Self { path: path.to_owned(), clock, connection: Some(connection), _lock: lock })
    }

    /// One transaction that holds the write lock from its first statement, and the time at which it began.
    ///
    /// **Errors:** those of `work`, after a rollback, and those of the engine. A connection that saw either is closed.
    pub fn transact<R>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            // A file that is gone is not made anew: its orders would be lost without a word.
            None => connect_writer(&self.path, OpenFlags::empty())?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
        let result = work(&transaction, self.clock.now())?;
        transaction.commit().map_err(failure)?;
        self.connection = Some(connection);
        Ok(result)
    }
}
