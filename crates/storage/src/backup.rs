//! Copies of the files of both services that belong to one moment, and the places that such copies
//! are restored to. PostgreSQL has tools of its own for this.

use std::path::Path;

use platform::config::{DatabaseUrl, UsageError};
use platform::process::ProgramError;

use crate::migration::Migration;
use crate::sqlite;

pub use crate::sqlite::{Snapshot, Source, Vacant, log_bytes};

impl Source {
    /// Opens the file of a service, which may be running.
    ///
    /// # Errors
    ///
    /// The URL names no file, or the file does not exist or is of another version.
    pub fn at(url: &DatabaseUrl, migrations: &[Migration]) -> Result<Self, ProgramError> {
        Self::open(file(url)?, migrations).map_err(ProgramError::failed)
    }
}

impl Vacant {
    /// Takes the place of a database in which there is none.
    ///
    /// # Errors
    ///
    /// The URL names no file, there is a database, or a service uses the place.
    pub fn at(url: &DatabaseUrl) -> Result<Self, ProgramError> {
        Self::lock(file(url)?).map_err(ProgramError::failed)
    }
}

/// Begins to read both files as they were at one and the same moment.
///
/// # Errors
///
/// A file cannot be read, or both change too fast.
pub fn of_one_moment(sources: [Source; 2]) -> Result<[Snapshot; 2], ProgramError> {
    sqlite::of_one_moment(sources).map_err(ProgramError::failed)
}

/// Checks every page of a copy that nobody uses, and what its tables say of each other. It is given
/// up once `is_over` says so.
///
/// # Errors
///
/// The file is damaged, cannot be read, or the check was given up.
pub fn check_file(
    path: &Path,
    is_over: impl FnMut() -> bool + Send + 'static,
) -> Result<(), ProgramError> {
    sqlite::check_file(path, is_over).map_err(|why| {
        ProgramError::failed(format_args!(
            "the copy {} is damaged, and so may be the database: {why}",
            path.display()
        ))
    })
}

fn file(url: &DatabaseUrl) -> Result<&Path, UsageError> {
    match url {
        DatabaseUrl::Sqlite(path) => Ok(path),
        DatabaseUrl::Postgres(_) => Err(UsageError(format!(
            "{url} is no SQLite file; back up and restore PostgreSQL with its own tools, as docs/operations.md#backups shows"
        ))),
    }
}
