//! The decider of the Order Service.
//!
//! The store loads the rows that a batch touches, [`decide`] decides the batch, and the store
//! writes the decision, all in one transaction (R11).

use std::collections::BTreeMap;

use contract::OrderId;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::backoff::FIRST_ANSWER_WAIT_MICROS;
use super::history::{Entry, EntryKind, Event};
use super::order::Order;
use super::registers::Reading;

pub use command::{
    Disposition, OrderCommand, OrderRequest, Placement, RequestContext, ReturnLine, ShipmentLine,
    UnitsOfProduct,
};
pub use decision::{
    Deadline, DecidedOrder, LoadedOrders, OrderChange, OrderOutcome, OrderState, OrdersDecision,
    Origin, Pending, Receipt, Refusal, Unavailable,
};
pub use request::{MAX_CHANGES, MAX_HISTORY_BYTES};

use request::Step;

mod command;
mod decision;
mod lines;
mod request;
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
            OrderCommand::Request { order_id, request, context } => {
                self.request(*order_id, request, context)
            }
            OrderCommand::Expire(order_id) => self.expire(*order_id),
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
                (false, _) => OrderOutcome::Refused(Refusal::KeyReused),
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
            kinds: Vec::new(),
            pending,
            deadline: None,
        };
        self.changes.insert(order.order_id, change);
        self.orders.insert(order.order_id, order);
        DecidedOrder { outcome, publish }
    }

    fn request(
        &mut self,
        order_id: OrderId,
        request: &OrderRequest,
        context: &RequestContext,
    ) -> DecidedOrder {
        let Some(order) = self.orders.get(&order_id).cloned() else {
            return DecidedOrder::silent(OrderOutcome::Refused(Refusal::NotFound));
        };
        match order.decide_request(request, context) {
            Err(refusal) => DecidedOrder::silent(OrderOutcome::Refused(refusal)),
            Ok(Step::Unchanged(entry)) => {
                let receipt = order.receipt();
                let outcome = OrderOutcome::Accepted { receipt, entry, replayed: true };
                DecidedOrder::silent(outcome)
            }
            Ok(Step::Next(events)) => {
                let entry = order.last_seq + 1;
                let (order, publish) = self.record_all(order, events, context);
                let (receipt, entry) = (order.receipt(), Some(entry));
                let outcome = OrderOutcome::Accepted { receipt, entry, replayed: false };
                DecidedOrder { outcome, publish }
            }
        }
    }

    fn expire(&mut self, order_id: OrderId) -> DecidedOrder {
        let order = self.orders.get(&order_id).cloned();
        let expiring = order.and_then(|order| order.expire().map(|event| (order, event)));
        let Some((order, event)) = expiring else {
            return DecidedOrder::silent(OrderOutcome::Stale);
        };
        let (order, publish) = self.record_all(order, vec![event], &RequestContext::default());
        DecidedOrder { outcome: OrderOutcome::Expired(order.receipt()), publish }
    }

    /// Adds entries to the history of an order. Returns the order after them, and the command to
    /// publish if one of them made a new revision.
    fn record_all(
        &mut self,
        mut order: Order,
        events: Vec<Event>,
        context: &RequestContext,
    ) -> (Order, Option<AllocateStock>) {
        let before = order.registers.intent.revision;
        for event in events {
            order = self.record(order, event, context);
        }
        let pending = self.changes[&order.order_id].pending.as_ref();
        let pending = pending.filter(|_| order.registers.intent.revision > before);
        let publish = pending.map(|pending| self.first_sending(&order, pending));
        (order, publish)
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
                let purpose = order.registers.purpose;
                let order = self.record(order, event, &RequestContext::default());
                let receipt = order.receipt();
                DecidedOrder::silent(OrderOutcome::Settled { receipt, purpose })
            }
        }
    }

    /// Adds an entry to the history of an order, and returns the order after it.
    fn record(&mut self, mut order: Order, event: Event, context: &RequestContext) -> Order {
        let from = Origin::Stored {
            last_seq: order.last_seq,
            in_flight: order.registers.in_flight(),
            has_deadline: order.deadline().is_some(),
        };
        let order_id = order.order_id;
        let before = &self.orders[&order_id].registers;
        let seq = order.last_seq + 1;
        order
            .registers
            .apply(&order.terms, seq, self.now_micros, &event)
            .expect("a request that was admitted and an answer that settles follow");
        order.last_seq = seq;
        let rises = order.registers.intent.revision > before.intent.revision;
        if rises {
            order.digest = order.registers.sent_intent().digest();
        }
        let (status, at_micros, trace_id) = (order.status(), self.now_micros, context.trace_id());
        let entry = Entry { seq, status, at_micros, event, trace_id };
        order.history_bytes += entry.approximate_bytes();
        let kind = EntryKind::of(before, &entry);
        let traceparent = rises.then(|| context.traceparent.clone()).flatten();
        let pending = rises.then(|| self.pending(&order, traceparent)).flatten();
        let change = self.changes.entry(order_id).or_insert_with(|| OrderChange {
            order_id,
            from,
            at_micros: self.now_micros,
            to: None,
            entries: Vec::new(),
            kinds: Vec::new(),
            pending: None,
            deadline: None,
        });
        if rises {
            change.pending = pending;
        } else if order.registers.in_flight().is_none() {
            change.pending = None;
        }
        change.to = Some(order.state());
        change.entries.push(entry);
        change.kinds.push(kind);
        change.deadline = order.deadline();
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
        let intent = order.registers.sent_intent();
        AllocateStock {
            traceparent: pending.traceparent.clone(),
            ..AllocateStock::first(order.order_id, intent, order.digest, self.now_micros)
        }
    }
}
