//! INV-3, from both ends: a movement of an order is listed in its reservation, and what a
//! reservation says was promised, released and shipped, or came back, is the sum of the movements
//! that it lists. INV-10: no more came back than was shipped.

use std::collections::{BTreeMap, BTreeSet};

use contract::{LocationId, OrderId, ProductId, ReturnedUnits};
use inventory_core::reservation::{Holding, Reservation, ReturnedStock};
use inventory_core::stock::{Cause, Deltas, Movement, MovementKind};
use platform::audit::{Findings, Table};
use platform::failure::Failure;

use super::ledger::name;
use super::{INV_3, INV_10};
use crate::store::{StockAuditStore, Stored};

/// Movements that reservations name, by number. One that is missing does not exist, or cannot be
/// decoded and was reported.
pub(super) type Movements = BTreeMap<i64, Option<Movement>>;

/// The movements that a reservation names: those that it lists, and those that its shortages cite.
pub(super) fn named_by(reservation: &Reservation) -> impl Iterator<Item = i64> + '_ {
    let seen = reservation.shortfalls().iter().flat_map(|short| &short.seen);
    reservation.movements().chain(seen.map(|seen| seen.movement))
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
        let order_id = reservation.order_id;
        for holding in &reservation.holdings {
            if let Err(why) = check_holding(order_id, holding, movements) {
                let Holding { product_id, location_id, .. } = holding;
                let its = format!("order {order_id}: {product_id} at {location_id}: {why}");
                findings.violated(INV_3, its);
            }
        }
        for returned in &reservation.returns {
            if let Err(why) = check_returned(order_id, returned, movements) {
                let ReturnedUnits { product_id, location_id, .. } = &returned.units;
                let its = format!("order {order_id}: {product_id} back at {location_id}: {why}");
                findings.violated(INV_3, its);
            }
        }
    }
}

/// Judges the numbers of reservations (INV-10). One that ships more than is allocated cannot be
/// decoded.
pub(super) fn check_arithmetic(reservations: &[Reservation], findings: &mut Findings) {
    findings.checked(INV_10, reservations.len());
    for reservation in reservations.iter().filter(|found| !found.returns.is_empty()) {
        let (returned, shipped) = (reservation.returned(), reservation.shipped());
        let mut products: Vec<_> = returned.iter().map(|entry| &entry.product_id).collect();
        products.dedup();
        for product_id in products {
            let (back, out) = (returned.of(product_id), shipped.of(product_id));
            findings.demand(INV_10, back <= out, || {
                let order_id = reservation.order_id;
                format!("order {order_id}: {back} of {product_id} came back of {out} shipped")
            });
        }
    }
}

fn check_holding(
    order_id: OrderId,
    holding: &Holding,
    movements: &Movements,
) -> Result<(), String> {
    let stock_key = (&holding.product_id, &holding.location_id);
    let Some(listed) = own(order_id, stock_key, &holding.movements, movements)? else {
        return Ok(());
    };
    let mut sums = [0_i64; 3];
    for movement in listed {
        let [promised, released, shipped] = &mut sums;
        let (sum, units) = match movement.kind {
            MovementKind::Release => (released, movement.deltas.reserved.saturating_neg()),
            MovementKind::Ship | MovementKind::Unship => {
                (shipped, movement.deltas.reserved.saturating_neg())
            }
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

/// Units that were written off are in no movement: only that there is one can be judged.
fn check_returned(
    order_id: OrderId,
    returned: &ReturnedStock,
    movements: &Movements,
) -> Result<(), String> {
    let stock_key = (&returned.units.product_id, &returned.booked_at);
    let Some(listed) = own(order_id, stock_key, &returned.movements, movements)? else {
        return Ok(());
    };
    if listed.is_empty() {
        return Err("it lists no movement".to_owned());
    }
    let mut sums = [0_i64; 2];
    for movement in listed {
        if movement.kind != MovementKind::Return {
            return Err(format!("it lists {}, which is no return", name(movement)));
        }
        let Deltas { on_hand, quarantined, .. } = movement.deltas;
        sums[0] = sums[0].saturating_add(on_hand.saturating_sub(quarantined));
        sums[1] = sums[1].saturating_add(quarantined);
    }
    let said = [returned.units.restocked, returned.units.quarantined].map(i64::from);
    if said == sums {
        Ok(())
    } else {
        Err(format!("it says {said:?} restocked and quarantined, its movements {sums:?}"))
    }
}

/// The movements with these numbers, which must be the order's own at the stock key. `None` if one of
/// them cannot be decoded, which was reported.
fn own<'it>(
    order_id: OrderId,
    (product_id, location_id): (&ProductId, &LocationId),
    numbers: &[i64],
    movements: &'it Movements,
) -> Result<Option<Vec<&'it Movement>>, String> {
    let mut listed = Vec::with_capacity(numbers.len());
    for number in numbers {
        let movement = match movements.get(number) {
            None => return Err(format!("movement {number}, which it lists, does not exist")),
            Some(None) => return Ok(None),
            Some(Some(movement)) => movement,
        };
        let is_its_own = movement.cause == Cause::Order(order_id)
            && movement.product_id == *product_id
            && movement.location_id == *location_id;
        if !is_its_own {
            return Err(format!("it lists {}, which is not its own", name(movement)));
        }
        listed.push(movement);
    }
    Ok(Some(listed))
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
    let (product_id, location_id) = (&movement.product_id, &movement.location_id);
    let is_here = |holding: &&Holding| {
        holding.product_id == *product_id && holding.location_id == *location_id
    };
    let is_booked_here = |returned: &&ReturnedStock| {
        returned.units.product_id == *product_id && returned.booked_at == *location_id
    };
    let of_holdings = reservation.holdings.iter().filter(is_here).map(|found| &found.movements);
    let of_returns =
        reservation.returns.iter().filter(is_booked_here).map(|found| &found.movements);
    let number = movement.number();
    of_holdings.chain(of_returns).any(|movements| movements.contains(&number))
}
