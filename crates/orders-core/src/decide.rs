//! The decider of the Order Service.
//!
//! The store loads the rows that a batch touches, [`decide`] decides the batch, and the store
//! writes the decision, all in one transaction (R11).

use std::collections::BTreeMap;

use contract::OrderId;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::backoff::FIRST_ANSWER_WAIT_MICROS;
use super::history::{Entry, Event};
use super::order::Order;
use super::registers::Reading;
use super::status::{Admission, Request};

pub use command::{OrderCommand, Placement, RequestContext};
pub use decision::{
    DecidedOrder, LoadedOrders, OrderChange, OrderOutcome, OrderState, OrdersDecision, Origin,
    Pending, Receipt,
};

mod command;
mod decision;
#[cfg(test)]
mod tests;

/// The type of [`decide`], which a store takes as a parameter.
///
/// A function pointer holds no state. Its arguments are the time in microseconds since 1970 UTC,
/// the batch, and the rows that the store loaded for it.
pub type DecideOrders = fn(i64, &[OrderCommand], LoadedOrders) -> OrdersDecision;

/// Decides the commands of a batch one after the other. Each sees the effects of those before it.
///
/// `now_micros` is the time in microseconds since 1970 UTC, which the store read while it held its
/// locks. `loaded` must contain every key and every order that the batch names and that exists.
/// The result depends on the arguments alone, so a batch may be decided again after a commit of
/// unknown fate (R4). Sources: the table of requests, R13, R14, R20, INV-4, INV-6, INV-7, INV-10.
///
/// # Panics
///
/// If an order in `loaded` has lines that no accepted order has. The store then rolls back, and the
/// committer runs the commands one by one (R11).
pub fn decide(now_micros: i64, batch: &[OrderCommand], loaded: LoadedOrders) -> OrdersDecision {
    let mut state = BatchState {
        now_micros,
        keys: loaded.keys,
        orders: loaded.orders,
        changes: BTreeMap::new(),
    };
    let decided = batch.iter().map(|command| state.decide_one(command)).collect();
    OrdersDecision { decided, changes: state.changes.into_values().collect() }
}

/// The keys and orders after the commands that were decided so far, and the changes to write.
struct BatchState {
    now_micros: i64,
    keys: BTreeMap<String, OrderId>,
    orders: BTreeMap<OrderId, Order>,
    changes: BTreeMap<OrderId, OrderChange>,
}

impl BatchState {
    fn decide_one(&mut self, command: &OrderCommand) -> DecidedOrder {
        match command {
            OrderCommand::Place(placement) => self.place(placement),
            OrderCommand::Cancel { order_id, reason, context } => {
                self.request(*order_id, Request::Cancel, reason.clone(), context)
            }
            OrderCommand::Fulfill { order_id, context } => {
                self.request(*order_id, Request::Fulfill, None, context)
            }
            OrderCommand::Settle(answer) => self.settle(answer),
        }
    }

    fn place(&mut self, placement: &Placement) -> DecidedOrder {
        let taken_by = placement.key.as_ref().and_then(|key| self.keys.get(key)).copied();
        // After a commit of unknown fate, the retry may find its own order under the same id (R4).
        if let Some(order) = self.orders.get(&taken_by.unwrap_or(placement.order_id)) {
            let same = if placement.has_default_currency {
                placement.terms.equals_but_for_the_currency(&order.terms)
            } else {
                placement.terms == order.terms
            };
            let own = order.order_id == placement.order_id;
            return DecidedOrder::silent(match (same, own) {
                (true, true) => OrderOutcome::Placed(order.receipt()),
                (true, false) => OrderOutcome::Replayed(order.receipt()),
                (false, _) => OrderOutcome::KeyReused,
            });
        }
        if let Some(key) = &placement.key {
            self.keys.insert(key.clone(), placement.order_id);
        }
        let order = Order::placed(placement.order_id, placement.terms.clone(), placement.digest);
        let outcome = OrderOutcome::Placed(order.receipt());
        let pending = self.pending(&order, placement.context.traceparent.clone());
        let publish = pending.as_ref().map(|pending| self.first_sending(&order, pending));
        let change = OrderChange {
            order_id: order.order_id,
            from: Origin::Placed(Box::new(placement.clone())),
            at_micros: self.now_micros,
            to: None,
            entries: Vec::new(),
            pending,
        };
        self.changes.insert(order.order_id, change);
        self.orders.insert(order.order_id, order);
        DecidedOrder { outcome, publish }
    }

    fn request(
        &mut self,
        order_id: OrderId,
        request: Request,
        reason: Option<String>,
        context: &RequestContext,
    ) -> DecidedOrder {
        let Some(order) = self.orders.get(&order_id).cloned() else {
            return DecidedOrder::silent(OrderOutcome::NotFound);
        };
        match order.status().admits(request) {
            Admission::Unchanged => DecidedOrder::silent(OrderOutcome::Accepted(order.receipt())),
            Admission::Refused => {
                DecidedOrder::silent(OrderOutcome::InvalidTransition(order.status()))
            }
            Admission::Next => {
                let before = &order.registers.intent;
                let next = order.registers.next_intent(request);
                let digest = next.digest();
                let event = Event::Intended {
                    revision: next.revision,
                    actor: context.actor.clone(),
                    reason,
                    wanted: (next.wanted != before.wanted).then_some(next.wanted),
                    shipped: (next.shipped != before.shipped).then_some(next.shipped),
                };
                let order =
                    self.record(Order { digest, ..order }, event, context.traceparent.clone());
                let pending = self.changes[&order_id].pending.as_ref();
                let publish = pending.map(|pending| self.first_sending(&order, pending));
                DecidedOrder { outcome: OrderOutcome::Accepted(order.receipt()), publish }
            }
        }
    }

    fn settle(&mut self, answer: &StockAllocated) -> DecidedOrder {
        let Some(order) = self.orders.get(&answer.order_id).cloned() else {
            return DecidedOrder::silent(OrderOutcome::Anomaly(
                "the answer names an order that does not exist",
            ));
        };
        match order.registers.read(&answer.facts, answer.digest, order.digest) {
            Reading::Stale => DecidedOrder::silent(OrderOutcome::Stale),
            Reading::Anomaly(why) => DecidedOrder::silent(OrderOutcome::Anomaly(why)),
            Reading::Settles => {
                let decided_at_micros = answer.decided_at_micros;
                let event = Event::settled(&order.registers, &answer.facts, decided_at_micros);
                let order = self.record(order, event, None);
                DecidedOrder::silent(OrderOutcome::Settled(order.receipt()))
            }
        }
    }

    /// Adds an entry to the history of an order, and returns the order after it.
    fn record(&mut self, mut order: Order, event: Event, traceparent: Option<String>) -> Order {
        let from =
            Origin::Stored { last_seq: order.last_seq, in_flight: order.registers.in_flight() };
        order
            .registers
            .apply(&event)
            .expect("a request that was admitted and an answer that settles follow");
        order.last_seq += 1;
        let entry = Entry {
            seq: order.last_seq,
            status: order.status(),
            at_micros: self.now_micros,
            event,
        };
        let pending = self.pending(&order, traceparent);
        let order_id = order.order_id;
        let unchanged = || OrderChange {
            order_id,
            from,
            at_micros: self.now_micros,
            to: None,
            entries: Vec::new(),
            pending: None,
        };
        let change = self.changes.entry(order_id).or_insert_with(unchanged);
        change.to = Some(order.state());
        change.entries.push(entry);
        change.pending = pending;
        self.orders.insert(order_id, order.clone());
        order
    }

    /// The pending command of an order whose intent is ahead.
    fn pending(&self, order: &Order, traceparent: Option<String>) -> Option<Pending> {
        order.registers.in_flight().map(|revision| Pending {
            revision,
            since_micros: self.now_micros,
            next_attempt_at_micros: self.now_micros.saturating_add(FIRST_ANSWER_WAIT_MICROS),
            traceparent,
        })
    }

    /// The first attempt of a pending command.
    fn first_sending(&self, order: &Order, pending: &Pending) -> AllocateStock {
        let intent = order.registers.intent.clone();
        AllocateStock {
            traceparent: pending.traceparent.clone(),
            ..AllocateStock::first(order.order_id, intent, order.digest, self.now_micros)
        }
    }
}
