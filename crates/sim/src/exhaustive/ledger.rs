//! Checks what a transaction adds to the ledger and to the reservations, without the code under
//! test.

use std::collections::BTreeMap;

use contract::{OrderId, ShortageReason};
use inventory_core::decide::ReservationChange;
use inventory_core::reservation::{Holding, Reservation, ReturnedStock, Shortfall};
use inventory_core::stock::{Cause, Deltas, Level as Stored, Movement, MovementKind};

use super::actors::{self, KEYS};
use super::levels::{Level, NEXT_MOVEMENT};
use crate::states::{Violation, broken};

/// The levels that a transaction went through: for each stock key, the level before the batch and
/// the level after each movement.
#[derive(Debug)]
pub(super) struct Points([Vec<Stored>; KEYS]);

/// Follows the movements of a batch from the ledger before it.
///
/// # Errors
///
/// INV-1; INV-2, if a movement does not continue the last one of its stock key, or does not name it
/// and the last one of its product; INV-11, if its deltas do not fit its kind.
pub(super) fn follow(ledger: [Level; KEYS], movements: &[Movement]) -> Result<Points, Violation> {
    let mut points = Points(std::array::from_fn(|key| vec![ledger[key].stored(key)]));
    for (movement, number) in movements.iter().zip(NEXT_MOVEMENT..) {
        let Some(key) = actors::key_of(&movement.product_id, &movement.location_id) else {
            return broken("INV-2", format!("a movement of an unknown stock key: {movement:?}"));
        };
        let before = points.last(key);
        let Deltas { on_hand, reserved, quarantined } = movement.deltas;
        let after = Stored {
            on_hand: before.on_hand + on_hand,
            reserved: before.reserved + reserved,
            quarantined: before.quarantined + quarantined,
            last_seq: before.last_seq + 1,
            last_movement: number,
        };
        let follows = movement.after == after
            && movement.previous == named(before)
            && movement.previous_of_product == points.last_of_product(movement);
        if !follows {
            return broken(
                "INV-2",
                format!("{before:?} is continued by the movement {movement:?}"),
            );
        }
        if !fits(movement) {
            return broken("INV-11", format!("a movement that does not fit: {movement:?}"));
        }
        let set_apart = after.reserved + after.quarantined;
        if after.reserved < 0 || after.quarantined < 0 || after.on_hand < set_apart {
            return broken("INV-1", format!("{:?} leaves {after:?}", movement.kind));
        }
        points.0[key].push(after);
    }
    Ok(points)
}

impl Points {
    pub(super) fn last(&self, key: usize) -> Stored {
        *self.0[key].last().expect("there is a level before the batch")
    }

    fn last_of_product(&self, movement: &Movement) -> Option<i64> {
        let keys = (0..KEYS).filter(|key| actors::stock_key(*key).0 == movement.product_id);
        keys.filter_map(|key| named(self.last(key))).max()
    }
}

/// The last movement, as the next one names it.
fn named(level: Stored) -> Option<i64> {
    (level.last_seq > 0).then_some(level.last_movement)
}

/// INV-11, for the kinds and causes that occur within the bounds.
fn fits(movement: &Movement) -> bool {
    let Deltas { on_hand, reserved, quarantined } = movement.deltas;
    let of_order = matches!(movement.cause, Cause::Order(_));
    if movement.kind == MovementKind::Return {
        return of_order && reserved == 0 && 0 <= quarantined && quarantined <= on_hand;
    }
    let fits = match movement.kind {
        MovementKind::Receive => !of_order && on_hand > 0 && reserved == 0,
        MovementKind::Reserve => of_order && on_hand == 0 && reserved > 0,
        MovementKind::Release => of_order && on_hand == 0 && reserved < 0,
        MovementKind::Ship => of_order && on_hand < 0 && on_hand == reserved,
        MovementKind::Unship => of_order && on_hand > 0 && on_hand == reserved,
        MovementKind::Return
        | MovementKind::Adjust
        | MovementKind::Count
        | MovementKind::Quarantine
        | MovementKind::Unquarantine
        | MovementKind::WriteOff => false,
    };
    fits && quarantined == 0
}

/// INV-3 from both ends: every movement of an order is listed in its reservation, and what the
/// reservation says was promised, released and shipped is the sum of the listed movements. `before`
/// has the reservations before the batch.
pub(super) fn check_lists(
    before: &[Option<&Reservation>],
    changes: &[ReservationChange],
    movements: &[Movement],
) -> Result<(), Violation> {
    let listed = |movement: &&Movement| match movement.cause {
        Cause::Order(order_id) => changes.iter().any(|change| change.to.order_id == order_id),
        Cause::Request(_) => true,
    };
    if let Some(movement) = movements.iter().find(|movement| !listed(movement)) {
        return broken("INV-3", format!("no reservation lists the movement {movement:?}"));
    }
    for ReservationChange { to, .. } in changes {
        let before = before.iter().flatten().find(|before| before.order_id == to.order_id);
        let known = before.map(|before| before.holdings.as_slice()).unwrap_or_default();
        let expected = held_after(to.order_id, known, movements);
        let name = actors::name(actors::order_of(to.order_id));
        if to.holdings != expected {
            return broken(
                "INV-3",
                format!("{name} has {expected:?}, and its reservation says {:?}", to.holdings),
            );
        }
        let known = before.map(|before| before.returns.as_slice()).unwrap_or_default();
        check_returns(name, known, to, movements)?;
        let held = |holding: &Holding| holding.promised - holding.released - holding.shipped;
        if expected.iter().any(|holding| held(holding) < 0) {
            return broken("INV-10", format!("{name} gives back what it does not have: {to:?}"));
        }
    }
    Ok(())
}

/// What an order has after the movements, sorted by stock key.
fn held_after(order_id: OrderId, before: &[Holding], movements: &[Movement]) -> Vec<Holding> {
    let mut held = before.to_vec();
    let moves_held = |movement: &&Movement| {
        movement.cause == Cause::Order(order_id) && movement.kind != MovementKind::Return
    };
    for movement in movements.iter().filter(moves_held) {
        let key = |holding: &Holding| (holding.product_id.clone(), holding.location_id.clone());
        let its = (movement.product_id.clone(), movement.location_id.clone());
        let index = held.binary_search_by_key(&its, key).unwrap_or_else(|index| {
            let (product_id, location_id) = its;
            let (promised, released, shipped, movements) = (0, 0, 0, Vec::new());
            let holding =
                Holding { product_id, location_id, promised, released, shipped, movements };
            held.insert(index, holding);
            index
        });
        let units = movement.deltas.reserved.abs();
        match movement.kind {
            MovementKind::Reserve => held[index].promised += units,
            MovementKind::Release => held[index].released += units,
            MovementKind::Unship => held[index].shipped -= units,
            _ => held[index].shipped += units,
        }
        held[index].movements.push(movement.after.last_movement);
    }
    held
}

/// INV-3 of what came back: the movements that are new to a list are those of the batch, and they
/// add up to what the numbers rose by.
fn check_returns(
    name: &str,
    before: &[ReturnedStock],
    to: &Reservation,
    movements: &[Movement],
) -> Result<(), Violation> {
    let of_order = |movement: &&Movement| {
        movement.cause == Cause::Order(to.order_id) && movement.kind == MovementKind::Return
    };
    let mut unlisted: BTreeMap<i64, &Movement> = movements
        .iter()
        .filter(of_order)
        .map(|movement| (movement.after.last_movement, movement))
        .collect();
    let lost = |found: &&ReturnedStock| {
        !to.returns.iter().any(|now| is_to(now, found) && now.booked_at == found.booked_at)
    };
    if let Some(found) = before.iter().find(lost) {
        return broken("INV-3", format!("{name} forgets what came back: {found:?}"));
    }
    for now in &to.returns {
        let found = before.iter().find(|found| is_to(now, found));
        let listed = found.map_or(0, |found| found.movements.len());
        let then = found.map_or([0; 2], on_hand);
        let mut rises = [0; 2];
        for number in now.movements.iter().skip(listed) {
            let its = unlisted.remove(number).filter(|movement| {
                movement.product_id == now.units.product_id && movement.location_id == now.booked_at
            });
            let Some(movement) = its else {
                return broken("INV-3", format!("{name} lists movement {number}: {now:?}"));
            };
            rises[0] += movement.deltas.on_hand;
            rises[1] += movement.deltas.quarantined;
        }
        if on_hand(now) != [then[0] + rises[0], then[1] + rises[1]] {
            return broken("INV-3", format!("{name}: {found:?} rose by {rises:?} to {now:?}"));
        }
    }
    match unlisted.first_key_value() {
        Some((_, movement)) => broken("INV-3", format!("{name} does not list {movement:?}")),
        None => Ok(()),
    }
}

/// Whether both are about the same product and location.
fn is_to(one: &ReturnedStock, other: &ReturnedStock) -> bool {
    let key =
        |found: &ReturnedStock| (found.units.product_id.clone(), found.units.location_id.clone());
    key(one) == key(other)
}

/// What came back and is on hand, and how much of it is quarantined.
fn on_hand(found: &ReturnedStock) -> [i64; 2] {
    let quarantined = i64::from(found.units.quarantined);
    [i64::from(found.units.restocked) + quarantined, quarantined]
}

/// INV-8: at the points of the ledger that a new rejection cites, the stock was too little. A later
/// revision keeps the rejection.
pub(super) fn check_rejection(
    before: Option<&Reservation>,
    to: &Reservation,
    points: &Points,
) -> Result<(), Violation> {
    let name = actors::name(actors::order_of(to.order_id));
    let known = before.and_then(|before| before.rejection.as_ref());
    let Some(rejection) = &to.rejection else {
        return match known {
            Some(_) => broken("INV-8", format!("order {name} was short, and nothing says why")),
            None => Ok(()),
        };
    };
    if known.is_some_and(|known| known.revision == rejection.revision) {
        return Ok(());
    }
    // One batch may have carried out several revisions.
    let is_new = before.is_none_or(|before| before.revision < rejection.revision);
    if !is_new || rejection.revision > to.revision {
        return broken("INV-8", format!("order {name} is short at another revision: {to:?}"));
    }
    if rejection.shortfalls.is_empty() {
        return broken("INV-8", format!("order {name} is rejected, and nothing was short"));
    }
    for shortfall in &rejection.shortfalls {
        let there = available(shortfall, points);
        let stated = &shortfall.shortage;
        let short = there == Some(stated.available)
            && stated.available < stated.requested.units()
            && stated.reason == reason(shortfall);
        if !short {
            let there = there.map_or("?".to_owned(), |units| units.to_string());
            let (product, wanted) = (&stated.product_id, stated.requested.get());
            return broken(
                "INV-8",
                format!(
                    "order {name} is rejected: it wanted {wanted} {product}, and {there} were there"
                ),
            );
        }
    }
    Ok(())
}

fn reason(shortfall: &Shortfall) -> ShortageReason {
    match actors::product(&shortfall.shortage.product_id) {
        Some(_) => ShortageReason::OutOfStock,
        None => ShortageReason::UnknownProduct,
    }
}

/// What was available of the product at the points that are cited; `None` if one of them does not
/// exist, or if a ledger of the product is left out.
fn available(shortfall: &Shortfall, points: &Points) -> Option<i64> {
    let product_id = &shortfall.shortage.product_id;
    let mut cited = [None; KEYS];
    for seen in &shortfall.seen {
        let key = actors::key_of(product_id, &seen.location_id)?;
        let at = points.0[key].iter().find(|point| point.last_movement == seen.movement)?;
        cited[key] = Some(at.on_hand - at.reserved - at.quarantined);
    }
    let its = |key: &usize| actors::stock_key(*key).0 == *product_id;
    let left_out = |key: usize| cited[key].is_none() && points.0[key][0].last_seq > 0;
    let complete = !(0..KEYS).filter(its).any(left_out);
    complete.then(|| cited.into_iter().flatten().sum())
}
