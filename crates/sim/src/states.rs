//! Which states may follow each other and which may exist together: a second opinion that shares no
//! code with the services.

use inventory_core::reservation::ReservationState;
use orders_core::status::Status;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// `INV-1` to `INV-13`, a rule that the invariants rest on, or another check.
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

pub(crate) fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { invariant, what: what.into() })
}

/// INV-4: whether an order may go from one status to the other by a new intent, by an answer of
/// Inventory, or by a payment. One that is amended may be amended again.
pub(crate) fn may_follow(before: Option<Status>, status: Status) -> bool {
    use Status::{
        Amending, Cancelled, Cancelling, Confirmed, Expired, Expiring, Fulfilled, Fulfilling,
        Received, Rejected, Reserved, Reviving,
    };
    match before {
        None => status == Received,
        Some(Received) => matches!(status, Reserved | Confirmed | Rejected | Cancelling),
        Some(Reserved) => matches!(status, Confirmed | Cancelling | Expiring),
        Some(Confirmed) => matches!(status, Cancelling | Fulfilling | Amending),
        Some(Amending) => {
            matches!(status, Amending | Confirmed | Fulfilled | Cancelling | Fulfilling)
        }
        Some(Cancelling) => status == Cancelled,
        Some(Fulfilling) => matches!(status, Fulfilled | Amending),
        Some(Fulfilled) => status == Amending,
        Some(Expiring) => matches!(status, Expired | Cancelling | Reviving),
        Some(Expired) => matches!(status, Cancelling | Reviving),
        Some(Reviving) => matches!(status, Confirmed | Expired | Cancelling),
        Some(Rejected | Cancelled) => false,
    }
}

/// INV-7: whether an order in this state has a pending command.
pub(crate) fn waits(status: Status) -> bool {
    match status {
        Status::Received
        | Status::Amending
        | Status::Cancelling
        | Status::Fulfilling
        | Status::Expiring
        | Status::Reviving => true,
        Status::Reserved
        | Status::Confirmed
        | Status::Rejected
        | Status::Cancelled
        | Status::Fulfilled
        | Status::Expired => false,
    }
}

/// INV-5: whether the status of an order and the state of its reservation may exist at one moment.
/// A cancellation may overtake the cancellation of a shipment, so that its units are still out.
pub(crate) fn agree(status: Option<Status>, state: Option<ReservationState>) -> bool {
    use ReservationState::{Rejected, Released, Reserved, Shipped};
    match status {
        None => state.is_none(),
        Some(Status::Received) => matches!(state, None | Some(Reserved | Rejected)),
        Some(Status::Reserved | Status::Confirmed) => state == Some(Reserved),
        Some(Status::Rejected) => state == Some(Rejected),
        Some(Status::Amending | Status::Fulfilling) => matches!(state, Some(Reserved | Shipped)),
        Some(Status::Cancelling) => true,
        Some(Status::Cancelled) => state == Some(Released),
        Some(Status::Fulfilled) => state == Some(Shipped),
        Some(Status::Expiring) => matches!(state, Some(Reserved | Released)),
        Some(Status::Expired) => matches!(state, Some(Released | Rejected)),
        Some(Status::Reviving) => matches!(state, Some(Reserved | Released | Rejected)),
    }
}
