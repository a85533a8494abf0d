//! The status of an order: a function of its registers, and what it allows.

use contract::{Facts, Intent, Revision};

/// What the current intent of an order is for. It follows from the numbers of the intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The order was placed, and wants what was ordered.
    Place,
    /// The order wants nothing any more.
    Cancel,
    /// All that the order wants shall be shipped.
    Fulfill,
}

impl Purpose {
    /// The purpose of an intent.
    pub fn of(intent: &Intent) -> Self {
        if intent.revision == Revision::FIRST {
            Self::Place
        } else if intent.wanted.total() == 0 {
            Self::Cancel
        } else {
            Self::Fulfill
        }
    }
}

/// The status of an order, as clients see it and queries filter by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The order was accepted, and Inventory has not answered it.
    Received,
    /// Inventory holds every unit for the order.
    Confirmed,
    /// A product was short. Final.
    Rejected,
    /// A client cancelled the order, and Inventory has not answered the cancellation.
    Cancelling,
    /// The order has no stock any more. Final.
    Cancelled,
    /// A client fulfilled the order, and Inventory has not answered that its units are out.
    Fulfilling,
    /// All units of the order have left the stock.
    Fulfilled,
}

/// Returns the status of an order with these registers.
///
/// While the intent is ahead of the facts, its purpose decides, and a command is in flight. Once
/// the facts answer it, what the order has decides.
pub fn status(intent: &Intent, facts: Option<&Facts>) -> Status {
    let purpose = Purpose::of(intent);
    let settled = facts.filter(|facts| facts.revision >= intent.revision);
    let granted = settled.map(|facts| facts.allocated.total());
    match (granted, purpose) {
        (None, Purpose::Place) => Status::Received,
        (None, Purpose::Cancel) => Status::Cancelling,
        (None, Purpose::Fulfill) => Status::Fulfilling,
        (Some(0), Purpose::Place) => Status::Rejected,
        (Some(0), Purpose::Cancel | Purpose::Fulfill) => Status::Cancelled,
        (Some(granted), _) if intent.shipped.total() == granted => Status::Fulfilled,
        (Some(_), _) => Status::Confirmed,
    }
}

/// What a client asks of an accepted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To cancel the order.
    Cancel,
    /// To fulfill the order.
    Fulfill,
}

/// What a request does to an order: a cell of the table of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The order gets its next revision.
    Next,
    /// The request asks for what already happened. The service answers 200 and the order.
    Unchanged,
    /// The status does not allow the request. The service answers 409 `invalid_transition`.
    Refused,
}

impl Status {
    /// All statuses, in the order of the variants.
    pub const ALL: [Self; 7] = [
        Self::Received,
        Self::Confirmed,
        Self::Rejected,
        Self::Cancelling,
        Self::Cancelled,
        Self::Fulfilling,
        Self::Fulfilled,
    ];

    /// The name in the API and in the database, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Fulfilling => "fulfilling",
            Self::Fulfilled => "fulfilled",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the order waits for Inventory. Exactly then it has a pending command (INV-7).
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Received | Self::Cancelling | Self::Fulfilling)
    }

    /// Whether the status is never left (INV-4).
    pub fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled)
    }

    /// Returns what a request does to an order in this status.
    ///
    /// Inventory could carry out what is admitted here in every state that it may be in (R22): an
    /// order is cancelled only while nothing is shipped, and fulfilled only when it is settled.
    pub fn admits(self, request: Request) -> Admission {
        match (self, request) {
            (Self::Received | Self::Confirmed, Request::Cancel)
            | (Self::Confirmed, Request::Fulfill) => Admission::Next,
            (Self::Cancelling | Self::Cancelled, Request::Cancel)
            | (Self::Fulfilling | Self::Fulfilled, Request::Fulfill) => Admission::Unchanged,
            (Self::Rejected | Self::Fulfilling | Self::Fulfilled, Request::Cancel)
            | (
                Self::Received | Self::Rejected | Self::Cancelling | Self::Cancelled,
                Request::Fulfill,
            ) => Admission::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::{Allocation, Allocations, Quantity, Wanted};

    use super::Admission::{Next, Refused, Unchanged};
    use super::*;

    #[test]
    fn every_status_and_request_have_the_admission_of_the_table() {
        use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received, Rejected};
        let table = [
            (Received, Next, Refused),
            (Confirmed, Next, Next),
            (Rejected, Refused, Refused),
            (Cancelling, Unchanged, Refused),
            (Cancelled, Unchanged, Refused),
            (Fulfilling, Refused, Unchanged),
            (Fulfilled, Refused, Unchanged),
        ];
        assert_eq!(table.map(|(status, ..)| status), Status::ALL);
        for (status, cancel, fulfill) in table {
            assert_eq!(status.admits(Request::Cancel), cancel, "{status:?}");
            assert_eq!(status.admits(Request::Fulfill), fulfill, "{status:?}");
        }
    }

    /// Two units are wanted, of which these numbers are allocated and shipped.
    fn registers(
        revision: u32,
        wants: bool,
        shipped: u32,
        settled: u32,
        allocated: u32,
    ) -> (Intent, Option<Facts>) {
        let product: contract::ProductId = "MUG".parse().expect("an id");
        let allocations = |units: u32| {
            let quantity = Quantity::new(units).ok();
            let allocation = quantity.map(|quantity| Allocation {
                product_id: product.clone(),
                location_id: contract::LocationId::main(),
                quantity,
            });
            Allocations::sorted(allocation.into_iter().collect()).expect("one stock key")
        };
        let ordered = Wanted::sum([(product.clone(), Quantity::new(2).expect("a quantity"))]);
        let ordered = ordered.expect("one line");
        let revision = Revision::try_from(revision).expect("a revision");
        let wanted = if wants { ordered } else { ordered.nothing() };
        let facts = Revision::try_from(settled).ok().map(|revision| Facts {
            revision,
            allocated: allocations(allocated),
            shortages: Vec::new(),
        });
        (Intent { revision, wanted, shipped: allocations(shipped) }, facts)
    }

    #[test]
    fn the_status_follows_from_the_registers() {
        for (expected, (intent, facts)) in [
            (Status::Received, registers(1, true, 0, 0, 0)),
            (Status::Confirmed, registers(1, true, 0, 1, 2)),
            (Status::Rejected, registers(1, true, 0, 1, 0)),
            (Status::Cancelling, registers(2, false, 0, 0, 0)),
            (Status::Cancelling, registers(2, false, 0, 1, 2)),
            (Status::Cancelled, registers(2, false, 0, 2, 0)),
            (Status::Fulfilling, registers(2, true, 2, 1, 2)),
            (Status::Fulfilled, registers(2, true, 2, 2, 2)),
        ] {
            assert_eq!(status(&intent, facts.as_ref()), expected, "{intent:?} {facts:?}");
            assert_eq!(
                expected.is_in_flight(),
                facts.is_none_or(|facts| facts.revision < intent.revision)
            );
        }
    }

    #[test]
    fn a_final_status_admits_nothing_new() {
        for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
            for request in [Request::Cancel, Request::Fulfill] {
                assert_ne!(status.admits(request), Next, "{status:?}");
            }
            assert!(!status.is_in_flight(), "{status:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("lost"), None);
    }
}
