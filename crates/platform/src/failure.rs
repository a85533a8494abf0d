//! How ports fail, and how a failure is shown: what every layer above a store or a bus branches on.

use std::fmt;
use std::sync::Arc;

/// How a transaction failed.
///
/// Source: R4, R11, R18.
///
/// # Errors
///
/// All but `Unknown` mean that nothing was written.
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
    /// Something about this very batch: a row count that was not predicted, a data error, a panic
    /// in the decider.
    #[error("the batch does not fit the database")]
    Suspect(#[source] Cause),
    /// Storage that can no longer be trusted. The process ends (R18).
    #[error("the storage failed")]
    Fatal(#[source] Cause),
}

impl Failure {
    /// [`Suspect`](Self::Suspect), for this cause.
    pub fn suspect(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Suspect(Arc::new(cause))
    }
}

/// What makes a batch suspect although the engine has nothing against it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Suspicion {
    /// A statement wrote other rows than the decision predicted (R11).
    #[error("{written} rows instead of {expected}: {sql}")]
    RowCount { written: u64, expected: u64, sql: String },
    /// There must be one answer per command.
    #[error("{answers} answers for {commands} commands")]
    AnswerCount { answers: usize, commands: usize },
    /// A decision that contradicts itself.
    #[error("{0}")]
    Decision(&'static str),
    #[error("the decider panicked")]
    DeciderPanicked,
}

impl From<Suspicion> for Failure {
    fn from(suspicion: Suspicion) -> Self {
        Self::suspect(suspicion)
    }
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

/// An error with its causes on one line, for the log. A cause that the text before it ends with,
/// as some libraries print it, is not repeated.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no file: {0}")]
    struct PrintsItsCause(#[source] std::io::Error);

    #[test]
    fn a_chain_names_every_cause_once() {
        let gone = PrintsItsCause(std::io::Error::other("gone"));
        let text = Chain(&Failure::suspect(gone)).to_string();
        assert_eq!(text, "the batch does not fit the database: no file: gone");
    }
}
