//! Batches and their outcomes, as a trace shows them.

use inventory_core::decide as stock;
use orders_core::decide as order;

/// The receipt in an outcome, if it has one.
pub(crate) fn receipt(outcome: &order::OrderOutcome) -> Option<&order::Receipt> {
    use order::OrderOutcome::{
        Accepted, Anomaly, InvalidTransition, KeyReused, NotFound, Placed, Replayed, Settled, Stale,
    };
    match outcome {
        Placed(receipt) | Replayed(receipt) | Accepted(receipt) | Settled(receipt) => Some(receipt),
        KeyReused | NotFound | InvalidTransition(_) | Stale | Anomaly(_) => None,
    }
}

/// The result of each command of a batch of orders.
pub(crate) fn orders(batch: &[order::OrderCommand], decided: &[order::Decided]) -> String {
    let one = |(command, decided): (&order::OrderCommand, &order::Decided)| {
        let asked = match command {
            order::OrderCommand::Place(_) => "place".to_owned(),
            order::OrderCommand::Cancel { .. } => "cancel".to_owned(),
            order::OrderCommand::Fulfill { .. } => "fulfill".to_owned(),
            order::OrderCommand::Settle(answer) => answer.outcome.name().to_owned(),
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

fn name(outcome: &order::OrderOutcome) -> String {
    let text = format!("{outcome:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// The result of each command of a batch of stock.
pub(crate) fn stock(batch: &[stock::InventoryCommand], decided: &[stock::Decided]) -> String {
    let one = |(command, decided)| stock_command(command, decided);
    batch.iter().zip(decided).map(one).collect::<Vec<_>>().join(", ")
}

fn stock_command(command: &stock::InventoryCommand, decided: &stock::Decided) -> String {
    match (command, &decided.outcome) {
        (stock::InventoryCommand::Stock(command), outcome) => {
            let answer =
                decided.publish.as_ref().map_or("no answer", |answer| answer.outcome.name());
            let how = match outcome {
                stock::InventoryOutcome::Answered { repeated: true } => " again",
                stock::InventoryOutcome::Anomaly(_) => " (an anomaly)",
                _ => "",
            };
            format!("{:?} {} → {answer}{how}", command.kind, command.order_id)
        }
        (stock::InventoryCommand::Move(request), outcome) => {
            let how = match outcome {
                stock::InventoryOutcome::Moved { replayed: false, .. } => "moved",
                stock::InventoryOutcome::Moved { replayed: true, .. } => "moved before",
                _ => "refused",
            };
            format!(
                "{:?} of {} at {} → {how}",
                request.change, request.product_id, request.location_id
            )
        }
        (stock::InventoryCommand::PutProduct(put), _) => format!("product {}", put.product_id),
        (stock::InventoryCommand::PutLocation(location), _) => {
            format!("location {}", location.location_id)
        }
    }
}
