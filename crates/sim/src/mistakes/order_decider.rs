//! Mistaken deciders of the Order Service.

use std::collections::{BTreeMap, BTreeSet};

use contract::answers::{StockAnswer, StockOutcome};
use orders_core::decide::{Decision, Loaded, OrderCommand, decide};
use orders_core::order::Status;

/// An answer moves its order, whatever state the order is in.
pub(super) fn no_compare_and_set(
    now_micros: i64,
    batch: &[OrderCommand],
    mut loaded: Loaded,
) -> Decision {
    let status = |loaded: &Loaded| -> BTreeMap<_, _> {
        loaded.orders.iter().map(|(id, order)| (*id, order.status)).collect()
    };
    let found = status(&loaded);
    for answer in first_answers(batch) {
        let Some(order) = loaded.orders.get_mut(&answer.order_id) else { continue };
        let (from, to) = move_of(&answer.outcome);
        if answer.digest == order.terms.digest && order.status != to {
            order.status = from;
        }
    }
    let mut decision = decide(now_micros, batch, loaded);
    for change in &mut decision.changes {
        change.from = found.get(&change.order_id).copied();
    }
    decision
}

/// The answers that are the first command of the batch about their order.
fn first_answers(batch: &[OrderCommand]) -> impl Iterator<Item = &StockAnswer> {
    let mut seen = BTreeSet::new();
    batch.iter().filter(move |command| seen.insert(command.order_id())).filter_map(|command| {
        match command {
            OrderCommand::Settle(answer) => Some(&**answer),
            _ => None,
        }
    })
}

/// From which state to which one an answer moves its order.
fn move_of(outcome: &StockOutcome) -> (Status, Status) {
    match outcome {
        StockOutcome::StockReserved { .. } => (Status::Received, Status::Confirmed),
        StockOutcome::StockRejected { .. } => (Status::Received, Status::Rejected),
        StockOutcome::StockReleased => (Status::Cancelling, Status::Cancelled),
        StockOutcome::StockShipped => (Status::Fulfilling, Status::Fulfilled),
    }
}
