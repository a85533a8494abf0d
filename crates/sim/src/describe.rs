//! Batches and their outcomes, as a trace shows them.

use contract::{Facts, Intent};
use inventory_core::decide::{DecidedInventory, InventoryCommand, InventoryOutcome};
use orders_core::decide::{DecidedOrder, OrderCommand, OrderOutcome, OrderRequest, Receipt};

/// The receipt in an outcome, if it has one.
pub(crate) fn receipt(outcome: &OrderOutcome) -> Option<&Receipt> {
    use OrderOutcome::{Accepted, Anomaly, Expired, Placed, Refused, Replayed, Settled, Stale};
    match outcome {
        Placed(receipt)
        | Replayed(receipt)
        | Accepted { receipt, .. }
        | Settled { receipt, .. }
        | Expired(receipt) => Some(receipt),
        Refused(_) | Stale | Anomaly(_) => None,
    }
}

/// The result of each command of a batch of orders.
pub(crate) fn orders(batch: &[OrderCommand], decided: &[DecidedOrder]) -> String {
    let one = |(command, decided): (&OrderCommand, &DecidedOrder)| {
        let asked = match command {
            OrderCommand::Place(_) => "place".to_owned(),
            OrderCommand::Request { request, .. } => asked(request),
            OrderCommand::Expire { .. } => "expire".to_owned(),
            OrderCommand::Settle(answer) => facts(&answer.facts),
        };
        let came_of_it = match (&decided.outcome, receipt(&decided.outcome)) {
            (outcome, Some(receipt)) if receipt.order_id != command.order_id() => {
                format!("a replay of {} ({})", receipt.order_id, name(outcome))
            }
            (_, Some(receipt)) => receipt.status.as_str().to_owned(),
            (outcome, None) => name(outcome),
        };
        format!("{asked} {} → {came_of_it}", command.order_id())
    };
    batch.iter().zip(decided).map(one).collect::<Vec<_>>().join(", ")
}

fn name(outcome: &OrderOutcome) -> String {
    match outcome {
        OrderOutcome::Refused(refusal) => format!("{refusal:?}"),
        _ => first_word(&format!("{outcome:?}")),
    }
}

/// What a client asks, in a word.
fn asked(request: &OrderRequest) -> String {
    first_word(&format!("{request:?}")).to_lowercase()
}

fn first_word(text: &str) -> String {
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// The result of each command of a batch of stock.
pub(crate) fn stock(batch: &[InventoryCommand], decided: &[DecidedInventory]) -> String {
    let one = |(command, decided)| inventory_command(command, decided);
    batch.iter().zip(decided).map(one).collect::<Vec<_>>().join(", ")
}

fn inventory_command(command: &InventoryCommand, decided: &DecidedInventory) -> String {
    match (command, &decided.outcome) {
        (InventoryCommand::Allocate(command), outcome) => {
            let answer = decided.publish.as_ref();
            let answer = answer.map_or("no answer".to_owned(), |answer| facts(&answer.facts));
            let how = match outcome {
                InventoryOutcome::Answered { repeated: true } => " again",
                InventoryOutcome::Anomaly(_) => " (an anomaly)",
                _ => "",
            };
            let Intent { revision, wanted, shipped, returned } = &command.intent;
            let [wanted, shipped, back] = [wanted.total(), shipped.total(), returned.total()];
            let asked = format!("want {wanted}, ship {shipped}, {back} back");
            format!("revision {revision} ({asked}) of {} → {answer}{how}", command.order_id)
        }
        (InventoryCommand::Move(request), outcome) => {
            let how = match outcome {
                InventoryOutcome::Moved { replayed: false, .. } => "moved",
                InventoryOutcome::Moved { replayed: true, .. } => "moved before",
                _ => "refused",
            };
            format!(
                "{:?} of {} at {} → {how}",
                request.change, request.product_id, request.location_id
            )
        }
        (InventoryCommand::PutProduct(put), _) => format!("product {}", put.product_id),
        (InventoryCommand::PutLocation(put), _) => {
            format!("location {}", put.location.location_id)
        }
        (InventoryCommand::Import(row), _) => {
            format!("import of {} at {}", row.product_id, row.location_id)
        }
        (InventoryCommand::Note(note), _) => format!("note {:?}", note.note),
        (InventoryCommand::Repair(repair), _) => format!("repair {}", repair.command.order_id),
    }
}

/// What the order has, and at which revision.
fn facts(facts: &Facts) -> String {
    let short = if facts.shortages.is_empty() { "" } else { ", short" };
    format!("facts {} ({}{short})", facts.revision, facts.allocated.total())
}
