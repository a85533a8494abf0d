//! Checks all messages that were ever published against both databases at the end.

use std::collections::{BTreeMap, BTreeSet};

use contract::answers::{ANSWERS_CHANNEL, StockAnswer, StockOutcome};
use contract::commands::{COMMANDS_CHANNEL, StockCommand, StockCommandKind};
use contract::{OrderId, codec};
use inventory_core::reservation::StateName;
use orders_core::order::Status;
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::databases::{Databases, OrderRow, ReservationRow};
use crate::states::{Violation, broken};

pub(crate) fn check(broker: &Broker, databases: &Databases) -> Result<(), Violation> {
    let orders: BTreeMap<_, _> =
        databases.orders().into_iter().map(|row| (row.order_id, row)).collect();
    let reservations: BTreeMap<_, _> =
        databases.reservations().into_iter().map(|row| (row.order_id, row)).collect();
    let commands = said::<StockCommand>(broker, COMMANDS_CHANNEL);
    commands
        .iter()
        .try_for_each(|command| check_command(command, orders.get(&command.order_id)))?;
    let answers = said::<StockAnswer>(broker, ANSWERS_CHANNEL);
    answers.iter().try_for_each(|answer| {
        check_answer(databases, answer, reservations.get(&answer.order_id))
    })?;
    let words: BTreeSet<_> =
        answers.iter().map(|answer| (answer.order_id, answer.outcome.name())).collect();
    orders.values().try_for_each(|order| check_outcome(order, &words))
}

fn said<M: DeserializeOwned>(broker: &Broker, channel: &str) -> Vec<M> {
    broker.log(channel).iter().flat_map(|payload| codec::decode(payload)).flatten().collect()
}

/// A command belongs to an order that is, or was, in the status that asks for it (R6).
fn check_command(command: &StockCommand, order: Option<&OrderRow>) -> Result<(), Violation> {
    let status = match command.kind {
        StockCommandKind::ReserveStock => Status::Received,
        StockCommandKind::ReleaseStock => Status::Cancelling,
        StockCommandKind::ShipStock => Status::Fulfilling,
    };
    let is_its = |order: &OrderRow| {
        command.digest.0.as_slice() == order.digest
            && order.history.iter().any(|(_, its)| *its == status)
    };
    if order.is_some_and(is_its) {
        return Ok(());
    }
    broken(
        "R6",
        format!("{:?} was sent for {}, which is {order:?}", command.kind, command.order_id),
    )
}

/// An answer agrees with the reservation that it is about (R12).
fn check_answer(
    databases: &Databases,
    answer: &StockAnswer,
    reservation: Option<&ReservationRow>,
) -> Result<(), Violation> {
    use StateName::{Rejected, Released, Reserved, Shipped};
    let order_id = answer.order_id;
    let state = reservation.map(|row| row.state);
    let is_borne_out = match &answer.outcome {
        StockOutcome::StockReserved { allocations } => {
            let stated = allocations.iter().map(|part| {
                (part.product_id.to_string(), part.location_id.to_string(), part.quantity.units())
            });
            matches!(state, Some(Reserved | Released | Shipped))
                && stated.eq(databases.allocations(order_id))
        }
        StockOutcome::StockRejected { shortages } => {
            let stated = shortages.iter().map(|short| {
                (short.product_id.to_string(), short.requested.units(), short.available)
            });
            let kept = databases
                .shortages(order_id)
                .into_iter()
                .map(|row| (row.product_id, row.requested, row.available));
            matches!(state, Some(Rejected | Released)) && stated.eq(kept)
        }
        StockOutcome::StockReleased => state == Some(Released),
        StockOutcome::StockShipped => state == Some(Shipped),
    };
    let is_its = reservation.is_some_and(|row| row.digest == answer.digest.0.as_slice());
    if is_borne_out && is_its {
        return Ok(());
    }
    broken(
        "INV-5",
        format!("{order_id} was answered {:?}, its reservation is {reservation:?}", answer.outcome),
    )
}

/// An outcome follows an answer of Inventory (INV-4).
fn check_outcome(
    order: &OrderRow,
    words: &BTreeSet<(OrderId, &'static str)>,
) -> Result<(), Violation> {
    for (_, status) in &order.history {
        let word = match status {
            Status::Confirmed => "StockReserved",
            Status::Rejected => "StockRejected",
            Status::Cancelled => "StockReleased",
            Status::Fulfilled => "StockShipped",
            Status::Received | Status::Cancelling | Status::Fulfilling => continue,
        };
        if !words.contains(&(order.order_id, word)) {
            return broken(
                "INV-4",
                format!(
                    "order {} became {status:?} without an answer of Inventory",
                    order.order_id
                ),
            );
        }
    }
    Ok(())
}
