//! The status of an order: a function of its registers, and what it allows.

use contract::{Facts, Intent};

/// What the current intent of an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The order was placed, and wants what was ordered.
    Place,
    /// A client changed the order.
    Amend,
    /// The order wants nothing any more.
    Cancel,
    /// All that the order wants shall be shipped.
    Fulfill,
    /// The order was not paid in time. What it wanted stays written, and Inventory is sent 0 of
    /// each product.
    Expire,
    /// The order was paid after it expired, and wants again what is written.
    Revive,
}

impl Purpose {
    /// The purpose of an intent that a client's change led to. `ships_or_cancels` says what the
    /// change was: a return or a cancelled shipment never fulfills an order.
    pub(super) fn of_change(next: &Intent, ships_or_cancels: bool) -> Self {
        if next.wanted.total() == 0 {
            Self::Cancel
        } else if ships_or_cancels && next.shipped.total() == next.wanted.total() {
            Self::Fulfill
        } else {
            Self::Amend
        }
    }

    /// The status of an order while its intent is ahead of the facts. It names the purpose, and so
    /// the history keeps the purpose as a status.
    pub fn status(self) -> Status {
        match self {
            Self::Place => Status::Received,
            Self::Amend => Status::Amending,
            Self::Cancel => Status::Cancelling,
            Self::Fulfill => Status::Fulfilling,
            Self::Expire => Status::Expiring,
            Self::Revive => Status::Reviving,
        }
    }

    /// The purpose that a status names; `None` if the order is settled in it.
    pub fn of_status(status: Status) -> Option<Self> {
        let all =
            [Self::Place, Self::Amend, Self::Cancel, Self::Fulfill, Self::Expire, Self::Revive];
        all.into_iter().find(|purpose| purpose.status() == status)
    }

    /// Whether Inventory may have too few units for an intent with this purpose.
    pub(super) fn asks_for_stock(self) -> bool {
        matches!(self, Self::Place | Self::Revive)
    }
}

/// The status of an order, as clients see it and queries filter by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The order was accepted, and Inventory has not answered it.
    Received,
    /// Inventory holds every unit for the order until it is paid, or its deadline has passed.
    Reserved,
    /// Inventory holds every unit for the order.
    Confirmed,
    /// A product was short. Final.
    Rejected,
    /// A client changed the order, and Inventory has not answered the change.
    Amending,
    /// A client cancelled the order, and Inventory has not answered the cancellation.
    Cancelling,
    /// The order has no stock any more. Final.
    Cancelled,
    /// A client fulfilled the order, and Inventory has not answered that its units are out.
    Fulfilling,
    /// All units of the order have left the stock.
    Fulfilled,
    /// The order was not paid in time, and Inventory has not answered that its units are free.
    Expiring,
    /// The order was not paid in time and has no stock. A payment brings it back if there is stock.
    Expired,
    /// The order was paid after it expired, and Inventory has not answered whether there is stock.
    Reviving,
}

/// Returns the status of an order with these registers. `is_due` says whether the units that
/// Inventory granted still have to be paid.
///
/// While the intent is ahead of the facts, its purpose decides, and a command is in flight. Once
/// the facts answer it, what the order has decides.
pub fn status(
    intent: &Intent,
    purpose: Purpose,
    facts: Option<&Facts>,
    is_due: impl FnOnce() -> bool,
) -> Status {
    let settled = facts.filter(|facts| facts.revision >= intent.revision);
    let Some(granted) = settled.map(|facts| facts.allocated.total()) else {
        return purpose.status();
    };
    match (granted, purpose) {
        (0, Purpose::Place) => Status::Rejected,
        (0, Purpose::Expire | Purpose::Revive) => Status::Expired,
        (0, Purpose::Amend | Purpose::Cancel | Purpose::Fulfill) => Status::Cancelled,
        (_, _) if is_due() => Status::Reserved,
        (granted, _) if intent.shipped.total() == granted => Status::Fulfilled,
        (_, _) => Status::Confirmed,
    }
}

/// The kinds of what can be asked of an accepted order: the columns of the table of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// To cancel the whole order.
    Cancel,
    /// To ship all that the order holds.
    Fulfill,
    /// To cancel units, to ship some, to cancel a shipment, or to book a return.
    Change,
    /// To pay the order.
    Pay,
    /// To release the units of an order that was not paid in time. The service asks this itself.
    Expire,
}

/// What a request does to an order: a cell of the table of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The order gets its next revision.
    Next,
    /// The order stays at its revision. A payment is recorded, and any other request asks for what
    /// already happened. The service answers 200 and the order.
    Unchanged,
    /// The status does not allow the request. The service answers 409 `invalid_transition`.
    Refused,
}

impl Status {
    /// All statuses, in the order of the variants.
    pub const ALL: [Self; 12] = [
        Self::Received,
        Self::Reserved,
        Self::Confirmed,
        Self::Rejected,
        Self::Amending,
        Self::Cancelling,
        Self::Cancelled,
        Self::Fulfilling,
        Self::Fulfilled,
        Self::Expiring,
        Self::Expired,
        Self::Reviving,
    ];

    /// The name in the API and in the database, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Reserved => "reserved",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Amending => "amending",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Fulfilling => "fulfilling",
            Self::Fulfilled => "fulfilled",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Reviving => "reviving",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the order waits for Inventory. Exactly then it has a pending command (INV-7).
    pub fn is_in_flight(self) -> bool {
        Purpose::of_status(self).is_some()
    }

    /// Whether the status is never left (INV-4).
    pub fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled)
    }

    /// Returns what a request does to an order in this status.
    ///
    /// What is admitted here may still be refused for its numbers: an order is cancelled only while
    /// nothing is shipped, and no more is shipped than the order holds. What remains, Inventory
    /// could carry out in every state that it may be in (R22).
    pub fn admits(self, request: RequestKind) -> Admission {
        use Admission::{Next, Refused, Unchanged};
        use RequestKind::{Cancel, Change, Expire, Fulfill, Pay};
        match (self, request) {
            (
                Self::Received
                | Self::Reserved
                | Self::Confirmed
                | Self::Amending
                | Self::Expiring
                | Self::Expired
                | Self::Reviving,
                Cancel,
            )
            | (Self::Confirmed | Self::Amending, Fulfill)
            | (Self::Confirmed | Self::Amending | Self::Fulfilling | Self::Fulfilled, Change)
            | (Self::Expiring | Self::Expired, Pay)
            | (Self::Reserved, Expire) => Next,
            (Self::Cancelling | Self::Cancelled, Cancel)
            | (Self::Fulfilling | Self::Fulfilled, Fulfill)
            | (_, Pay | Expire) => Unchanged,
            (Self::Rejected | Self::Fulfilling | Self::Fulfilled, Cancel)
            | (_, Fulfill | Change) => Refused,
        }
    }
}

#[cfg(test)]
mod tests;
