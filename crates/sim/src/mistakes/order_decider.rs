//! Mistaken deciders of the Order Service.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use contract::answers::StockAllocated;
use contract::{Facts, OrderId};
use orders_core::decide::{
    LoadedOrders, OrderChange, OrderCommand, OrderRequest, OrdersDecision, Origin, decide,
};
use orders_core::history::{Entry, EntryKind, Event, Intended};
use orders_core::order::Order;
use orders_core::registers::Reading;
use orders_core::status::{Purpose, Status};

thread_local! {
    /// The orders as this thread's batches have loaded them last.
    static OLD_ORDERS: RefCell<BTreeMap<OrderId, Order>> = RefCell::default();
    /// The first decisions about batches with a placement.
    static FIRST_TRIES: RefCell<BTreeMap<String, OrdersDecision>> = RefCell::default();
}

/// Forgets the orders and decisions of another world.
pub(super) fn forget_orders() {
    OLD_ORDERS.take();
    FIRST_TRIES.take();
}

/// Decides on orders as the batch before has loaded them, and writes over those that are there.
pub(super) fn no_compare_and_set(
    now_micros: i64,
    batch: &[OrderCommand],
    found: LoadedOrders,
) -> OrdersDecision {
    let old = OLD_ORDERS.with_borrow(|old_orders| {
        let old = |order_id: &OrderId| Some((*order_id, old_orders.get(order_id)?.clone()));
        found.orders.keys().filter_map(old).collect()
    });
    let read = LoadedOrders { orders: old, ..LoadedOrders::default() };
    let decision = decide_on_old_orders(now_micros, batch, &found, &read);
    OLD_ORDERS.with_borrow_mut(|old_orders| old_orders.extend(found.orders));
    decision
}

/// Decides on orders that were read before they were locked, and writes over those that are there.
/// What was not there yet is read now: the database does not take an id or a key twice.
pub(super) fn decide_on_old_orders(
    now_micros: i64,
    batch: &[OrderCommand],
    found: &LoadedOrders,
    read: &LoadedOrders,
) -> OrdersDecision {
    let mut mixed = found.clone();
    mixed.orders.extend(read.orders.clone());
    let mut decision = decide(now_micros, batch, mixed);
    decision.changes.iter_mut().for_each(|change| overwrite(change, found));
    decision
}

/// Lets a change begin where the stored order is.
pub(super) fn overwrite(change: &mut OrderChange, found: &LoadedOrders) {
    if let Some(order) = found.orders.get(&change.order_id) {
        change.from = Origin::Stored {
            last_seq: order.last_seq,
            in_flight: order.registers.in_flight(),
            has_deadline: order.deadline().is_some(),
        };
    }
}

/// A batch that is decided again has the answers and the changes of the first time: after a commit of
/// unknown fate, and when a client repeats its request.
pub(super) fn retry_repeats_writes(
    now_micros: i64,
    batch: &[OrderCommand],
    found: LoadedOrders,
) -> OrdersDecision {
    if !batch.iter().any(OrderCommand::is_request) {
        return decide(now_micros, batch, found);
    }
    let name = format!("{batch:?}");
    let first_try = FIRST_TRIES.with_borrow(|first_tries| first_tries.get(&name).cloned());
    if let Some(first_try) = first_try {
        return write_again(first_try, &found);
    }
    let decision = decide(now_micros, batch, found);
    FIRST_TRIES.with_borrow_mut(|first_tries| first_tries.insert(name, decision.clone()));
    decision
}

/// Leaves out orders whose id or key is there already, and adds the entries of others once more.
fn write_again(mut decision: OrdersDecision, found: &LoadedOrders) -> OrdersDecision {
    let is_there = |change: &OrderChange| match &change.from {
        Origin::Placed(placement) => {
            let key = placement.key.as_ref();
            found.orders.contains_key(&change.order_id)
                || key.is_some_and(|key| found.keys.contains_key(key))
        }
        Origin::Stored { .. } => false,
    };
    decision.changes.retain(|change| !is_there(change));
    for change in &mut decision.changes {
        overwrite(change, found);
        if let (Origin::Stored { last_seq, .. }, Some(state)) = (&change.from, &mut change.to) {
            state.last_seq = last_seq + u32::try_from(change.entries.len()).expect("few entries");
        }
    }
    decision
}

/// Facts of a lower revision settle the order, if they could be those of its revision.
pub(super) fn settle_takes_older_facts(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let taken = |command: &OrderCommand| match command {
        OrderCommand::Settle(answer) => taken_for_newest(answer, &loaded),
        _ => None,
    };
    let batch: Vec<_> =
        batch.iter().map(|command| taken(command).unwrap_or_else(|| command.clone())).collect();
    decide(now_micros, &batch, loaded)
}

fn taken_for_newest(answer: &StockAllocated, loaded: &LoadedOrders) -> Option<OrderCommand> {
    let order = loaded.orders.get(&answer.order_id)?;
    let revision = order.registers.intent.revision;
    if answer.facts.revision >= revision {
        return None;
    }
    let facts = Facts { revision, shortages: Vec::new(), ..answer.facts.clone() };
    let settles = order.registers.read(&facts, order.digest, order.digest) == Reading::Settles;
    let taken = StockAllocated { facts, digest: order.digest, ..answer.clone() };
    settles.then(|| OrderCommand::Settle(Box::new(taken)))
}

/// An order that is being shipped, or is shipped, can be cancelled.
pub(super) fn cancel_although_shipped(
    now_micros: i64,
    batch: &[OrderCommand],
    mut loaded: LoadedOrders,
) -> OrdersDecision {
    let found = loaded.clone();
    for order_id in first_cancellations(batch) {
        let Some(order) = loaded.orders.get_mut(&order_id) else { continue };
        if !matches!(order.status(), Status::Fulfilling | Status::Fulfilled) {
            continue;
        }
        let registers = &mut order.registers;
        registers.intent.shipped = Default::default();
        if let Some(facts) = &mut registers.facts {
            facts.revision = registers.intent.revision;
        }
    }
    let mut decision = decide(now_micros, batch, loaded);
    decision.changes.iter_mut().for_each(|change| overwrite(change, &found));
    decision
}

/// The orders of which the first command of the batch is a cancellation.
fn first_cancellations(batch: &[OrderCommand]) -> impl Iterator<Item = OrderId> {
    first_commands(batch)
        .filter(|command| match command {
            OrderCommand::Request { request, .. } => {
                matches!(**request, OrderRequest::Cancel { .. })
            }
            _ => false,
        })
        .map(OrderCommand::order_id)
}

/// The commands that are the first of the batch about their order.
pub(super) fn first_commands(batch: &[OrderCommand]) -> impl Iterator<Item = &OrderCommand> {
    let mut seen = BTreeSet::new();
    batch.iter().filter(move |command| seen.insert(command.order_id()))
}

/// Facts that grant less than is wanted make the order want no more, at the same revision.
pub(super) fn facts_rewrite_intent(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let ordered: BTreeMap<_, _> =
        loaded.orders.iter().map(|(id, order)| (*id, order.terms.ordered())).collect();
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes {
        let (Some(ordered), Some(state)) = (ordered.get(&change.order_id), &mut change.to) else {
            continue;
        };
        let Some(last) = change.entries.last() else { continue };
        if last.status == Status::Rejected {
            let event = Event::Intended(Box::new(Intended {
                wanted: Some(ordered.nothing()),
                ..Intended::unchanged(state.revision, Purpose::Cancel)
            }));
            state.last_seq += 1;
            let entry = Entry { seq: state.last_seq, event, ..last.clone() };
            change.entries.push(entry);
            change.kinds.push(EntryKind::Status(Status::Rejected));
        }
    }
    decision
}
