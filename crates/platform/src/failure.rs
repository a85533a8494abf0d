//! How ports fail, and how a failure is shown: what every layer above a store or a bus branches on.

use std::fmt;
use std::sync::Arc;

/// How a transaction failed.
///
/// **Errors:** all but `Unknown` mean that nothing was written.
/// **Source:** R4, R11, R18.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The database asks to run it again: deadlock, serialization, busy.
    #[error("the database asks to run the transaction again")]
    Busy(#[source] Cause),
    /// The commit may or may not have happened.
    #[error("the commit's fate is unknown")]
    Unknown(#[source] Cause),
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Cause),
    /// No room left on the disk.
    #[error("the disk is full")]
    Full(#[source] Cause),
    /// Something about this very batch: a row count that was not predicted, a data error, a panic in the decider.
    #[error("the batch does not fit the database: {0}")]
    Suspect(String),
    /// Storage that can no longer be trusted. The process ends (R18).
    #[error("the storage failed")]
    Fatal(#[source] Cause),
}

/// What an engine said, shared because a batch has many waiters.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a command got no answer. Only `OutcomeUnknown` may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    #[error("the queue is full, or the deadline passed in it")]
    Overloaded,
    #[error("the storage is full")]
    StorageFull,
    #[error("the storage cannot be reached")]
    Unavailable,
    #[error("the commit's fate is unknown")]
    OutcomeUnknown,
    /// The command fails even alone. Never worth a retry as it is.
    #[error("the command cannot be executed")]
    Poisoned,
    #[error("the service is shutting down")]
    ShuttingDown,
}

/// An error with its causes on one line, for the log.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
