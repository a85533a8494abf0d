//! Checks what a transaction adds to the ledger and to the reservations, without the code under
//! test.

use contract::{OrderId, ShortageReason};
use inventory_core::decide::ReservationChange;
use inventory_core::reservation::{Holding, Reservation, Shortfall};
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
        let Deltas { on_hand, reserved } = movement.deltas;
        let after = Stored {
            on_hand: before.on_hand + on_hand,
            reserved: before.reserved + reserved,
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
        if after.reserved < 0 || after.on_hand < after.reserved {
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
    let Deltas { on_hand, reserved } = movement.deltas;
    let of_order = matches!(movement.cause, Cause::Order(_));
    match movement.kind {
        MovementKind::Receive => !of_order && on_hand > 0 && reserved == 0,
        MovementKind::Reserve => of_order && on_hand == 0 && reserved > 0,
        MovementKind::Release => of_order && on_hand == 0 && reserved < 0,
        MovementKind::Ship => of_order && on_hand < 0 && on_hand == reserved,
        MovementKind::Adjust | MovementKind::Count => false,
    }
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
        if to.holdings != expected {
            let name = actors::name(actors::order_of(to.order_id));
            return broken(
                "INV-3",
                format!("{name} has {expected:?}, and its reservation says {:?}", to.holdings),
            );
        }
        let held = |holding: &Holding| holding.promised - holding.released - holding.shipped;
        if expected.iter().any(|holding| held(holding) < 0) {
            let name = actors::name(actors::order_of(to.order_id));
            return broken("INV-10", format!("{name} gives back what it does not have: {to:?}"));
        }
    }
    Ok(())
}

/// What an order has after the movements, sorted by stock key.
fn held_after(order_id: OrderId, before: &[Holding], movements: &[Movement]) -> Vec<Holding> {
    let mut held = before.to_vec();
    for movement in movements.iter().filter(|movement| movement.cause == Cause::Order(order_id)) {
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
            _ => held[index].shipped += units,
        }
        held[index].movements.push(movement.after.last_movement);
    }
    held
}

/// INV-8: at the points of the ledger that a new rejection cites, the stock was too little. A later
/// revision keeps the rejection.
pub(super) fn check_rejection(
    before: Option<&Reservation>,
    to: &Reservation,
    points: &Points,
) -> Result<(), Violation> {
    let name = actors::name(actors::order_of(to.order_id));
    if before.is_some_and(|before| before.rejection.is_some()) {
        return if to.rejection.is_some() {
            Ok(())
        } else {
            broken("INV-8", format!("order {name} was rejected, and its reservation forgets why"))
        };
    }
    let Some(rejection) = &to.rejection else { return Ok(()) };
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
        cited[key] = Some(at.on_hand - at.reserved);
    }
    let its = |key: &usize| actors::stock_key(*key).0 == *product_id;
    let left_out = |key: usize| cited[key].is_none() && points.0[key][0].last_seq > 0;
    let complete = !(0..KEYS).filter(its).any(left_out);
    complete.then(|| cited.into_iter().flatten().sum())
}
