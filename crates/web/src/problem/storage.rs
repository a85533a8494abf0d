//! The problems of a storage that failed to execute a command or a read.

use platform::failure::{Chain, Failure, NotDone};
use tracing::error;

use super::{Code, Problem};

impl Problem {
    /// The problem of a bug. It reveals nothing but how to report the bug.
    pub fn internal() -> Self {
        Self::new(
            Code::INTERNAL,
            "the service failed to handle this request; report it with its request_id",
        )
    }
}

/// The problem of a command that was not executed.
impl From<NotDone> for Problem {
    fn from(error: NotDone) -> Self {
        match error {
            NotDone::Overloaded => Self::new(
                Code::OVERLOADED,
                "too many requests are waiting and no change was made; retry later",
            ),
            NotDone::StorageFull => Self::new(
                Code::STORAGE_FULL,
                "no change was made; the operator must free storage space",
            ),
            NotDone::Unavailable => Self::new(
                Code::STORAGE_UNAVAILABLE,
                "the storage does not answer and no change was made; retry later",
            ),
            NotDone::OutcomeUnknown => Self::new(
                Code::OUTCOME_UNKNOWN,
                "the request may have taken effect; look up the result, or retry with the same Idempotency-Key",
            ),
            NotDone::ShuttingDown => Self::new(
                Code::SHUTTING_DOWN,
                "the service is shutting down and no change was made; retry later",
            ),
            NotDone::Poisoned => Self::internal(),
        }
    }
}

impl Problem {
    /// The problem of a change that the storage failed to write.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`, as `From` is for reads")]
    pub fn not_written(failure: Failure) -> Self {
        error!(error = %Chain(&failure), "storage write failed");
        match failure {
            Failure::Busy(_) => NotDone::Overloaded,
            Failure::Unknown(_) => NotDone::OutcomeUnknown,
            Failure::Unavailable(_) => NotDone::Unavailable,
            Failure::Full(_) => NotDone::StorageFull,
            Failure::Suspect(_) | Failure::Fatal(_) => NotDone::Poisoned,
        }
        .into()
    }
}

/// The problem of a failed read.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        error!(error = %Chain(&failure), "storage read failed");
        match failure {
            Failure::Suspect(_) | Failure::Fatal(_) => Self::internal(),
            Failure::Busy(_) | Failure::Unknown(_) | Failure::Unavailable(_) | Failure::Full(_) => {
                Self::new(Code::STORAGE_UNAVAILABLE, "the storage cannot be read now; retry later")
            }
        }
    }
}
