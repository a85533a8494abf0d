//! Writes a decision down, a statement per table, and compares every row count with what was
//! predicted (R11).

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::OrderId;
use contract::answers::Allocation;
use inventory_core::decide::{Changes, ReservationChange, StockChange};
use inventory_core::reservation::{Reservation, StateName};
use inventory_core::stock::{Cause, Location, Movement, Product, RequestCause};
use platform::failure::{Failure, Suspicion};
use storage::postgres::{Parameter, Transaction};
use uuid::Uuid;

use super::super::text::shortages_text;

pub(super) const PUT_PRODUCTS: &str = "INSERT INTO products (product_id, name, search_name, low_stock_at, created_at,
         updated_at)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
     ON CONFLICT (product_id) DO UPDATE SET name = excluded.name, search_name = excluded.search_name,
         low_stock_at = excluded.low_stock_at, updated_at = excluded.updated_at";

pub(super) const PUT_LOCATIONS: &str = "INSERT INTO locations (location_id, name, priority)
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
     ON CONFLICT (location_id) DO UPDATE SET name = excluded.name, priority = excluded.priority";

pub(super) const INSERT_LEVELS: &str =
    "INSERT INTO stock (product_id, location_id, on_hand, reserved, last_seq)
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])";

/// Each level stands in the arrays once, with the sum of its movements.
pub(super) const MOVE_LEVELS: &str = "UPDATE stock SET on_hand = stock.on_hand + move.on_hand,
         reserved = stock.reserved + move.reserved, last_seq = move.after
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
          AS move (product, location, before, on_hand, reserved, after)
     WHERE product_id = move.product AND location_id = move.location AND stock.last_seq = move.before";

/// Sorted, so that two batches that make the same reservations wait for each other in one order.
pub(super) const INSERT_RESERVATIONS: &str = "INSERT INTO reservations (order_id, state, digest, shortages,
         created_at, updated_at)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[])
          AS made (order_id, state, digest, shortages, created_at, updated_at) ORDER BY order_id
     ON CONFLICT (order_id) DO NOTHING";

pub(super) const MOVE_RESERVATIONS: &str = "UPDATE reservations SET state = move.after, updated_at = move.updated_at
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[]) AS move (id, before, after, updated_at)
     WHERE order_id = move.id AND state = move.before";

pub(super) const INSERT_ALLOCATIONS: &str =
    "INSERT INTO allocations (order_id, product_id, location_id, quantity)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])";

pub(super) const INSERT_MOVEMENTS: &str = "INSERT INTO movements (product_id, location_id, seq, kind, on_hand_delta,
         reserved_delta, on_hand, reserved, order_id, request_id, request_digest, reason, reference, actor, created_at)
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
         $8::bigint[], $9::uuid[], $10::bytea[], $11::bytea[], $12::text[], $13::text[], $14::text[], $15::bigint[])";

/// Writes the changes. `found` are the orders whose reservations were loaded and are locked.
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    changes: &Changes,
    found: &BTreeSet<OrderId>,
) -> Result<(), Failure> {
    let (new_levels, moved_levels): (Vec<_>, Vec<_>) =
        changes.stock.iter().partition(|change| change.before.last_seq == 0);
    let (made, moved) = made_and_moved(&changes.reservations);
    if made.iter().any(|reservation| found.contains(&reservation.order_id)) {
        return Err(Suspicion::Decision("a reservation that exists is made again").into());
    }
    let written = tokio::join!(
        biased;
        put_products(transaction, &changes.products),
        put_locations(transaction, &changes.locations),
        insert_levels(transaction, &new_levels),
        move_levels(transaction, &moved_levels),
        insert_reservations(transaction, &made),
        move_reservations(transaction, &moved),
        insert_allocations(transaction, &made),
        insert_movements(transaction, &changes.movements),
    );
    let stock = written.0.and(written.1).and(written.2).and(written.3);
    stock.and(written.4).and(written.5).and(written.6).and(written.7)
}

/// The reservations to insert, and those to update with the state that each was in.
fn made_and_moved(
    changes: &[ReservationChange],
) -> (Vec<&Reservation>, Vec<(StateName, &Reservation)>) {
    let mut made = Vec::new();
    let mut moved = Vec::new();
    for change in changes {
        match change.from {
            None => made.push(&change.to),
            Some(from) => moved.push((from, &change.to)),
        }
    }
    (made, moved)
}

/// One array of a statement's parameters.
fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

async fn put_products(transaction: &Transaction<'_>, products: &[Product]) -> Result<(), Failure> {
    let row: [Parameter<'_>; 6] = [
        &column(products, |product| product.product_id.as_str()),
        &column(products, |product| product.name.as_str()),
        &column(products, |product| product.name.to_lowercase()),
        &column(products, |product| product.low_stock_at),
        &column(products, |product| product.created_at_micros),
        &column(products, |product| product.updated_at_micros),
    ];
    transaction.write(products.len(), PUT_PRODUCTS, row).await
}

async fn put_locations(
    transaction: &Transaction<'_>,
    locations: &[Location],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 3] = [
        &column(locations, |location| location.location_id.as_str()),
        &column(locations, |location| location.name.as_str()),
        &column(locations, |location| i64::from(location.priority)),
    ];
    transaction.write(locations.len(), PUT_LOCATIONS, row).await
}

async fn insert_levels(transaction: &Transaction<'_>, new: &[&StockChange]) -> Result<(), Failure> {
    let row: [Parameter<'_>; 5] = [
        &column(new, |change| change.product_id.as_str()),
        &column(new, |change| change.location_id.as_str()),
        &column(new, |change| change.after.on_hand),
        &column(new, |change| change.after.reserved),
        &column(new, |change| change.after.last_seq),
    ];
    transaction.write(new.len(), INSERT_LEVELS, row).await
}

async fn move_levels(transaction: &Transaction<'_>, moved: &[&StockChange]) -> Result<(), Failure> {
    let row: [Parameter<'_>; 6] = [
        &column(moved, |change| change.product_id.as_str()),
        &column(moved, |change| change.location_id.as_str()),
        &column(moved, |change| change.before.last_seq),
        &column(moved, |change| change.deltas().on_hand),
        &column(moved, |change| change.deltas().reserved),
        &column(moved, |change| change.after.last_seq),
    ];
    transaction.write(moved.len(), MOVE_LEVELS, row).await
}

async fn insert_reservations(
    transaction: &Transaction<'_>,
    made: &[&Reservation],
) -> Result<(), Failure> {
    if made.is_empty() {
        return Ok(());
    }
    let row: [Parameter<'_>; 6] = [
        &column(made, |reservation| reservation.order_id.0),
        &column(made, |reservation| reservation.state.name().as_str()),
        &column(made, |reservation| reservation.digest.0.as_slice()),
        &column(made, |reservation| shortages_text(reservation.state.shortfalls())),
        &column(made, |reservation| reservation.created_at_micros),
        &column(made, |reservation| reservation.updated_at_micros),
    ];
    let inserted = transaction.execute(INSERT_RESERVATIONS, row).await?;
    if inserted == made.len() as u64 { Ok(()) } else { Err(Failure::Busy(Arc::new(MadeMeanwhile))) }
}

/// Another batch decided about the same order and locked none of the same products. So the products
/// that it named did not exist when one of the two looked for them. When the batch runs again, it
/// finds the reservation.
#[derive(Debug, thiserror::Error)]
#[error("a reservation was made meanwhile")]
pub(super) struct MadeMeanwhile;

async fn move_reservations(
    transaction: &Transaction<'_>,
    moved: &[(StateName, &Reservation)],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 4] = [
        &column(moved, |(_, to)| to.order_id.0),
        &column(moved, |(from, _)| from.as_str()),
        &column(moved, |(_, to)| to.state.name().as_str()),
        &column(moved, |(_, to)| to.updated_at_micros),
    ];
    transaction.write(moved.len(), MOVE_RESERVATIONS, row).await
}

/// Allocations come with their reservation and never change.
async fn insert_allocations(
    transaction: &Transaction<'_>,
    made: &[&Reservation],
) -> Result<(), Failure> {
    let mut allocations: Vec<(Uuid, &Allocation)> = Vec::new();
    for reservation in made {
        let of_one = reservation.state.allocations().iter();
        allocations.extend(of_one.map(|allocation| (reservation.order_id.0, allocation)));
    }
    let row: [Parameter<'_>; 4] = [
        &column(&allocations, |(id, _)| *id),
        &column(&allocations, |(_, allocation)| allocation.product_id.as_str()),
        &column(&allocations, |(_, allocation)| allocation.location_id.as_str()),
        &column(&allocations, |(_, allocation)| i64::from(allocation.quantity.get())),
    ];
    transaction.write(allocations.len(), INSERT_ALLOCATIONS, row).await
}

async fn insert_movements(
    transaction: &Transaction<'_>,
    movements: &[Movement],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 15] = [
        &column(movements, |movement| movement.product_id.as_str()),
        &column(movements, |movement| movement.location_id.as_str()),
        &column(movements, Movement::seq),
        &column(movements, |movement| movement.kind.as_str()),
        &column(movements, |movement| movement.deltas.on_hand),
        &column(movements, |movement| movement.deltas.reserved),
        &column(movements, |movement| movement.after.on_hand),
        &column(movements, |movement| movement.after.reserved),
        &column(movements, |movement| match &movement.cause {
            Cause::Order(order_id) => Some(order_id.0),
            Cause::Request(_) => None,
        }),
        &column(movements, |movement| request(movement).map(|cause| cause.request_id.0.as_slice())),
        &column(movements, |movement| request(movement).map(|cause| cause.digest.0.as_slice())),
        &column(movements, |movement| request(movement).and_then(|cause| cause.reason.as_deref())),
        &column(movements, |movement| {
            request(movement).and_then(|cause| cause.reference.as_deref())
        }),
        &column(movements, |movement| request(movement).and_then(|cause| cause.actor.as_deref())),
        &column(movements, |movement| movement.created_at_micros),
    ];
    transaction.write(movements.len(), INSERT_MOVEMENTS, row).await
}

fn request(movement: &Movement) -> Option<&RequestCause> {
    match &movement.cause {
        Cause::Request(cause) => Some(cause),
        Cause::Order(_) => None,
    }
}
