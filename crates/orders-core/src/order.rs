//! An order: what it is made of, the states that it goes through, and which step leads from one to the next.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use contract::answers::{Allocation, Shortage, StockOutcome};
use contract::commands::StockCommandKind;
use contract::{BadId, Digest, OrderId, ProductId, Quantity, StockLines};

use super::money::Currency;

/// Who orders, as the shop names them. Same form as a product id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CustomerId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        if contract::is_id(text) { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line as the customer sent it; the same product may stand on several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    pub product_id: ProductId,
    pub quantity: Quantity,
    pub price_minor: i64,
}

/// An order as it was accepted. Nothing in it ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub customer_id: CustomerId,
    pub currency: Currency,
    /// Σ of the lines, in minor units.
    pub total_minor: i64,
    /// 1 to 100, in the order in which they were sent.
    pub lines: Vec<OrderLine>,
    /// Of the lines as stock sees them (R14).
    pub digest: Digest,
}

impl Terms {
    /// What stock is asked for. The sums were checked when the order was accepted.
    pub fn stock_lines(&self) -> StockLines {
        let lines = self.lines.iter().map(|line| (line.product_id.clone(), line.quantity));
        StockLines::sum(lines).expect("an accepted order has 1 to 100 lines whose sums are quantities")
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Received,
    Confirmed,
    Rejected,
    Cancelling,
    Cancelled,
    Fulfilling,
    Fulfilled,
}

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Received,
        Self::Confirmed,
        Self::Rejected,
        Self::Cancelling,
        Self::Cancelled,
        Self::Fulfilling,
        Self::Fulfilled,
    ];

    /// As the API and the database spell it.
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

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The command whose answer an order in this state waits for: it has a pending one exactly then (INV-7).
    pub fn in_flight(self) -> Option<StockCommandKind> {
        match self {
            Self::Received => Some(StockCommandKind::ReserveStock),
            Self::Cancelling => Some(StockCommandKind::ReleaseStock),
            Self::Fulfilling => Some(StockCommandKind::ShipStock),
            Self::Confirmed | Self::Rejected | Self::Cancelled | Self::Fulfilled => None,
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled | Self::Fulfilled)
    }

    /// Whether `self` may directly follow `before` in a history (INV-4); nothing stands before the first entry.
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match before {
            None => self == Self::Received,
            Some(before) => Event::ALL.into_iter().any(|event| step(before, event) == Transition::Move(self)),
        }
    }
}

/// What can happen to an order after it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Cancel,
    Fulfill,
    Reserved,
    Rejected,
    Released,
    Shipped,
}

impl Event {
    pub const ALL: [Self; 6] =
        [Self::Cancel, Self::Fulfill, Self::Reserved, Self::Rejected, Self::Released, Self::Shipped];

    pub fn of(outcome: &StockOutcome) -> Self {
        match outcome {
            StockOutcome::StockReserved { .. } => Self::Reserved,
            StockOutcome::StockRejected { .. } => Self::Rejected,
            StockOutcome::StockReleased => Self::Released,
            StockOutcome::StockShipped => Self::Shipped,
        }
    }
}

/// What an event does to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Move(Status),
    /// A repeated request that already has what it asks for.
    Unchanged,
    /// A request that this state does not allow.
    Refused,
    /// An answer that comes late, as answers do on a bus that repeats and reorders.
    Stale,
    /// An answer that no healthy history explains.
    Anomaly,
}

/// The state machine. It is a table: every state × event pair has exactly one step.
pub fn step(status: Status, event: Event) -> Transition {
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
            Status::Confirmed | Status::Cancelling | Status::Cancelled | Status::Fulfilling | Status::Fulfilled,
            Reserved,
        )
        | (Status::Rejected | Status::Cancelling | Status::Cancelled, Rejected)
        | (Status::Cancelled, Released)
        | (Status::Fulfilled, Shipped) => Transition::Stale,
        (_, Reserved | Rejected | Released | Shipped) => Transition::Anomaly,
    }
}

/// One line of an order's history: append-only, `seq` from 1 without gaps (INV-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: u32,
    pub status: Status,
    /// Why, in the words of whoever asked for it.
    pub reason: Option<String>,
    pub at_micros: i64,
    /// What Inventory's answer brought, for an entry that an answer made.
    pub answer: Option<Answered>,
}

/// The part of an answer that the order keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When Inventory decided, on its clock.
    pub decided_at_micros: i64,
    pub allocations: Vec<Allocation>,
    pub shortages: Vec<Shortage>,
}

/// As much of a stored order as a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub order_id: OrderId,
    pub status: Status,
    /// Of the validated request that placed it; a replay must bring the same.
    pub request_digest: Digest,
    pub terms: Terms,
    /// The `seq` of the last entry of its history.
    pub last_seq: u32,
    /// Of a rejected order; otherwise empty.
    pub shortages: Vec<Shortage>,
}

#[cfg(test)]
mod tests {
    use super::Transition::{Anomaly, Refused, Stale, Unchanged};
    use super::*;

    /// Every cell of the table of states, a row per state: cancel, fulfill, reserved, rejected, released, shipped.
    #[test]
    fn every_state_answers_every_event_as_the_table_says() {
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
                assert_eq!(step(status, event), expected, "{status:?} × {event:?}");
            }
        }
    }

    #[test]
    fn final_states_are_left_by_nothing_and_wait_for_nothing() {
        let finals = [Status::Rejected, Status::Cancelled, Status::Fulfilled];
        assert_eq!(Status::ALL.into_iter().filter(|status| status.is_final()).collect::<Vec<_>>(), finals);
        for status in finals {
            assert_eq!(status.in_flight(), None);
            assert!(
                Event::ALL.into_iter().all(|event| !matches!(step(status, event), Transition::Move(_))),
                "{status:?}"
            );
        }
    }

    #[test]
    fn a_state_waits_for_the_answer_to_its_command() {
        use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
        let waiting = Status::ALL.map(Status::in_flight);
        assert_eq!(waiting, [Some(ReserveStock), None, None, Some(ReleaseStock), None, Some(ShipStock), None]);
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
