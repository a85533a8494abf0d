//! What a client is told when the storage did not do what it was asked.

use platform::failure::{Chain, Failure, NotDone};
use tracing::error;

use super::{Code, Problem};

impl Problem {
    /// A bug of ours, of which the client need know nothing but how to report it.
    pub fn internal() -> Self {
        Self::new(Code::INTERNAL, "this is our fault; please report it with its request_id")
    }
}

/// A command that got no answer.
impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::Overloaded => Self::new(Code::OVERLOADED, "nothing was done; try again later"),
            NotDone::StorageFull => Self::new(Code::STORAGE_FULL, "nothing was done; the operator must make room"),
            NotDone::Unavailable => Self::new(Code::STORAGE_UNAVAILABLE, "nothing was done; try again later"),
            NotDone::OutcomeUnknown => {
                Self::new(Code::OUTCOME_UNKNOWN, "it may have been done; retry with the same Idempotency-Key")
            }
            NotDone::ShuttingDown => Self::new(Code::SHUTTING_DOWN, "nothing was done; try again, elsewhere or later"),
            NotDone::Poisoned => Self::internal(),
        }
    }
}

/// A read that failed.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        error!(error = %Chain(&failure), "a read failed");
        match failure {
            Failure::Suspect(_) | Failure::Fatal(_) => Self::internal(),
            Failure::Busy(_) | Failure::Unknown(_) | Failure::Unavailable(_) | Failure::Full(_) => {
                Self::new(Code::STORAGE_UNAVAILABLE, "this cannot be looked up now; try again later")
            }
        }
    }
}
