//! The input of a decision beside the commands, and its result.

use std::collections::BTreeMap;

use contract::commands::AllocateStock;
use contract::{Digest, OrderId, Revision, Shortage};

use super::command::Placement;
use crate::history::Entry;
use crate::order::Order;
use crate::status::Status;

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
    /// The shortages of a rejected order, sorted by product; otherwise empty.
    pub shortages: Vec<Shortage>,
}

/// What a command led to.
///
/// `NotFound`, `KeyReused` and `InvalidTransition` are refusals: the command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    /// The placement created the order. The same outcome repeats if the command is decided again
    /// under its own id (R4).
    Placed(Receipt),
    /// An earlier request with the same key and the same content created an order. This is its
    /// current status.
    Replayed(Receipt),
    /// An earlier request with the same key had another content.
    KeyReused,
    /// The order is being cancelled or fulfilled, or already was.
    Accepted(Receipt),
    /// There is no order with the id.
    NotFound,
    /// The order's current status does not allow the request.
    InvalidTransition(Status),
    /// An answer of Inventory settled the current revision of its order.
    Settled(Receipt),
    /// An answer of Inventory came late or again, and changed nothing.
    Stale,
    /// No healthy history explains the answer; this is the reason, for people. It changed nothing
    /// and goes into quarantine (R16).
    Anomaly(&'static str),
}

impl OrderOutcome {
    /// The order that an answer confirmed or rejected, and that was `received` before.
    pub fn settled_from_received(&self) -> Option<OrderId> {
        match self {
            Self::Settled(receipt)
                if matches!(receipt.status, Status::Confirmed | Status::Rejected) =>
            {
                Some(receipt.order_id)
            }
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
    /// The command in flight after the batch, if there is one (INV-7).
    pub pending: Option<Pending>,
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
        let facts = self.registers.facts.as_ref().filter(|_| status == Status::Rejected);
        let shortages = facts.map(|facts| facts.shortages.clone()).unwrap_or_default();
        Receipt { order_id: self.order_id, status, last_seq: self.last_seq, shortages }
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
        }
    }
}
