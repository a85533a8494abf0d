//! Mistaken deciders of the Order Service, in what an order does beside being placed, cancelled and
//! fulfilled. Each shows the right decider an order that is a little different, and writes what
//! comes of it over the one that is there.

use std::collections::BTreeMap;

use contract::{Allocations, Facts, OrderId, Wanted, WantedLine};
use orders_core::decide::{LoadedOrders, OrderCommand, OrderRequest, OrdersDecision, decide};
use orders_core::history::{Entry, Event};
use orders_core::order::Order;
use orders_core::status::{Purpose, Status};

use super::order_decider::{first_commands, overwrite};

/// Units are shipped although Inventory takes some from the order.
pub(super) fn ship_beside_reduction(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    pretend(now_micros, batch, loaded, |order, command| {
        if is(command, |asked| matches!(asked, OrderRequest::Ship { .. } | OrderRequest::Fulfill))
            && order.registers.is_reducing()
        {
            let allocated = order.registers.allocated();
            order.registers.intent.wanted = granted(&order.registers.intent.wanted, &allocated);
        }
    })
}

fn granted(wanted: &Wanted, allocated: &Allocations) -> Wanted {
    let line = |line: &WantedLine| WantedLine {
        product_id: line.product_id.clone(),
        quantity: u32::try_from(allocated.of(&line.product_id)).expect("few units"),
    };
    Wanted::try_from(wanted.iter().map(line).collect::<Vec<_>>()).expect("the same products")
}

/// A deadline looks whether the order has still its first revision, and not at its status.
pub(super) fn deadline_by_revision(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    pretend(now_micros, batch, loaded, |order, command| {
        let expires = matches!(command, OrderCommand::Expire { .. });
        let is_first = order.registers.intent.revision == contract::Revision::FIRST;
        if expires && is_first && order.status() == Status::Confirmed {
            order.registers.payments.clear();
        }
    })
}

/// What must be given back is written when an order is cancelled, wholly or in part, and not
/// whenever anything changes it.
pub(super) fn refund_as_event(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let due = |order: &Order| order.registers.refund_due_minor(&order.terms);
    let before: BTreeMap<OrderId, i64> =
        loaded.orders.iter().map(|(id, order)| (*id, due(order))).collect();
    let mut decision = decide(now_micros, batch, loaded);
    let cancels = |entry: &Entry| match &entry.event {
        Event::Intended(intended) => intended.wanted.is_some(),
        _ => false,
    };
    for change in &mut decision.changes {
        if let (Some(state), Some(before)) = (&mut change.to, before.get(&change.order_id))
            && !change.entries.iter().any(cancels)
        {
            state.refund_due_minor = *before;
        }
    }
    decision
}

/// A payment brings an order back that was cancelled.
pub(super) fn payment_revives_cancelled(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    pretend(now_micros, batch, loaded, |order, command| {
        if is(command, |asked| matches!(asked, OrderRequest::Pay { .. }))
            && order.status() == Status::Cancelled
        {
            let registers = &mut order.registers;
            registers.intent.wanted = order.terms.ordered();
            registers.purpose = Purpose::Expire;
            registers.facts = Some(Facts::nothing(registers.intent.revision));
        }
    })
}

/// Units can be cancelled although they are shipped.
pub(super) fn cancellation_frees_shipped(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    pretend(now_micros, batch, loaded, |order, command| {
        if is(command, |asked| matches!(asked, OrderRequest::CancelLines { .. })) {
            order.registers.intent.shipped = Allocations::default();
        }
    })
}

/// The key of a change is not looked up.
pub(super) fn key_forgotten(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    pretend(now_micros, batch, loaded, |order, _| order.registers.keys.clear())
}

/// Decides on orders that `change` has changed, given the only command of the batch about each.
fn pretend(
    now_micros: i64,
    batch: &[OrderCommand],
    mut loaded: LoadedOrders,
    change: impl Fn(&mut Order, &OrderCommand),
) -> OrdersDecision {
    let found = loaded.clone();
    for command in first_commands(batch) {
        let is_its = |other: &&OrderCommand| other.order_id() == command.order_id();
        let order = loaded.orders.get_mut(&command.order_id());
        if let Some(order) = order.filter(|_| batch.iter().filter(is_its).count() == 1) {
            change(order, command);
        }
    }
    let mut decision = decide(now_micros, batch, loaded);
    decision.changes.iter_mut().for_each(|change| overwrite(change, &found));
    decision
}

fn is(command: &OrderCommand, what: impl Fn(&OrderRequest) -> bool) -> bool {
    match command {
        OrderCommand::Request { request, .. } => what(request),
        _ => false,
    }
}
