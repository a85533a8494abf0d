//! The input of a decision beside the commands, and its result.

use std::collections::BTreeMap;

use contract::commands::AllocateStock;
use contract::{Digest, OrderId, Revision, Shortage};

use super::command::Placement;
use crate::history::{Entry, EntryKind};
use crate::order::Order;
use crate::payment::Balance;
use crate::status::{Purpose, Status};

/// The stored rows that a batch names. The store keeps them locked until the commit (R5, R11).
#[derive(Clone, Debug, Default)]
pub struct LoadedOrders {
    /// The idempotency keys of the batch that are in use, and the orders that they belong to. Each
    /// of these orders is in `orders`.
    pub keys: BTreeMap<String, OrderId>,
    /// The orders that the batch names, directly or by a key, and that exist.
    pub orders: BTreeMap<OrderId, Order>,
}

/// The decision about a batch: outcomes to answer with, and changes to write.
#[derive(Clone, Debug, Default)]
pub struct OrdersDecision {
    /// One per command, in the order of the batch.
    pub decided: Vec<DecidedOrder>,
    /// One per order that the batch creates or changes, sorted by order id.
    pub changes: Vec<OrderChange>,
}

/// The decision about one command.
#[derive(Clone, Debug)]
pub struct DecidedOrder {
    /// What the command led to.
    pub outcome: OrderOutcome,
    /// The command to publish after the commit, if there is one (R6).
    pub publish: Option<AllocateStock>,
}

/// The status of an order, as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the order.
    pub order_id: OrderId,
    /// Its status after the command.
    pub status: Status,
    /// The number of the last entry of its history; the greater one of two receipts is newer.
    pub last_seq: u32,
    /// What was short when the order last asked for stock, if it has none therefore; sorted by
    /// product.
    pub shortages: Vec<Shortage>,
    /// The money of the order; `None` if it was placed without a payment.
    pub balance: Option<Balance>,
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// The placement created the order. The same outcome repeats if the command is decided again
    /// under its own id (R4).
    Placed(Receipt),
    /// An earlier request with the same key and the same content created an order. This is its
    /// current status.
    Replayed(Receipt),
    /// The order is as the request asks.
    Accepted {
        /// The order as it is.
        receipt: Receipt,
        /// The number of the entry that made it so, if the request makes an entry: a payment, a
        /// refund, a cancellation of lines, a shipment or a return.
        entry: Option<u32>,
        /// Whether it was so before, so that nothing changed now.
        replayed: bool,
    },
    /// The request changed nothing.
    Refused(Refusal),
    /// An answer of Inventory settled the current revision of its order, which had this purpose.
    Settled {
        /// The order as it is.
        receipt: Receipt,
        /// What the revision was for.
        purpose: Purpose,
    },
    /// The order was not paid in time, and its units are released.
    Expired(Receipt),
    /// An answer of Inventory came late or again, or a deadline found its order paid or cancelled.
    /// Nothing changed.
    Stale,
    /// No healthy history explains the answer; this is the reason, for people. It changed nothing
    /// and goes into quarantine (R16).
    Anomaly(&'static str),
}

/// Why a request was refused. It changed nothing.
///
/// If several refusals apply, the decider returns the one that is listed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no order with the id.
    NotFound,
    /// An earlier request with the same key, or a payment or refund with the same reference, had
    /// another content.
    KeyReused,
    /// The order was placed without a payment.
    PaymentNotExpected,
    /// The order is paid, by a payment with another reference.
    AlreadyPaid,
    /// The payment names no amount, and nothing is due: the order is over.
    AmountRequired,
    /// The payment is less than what the order costs. It was not recorded.
    Underpaid {
        /// What the order costs, in minor units.
        due_minor: i64,
    },
    /// More would be refunded than was paid.
    RefundExceedsPayment {
        /// What can be refunded at most, in minor units.
        most_minor: i64,
    },
    /// The order has no shipment with the number.
    ShipmentNotFound,
    /// The order's current status does not allow the request.
    InvalidTransition(Status),
    /// The order was changed too often ([`MAX_CHANGES`](super::MAX_CHANGES)), or its history is too
    /// long ([`MAX_HISTORY_BYTES`](super::MAX_HISTORY_BYTES), and three quarters of it for the
    /// tracking of shipments). A refund of all that is owed, or of all that is left of the payment,
    /// is never refused for that.
    TooManyChanges,
    /// Inventory is taking units from the order, and Orders cannot know which. A retry succeeds as
    /// soon as Inventory has answered.
    OrderBusy,
    /// The order has too few units for these lines; without lines, it has none at all.
    QuantityUnavailable(Vec<Unavailable>),
    /// The returns of the order have as many products and locations as they may have
    /// ([`MAX_RETURNED`](contract::MAX_RETURNED)), so what these lines name cannot be added. These
    /// are the indices of the lines.
    TooManyReturnEntries(Vec<usize>),
}

/// A line of a request that asks for more units than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The index of the line in the request, or in the shipment to cancel.
    pub line: usize,
    /// How many units the line could have.
    pub available: i64,
}

impl OrderOutcome {
    /// The order that an answer confirmed, reserved or rejected, and that was `received` before.
    pub fn settled_from_received(&self) -> Option<OrderId> {
        match self {
            Self::Settled { receipt, purpose: Purpose::Place } => Some(receipt.order_id),
            _ => None,
        }
    }
}

/// All that a batch changes about one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderChange {
    /// The order.
    pub order_id: OrderId,
    /// Where the change begins.
    pub from: Origin,
    /// When the batch was decided, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// The state after the batch; `None` if the batch only placed the order.
    pub to: Option<OrderState>,
    /// The new entries of its history, by `seq`.
    pub entries: Vec<Entry>,
    /// What the entries are, for those who follow the changes; as many as there are entries.
    pub kinds: Vec<EntryKind>,
    /// The command that the batch made and that is in flight after it. A command that was in flight
    /// before stays as it is while the order's state says so (INV-7).
    pub pending: Option<Pending>,
    /// The deadline of the payment after the batch, while the order is `reserved` (INV-7).
    pub deadline: Option<Deadline>,
}

/// Where the change of an order begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The batch created the order by this request.
    Placed(Box<Placement>),
    /// The order existed. The store writes the change only if the history still ends with this
    /// entry (R13).
    Stored {
        /// The number of the last entry before the batch.
        last_seq: u32,
        /// The revision of the order's pending command before the batch, if it had one.
        in_flight: Option<Revision>,
        /// Whether the order had a deadline before the batch.
        has_deadline: bool,
    },
}

/// What the store keeps about an order beside its content and history, for queries and for the
/// compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderState {
    /// The status, a function of the history.
    pub status: Status,
    /// The revision of the intent.
    pub revision: Revision,
    /// The revision that the newest facts answer; `None` before the first answer.
    pub settled: Option<Revision>,
    /// The number of the last entry of the history.
    pub last_seq: u32,
    /// The digest of the intent, if it is a newer one than the first.
    pub digest: Option<Digest>,
    /// What must be given back, in minor units of the order's currency (INV-9).
    pub refund_due_minor: i64,
}

impl OrderState {
    /// The revision that waits for an answer, if there is one.
    pub fn in_flight(&self) -> Option<Revision> {
        (self.settled < Some(self.revision)).then_some(self.revision)
    }
}

/// When an order expires unless it is paid. The store keeps it in a row of its own (R25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When the units were reserved, in microseconds since 1970 UTC.
    pub armed_at_micros: i64,
    /// When they are released, in microseconds since 1970 UTC.
    pub pay_by_micros: i64,
}

/// A command in flight. The store writes it with the change that caused it, as outbox and timer in
/// one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The revision that the command carries.
    pub revision: Revision,
    /// When the command was recorded, in microseconds since 1970 UTC.
    pub since_micros: i64,
    /// When the sweeper may send it again, in microseconds since 1970 UTC (R7).
    pub next_attempt_at_micros: i64,
    /// The W3C trace context of the request that caused the command, if it had one.
    pub traceparent: Option<String>,
}

impl OrderChange {
    /// The command that was in flight before the batch and is not any more.
    pub fn answered(&self) -> Option<Revision> {
        let Origin::Stored { in_flight: Some(before), .. } = self.from else { return None };
        let after = self.to.as_ref().and_then(OrderState::in_flight);
        (after != Some(before)).then_some(before)
    }

    /// Whether the order had a deadline before the batch, and has none any more.
    pub fn ends_deadline(&self) -> bool {
        matches!(self.from, Origin::Stored { has_deadline: true, .. }) && self.deadline.is_none()
    }

    /// The deadline that the batch made.
    pub fn new_deadline(&self) -> Option<Deadline> {
        let had_one = matches!(self.from, Origin::Stored { has_deadline: true, .. });
        self.deadline.filter(|_| !had_one)
    }
}

impl DecidedOrder {
    /// A decision that publishes nothing.
    pub(super) fn silent(outcome: OrderOutcome) -> Self {
        Self { outcome, publish: None }
    }
}

impl Order {
    /// The receipt of the order as it is.
    pub fn receipt(&self) -> Receipt {
        let status = self.status();
        let has_nothing = matches!(status, Status::Rejected | Status::Expired);
        let facts = self.registers.facts.as_ref().filter(|_| has_nothing);
        Receipt {
            order_id: self.order_id,
            status,
            last_seq: self.last_seq,
            shortages: facts.map(|facts| facts.shortages.clone()).unwrap_or_default(),
            balance: self.registers.balance(&self.terms),
        }
    }

    /// The row of the order's state.
    pub fn state(&self) -> OrderState {
        let revision = self.registers.intent.revision;
        OrderState {
            status: self.status(),
            revision,
            settled: self.registers.settled(),
            last_seq: self.last_seq,
            digest: (revision > Revision::FIRST).then_some(self.digest),
            refund_due_minor: self.registers.refund_due_minor(&self.terms),
        }
    }

    /// The deadline of the order's payment, while it is `reserved` (INV-7).
    pub fn deadline(&self) -> Option<Deadline> {
        let pay_by_micros = self.registers.balance(&self.terms)?.pay_by_micros?;
        let armed_at_micros = self.registers.reserved_at_micros?;
        Some(Deadline { armed_at_micros, pay_by_micros })
    }
}
