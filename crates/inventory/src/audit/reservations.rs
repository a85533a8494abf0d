//! INV-3, from both ends: a movement of an order is listed in its reservation, and what a
//! reservation says was promised, released and shipped is the sum of the movements that it lists.

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use inventory_core::reservation::{Holding, Reservation};
use inventory_core::stock::{Cause, Movement, MovementKind};
use platform::audit::{Findings, Table};
use platform::failure::Failure;

use super::INV_3;
use super::ledger::name;
use crate::store::{StockAuditStore, Stored};

/// Movements that reservations name, by number. One that is missing does not exist, or cannot be
/// decoded and was reported.
pub(super) type Movements = BTreeMap<i64, Option<Movement>>;

/// The movements that a reservation names: those that it lists, and those that its shortages cite.
pub(super) fn named_by(reservation: &Reservation) -> impl Iterator<Item = i64> + '_ {
    let listed = reservation.holdings.iter().flat_map(|holding| holding.movements.iter().copied());
    let seen = reservation.shortfalls().iter().flat_map(|short| &short.seen);
    listed.chain(seen.map(|seen| seen.movement))
}

/// Reads the movements that these reservations name. It reads them after the reservations, so each
/// must exist.
pub(super) async fn movements_of(
    store: &dyn StockAuditStore,
    reservations: &[Reservation],
    findings: &mut Findings,
) -> Result<Movements, Failure> {
    let numbers: BTreeSet<i64> = reservations.iter().flat_map(named_by).collect();
    if numbers.is_empty() {
        return Ok(Movements::new());
    }
    let rows = store.movements_by_number(numbers.into_iter().collect()).await?;
    findings.read(rows.len());
    let mut movements = Movements::new();
    for Stored { key, row } in rows {
        movements.insert(key, findings.readable(INV_3, format!("movement {key}"), row)?);
    }
    Ok(movements)
}

/// Judges reservations by the movements that they list.
pub(super) fn check_sums(
    reservations: &[Reservation],
    movements: &Movements,
    findings: &mut Findings,
) {
    findings.checked(INV_3, reservations.len());
    for reservation in reservations {
        for holding in &reservation.holdings {
            if let Err(why) = check_holding(reservation.order_id, holding, movements) {
                let Holding { product_id, location_id, .. } = holding;
                let order_id = reservation.order_id;
                findings.violated(
                    INV_3,
                    format!("order {order_id}: {product_id} at {location_id}: {why}"),
                );
            }
        }
    }
}

fn check_holding(
    order_id: OrderId,
    holding: &Holding,
    movements: &Movements,
) -> Result<(), String> {
    let mut sums = [0_i64; 3];
    for number in &holding.movements {
        let movement = match movements.get(number) {
            None => return Err(format!("movement {number}, which it lists, does not exist")),
            // It was reported that this one cannot be decoded.
            Some(None) => return Ok(()),
            Some(Some(movement)) => movement,
        };
        let is_its_own = movement.cause == Cause::Order(order_id)
            && movement.product_id == holding.product_id
            && movement.location_id == holding.location_id;
        if !is_its_own {
            return Err(format!("it lists {}, which is not its own", name(movement)));
        }
        let [promised, released, shipped] = &mut sums;
        let (sum, units) = match movement.kind {
            MovementKind::Release => (released, movement.deltas.reserved.saturating_neg()),
            MovementKind::Ship => (shipped, movement.deltas.reserved.saturating_neg()),
            _ => (promised, movement.deltas.reserved),
        };
        *sum = sum.saturating_add(units);
    }
    let said = [holding.promised, holding.released, holding.shipped];
    if said == sums {
        Ok(())
    } else {
        Err(format!("it says {said:?} promised, released and shipped, its movements {sums:?}"))
    }
}

/// Judges whether the movements of orders are listed in their reservations, which are read after
/// the movements.
pub(super) async fn check_listed(
    store: &dyn StockAuditStore,
    movements: &[Movement],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let orders: BTreeSet<OrderId> = movements.iter().filter_map(order_of).collect();
    if orders.is_empty() {
        return Ok(());
    }
    let rows = store.reservations_by_id(orders.into_iter().collect()).await?;
    findings.read(rows.len());
    let mut reservations = BTreeMap::new();
    for Stored { key, row } in rows {
        let name = <dyn StockAuditStore as Table>::name(key);
        reservations.insert(key, findings.readable(INV_3, name, row)?);
    }
    for movement in movements {
        let Some(order_id) = order_of(movement) else { continue };
        match reservations.get(&order_id) {
            Some(Some(reservation)) => {
                findings.demand(INV_3, lists(reservation, movement), || {
                    format!("{}: order {order_id} does not list it", name(movement))
                });
            }
            // It was reported that this one cannot be decoded.
            Some(None) => {}
            None => findings.violated(
                INV_3,
                format!("{}: order {order_id} has no reservation", name(movement)),
            ),
        }
    }
    Ok(())
}

fn order_of(movement: &Movement) -> Option<OrderId> {
    match movement.cause {
        Cause::Order(order_id) => Some(order_id),
        Cause::Request(_) => None,
    }
}

fn lists(reservation: &Reservation, movement: &Movement) -> bool {
    let holding = reservation.holdings.iter().find(|holding| {
        holding.product_id == movement.product_id && holding.location_id == movement.location_id
    });
    holding.is_some_and(|holding| holding.movements.contains(&movement.number()))
}
