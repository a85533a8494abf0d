//! What a decision rests on, and what it comes to.

use std::collections::BTreeMap;

use contract::OrderId;
use contract::answers::Shortage;
use contract::commands::{StockCommand, StockCommandKind};

use super::command::Placement;
use crate::order::{Entry, Order, Status};

/// What the store found of all that the batch names, locked until the commit.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Idempotency keys that are taken, and by which order; each of these orders is in `orders`.
    pub keys: BTreeMap<String, OrderId>,
    pub orders: BTreeMap<OrderId, Order>,
}

/// What the batch comes to.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// One per command, in order.
    pub decided: Vec<Decided>,
    /// One per order that the batch makes or moves.
    pub changes: Vec<Change>,
}

/// One command's answer, and what is published once it is durable (R6).
#[derive(Clone, Debug)]
pub struct Decided {
    pub outcome: OrderOutcome,
    pub publish: Option<StockCommand>,
}

/// Where an order stands, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub order_id: OrderId,
    pub status: Status,
    /// Of a rejected order; otherwise empty.
    pub shortages: Vec<Shortage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderOutcome {
    Placed(Receipt),
    /// The key was used for the same order before: where that stands now.
    Replayed(Receipt),
    /// The key was used for another order before.
    KeyReused,
    /// Cancelled or fulfilled, or already on the way there.
    Accepted(Receipt),
    NotFound,
    InvalidTransition(Status),
    /// An answer moved its order.
    Settled(Receipt),
    /// An answer came too late to matter.
    Stale,
    /// An answer that no healthy history explains; it changed nothing.
    Anomaly(&'static str),
}

impl OrderOutcome {
    /// The order that Inventory's first word on it has moved.
    pub fn settled_from_received(&self) -> Option<OrderId> {
        match self {
            Self::Settled(receipt) if matches!(receipt.status, Status::Confirmed | Status::Rejected) => {
                Some(receipt.order_id)
            }
            _ => None,
        }
    }
}

/// All that a batch does to one order.
///
/// **Shape:** `entries` is not empty. An order that did not exist has `placed`; one that did has `from`, and its row
/// must still be there in that status when it is written (R13).
#[derive(Clone, Debug)]
pub struct Change {
    pub order_id: OrderId,
    pub placed: Option<Box<Placement>>,
    pub from: Option<Status>,
    pub to: Status,
    pub entries: Vec<Entry>,
    /// The command in flight after the change. One that was in flight before, of another kind, is over.
    pub pending: Option<Pending>,
}

/// A command on its way, stored with the change that caused it: outbox and timer in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub kind: StockCommandKind,
    pub since_micros: i64,
    pub next_attempt_at_micros: i64,
    pub traceparent: Option<String>,
}

impl Decided {
    pub(super) fn silent(outcome: OrderOutcome) -> Self {
        Self { outcome, publish: None }
    }
}

impl Order {
    pub fn receipt(&self) -> Receipt {
        Receipt { order_id: self.order_id, status: self.status, shortages: self.shortages.clone() }
    }
}
