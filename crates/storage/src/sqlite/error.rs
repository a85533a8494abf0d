//! What an error of SQLite means: for a program that opens a file, and for a transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::failure::Failure;
use rusqlite::{ErrorCode, ffi};

/// Why a database file was not opened. One line each, for the operator; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("cannot use {}: {source}", path.display())]
    Engine { path: PathBuf, source: rusqlite::Error },
    #[error("{} is in use by another process; stop it first, or choose another data directory", .0.display())]
    Locked(PathBuf),
    #[error("{} was written by a newer version of Lastro (schema {found}, this program knows {known})", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: migration {number} is not the one that was applied; the file or the program was tampered with", path.display())]
    Changed { path: PathBuf, number: i64 },
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

/// A connection that could not be replaced: nothing was done, and perhaps nothing can be before
/// somebody acts.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Engine { source, .. } => failure(source),
            other => Self::Unavailable(Arc::new(other)),
        }
    }
}

/// What an error of SQLite means for the transaction it happened in (R4, R18).
pub fn failure(error: rusqlite::Error) -> Failure {
    let Some(code) = error.sqlite_error() else {
        // A row that does not fit its type, or a statement that does not fit the schema: about this batch.
        return Failure::suspect(error);
    };
    let extended = code.extended_code;
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Busy(Arc::new(error)),
        ErrorCode::DiskFull => Failure::Full(Arc::new(error)),
        // The shared-memory file could not grow: the disk is as full.
        ErrorCode::SystemIoFailure if extended == ffi::SQLITE_IOERR_SHMSIZE => {
            Failure::Full(Arc::new(error))
        }
        ErrorCode::CannotOpen => Failure::Unavailable(Arc::new(error)),
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            Failure::suspect(error)
        }
        _ => Failure::Fatal(Arc::new(error)),
    }
}
