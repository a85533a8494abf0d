//! All that a batch touches: reservations are claimed and locked by order, then products by id
//! (R11).
//!
//! The lock of a product's row covers all of its levels, also those that do not exist yet.

use std::collections::{BTreeMap, BTreeSet};

use contract::commands::StockCommandKind;
use contract::{Digest, OrderId};
use inventory_core::decide::{InventoryCommand, Loaded, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Levels};
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{self, movement_columns, product_columns, reservation_columns};

/// The second of two transactions waits here until the first one ends, and then finds its decision.
pub(super) const CLAIM: &str = "INSERT INTO reservations (order_id, state, digest, created_at, updated_at)
     SELECT id, 'claimed', digest, 0, 0 FROM unnest($1::uuid[], $2::bytea[]) AS claim (id, digest) ORDER BY id
     ON CONFLICT (order_id) DO NOTHING RETURNING order_id";

/// A statement of its own: only a later one sees what the claim waited for. Its own claims are
/// nothing yet.
pub(super) const LOCK_RESERVATIONS: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id = ANY($1::uuid[]) AND state <> 'claimed' ORDER BY order_id FOR UPDATE"
);

pub(super) const ALLOCATIONS: &str =
    "SELECT order_id, product_id, location_id, quantity FROM allocations
     WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, product_id, location_id";

pub(super) const LOCK_PRODUCTS: &str = concat!(
    "SELECT ",
    product_columns!(),
    " FROM products WHERE product_id = ANY($1::text[]) ORDER BY product_id FOR UPDATE"
);

pub(super) const LEVELS: &str =
    "SELECT product_id, location_id, on_hand, reserved, last_seq FROM stock
     WHERE product_id = ANY($1::text[]) ORDER BY product_id, location_id";

pub(super) const REQUESTS: &str =
    concat!("SELECT ", movement_columns!(), " FROM movements WHERE request_id = ANY($1::bytea[])");

pub(super) const LOCATIONS: &str =
    "SELECT location_id, name, priority FROM locations ORDER BY priority, location_id";

/// What the batch touches, the orders that it has claimed, and the time under the locks.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    batch: &[InventoryCommand],
) -> Result<(Loaded, BTreeSet<OrderId>, Timestamp), Failure> {
    let touched = Touched::by(batch);
    let orders: Vec<Uuid> = touched.orders.iter().map(|id| id.0).collect();
    let requests: Vec<&[u8]> = touched.requests.iter().map(|id| id.0.as_slice()).collect();
    let products: Vec<&str> = touched.products.iter().map(|id| id.as_str()).collect();
    let claims = claims(batch);
    let claimed: Vec<Uuid> = claims.keys().map(|id| id.0).collect();
    let digests: Vec<&[u8]> = claims.values().map(|digest| digest.0.as_slice()).collect();
    let (claimed, reservations, allocations, products, levels, requests, locations, now) = tokio::join!(
        biased;
        unless(claims.is_empty(), transaction.query(CLAIM, [&claimed, &digests])),
        unless(orders.is_empty(), transaction.query(LOCK_RESERVATIONS, [&orders])),
        unless(orders.is_empty(), transaction.query(ALLOCATIONS, [&orders])),
        transaction.query(LOCK_PRODUCTS, [&products]),
        transaction.query(LEVELS, [&products]),
        unless(requests.is_empty(), transaction.query(REQUESTS, [&requests])),
        transaction.query(LOCATIONS, []),
        transaction.now(),
    );
    let (claimed, reservations, allocations) = (claimed?, reservations?, allocations?);
    let (products, levels, requests, locations, now) =
        (products?, levels?, requests?, locations?, now?);
    let mut loaded = Loaded {
        reservations: by_order(rows::reservations(&reservations, &allocations)?),
        ..Loaded::default()
    };
    for row in &requests {
        let movement = rows::movement(row)?;
        if let Cause::Request(cause) = &movement.cause {
            loaded.movements.insert(cause.request_id, movement);
        }
    }
    let mut levels = levels_of(&levels)?;
    for row in &products {
        let product = rows::product(row)?;
        let id = product.product_id.clone();
        loaded.levels.insert(id.clone(), levels.remove(id.as_str()).unwrap_or_default());
        loaded.products.insert(id, product);
    }
    for row in &locations {
        let location = rows::location(row)?;
        loaded.locations.insert(location.location_id.clone(), location);
    }
    let claimed = claimed.iter().map(rows::order_id).collect::<Result<_, _>>()?;
    Ok((loaded, claimed, now))
}

/// Nothing, if there is nothing to ask for.
async fn unless(
    nothing: bool,
    asking: impl Future<Output = Result<Vec<Row>, Failure>>,
) -> Result<Vec<Row>, Failure> {
    if nothing { Ok(Vec::new()) } else { asking.await }
}

/// The orders whose first word this may be. A ShipStock never is.
fn claims(batch: &[InventoryCommand]) -> BTreeMap<OrderId, Digest> {
    let mut claims = BTreeMap::new();
    for command in batch {
        if let InventoryCommand::Stock(command) = command
            && command.kind != StockCommandKind::ShipStock
        {
            claims.entry(command.order_id).or_insert(command.digest);
        }
    }
    claims
}

fn by_order(reservations: Vec<Reservation>) -> BTreeMap<OrderId, Reservation> {
    reservations.into_iter().map(|reservation| (reservation.order_id, reservation)).collect()
}

/// By product.
pub(super) fn levels_of(rows: &[Row]) -> Result<BTreeMap<String, Levels>, Failure> {
    let mut levels = BTreeMap::<_, Levels>::new();
    for row in rows {
        let product: String = rows::column(row, "product_id")?;
        levels
            .entry(product)
            .or_default()
            .insert(rows::id("stock", row, "location_id")?, rows::level(row, "last_seq")?);
    }
    Ok(levels)
}
