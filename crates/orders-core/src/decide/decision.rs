//! The input of a decision beside the commands, and its result.

use std::collections::BTreeMap;

use contract::OrderId;
use contract::answers::Shortage;
use contract::commands::{StockCommand, StockCommandKind};

use super::command::Placement;
use crate::order::{Entry, Order, Status};

/// The stored rows that a batch names. The store keeps them locked until the commit (R5, R11).
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The idempotency keys of the batch that are in use, and the orders that they belong to. Each
    /// of these orders is in `orders`.
    pub keys: BTreeMap<String, OrderId>,
    /// The orders that the batch names, directly or by a key, and that exist.
    pub orders: BTreeMap<OrderId, Order>,
}

/// The decision about a batch: outcomes to answer with, and changes to write.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// One per command, in the order of the batch.
    pub decided: Vec<Decided>,
    /// One per order that the batch creates or changes, sorted by order id.
    pub changes: Vec<Change>,
}

/// The decision about one command.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What the command led to.
    pub outcome: OrderOutcome,
    /// The stock command to publish after the commit, if there is one (R6).
    pub publish: Option<StockCommand>,
}

/// The status of an order, as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the order.
    pub order_id: OrderId,
    /// Its status after the command.
    pub status: Status,
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
    /// An answer of Inventory changed the status of its order.
    Settled(Receipt),
    /// An answer of Inventory came late and changed nothing.
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
///
/// A new order has `placed`, an existing one has `from`, and no order has both. The store writes an
/// existing order only if its status is still `from` (R13).
#[derive(Clone, Debug)]
pub struct Change {
    /// The order.
    pub order_id: OrderId,
    /// The request that created the order, if this batch did.
    pub placed: Option<Box<Placement>>,
    /// The status before the batch, if the order existed.
    pub from: Option<Status>,
    /// The status after the batch.
    pub to: Status,
    /// The new entries of its history, by `seq`; never empty.
    pub entries: Vec<Entry>,
    /// The command in flight after the batch, if there is one. It replaces the pending command that
    /// the order had before (INV-7).
    pub pending: Option<Pending>,
}

/// A command in flight. The store writes it with the change that caused it, as outbox and timer in
/// one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What the command asks for.
    pub kind: StockCommandKind,
    /// When the command was recorded, in microseconds since 1970 UTC.
    pub since_micros: i64,
    /// When the sweeper may send it again, in microseconds since 1970 UTC (R7).
    pub next_attempt_at_micros: i64,
    /// The W3C trace context of the request that caused the command, if it had one.
    pub traceparent: Option<String>,
}

impl Decided {
    /// A decision that publishes nothing.
    pub(super) fn silent(outcome: OrderOutcome) -> Self {
        Self { outcome, publish: None }
    }
}

impl Order {
    /// The receipt of the order as it is.
    pub fn receipt(&self) -> Receipt {
        Receipt { order_id: self.order_id, status: self.status, shortages: self.shortages.clone() }
    }
}
