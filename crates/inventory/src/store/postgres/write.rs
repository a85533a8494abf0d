//! Writes a decision, a statement per table, and compares every row count with what was predicted
//! (R11).
//!
//! New rows are inserted in one order everywhere: products, locations, reservations, each sorted by
//! id, and movements by request. So two batches that create the same rows wait for each other, but
//! never in a circle.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::OrderId;
use inventory_core::decide::{InventoryChanges, ReservationChange, StockChange};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Location, Movement, Product, RequestCause};
use platform::failure::{Failure, Suspicion};
use storage::postgres::{Parameter, Transaction};
use storage::{admin_log, journal};
use uuid::Uuid;

use super::super::admin_log::entry;
use super::super::moved;
use super::super::numbers::{LocationNo, Numbers};
use super::super::packed::{allocations_text, returns_text, shortages_text};
use super::super::search_key::search_key;
use super::load::NUMBERS_OF_A_BATCH;
use super::rows;

pub(super) const CREATE_PRODUCTS: &str = "INSERT INTO products (product_id, name, search_name, low_stock_at, created_at,
         updated_at)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
          AS made (product_id, name, search_name, low_stock_at, created_at, updated_at) ORDER BY product_id COLLATE \"C\"
     ON CONFLICT (product_id) DO NOTHING RETURNING product_no, product_id";

/// Batches that put locations wait for each other (`LOCK_LOCATIONS`).
pub(super) const PUT_LOCATIONS: &str = "INSERT INTO locations (location_id, name, priority)
     SELECT * FROM unnest($1::text[], $2::text[], $3::integer[])
          AS put (location_id, name, priority) ORDER BY location_id COLLATE \"C\"
     ON CONFLICT (location_id) DO UPDATE SET name = excluded.name, priority = excluded.priority
     RETURNING location_no, location_id";

pub(super) const REPLACE_PRODUCTS: &str =
    "UPDATE products SET name = put.name, search_name = put.search_name,
         low_stock_at = put.low_stock_at, updated_at = put.updated_at
     FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
          AS put (number, name, search_name, low_stock_at, updated_at)
     WHERE product_no = put.number";

pub(super) const INSERT_LEVELS: &str =
    "INSERT INTO stock (product_no, location_no, on_hand, reserved, last_seq, last_movement, quarantined)
     SELECT * FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                          $7::bigint[])";

/// Each level stands in the arrays once, with the sum of its movements.
pub(super) const MOVE_LEVELS: &str = "UPDATE stock SET on_hand = stock.on_hand + move.on_hand,
         reserved = stock.reserved + move.reserved, last_seq = move.last_seq, last_movement = move.last_movement
     FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::bigint[])
          AS move (product, location, movement_before, seq_before, on_hand, reserved, last_seq, last_movement)
     WHERE product_no = move.product AND location_no = move.location
           AND stock.last_movement = move.movement_before AND stock.last_seq = move.seq_before";

/// As above, for a batch that changes quarantined units, which are few.
pub(super) const MOVE_QUARANTINE: &str = "UPDATE stock SET on_hand = stock.on_hand + move.on_hand,
         reserved = stock.reserved + move.reserved, quarantined = stock.quarantined + move.quarantined,
         last_seq = move.last_seq, last_movement = move.last_movement
     FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::bigint[], $9::bigint[])
          AS move (product, location, movement_before, seq_before, on_hand, reserved, last_seq, last_movement,
                   quarantined)
     WHERE product_no = move.product AND location_no = move.location
           AND stock.last_movement = move.movement_before AND stock.last_seq = move.seq_before";

pub(super) const INSERT_RESERVATIONS: &str = "INSERT INTO reservations (order_id, revision, digest, allocations,
         shortages, created_at, updated_at)
     SELECT order_id, revision, digest, allocations::json, shortages::json, created_at, updated_at
     FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
          AS made (order_id, revision, digest, allocations, shortages, created_at, updated_at) ORDER BY order_id
     ON CONFLICT (order_id) DO NOTHING";

/// As above, for a batch with an order that was placed, shipped and returned within it. All
/// reservations of a batch are inserted in one order, so all are in one statement.
pub(super) const INSERT_RETURNED_RESERVATIONS: &str = "INSERT INTO reservations (order_id, revision, digest,
         allocations, shortages, created_at, updated_at, returns)
     SELECT order_id, revision, digest, allocations::json, shortages::json, created_at, updated_at, returns::json
     FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
          AS made (order_id, revision, digest, allocations, shortages, created_at, updated_at, returns)
     ORDER BY order_id ON CONFLICT (order_id) DO NOTHING";

pub(super) const MOVE_RESERVATIONS: &str = "UPDATE reservations SET revision = move.revision, digest = move.digest,
         allocations = move.allocations::json, shortages = move.shortages::json, returns = move.returns::json,
         updated_at = move.updated_at
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
                 $8::text[])
          AS move (id, revision_before, revision, digest, allocations, shortages, updated_at, returns)
     WHERE order_id = move.id AND reservations.revision = move.revision_before";

pub(super) const INSERT_MOVEMENTS: &str = "INSERT INTO movements (movement_no, product_no, location_no, seq, previous,
         previous_of_product, kind, on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, request_id,
         request_digest, reason, reference, actor)
     SELECT movement_no, product_no, location_no, seq, previous, previous_of_product, kind::movement_kind,
         on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest, reason,
         reference, actor
     FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
                 $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::uuid[], $14::uuid[],
                 $15::uuid[], $16::text[], $17::text[], $18::text[])
          AS made (movement_no, product_no, location_no, seq, previous, previous_of_product, kind, on_hand_delta,
                   reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest, reason,
                   reference, actor)
     ORDER BY request_id, movement_no";

/// As above, for a batch with a movement where units are quarantined. All movements of a batch are
/// inserted in one order, so all are in one statement.
pub(super) const INSERT_QUARANTINE_MOVEMENTS: &str = "INSERT INTO movements (movement_no, product_no, location_no, seq,
         previous, previous_of_product, kind, on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id,
         request_id, request_digest, reason, reference, actor, quarantined_delta, quarantined)
     SELECT movement_no, product_no, location_no, seq, previous, previous_of_product, kind::movement_kind,
         on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest, reason,
         reference, actor, nullif(quarantined_delta, 0), nullif(quarantined, 0)
     FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
                 $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::uuid[], $14::uuid[],
                 $15::uuid[], $16::text[], $17::text[], $18::text[], $19::bigint[], $20::bigint[])
          AS made (movement_no, product_no, location_no, seq, previous, previous_of_product, kind, on_hand_delta,
                   reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest, reason,
                   reference, actor, quarantined_delta, quarantined)
     ORDER BY request_id, movement_no";

/// Another batch created the same product, or decided about the same order, and locked none of the
/// same products: they did not exist when one of the two looked for them. When the batch runs
/// again, it finds the row and waits for its lock.
#[derive(Debug, thiserror::Error)]
#[error("another batch created the same row meanwhile")]
pub(super) struct CreatedMeanwhile;

/// Writes the changes. `found` are the orders whose reservations were loaded and are locked.
/// `numbers` are those of the loaded products and locations; the numbers of new ones are added.
pub(super) async fn apply(
    transaction: &Transaction<'_>,
    changes: &InventoryChanges,
    found: &BTreeSet<OrderId>,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    if changes.movements.len() as u64 > NUMBERS_OF_A_BATCH.unsigned_abs() {
        return Err(Suspicion::Decision("it has more movements than numbers").into());
    }
    let (new_levels, moved_levels): (Vec<_>, Vec<_>) =
        changes.stock.iter().partition(|change| change.before.last_seq == 0);
    let (made, moved): (Vec<_>, Vec<_>) =
        changes.reservations.iter().partition(|change| change.from.is_none());
    if made.iter().any(|change| found.contains(&change.to.order_id)) {
        return Err(Suspicion::Decision("it makes a reservation that exists").into());
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        changes.products.iter().partition(|product| numbers.knows_product(&product.product_id));
    create(transaction, &unknown, &changes.locations, numbers).await?;
    let numbers = &*numbers;
    let entries = column(&changes.acts, entry);
    let journal = moved::pack(&changes.stock);
    let written = tokio::join!(
        biased;
        replace_products(transaction, &known, numbers),
        insert_levels(transaction, &new_levels, numbers),
        move_levels(transaction, &moved_levels, numbers),
        insert_reservations(transaction, &made, numbers),
        move_reservations(transaction, &moved, numbers),
        insert_movements(transaction, &changes.movements, numbers),
        admin_log::insert_postgres(transaction, &entries),
        journal::append_postgres(transaction, &journal),
    );
    // Of several errors, the first one is the cause.
    let of_levels = written.0.and(written.1).and(written.2);
    of_levels.and(written.3).and(written.4).and(written.5).and(written.6).and(written.7)
}

/// One array of a statement's parameters.
fn column<'rows, R, T>(rows: &'rows [R], of: impl Fn(&'rows R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// One array of values that may be missing.
fn try_column<'rows, R, T>(
    rows: &'rows [R],
    of: impl Fn(&'rows R) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    rows.iter().map(of).collect()
}

fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

/// Creates products, creates or replaces locations, and adds the numbers that the database gave.
async fn create(
    transaction: &Transaction<'_>,
    products: &[&Product],
    locations: &[Location],
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    if !products.is_empty() {
        let row: [Parameter<'_>; 6] = [
            &column(products, |product| product.product_id.as_str()),
            &column(products, |product| product.name.as_str()),
            &column(products, |product| search_key(&product.name)),
            &column(products, |product| product.low_stock_at),
            &column(products, |product| product.created_at_micros),
            &column(products, |product| product.updated_at_micros),
        ];
        let created = transaction.query(CREATE_PRODUCTS, row).await?;
        if created.len() != products.len() {
            return Err(Failure::Busy(Arc::new(CreatedMeanwhile)));
        }
        for row in &created {
            let (number, id) = (rows::product_no(row)?, rows::column::<&str>(row, "product_id")?);
            numbers.add_product(number, id.parse().map_err(Failure::suspect)?);
        }
    }
    if !locations.is_empty() {
        let row: [Parameter<'_>; 3] = [
            &column(locations, |location| location.location_id.as_str()),
            &column(locations, |location| location.name.as_str()),
            &column(locations, |location| i32::try_from(location.priority).unwrap_or(i32::MAX)),
        ];
        for row in &transaction.query(PUT_LOCATIONS, row).await? {
            let number = LocationNo(rows::column(row, "location_no")?);
            let id = rows::column::<&str>(row, "location_id")?;
            numbers.add_location(number, id.parse().map_err(Failure::suspect)?);
        }
    }
    Ok(())
}

async fn replace_products(
    transaction: &Transaction<'_>,
    products: &[&Product],
    numbers: &Numbers,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 5] = [
        &try_column(products, |product| Ok(numbers.product_no(&product.product_id)?.0))?,
        &column(products, |product| product.name.as_str()),
        &column(products, |product| search_key(&product.name)),
        &column(products, |product| product.low_stock_at),
        &column(products, |product| product.updated_at_micros),
    ];
    transaction.write(products.len(), REPLACE_PRODUCTS, row).await
}

async fn insert_levels(
    transaction: &Transaction<'_>,
    new: &[&StockChange],
    numbers: &Numbers,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 7] = [
        &try_column(new, |change| Ok(numbers.product_no(&change.product_id)?.0))?,
        &try_column(new, |change| Ok(numbers.location_no(&change.location_id)?.0))?,
        &column(new, |change| change.after.on_hand),
        &column(new, |change| change.after.reserved),
        &column(new, |change| change.after.last_seq),
        &column(new, |change| change.after.last_movement),
        &column(new, |change| change.after.quarantined),
    ];
    transaction.write(new.len(), INSERT_LEVELS, row).await
}

async fn move_levels(
    transaction: &Transaction<'_>,
    moved: &[&StockChange],
    numbers: &Numbers,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 9] = [
        &try_column(moved, |change| Ok(numbers.product_no(&change.product_id)?.0))?,
        &try_column(moved, |change| Ok(numbers.location_no(&change.location_id)?.0))?,
        &column(moved, |change| change.before.last_movement),
        &column(moved, |change| change.before.last_seq),
        &column(moved, |change| change.deltas().on_hand),
        &column(moved, |change| change.deltas().reserved),
        &column(moved, |change| change.after.last_seq),
        &column(moved, |change| change.after.last_movement),
        &column(moved, |change| change.deltas().quarantined),
    ];
    if moved.iter().any(|change| change.deltas().quarantined != 0) {
        return transaction.write(moved.len(), MOVE_QUARANTINE, row).await;
    }
    let [plain @ .., _] = row;
    transaction.write::<8>(moved.len(), MOVE_LEVELS, plain).await
}

fn revision(reservation: &Reservation) -> i64 {
    reservation.revision.get().into()
}

async fn insert_reservations(
    transaction: &Transaction<'_>,
    made: &[&ReservationChange],
    numbers: &Numbers,
) -> Result<(), Failure> {
    if made.is_empty() {
        return Ok(());
    }
    let row: [Parameter<'_>; 8] = [
        &column(made, |change| change.to.order_id.0),
        &column(made, |change| revision(&change.to)),
        &column(made, |change| uuid(change.to.digest.0)),
        &try_column(made, |change| allocations_text(&change.to, numbers))?,
        &try_column(made, |change| shortages_text(&change.to, numbers))?,
        &column(made, |change| change.to.created_at_micros),
        &column(made, |change| change.to.updated_at_micros),
        &try_column(made, |change| returns_text(&change.to, numbers))?,
    ];
    let inserted = if made.iter().any(|change| !change.to.returns.is_empty()) {
        transaction.execute(INSERT_RETURNED_RESERVATIONS, row).await?
    } else {
        let [plain @ .., _] = row;
        transaction.execute::<7>(INSERT_RESERVATIONS, plain).await?
    };
    if inserted == made.len() as u64 {
        Ok(())
    } else {
        Err(Failure::Busy(Arc::new(CreatedMeanwhile)))
    }
}

async fn move_reservations(
    transaction: &Transaction<'_>,
    moved: &[&ReservationChange],
    numbers: &Numbers,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 8] = [
        &column(moved, |change| change.to.order_id.0),
        &column(moved, |change| change.from.map(|from| i64::from(from.get()))),
        &column(moved, |change| revision(&change.to)),
        &column(moved, |change| uuid(change.to.digest.0)),
        &try_column(moved, |change| allocations_text(&change.to, numbers))?,
        &try_column(moved, |change| shortages_text(&change.to, numbers))?,
        &column(moved, |change| change.to.updated_at_micros),
        &try_column(moved, |change| returns_text(&change.to, numbers))?,
    ];
    transaction.write(moved.len(), MOVE_RESERVATIONS, row).await
}

async fn insert_movements(
    transaction: &Transaction<'_>,
    movements: &[Movement],
    numbers: &Numbers,
) -> Result<(), Failure> {
    let row: [Parameter<'_>; 20] = [
        &column(movements, Movement::number),
        &try_column(movements, |movement| Ok(numbers.product_no(&movement.product_id)?.0))?,
        &try_column(movements, |movement| Ok(numbers.location_no(&movement.location_id)?.0))?,
        &column(movements, Movement::seq),
        &column(movements, |movement| movement.previous),
        &column(movements, |movement| movement.previous_of_product),
        &column(movements, |movement| movement.kind.as_str()),
        &column(movements, |movement| movement.deltas.on_hand),
        &column(movements, |movement| movement.deltas.reserved),
        &column(movements, |movement| movement.after.on_hand),
        &column(movements, |movement| movement.after.reserved),
        &column(movements, |movement| movement.created_at_micros),
        &column(movements, |movement| match &movement.cause {
            Cause::Order(order_id) => Some(order_id.0),
            Cause::Request(_) => None,
        }),
        &column(movements, |movement| request(movement).map(|cause| uuid(cause.request_id.0))),
        &column(movements, |movement| request(movement).map(|cause| uuid(cause.digest.0))),
        &column(movements, |movement| request(movement).and_then(|cause| cause.reason.as_deref())),
        &column(movements, |movement| {
            request(movement).and_then(|cause| cause.reference.as_deref())
        }),
        &column(movements, |movement| request(movement).and_then(|cause| cause.actor.as_deref())),
        &column(movements, |movement| movement.deltas.quarantined),
        &column(movements, |movement| movement.after.quarantined),
    ];
    let is_quarantined =
        |movement: &Movement| (movement.deltas.quarantined, movement.after.quarantined) != (0, 0);
    if movements.iter().any(is_quarantined) {
        return transaction.write(movements.len(), INSERT_QUARANTINE_MOVEMENTS, row).await;
    }
    let [plain @ .., _, _] = row;
    transaction.write::<18>(movements.len(), INSERT_MOVEMENTS, plain).await
}

fn request(movement: &Movement) -> Option<&RequestCause> {
    match &movement.cause {
        Cause::Request(cause) => Some(cause),
        Cause::Order(_) => None,
    }
}
