//! The decider of the Order Service.
//!
//! The store loads the rows that a batch touches, [`decide`] decides the batch, and the store
//! writes the decision, all in one transaction (R11).

use std::collections::BTreeMap;

use contract::answers::{self, StockOutcome};
use contract::commands;
use contract::{OrderId, SCHEMA_VERSION};

use super::backoff::FIRST_ANSWER_WAIT_MICROS;
use super::order::{Answered, Entry, Event, Order, Status, Transition, transition};

pub use command::{OrderCommand, Placement};
pub use decision::{Change, Decided, Decision, Loaded, OrderOutcome, Pending, Receipt};

mod command;
mod decision;
#[cfg(test)]
mod tests;

/// The type of [`decide`], which a store takes as a parameter.
///
/// A function pointer holds no state. Its arguments are the time in microseconds since 1970 UTC,
/// the batch, and the rows that the store loaded for it.
pub type Decide = fn(i64, &[OrderCommand], Loaded) -> Decision;

/// Decides the commands of a batch one after the other. Each sees the effects of those before it.
///
/// `now_micros` is the time in microseconds since 1970 UTC, which the store read while it held its
/// locks. `loaded` must contain every key and every order that the batch names and that exists.
/// The result depends on the arguments alone, so a batch may be decided again after a commit of
/// unknown fate (R4). Sources: the table of states, R13, R14, INV-4, INV-6, INV-7.
///
/// # Panics
///
/// If an order in `loaded` has lines that no accepted order has. The store then rolls back, and the
/// committer runs the commands one by one (R11).
pub fn decide(now_micros: i64, batch: &[OrderCommand], loaded: Loaded) -> Decision {
    let mut state = BatchState {
        now_micros,
        keys: loaded.keys,
        orders: loaded.orders,
        changes: BTreeMap::new(),
    };
    let decided = batch.iter().map(|command| state.decide_one(command)).collect();
    Decision { decided, changes: state.changes.into_values().collect() }
}

/// The keys and orders after the commands that were decided so far, and the changes to write.
struct BatchState {
    now_micros: i64,
    keys: BTreeMap<String, OrderId>,
    orders: BTreeMap<OrderId, Order>,
    changes: BTreeMap<OrderId, Change>,
}

impl BatchState {
    fn decide_one(&mut self, command: &OrderCommand) -> Decided {
        match command {
            OrderCommand::Place(placement) => self.place(placement),
            OrderCommand::Cancel { order_id, reason, traceparent } => {
                self.request(*order_id, Event::Cancel, reason.clone(), traceparent.clone())
            }
            OrderCommand::Fulfill { order_id, traceparent } => {
                self.request(*order_id, Event::Fulfill, None, traceparent.clone())
            }
            OrderCommand::Settle(answer) => self.settle(answer),
        }
    }

    fn place(&mut self, placement: &Placement) -> Decided {
        let taken_by = placement.key.as_ref().and_then(|key| self.keys.get(key)).copied();
        // After a commit of unknown fate, the retry may find its own order under the same id (R4).
        if let Some(order) = self.orders.get(&taken_by.unwrap_or(placement.order_id)) {
            let same = order.request_digest == placement.request_digest;
            let own = order.order_id == placement.order_id;
            return Decided::silent(match (same, own) {
                (true, true) => OrderOutcome::Placed(order.receipt()),
                (true, false) => OrderOutcome::Replayed(order.receipt()),
                (false, _) => OrderOutcome::KeyReused,
            });
        }
        if let Some(key) = &placement.key {
            self.keys.insert(key.clone(), placement.order_id);
        }
        let order = Order {
            order_id: placement.order_id,
            status: Status::Received,
            request_digest: placement.request_digest,
            terms: placement.terms.clone(),
            last_seq: 0,
            shortages: Vec::new(),
        };
        let receipt = order.receipt();
        let publish =
            self.record(order, Status::Received, None, None, placement.traceparent.clone());
        if let Some(change) = self.changes.get_mut(&placement.order_id) {
            change.placed = Some(Box::new(placement.clone()));
            change.from = None;
        }
        Decided { outcome: OrderOutcome::Placed(receipt), publish }
    }

    fn request(
        &mut self,
        order_id: OrderId,
        event: Event,
        reason: Option<String>,
        traceparent: Option<String>,
    ) -> Decided {
        let Some(order) = self.orders.get(&order_id).cloned() else {
            return Decided::silent(OrderOutcome::NotFound);
        };
        match transition(order.status, event) {
            Transition::Move(to) => {
                let publish = self.record(order, to, reason, None, traceparent);
                Decided {
                    outcome: OrderOutcome::Accepted(self.orders[&order_id].receipt()),
                    publish,
                }
            }
            Transition::Unchanged => Decided::silent(OrderOutcome::Accepted(order.receipt())),
            Transition::Refused | Transition::Stale | Transition::Anomaly => {
                Decided::silent(OrderOutcome::InvalidTransition(order.status))
            }
        }
    }

    fn settle(&mut self, answer: &answers::StockAnswer) -> Decided {
        let Some(order) = self.orders.get(&answer.order_id).cloned() else {
            return Decided::silent(OrderOutcome::Anomaly(
                "the answer names an order that does not exist",
            ));
        };
        if answer.digest != order.terms.digest {
            return Decided::silent(OrderOutcome::Anomaly(
                "the answer is about other lines than the order's: the digests differ",
            ));
        }
        let to = match transition(order.status, Event::of(&answer.outcome)) {
            Transition::Move(to) => to,
            Transition::Stale => return Decided::silent(OrderOutcome::Stale),
            Transition::Unchanged | Transition::Refused | Transition::Anomaly => {
                return Decided::silent(OrderOutcome::Anomaly(
                    "the answer contradicts the status of the order",
                ));
            }
        };
        self.record(order, to, None, Some(kept(answer)), None);
        Decided::silent(OrderOutcome::Settled(self.orders[&answer.order_id].receipt()))
    }

    /// Changes the status of an order and adds to its history. Returns the command to publish, if
    /// the new status has one in flight.
    fn record(
        &mut self,
        mut order: Order,
        to: Status,
        reason: Option<String>,
        answer: Option<Answered>,
        traceparent: Option<String>,
    ) -> Option<commands::StockCommand> {
        let from = order.status;
        order.status = to;
        order.last_seq += 1;
        order.shortages =
            answer.as_ref().map(|answer| answer.shortages.clone()).unwrap_or_default();
        let pending = to.in_flight().map(|kind| Pending {
            kind,
            since_micros: self.now_micros,
            next_attempt_at_micros: self.now_micros.saturating_add(FIRST_ANSWER_WAIT_MICROS),
            traceparent,
        });
        let publish =
            pending.as_ref().map(|pending| first_sending(&order, pending, self.now_micros));
        let entry =
            Entry { seq: order.last_seq, status: to, reason, at_micros: self.now_micros, answer };
        let order_id = order.order_id;
        let unchanged = || Change {
            order_id,
            placed: None,
            from: Some(from),
            to,
            entries: Vec::new(),
            pending: None,
        };
        let change = self.changes.entry(order_id).or_insert_with(unchanged);
        change.to = to;
        change.entries.push(entry);
        change.pending = pending;
        self.orders.insert(order_id, order);
        publish
    }
}

/// The part of an answer that the history keeps.
fn kept(answer: &answers::StockAnswer) -> Answered {
    let mut kept = Answered {
        decided_at_micros: answer.decided_at_micros,
        allocations: Vec::new(),
        shortages: Vec::new(),
    };
    match &answer.outcome {
        StockOutcome::StockReserved { allocations } => kept.allocations.clone_from(allocations),
        StockOutcome::StockRejected { shortages } => kept.shortages.clone_from(shortages),
        StockOutcome::StockReleased | StockOutcome::StockShipped => {}
    }
    kept
}

/// The first attempt of a command.
fn first_sending(order: &Order, pending: &Pending, now_micros: i64) -> commands::StockCommand {
    commands::StockCommand {
        schema: SCHEMA_VERSION,
        kind: pending.kind,
        order_id: order.order_id,
        lines: order.terms.stock_lines(),
        digest: order.terms.digest,
        attempt: 1,
        sent_at_micros: now_micros,
        traceparent: pending.traceparent.clone(),
    }
}
