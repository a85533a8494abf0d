//! Writes a decision down, a statement per table, and compares every row count with what was
//! predicted (R11).

use std::collections::BTreeSet;

use contract::OrderId;
use contract::answers::Allocation;
use inventory_core::decide::{Changes, ReservationChange, StockChange};
use inventory_core::stock::{Cause, Location, Movement, Product, RequestCause};
use platform::failure::Failure;
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

/// From what they were, or from the claim.
pub(super) const MOVE_RESERVATIONS: &str = "UPDATE reservations SET state = move.after, digest = move.digest,
         shortages = move.shortages, created_at = move.created_at, updated_at = move.updated_at
     FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::bigint[])
          AS move (id, before, after, digest, shortages, created_at, updated_at)
     WHERE order_id = move.id AND state = move.before";

pub(super) const INSERT_ALLOCATIONS: &str =
    "INSERT INTO allocations (order_id, product_id, location_id, quantity)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])";

pub(super) const INSERT_MOVEMENTS: &str = "INSERT INTO movements (product_id, location_id, seq, kind, on_hand_delta,
         reserved_delta, on_hand, reserved, order_id, request_id, request_digest, reason, reference, actor, created_at)
     SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
         $8::bigint[], $9::uuid[], $10::bytea[], $11::bytea[], $12::text[], $13::text[], $14::text[], $15::bigint[])";

pub(super) const DROP_CLAIMS: &str =
    "DELETE FROM reservations WHERE order_id = ANY($1::uuid[]) AND state = 'claimed'";

/// `claimed` are the orders whose reservations may be made; what the decision makes nothing of is
/// let go again.
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    changes: &Changes,
    claimed: &BTreeSet<OrderId>,
) -> Result<(), Failure> {
    let (new, moved): (Vec<_>, Vec<_>) =
        changes.stock.iter().partition(|change| change.before.last_seq == 0);
    let made: BTreeSet<OrderId> = changes
        .reservations
        .iter()
        .filter(|change| change.from.is_none())
        .map(|change| change.to.order_id)
        .collect();
    let unused: Vec<Uuid> = claimed.difference(&made).map(|id| id.0).collect();
    let written = tokio::join!(
        biased;
        put_products(transaction, &changes.products),
        put_locations(transaction, &changes.locations),
        insert_levels(transaction, &new),
        move_levels(transaction, &moved),
        move_reservations(transaction, &changes.reservations),
        insert_allocations(transaction, &changes.reservations),
        insert_movements(transaction, &changes.movements),
        transaction.write(unused.len(), DROP_CLAIMS, [&unused]),
    );
    let locked = written.0.and(written.1).and(written.2).and(written.3);
    locked.and(written.4).and(written.5).and(written.6).and(written.7)
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

async fn move_reservations(
    transaction: &Transaction<'_>,
    changes: &[ReservationChange],
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 7] = [
        &column(changes, |change| change.to.order_id.0),
        &column(changes, |change| change.from.map_or("claimed", |from| from.as_str())),
        &column(changes, |change| change.to.state.name().as_str()),
        &column(changes, |change| change.to.digest.0.as_slice()),
        &column(changes, |change| shortages_text(change.to.state.shortfalls())),
        &column(changes, |change| change.to.created_at_micros),
        &column(changes, |change| change.to.updated_at_micros),
    ];
    transaction.write(changes.len(), MOVE_RESERVATIONS, row).await
}

/// Those of the reservations that are made; later ones never change them.
async fn insert_allocations(
    transaction: &Transaction<'_>,
    changes: &[ReservationChange],
) -> Result<(), Failure> {
    let made = changes.iter().filter(|change| change.from.is_none());
    let allocations: Vec<(Uuid, &Allocation)> = made
        .flat_map(|change| {
            change.to.state.allocations().iter().map(|one| (change.to.order_id.0, one))
        })
        .collect();
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
