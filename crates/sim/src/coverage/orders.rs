//! The cells of an order's table, counted at the decider.

use std::collections::BTreeMap;

use contract::{Facts, OrderId, Revision};
use orders_core::decide::{DecidedOrder, LoadedOrders, OrderCommand, OrderOutcome, OrdersDecision};
use orders_core::status::Status;

use super::{COVERAGE, DECIDERS, mark};
use crate::describe::receipt;
use crate::spoil;

/// What an order has by the facts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Has {
    Granted,
    Rejected,
    Nothing,
}

/// An event of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderEvent {
    Cancel,
    Fulfill,
    /// Facts of a lower revision than the order's.
    Lower(Has),
    /// Facts of the order's revision.
    Current(Has),
}

impl OrderEvent {
    pub(crate) const ALL: [Self; 8] = [
        Self::Cancel,
        Self::Fulfill,
        Self::Lower(Has::Granted),
        Self::Lower(Has::Rejected),
        Self::Lower(Has::Nothing),
        Self::Current(Has::Granted),
        Self::Current(Has::Rejected),
        Self::Current(Has::Nothing),
    ];
}

/// The Order Service's decider, observed.
pub(crate) fn decide_orders(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let orders = loaded.orders.iter();
    let mut states: BTreeMap<OrderId, (Status, Revision)> = orders
        .map(|(id, order)| (*id, (order.status(), order.registers.intent.revision)))
        .collect();
    let finds_itself = |command: &OrderCommand| match command {
        OrderCommand::Place(placement) => states.contains_key(&placement.order_id),
        _ => false,
    };
    if batch.iter().any(finds_itself) {
        mark("a placement that finds itself after an unknown commit");
    }
    let decision = (DECIDERS.get().orders)(now_micros, batch, loaded);
    for (command, decided) in batch.iter().zip(&decision.decided) {
        if let Some((status, revision)) = states.get(&command.order_id())
            && let Some(event) = order_event(command, *revision)
            && !matches!(decided.outcome, OrderOutcome::Anomaly(_))
        {
            let cell = (*status, event);
            COVERAGE.with_borrow_mut(|coverage| *coverage.orders.entry(cell).or_default() += 1);
        }
        note_order(&mut states, decided);
    }
    decision
}

/// Notes the status and the revision of an order after a command.
fn note_order(states: &mut BTreeMap<OrderId, (Status, Revision)>, decided: &DecidedOrder) {
    let Some(receipt) = receipt(&decided.outcome) else { return };
    let (_, known) =
        states.get(&receipt.order_id).copied().unwrap_or((receipt.status, Revision::FIRST));
    let made = decided.publish.as_ref().map(|command| command.intent.revision);
    states.insert(receipt.order_id, (receipt.status, made.unwrap_or(known)));
}

/// The event of an order that is at this revision. Forged messages are none.
fn order_event(command: &OrderCommand, at: Revision) -> Option<OrderEvent> {
    match command {
        OrderCommand::Place(_) => None,
        OrderCommand::Cancel { .. } => Some(OrderEvent::Cancel),
        OrderCommand::Fulfill { .. } => Some(OrderEvent::Fulfill),
        OrderCommand::Settle(answer) if spoil::is_forged(answer.sent_at_micros) => None,
        OrderCommand::Settle(answer) if answer.facts.revision < at => {
            Some(OrderEvent::Lower(has(&answer.facts)))
        }
        OrderCommand::Settle(answer) => Some(OrderEvent::Current(has(&answer.facts))),
    }
}

pub(super) fn has(facts: &Facts) -> Has {
    match (facts.allocated.is_empty(), facts.shortages.is_empty()) {
        (false, _) => Has::Granted,
        (true, false) => Has::Rejected,
        (true, true) => Has::Nothing,
    }
}
