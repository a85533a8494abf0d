//! Mistaken deciders of the Inventory Service, in what an order does beside being placed and
//! cancelled.

use std::collections::BTreeMap;

use contract::{Allocation, Allocations, Digest, OrderId, Quantity};
use inventory_core::decide::{InventoryCommand, InventoryDecision, LoadedInventory, decide};
use inventory_core::reservation::Reservation;
use inventory_core::stock::MovementKind;

use super::stock_decider::first_commands;

/// The units that an intent ships are added to those that are out.
pub(super) fn shipped_added(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let mut right: BTreeMap<OrderId, (Digest, Digest)> = BTreeMap::new();
    let mut batch = batch.to_vec();
    let newer: Vec<OrderId> = first_commands(&batch)
        .filter(|command| {
            let found = loaded.reservations.get(&command.order_id);
            found.is_some_and(|found| found.revision < command.intent.revision)
        })
        .map(|command| command.order_id)
        .collect();
    for order_id in newer {
        let its = batch.iter_mut().find_map(|command| match command {
            InventoryCommand::Allocate(command) if command.order_id == order_id => Some(command),
            _ => None,
        });
        let command = its.expect("it is in the batch");
        let shipped = sum(&command.intent.shipped, &loaded.reservations[&order_id]);
        command.intent.shipped = shipped;
        let mistaken = command.intent.digest();
        right.insert(order_id, (mistaken, std::mem::replace(&mut command.digest, mistaken)));
    }
    let mut decision = decide(now_micros, &batch, loaded);
    let mend = |order_id: OrderId, digest: &mut Digest| match right.get(&order_id) {
        Some((mistaken, right)) if digest == mistaken => *digest = *right,
        _ => {}
    };
    for change in &mut decision.changes.reservations {
        mend(change.to.order_id, &mut change.to.digest);
    }
    for answer in decision.decided.iter_mut().filter_map(|one| one.publish.as_mut()) {
        mend(answer.order_id, &mut answer.digest);
    }
    decision
}

fn sum(shipped: &Allocations, found: &Reservation) -> Allocations {
    let mut parts = shipped.to_vec();
    for out in found.holdings.iter().filter(|holding| holding.shipped > 0) {
        let its = parts
            .iter_mut()
            .find(|part| part.product_id == out.product_id && part.location_id == out.location_id);
        let units = u32::try_from(out.shipped).expect("few units");
        match its {
            Some(part) => {
                let sum = part.quantity.get() + units;
                part.quantity = Quantity::new(sum).expect("few units");
            }
            None => parts.push(Allocation {
                product_id: out.product_id.clone(),
                location_id: out.location_id.clone(),
                quantity: Quantity::new(units).expect("few units"),
            }),
        }
    }
    Allocations::sorted(parts).expect("one part for each stock key")
}

/// The units of a cancelled shipment are available to everybody, and not held for the order.
pub(super) fn unship_to_shelf(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let mut decision = decide(now_micros, batch, loaded);
    let changes = &mut decision.changes;
    for at in 0..changes.movements.len() {
        if changes.movements[at].kind != MovementKind::Unship {
            continue;
        }
        let units = std::mem::take(&mut changes.movements[at].deltas.reserved);
        let key = {
            let movement = &changes.movements[at];
            (movement.product_id.clone(), movement.location_id.clone())
        };
        let (product_id, location_id) = (&key.0, &key.1);
        let number = changes.movements[at].after.last_movement;
        for movement in &mut changes.movements[at..] {
            if movement.product_id == *product_id && movement.location_id == *location_id {
                movement.after.reserved -= units;
            }
        }
        for change in &mut changes.stock {
            if change.product_id == *product_id && change.location_id == *location_id {
                change.after.reserved -= units;
            }
        }
        let holdings = changes.reservations.iter_mut().flat_map(|change| &mut change.to.holdings);
        for holding in holdings.filter(|holding| holding.movements.contains(&number)) {
            holding.released += units;
        }
    }
    decision
}
