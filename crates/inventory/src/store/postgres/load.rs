//! Loads what a batch touches. It locks the products by id, then the reservations by order id (R11).
//!
//! The lock of a product's row covers all of its levels, also those that do not exist yet.

use std::collections::BTreeMap;

use contract::OrderId;
use inventory_core::decide::{InventoryCommand, Loaded, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Levels};
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{self, movement_columns, product_columns, reservation_columns};

/// Two batches that name one product are decided one after the other, whatever else they name.
pub(super) const LOCK_PRODUCTS: &str = concat!(
    "SELECT ",
    product_columns!(),
    " FROM products WHERE product_id = ANY($1::text[]) ORDER BY product_id FOR UPDATE"
);

/// A statement of its own: only a later one sees what the locks of the products waited for. An
/// answer that rests on a row waits for that row's commit to be durable (R5).
pub(super) const LOCK_RESERVATIONS: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE"
);

pub(super) const ALLOCATIONS: &str =
    "SELECT order_id, product_id, location_id, quantity FROM allocations
     WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, product_id, location_id";

pub(super) const LEVELS: &str =
    "SELECT product_id, location_id, on_hand, reserved, last_seq FROM stock
     WHERE product_id = ANY($1::text[]) ORDER BY product_id, location_id";

pub(super) const REQUESTS: &str =
    concat!("SELECT ", movement_columns!(), " FROM movements WHERE request_id = ANY($1::bytea[])");

pub(super) const LOCATIONS: &str =
    "SELECT location_id, name, priority FROM locations ORDER BY priority, location_id";

/// Returns what the batch touches, and the time under the locks.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    batch: &[InventoryCommand],
) -> Result<(Loaded, Timestamp), Failure> {
    let touched = Touched::by(batch);
    let products: Vec<&str> = touched.products.iter().map(|id| id.as_str()).collect();
    let orders: Vec<Uuid> = touched.orders.iter().map(|id| id.0).collect();
    let requests: Vec<&[u8]> = touched.requests.iter().map(|id| id.0.as_slice()).collect();
    let (products, reservations, allocations, levels, requests, locations, now) = tokio::join!(
        biased;
        transaction.query(LOCK_PRODUCTS, [&products]),
        unless(orders.is_empty(), transaction.query(LOCK_RESERVATIONS, [&orders])),
        unless(orders.is_empty(), transaction.query(ALLOCATIONS, [&orders])),
        transaction.query(LEVELS, [&products]),
        unless(requests.is_empty(), transaction.query(REQUESTS, [&requests])),
        transaction.query(LOCATIONS, []),
        transaction.now(),
    );
    let mut loaded = Loaded::default();
    add_products(&mut loaded, &products?, &levels_of(&levels?)?)?;
    loaded.reservations = by_order(rows::reservations(&reservations?, &allocations?)?);
    add_movements(&mut loaded, &requests?)?;
    add_locations(&mut loaded, &locations?)?;
    Ok((loaded, now?))
}

/// Nothing, if there is nothing to ask for.
async fn unless(
    nothing: bool,
    asking: impl Future<Output = Result<Vec<Row>, Failure>>,
) -> Result<Vec<Row>, Failure> {
    if nothing { Ok(Vec::new()) } else { asking.await }
}

/// Adds products, each with its levels.
fn add_products(
    loaded: &mut Loaded,
    products: &[Row],
    levels: &BTreeMap<String, Levels>,
) -> Result<(), Failure> {
    for row in products {
        let product = rows::product(row)?;
        let levels = levels.get(product.product_id.as_str()).cloned().unwrap_or_default();
        loaded.levels.insert(product.product_id.clone(), levels);
        loaded.products.insert(product.product_id.clone(), product);
    }
    Ok(())
}

fn add_movements(loaded: &mut Loaded, movements: &[Row]) -> Result<(), Failure> {
    for row in movements {
        let movement = rows::movement(row)?;
        if let Cause::Request(cause) = &movement.cause {
            loaded.movements.insert(cause.request_id, movement);
        }
    }
    Ok(())
}

fn add_locations(loaded: &mut Loaded, locations: &[Row]) -> Result<(), Failure> {
    for row in locations {
        let location = rows::location(row)?;
        loaded.locations.insert(location.location_id.clone(), location);
    }
    Ok(())
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
