//! A connection that changes something by hand in a file of a service, also while the service runs.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;
use super::files::Files;
use super::migrate;
use super::open::{checkpoint, connect_writer, leave_log};
use crate::migration::Migration;

/// A writing connection to an existing file.
///
/// While the service runs, it copies the log, and this connection leaves the log alone. Otherwise
/// this holds the lock of the service, so that none starts meanwhile, and does what a start does with
/// a log that a crash has left (R1).
#[derive(Debug)]
pub struct Visitor {
    /// Closed before the files are let go of.
    connection: Connection,
    _files: Option<Files>,
}

impl Visitor {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// There is no such file, it cannot be written durably, or its schema is another one than that
    /// of this program.
    pub fn open(path: &Path, migrations: &[Migration]) -> Result<Self, OpenError> {
        if !path.try_exists().map_err(|error| OpenError::unusable(path, &error))? {
            return Err(OpenError::unusable(path, &"there is no such file"));
        }
        // Before any connection: one that is open would lose its locks when this closes the files.
        let files = match Files::lock(path) {
            Ok(files) => Some(files),
            Err(OpenError::Locked(_)) => None,
            Err(error) => return Err(error),
        };
        let connection = connect_writer(path, OpenFlags::empty())?;
        match files {
            None => leave_log(&connection),
            Some(_) if checkpoint(&connection).map_err(OpenError::engine(path))? => {}
            Some(_) => {
                let reason = "another process keeps it busy; stop that process or try again";
                return Err(OpenError::unusable(path, &reason));
            }
        }
        if !migrate::has_tables(&connection).map_err(OpenError::engine(path))? {
            return Err(OpenError::NoTables(path.to_owned()));
        }
        match migrate::still_missing(&connection, path, migrations)?.first() {
            None => Ok(Self { connection, _files: files }),
            Some(step) => {
                let number = step.number;
                let reason = format!(
                    "migration {number} has not been applied; start the service once with this version"
                );
                Err(OpenError::unusable(path, &reason))
            }
        }
    }

    /// The connection, on which the caller begins one transaction.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
