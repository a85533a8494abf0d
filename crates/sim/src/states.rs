//! Which states may follow each other and which may exist together: a second opinion that shares no
//! code with the services.

use inventory_core::reservation::ReservationState;
use orders_core::status::Status;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// `INV-1` to `INV-11`, a rule that the invariants rest on, or another check.
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

pub(crate) fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

/// INV-4: whether an order may go from one status to the other.
pub(crate) fn may_follow(before: Option<Status>, status: Status) -> bool {
    use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received, Rejected};
    match before {
        None => status == Received,
        Some(Received) => matches!(status, Confirmed | Rejected | Cancelling),
        Some(Confirmed) => matches!(status, Cancelling | Fulfilling),
        Some(Cancelling) => status == Cancelled,
        Some(Fulfilling) => status == Fulfilled,
        Some(Rejected | Cancelled | Fulfilled) => false,
    }
}

/// INV-7: whether an order in this state has a pending command.
pub(crate) fn waits(status: Status) -> bool {
    match status {
        Status::Received | Status::Cancelling | Status::Fulfilling => true,
        Status::Confirmed | Status::Rejected | Status::Cancelled | Status::Fulfilled => false,
    }
}

/// INV-5: whether the status of an order and the state of its reservation may exist at one moment.
pub(crate) fn agree(status: Option<Status>, state: Option<ReservationState>) -> bool {
    use ReservationState::{Rejected, Released, Reserved, Shipped};
    match status {
        None => state.is_none(),
        Some(Status::Received) => matches!(state, None | Some(Reserved | Rejected)),
        Some(Status::Confirmed) => state == Some(Reserved),
        Some(Status::Rejected) => state == Some(Rejected),
        Some(Status::Cancelling) => matches!(state, None | Some(Reserved | Rejected | Released)),
        Some(Status::Cancelled) => state == Some(Released),
        Some(Status::Fulfilling) => matches!(state, Some(Reserved | Shipped)),
        Some(Status::Fulfilled) => state == Some(Shipped),
    }
}
