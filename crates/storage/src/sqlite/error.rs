//! What an error of SQLite means: for a program that opens a file, and for a transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::failure::Failure;
use rusqlite::{ErrorCode, ffi};

/// Why a database file was not opened. One line each, for the operator; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used, as `reason` says.
    #[error("cannot use {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause, for an operator.
        reason: String,
    },
    /// SQLite returned an error.
    #[error("cannot use {}: {source}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// The engine's error.
        source: rusqlite::Error,
    },
    /// Another process has locked the file.
    #[error("{} is in use by another process; stop it first, or choose another data directory", .0.display())]
    Locked(PathBuf),
    /// A file to read is no database of a service.
    #[error("{} has no tables of a service; if it is a copy, the -wal beside the original is missing", .0.display())]
    NoTables(PathBuf),
    /// There was a database, and it is missing or empty now.
    #[error("{} is missing or empty, but {} shows that there was a database; restore the database, with its -wal if there is one, or delete that file to begin with an empty one", path.display(), trace.display())]
    Missing {
        /// The file of the database.
        path: PathBuf,
        /// The file that shows that it was made.
        trace: PathBuf,
    },
    /// A newer program has changed the schema.
    #[error("{} was written by a newer version of Lastro (schema {found}, this program knows {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The number of the newest step that was applied.
        found: i64,
        /// The number of the newest step that this program knows.
        known: i64,
    },
    /// A migration differs from the one that was applied.
    #[error("{}: migration {number} differs from the one that was applied; use the database of this service, or restore it from a backup", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The number of the migration.
        number: i64,
    },
}

impl OpenError {
    pub(super) fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn engine(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Engine { path: path.clone(), source }
    }
}

/// A connection could not be replaced: nothing was done, and an operator may have to act.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Engine { source, .. } => failure(source),
            other => Self::Unavailable(Arc::new(other)),
        }
    }
}

/// Returns what an error of SQLite means for its transaction (R4, R18).
pub fn failure(error: rusqlite::Error) -> Failure {
    let Some(code) = error.sqlite_error() else {
        // A row does not fit its type, or a statement the schema: this batch is at fault.
        return Failure::suspect(error);
    };
    let extended = code.extended_code;
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Busy(Arc::new(error)),
        ErrorCode::DiskFull => Failure::Full(Arc::new(error)),
        // The shared-memory file could not grow because the disk is full.
        ErrorCode::SystemIoFailure if extended == ffi::SQLITE_IOERR_SHMSIZE => {
            Failure::Full(Arc::new(error))
        }
        // Only reads that may take too long are interrupted.
        ErrorCode::CannotOpen | ErrorCode::OperationInterrupted => {
            Failure::Unavailable(Arc::new(error))
        }
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            Failure::suspect(error)
        }
        _ => Failure::Fatal(Arc::new(error)),
    }
}
