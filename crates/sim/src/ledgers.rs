//! The invariants of the stock, checked on the rows themselves: a second opinion that shares no
//! code with the audit.

use std::collections::{BTreeMap, BTreeSet};

use crate::databases::{
    Databases, HoldingRow, Level, MovementRow, ReservationRow, ReturnRow, ShortRow, StockKey,
    StockRow,
};
use crate::journals;
use crate::states::{Violation, broken};

/// All movements, by number.
type Movements = BTreeMap<i64, MovementRow>;

/// INV-1, INV-2, INV-3, INV-8, INV-11 and INV-13 of all stock, at one moment.
pub(crate) fn check(databases: &Databases) -> Result<(), Violation> {
    let movements: Movements =
        databases.movements().into_iter().map(|movement| (movement.number, movement)).collect();
    let reservations = databases.reservations();
    let ends = check_chains(&movements)?;
    check_levels(&databases.stock(), &ends)?;
    check_held(&databases.stock(), &reservations)?;
    check_lists(&reservations, &movements)?;
    journals::check_stock(databases, &movements)?;
    reservations.iter().try_for_each(|reservation| check_rejection(reservation, &movements))
}

/// INV-1, INV-2 and INV-11 of each movement: both chains go through all movements in the order of
/// their numbers, without a gap or a fork. Returns the last movement of each stock key.
fn check_chains(movements: &Movements) -> Result<BTreeMap<&StockKey, &MovementRow>, Violation> {
    let mut of_key: BTreeMap<&StockKey, &MovementRow> = BTreeMap::new();
    let mut of_product: BTreeMap<&str, i64> = BTreeMap::new();
    for movement in movements.values() {
        let MovementRow { number, key, after, .. } = movement;
        let last = of_key.insert(key, movement);
        let last_of_product = of_product.insert(&key.0, *number);
        let before = last.map(|last| last.after).unwrap_or_default();
        let expected = Level {
            on_hand: before.on_hand + movement.on_hand_delta,
            reserved: before.reserved + movement.reserved_delta,
            quarantined: before.quarantined + movement.quarantined_delta,
            seq: before.seq + 1,
        };
        let previous = last.map(|last| last.number);
        if movement.previous != previous || movement.previous_of_product != last_of_product {
            let names = format!("{movement:?} should name {previous:?} and {last_of_product:?}");
            return broken("INV-2", names);
        }
        if *after != expected {
            return broken("INV-2", format!("{movement:?} follows {before:?}"));
        }
        let set_apart = after.reserved + after.quarantined;
        if after.reserved < 0 || after.quarantined < 0 || after.on_hand < set_apart {
            return broken("INV-1", format!("{movement:?}"));
        }
        if !fits_its_kind(movement) {
            return broken("INV-11", format!("{movement:?} follows {before:?}"));
        }
    }
    Ok(of_key)
}

fn fits_its_kind(movement: &MovementRow) -> bool {
    let deltas = [movement.on_hand_delta, movement.reserved_delta, movement.quarantined_delta];
    let (fits, is_of_order) = match (movement.kind.as_str(), deltas) {
        ("receive", [on_hand, 0, 0]) => (on_hand > 0, false),
        ("adjust", [on_hand, 0, 0]) => (on_hand != 0, false),
        ("count", [_, 0, 0]) => (true, false),
        ("quarantine", [0, 0, quarantined]) => (quarantined > 0, false),
        ("unquarantine", [0, 0, quarantined]) => (quarantined < 0, false),
        ("write_off", [on_hand, 0, quarantined]) => {
            (on_hand == quarantined && quarantined < 0, false)
        }
        ("reserve", [0, reserved, 0]) => (reserved > 0, true),
        ("release", [0, reserved, 0]) => (reserved < 0, true),
        ("ship", [on_hand, reserved, 0]) => (on_hand == reserved && reserved < 0, true),
        ("unship", [on_hand, reserved, 0]) => (on_hand == reserved && reserved > 0, true),
        ("return", [on_hand, 0, quarantined]) => ((0..=on_hand).contains(&quarantined), true),
        _ => (false, false),
    };
    fits && movement.order_id.is_some() == is_of_order
}

/// INV-2: each stock row is the last movement of its stock key, and each stock key has one.
fn check_levels(
    stock: &[StockRow],
    ends: &BTreeMap<&StockKey, &MovementRow>,
) -> Result<(), Violation> {
    for row in stock {
        let end = ends.get(&row.key);
        let is_its = |end: &&MovementRow| end.after == row.level && end.number == row.last_movement;
        if !end.is_some_and(is_its) {
            return broken("INV-2", format!("{row:?}, and its last movement is {end:?}"));
        }
    }
    if stock.len() == ends.len() {
        Ok(())
    } else {
        broken("INV-2", format!("{} stock keys moved, and there are {stock:?}", ends.len()))
    }
}

/// INV-3: what is reserved is what reservations hold.
fn check_held(stock: &[StockRow], reservations: &[ReservationRow]) -> Result<(), Violation> {
    let mut held: BTreeMap<&StockKey, i64> = BTreeMap::new();
    for holding in reservations.iter().flat_map(|reservation| &reservation.holdings) {
        let HoldingRow { key, promised, released, shipped, .. } = holding;
        *held.entry(key).or_default() += promised - released - shipped;
    }
    for StockRow { key, level, .. } in stock {
        let held = held.remove(key).unwrap_or(0);
        if held != level.reserved {
            return broken("INV-3", format!("{key:?} has {level:?}, and orders hold {held}"));
        }
    }
    match held.first_key_value() {
        Some((key, held)) => broken("INV-3", format!("orders hold {held} of {key:?}")),
        None => Ok(()),
    }
}

/// INV-3, from both ends: what a reservation says is the sum of the movements that it lists, and
/// each movement of an order is listed once, by its reservation.
fn check_lists(reservations: &[ReservationRow], movements: &Movements) -> Result<(), Violation> {
    let mut listed = BTreeSet::new();
    for reservation in reservations {
        for holding in &reservation.holdings {
            check_sums(reservation, holding, movements)?;
        }
        for back in &reservation.returns {
            check_back(reservation, back, movements)?;
        }
        let of_holdings = reservation.holdings.iter().flat_map(|holding| &holding.movements);
        let of_returns = reservation.returns.iter().flat_map(|back| &back.movements);
        let mut all = of_holdings.chain(of_returns);
        if let Some(twice) = all.find(|number| !listed.insert(**number)) {
            return broken("INV-3", format!("movement {twice} is listed twice"));
        }
    }
    let is_lost =
        |movement: &&MovementRow| movement.order_id.is_some() && !listed.contains(&movement.number);
    match movements.values().find(is_lost) {
        Some(movement) => broken("INV-3", format!("no reservation lists {movement:?}")),
        None => Ok(()),
    }
}

fn check_sums(
    reservation: &ReservationRow,
    holding: &HoldingRow,
    movements: &Movements,
) -> Result<(), Violation> {
    let [mut promised, mut released, mut shipped] = [0; 3];
    for number in &holding.movements {
        let movement = movements.get(number).filter(|movement| {
            movement.key == holding.key && movement.order_id == Some(reservation.order_id)
        });
        let Some(movement) = movement else {
            return broken("INV-3", format!("movement {number} is none of {reservation:?}"));
        };
        match movement.kind.as_str() {
            "release" => released -= movement.reserved_delta,
            "ship" | "unship" => shipped -= movement.reserved_delta,
            "reserve" => promised += movement.reserved_delta,
            _ => return broken("INV-3", format!("{movement:?} is listed in {holding:?}")),
        }
    }
    let sums = (promised, released, shipped);
    let is_rising = holding.movements.is_sorted_by(|one, next| one < next);
    if sums == (holding.promised, holding.released, holding.shipped) && is_rising {
        Ok(())
    } else {
        broken("INV-3", format!("the movements of {holding:?} come to {sums:?}"))
    }
}

/// INV-3 of what came back to one location: its movements add up to what is on hand of it.
fn check_back(
    reservation: &ReservationRow,
    back: &ReturnRow,
    movements: &Movements,
) -> Result<(), Violation> {
    let mut sums = [0; 2];
    for number in &back.movements {
        let movement = movements.get(number).filter(|movement| {
            movement.key == (back.key.0.clone(), back.booked_at.clone())
                && movement.order_id == Some(reservation.order_id)
                && movement.kind == "return"
        });
        let Some(movement) = movement else {
            return broken("INV-3", format!("movement {number} is none of {reservation:?}"));
        };
        sums = [sums[0] + movement.on_hand_delta, sums[1] + movement.quarantined_delta];
    }
    let [restocked, quarantined, _] = back.units;
    let is_rising = back.movements.is_sorted_by(|one, next| one < next);
    if sums == [restocked + quarantined, quarantined] && is_rising && !back.movements.is_empty() {
        Ok(())
    } else {
        broken("INV-3", format!("the movements of {back:?} come to {sums:?}"))
    }
}

/// INV-8: at the points that a rejection cites, its products were short. Whether the rejection
/// considered every location is checked when it is decided.
fn check_rejection(reservation: &ReservationRow, movements: &Movements) -> Result<(), Violation> {
    let Some(rejection) = &reservation.rejection else { return Ok(()) };
    let order_id = reservation.order_id;
    let is_known = (1..=reservation.revision).contains(&rejection.revision);
    if rejection.short.is_empty() || !is_known {
        return broken("INV-8", format!("order {order_id} is rejected by {rejection:?}"));
    }
    for short in &rejection.short {
        let ShortRow { product_id, requested, available: recorded, seen, .. } = short;
        let free = seen.iter().map(|seen| {
            let movement = movements.get(&seen.movement)?;
            let is_there = movement.key == (product_id.clone(), seen.location_id.clone());
            let Level { on_hand, reserved, quarantined, .. } = movement.after;
            is_there.then_some(on_hand - reserved - quarantined)
        });
        let available: Option<i64> = free.sum();
        if available != Some(*recorded) || recorded >= requested {
            let what = format!("order {order_id} was rejected by {short:?}");
            return broken("INV-8", format!("{what}, and there were {available:?}"));
        }
    }
    Ok(())
}
