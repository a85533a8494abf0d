//! An order: its content, its states, and the table of transitions between the states.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use contract::answers::{Allocation, Shortage, StockOutcome};
use contract::commands::StockCommandKind;
use contract::{BadId, Digest, OrderId, ProductId, Quantity, StockLines};

use super::money::Currency;

/// The id of a customer, chosen by the client. It has the form of a product id
/// ([`contract::is_id`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CustomerId {
    type Err = BadId;

    /// Checks the text with [`contract::is_id`].
    ///
    /// # Errors
    ///
    /// [`BadId`] if the text cannot be an id. A retry fails again.
    fn from_str(text: &str) -> Result<Self, BadId> {
        if contract::is_id(text) { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of an order as the client sent it. Several lines may name the same product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit, in minor units of the order's currency; 0 or more.
    pub price_minor: i64,
}

/// The content of an order as the service accepted it. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The currency of all prices and of the total.
    pub currency: Currency,
    /// The sum of quantity × price over the lines, in minor units.
    pub total_minor: i64,
    /// 1 to 100 lines, in the order in which the client sent them.
    pub lines: Vec<OrderLine>,
    /// The digest of [`stock_lines`](Self::stock_lines), sent with every command (R14).
    pub digest: Digest,
}

impl Terms {
    /// The lines as the Inventory Service sees them: summed per product, without prices.
    ///
    /// # Panics
    ///
    /// If the lines are not those of an accepted order, whose count and sums were checked.
    pub fn stock_lines(&self) -> StockLines {
        let lines = self.lines.iter().map(|line| (line.product_id.clone(), line.quantity));
        StockLines::sum(lines)
            .expect("an accepted order has 1 to 100 lines, and their sums are quantities")
    }
}

/// The status of an order. The table of [`transition`] says how it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The order was accepted, and Inventory has not answered its ReserveStock.
    Received,
    /// Inventory holds every line for the order.
    Confirmed,
    /// A product was short. Final.
    Rejected,
    /// A client cancelled the order, and Inventory has not answered its ReleaseStock.
    Cancelling,
    /// Inventory released the order's stock. Final.
    Cancelled,
    /// A client fulfilled the order, and Inventory has not answered its ShipStock.
    Fulfilling,
    /// The order's stock was shipped. Final.
    Fulfilled,
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

    /// The kind of command whose answer an order in this status waits for.
    ///
    /// An order has a pending command of that kind exactly while this is not `None` (INV-7).
    pub fn in_flight(self) -> Option<StockCommandKind> {
        match self {
            Self::Received => Some(StockCommandKind::ReserveStock),
            Self::Cancelling => Some(StockCommandKind::ReleaseStock),
            Self::Fulfilling => Some(StockCommandKind::ShipStock),
            Self::Confirmed | Self::Rejected | Self::Cancelled | Self::Fulfilled => None,
        }
    }

    /// Whether `self` may directly follow `before` in a history (INV-4). `before` is `None` for the
    /// first entry.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match before {
            None => self == Self::Received,
            Some(before) => Event::ALL
                .into_iter()
                .any(|event| transition(before, event) == Transition::Move(self)),
        }
    }
}

/// An event of an order after it was accepted: a request of a client, or an answer of Inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client asks to cancel the order.
    Cancel,
    /// A client asks to fulfill the order.
    Fulfill,
    /// Inventory answers StockReserved.
    Reserved,
    /// Inventory answers StockRejected.
    Rejected,
    /// Inventory answers StockReleased.
    Released,
    /// Inventory answers StockShipped.
    Shipped,
}

impl Event {
    /// All events, in the order of the variants.
    pub const ALL: [Self; 6] = [
        Self::Cancel,
        Self::Fulfill,
        Self::Reserved,
        Self::Rejected,
        Self::Released,
        Self::Shipped,
    ];

    /// The event of an answer with this outcome.
    pub fn of(outcome: &StockOutcome) -> Self {
        match outcome {
            StockOutcome::StockReserved { .. } => Self::Reserved,
            StockOutcome::StockRejected { .. } => Self::Rejected,
            StockOutcome::StockReleased => Self::Released,
            StockOutcome::StockShipped => Self::Shipped,
        }
    }
}

/// What an event does to an order: a cell of the table of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The order gets this status.
    Move(Status),
    /// The request asks for what already happened. The service answers 200 and the order.
    Unchanged,
    /// The status does not allow the request. The service answers 409 `invalid_transition`.
    Refused,
    /// The answer came late, which is normal on a bus that repeats and reorders. It changes
    /// nothing.
    Stale,
    /// No healthy history explains the answer. It changes nothing and goes into quarantine (R16).
    Anomaly,
}

/// Returns what an event does to an order in this status.
///
/// This is the table of states in docs/protocol.md: one transition per status and event (R13,
/// INV-4).
pub fn transition(status: Status, event: Event) -> Transition {
    use Event::{Cancel, Fulfill, Rejected, Released, Reserved, Shipped};
    match (status, event) {
        (Status::Received, Reserved) => Transition::Move(Status::Confirmed),
        (Status::Received, Rejected) => Transition::Move(Status::Rejected),
        (Status::Received | Status::Confirmed, Cancel) => Transition::Move(Status::Cancelling),
        (Status::Cancelling, Released) => Transition::Move(Status::Cancelled),
        (Status::Confirmed, Fulfill) => Transition::Move(Status::Fulfilling),
        (Status::Fulfilling, Shipped) => Transition::Move(Status::Fulfilled),

        (Status::Cancelling | Status::Cancelled, Cancel) => Transition::Unchanged,
        (Status::Fulfilling | Status::Fulfilled, Fulfill) => Transition::Unchanged,
        (_, Cancel | Fulfill) => Transition::Refused,

        (
            Status::Confirmed
            | Status::Cancelling
            | Status::Cancelled
            | Status::Fulfilling
            | Status::Fulfilled,
            Reserved,
        )
        | (Status::Rejected | Status::Cancelling | Status::Cancelled, Rejected)
        | (Status::Cancelled, Released)
        | (Status::Fulfilled, Shipped) => Transition::Stale,
        (_, Reserved | Rejected | Released | Shipped) => Transition::Anomaly,
    }
}

/// One entry of an order's history, which is append-only (INV-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the entry in its history, from 1 without gaps.
    pub seq: u32,
    /// The status that the order got.
    pub status: Status,
    /// The reason that the client gave, if it gave one.
    pub reason: Option<String>,
    /// When the service decided this, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// The data of Inventory's answer, if an answer caused the entry.
    pub answer: Option<Answered>,
}

/// The part of an answer that the history of an order keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When Inventory decided, in microseconds since 1970 UTC on its clock.
    pub decided_at_micros: i64,
    /// The allocations of StockReserved, sorted by (product, location); otherwise empty.
    pub allocations: Vec<Allocation>,
    /// The shortages of StockRejected, sorted by product; otherwise empty.
    pub shortages: Vec<Shortage>,
}

/// The part of a stored order that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The id of the order.
    pub order_id: OrderId,
    /// The current status.
    pub status: Status,
    /// The digest of the validated request that placed the order. A replay must have the same one.
    pub request_digest: Digest,
    /// The content of the order.
    pub terms: Terms,
    /// The `seq` of the last entry of its history; 0 without entries.
    pub last_seq: u32,
    /// The shortages of a rejected order, sorted by product; otherwise empty.
    pub shortages: Vec<Shortage>,
}

#[cfg(test)]
mod tests {
    use super::Transition::{Anomaly, Refused, Stale, Unchanged};
    use super::*;

    /// The columns are cancel, fulfill, reserved, rejected, released and shipped.
    #[test]
    fn every_status_and_event_have_the_transition_of_the_table() {
        use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received, Rejected};
        let to = Transition::Move;
        #[rustfmt::skip]
        let table = [
            (Received,   [to(Cancelling), Refused,        to(Confirmed), to(Rejected), Anomaly,       Anomaly]),
            (Confirmed,  [to(Cancelling), to(Fulfilling), Stale,         Anomaly,      Anomaly,       Anomaly]),
            (Rejected,   [Refused,        Refused,        Anomaly,       Stale,        Anomaly,       Anomaly]),
            (Cancelling, [Unchanged,      Refused,        Stale,         Stale,        to(Cancelled), Anomaly]),
            (Cancelled,  [Unchanged,      Refused,        Stale,         Stale,        Stale,         Anomaly]),
            (Fulfilling, [Refused,        Unchanged,      Stale,         Anomaly,      Anomaly,       to(Fulfilled)]),
            (Fulfilled,  [Refused,        Unchanged,      Stale,         Anomaly,      Anomaly,       Stale]),
        ];
        assert_eq!(table.map(|(status, _)| status), Status::ALL);
        for (status, row) in table {
            for (event, expected) in Event::ALL.into_iter().zip(row) {
                assert_eq!(transition(status, event), expected, "{status:?} × {event:?}");
            }
        }
    }

    #[test]
    fn no_event_changes_a_final_status_and_no_command_is_pending_in_one() {
        let moves = |status, event| matches!(transition(status, event), Transition::Move(_));
        let stays = |status: &Status| !Event::ALL.into_iter().any(|event| moves(*status, event));
        let finals: Vec<_> = Status::ALL.into_iter().filter(stays).collect();
        assert_eq!(finals, [Status::Rejected, Status::Cancelled, Status::Fulfilled]);
        for status in finals {
            assert_eq!(status.in_flight(), None);
        }
    }

    #[test]
    fn a_status_waits_for_the_answer_to_its_command() {
        use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
        let waiting = Status::ALL.map(Status::in_flight);
        assert_eq!(
            waiting,
            [Some(ReserveStock), None, None, Some(ReleaseStock), None, Some(ShipStock), None]
        );
    }

    #[test]
    fn a_history_is_a_path_through_the_table() {
        assert!(Status::Received.may_follow(None));
        assert!(!Status::Confirmed.may_follow(None));
        assert!(Status::Cancelling.may_follow(Some(Status::Received)));
        assert!(!Status::Cancelled.may_follow(Some(Status::Received)));
        assert!(!Status::Received.may_follow(Some(Status::Received)));
    }

    #[test]
    fn names_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("lost"), None);
        let customer: CustomerId = "123456".parse().expect("an id");
        assert_eq!((customer.as_str(), format!("{customer:?}").as_str()), ("123456", "123456"));
        assert!("".parse::<CustomerId>().is_err());
    }
}
