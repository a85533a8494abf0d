//! The failures of the ports, which every layer above a store or a bus branches on.

use std::fmt;
use std::sync::Arc;

/// Why a transaction failed (R4, R11, R18).
///
/// Every variant but [`Unknown`](Self::Unknown) means that nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// A deadlock, a serialization failure or a busy database. Retry at once.
    #[error("the database asked to retry the transaction")]
    Busy(#[source] Cause),
    /// The commit may or may not have happened. Retry with the same ids (R4).
    #[error("the commit's fate is unknown")]
    Unknown(#[source] Cause),
    /// The database cannot be reached, or cannot serve now. Retry later.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Cause),
    /// The disk is full. Retry after an operator has made room.
    #[error("the disk is full")]
    Full(#[source] Cause),
    /// This batch is at fault: an unexpected row count, a data error, a panic in the decider. Retry
    /// its commands one by one to find the one that fails.
    #[error("the batch cannot be committed")]
    Suspect(#[source] Cause),
    /// The storage can no longer be trusted. Do not retry: the process must end (R18).
    #[error("the storage failed")]
    Fatal(#[source] Cause),
}

impl Failure {
    /// Wraps a cause as [`Suspect`](Self::Suspect).
    pub fn suspect(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Suspect(Arc::new(cause))
    }
}

/// Why a batch is suspect although the engine accepted its statements.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Suspicion {
    /// A statement wrote another number of rows than the decision predicted (R11).
    #[error("{written} rows written instead of {expected}: {sql}")]
    RowCount {
        /// Rows that the statement wrote.
        written: u64,
        /// Rows that the decision predicted.
        expected: u64,
        /// The statement.
        sql: String,
    },
    /// The committer returned another number of answers than there were commands.
    #[error("{answers} answers for {commands} commands")]
    AnswerCount {
        /// Answers returned.
        answers: usize,
        /// Commands in the batch.
        commands: usize,
    },
    /// The decision contradicts itself, in the way that the text says.
    #[error("{0}")]
    Decision(&'static str),
    /// The decider panicked. The panic hook has logged the message.
    #[error("the decider panicked")]
    DeciderPanicked,
}

impl From<Suspicion> for Failure {
    fn from(suspicion: Suspicion) -> Self {
        Self::suspect(suspicion)
    }
}

/// The error of the engine. It is shared, because every waiter of a batch gets it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why a command got no answer. Only after `OutcomeUnknown` may it have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The queue was full, or the command waited in it for too long. Retry later.
    #[error("the queue is full, or the deadline passed in it")]
    Overloaded,
    /// The disk is full. Retry after an operator has made room.
    #[error("the storage is full")]
    StorageFull,
    /// The database cannot be reached. Retry later.
    #[error("the storage cannot be reached")]
    Unavailable,
    /// The command may or may not have been executed. Retry with the same id (R4).
    #[error("the commit's fate is unknown")]
    OutcomeUnknown,
    /// The command fails even when it is executed alone. Do not retry it unchanged.
    #[error("the command cannot be executed")]
    Poisoned,
    /// The committer takes no more commands. Retry at another replica, or after the restart.
    #[error("the service is shutting down")]
    ShuttingDown,
}

/// Displays an error and its causes on one line, for the log.
///
/// Some libraries print the cause at the end of their own text; it is not repeated then.
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
        assert_eq!(text, "the batch cannot be committed: no file: gone");
    }
}
