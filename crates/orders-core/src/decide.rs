//! The decider of the Order Service.
//!
//! The store loads the rows that a batch touches, [`decide`] decides the batch, and the store
//! writes the decision, all in one transaction (R11).

use std::collections::BTreeMap;

use contract::OrderId;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::backoff::FIRST_ANSWER_WAIT_MICROS;
use super::history::{BeforeEntry, Entry, Event};
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
            OrderCommand::Expire { order_id, context } => self.expire(*order_id, context),
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
        let traceparent = placement.context.traceparent.clone();
        let pending = pending(&order, self.now_micros, traceparent);
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
        let Some(order) = self.orders.get(&order_id) else {
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
                let entry = Some(order.last_seq + 1);
                let publish = self.record_all(order_id, events, context);
                let receipt = self.orders[&order_id].receipt();
                let outcome = OrderOutcome::Accepted { receipt, entry, replayed: false };
                DecidedOrder { outcome, publish }
            }
        }
    }

    fn expire(&mut self, order_id: OrderId, context: &RequestContext) -> DecidedOrder {
        let Some(event) = self.orders.get(&order_id).and_then(Order::expire) else {
            return DecidedOrder::silent(OrderOutcome::Stale);
        };
        let publish = self.record_all(order_id, vec![event], context);
        let receipt = self.orders[&order_id].receipt();
        DecidedOrder { outcome: OrderOutcome::Expired(receipt), publish }
    }

    /// Adds entries to the history of an order. Returns the command to publish if one of them made
    /// a new revision.
    fn record_all(
        &mut self,
        order_id: OrderId,
        events: Vec<Event>,
        context: &RequestContext,
    ) -> Option<AllocateStock> {
        let before = self.orders[&order_id].registers.intent.revision;
        for event in events {
            self.record(order_id, event, context);
        }
        let order = &self.orders[&order_id];
        let pending = self.changes[&order_id].pending.as_ref();
        let pending = pending.filter(|_| order.registers.intent.revision > before);
        pending.map(|pending| self.first_sending(order, pending))
    }

    fn settle(&mut self, answer: &StockAllocated) -> DecidedOrder {
        let order_id = answer.order_id;
        let Some(order) = self.orders.get(&order_id) else {
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
                self.record(order_id, event, &RequestContext::default());
                let receipt = self.orders[&order_id].receipt();
                DecidedOrder::silent(OrderOutcome::Settled { receipt, purpose })
            }
        }
    }

    /// Adds an entry to the history of an order.
    fn record(&mut self, order_id: OrderId, event: Event, context: &RequestContext) {
        let now_micros = self.now_micros;
        let order = self.orders.get_mut(&order_id).expect("the event was decided for this order");
        let from = Origin::Stored {
            last_seq: order.last_seq,
            in_flight: order.registers.in_flight(),
            has_deadline: order.deadline().is_some(),
        };
        let before = BeforeEntry::of(&order.registers);
        let revision_before = order.registers.intent.revision;
        let seq = order.last_seq + 1;
        order
            .registers
            .apply(&order.terms, seq, now_micros, &event)
            .expect("a request that was admitted and an answer that settles follow");
        order.last_seq = seq;
        let rises = order.registers.intent.revision > revision_before;
        if rises {
            order.digest = order.registers.sent().digest();
        }
        let state = order.state();
        let trace_id = context.trace_id();
        let entry = Entry { seq, status: state.status, at_micros: now_micros, event, trace_id };
        let change = self.changes.entry(order_id).or_insert_with(|| OrderChange {
            order_id,
            from,
            at_micros: now_micros,
            to: None,
            entries: Vec::new(),
            kinds: Vec::new(),
            pending: None,
            deadline: None,
        });
        if rises {
            change.pending = pending(order, now_micros, context.traceparent.clone());
        } else if state.in_flight().is_none() {
            change.pending = None;
        }
        change.to = Some(state);
        change.kinds.push(before.kind_of(&entry));
        change.entries.push(entry);
        change.deadline = order.deadline();
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

/// The pending command of an order whose intent is ahead.
fn pending(order: &Order, now_micros: i64, traceparent: Option<String>) -> Option<Pending> {
    order.registers.in_flight().map(|revision| Pending {
        revision,
        since_micros: now_micros,
        next_attempt_at_micros: now_micros.saturating_add(FIRST_ANSWER_WAIT_MICROS),
        traceparent,
    })
}
