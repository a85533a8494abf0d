//! Loads what a batch touches. It locks the products by id, then the reservations by order id, then
//! the list of locations if the batch changes it (R11).
//!
//! The lock of a product's row covers all of its levels, also those that do not exist yet.

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use inventory_core::decide::{InventoryCommand, LoadedInventory, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Levels};
use platform::clock::Timestamp;
use platform::failure::Failure;
use storage::Misfit;
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::numbers::{LocationNo, Numbers, ProductNo};
use super::super::packed::PackedReservation;
use super::rows::{self, movement_columns, movement_names, product_columns, reservation_columns};

/// How many numbers of movements belong to one batch.
pub(super) const NUMBERS_OF_A_BATCH: i64 = 1 << 20;

/// Two batches that name one product are decided one after the other, whatever else they name.
pub(super) const LOCK_PRODUCTS: &str = concat!(
    "SELECT ",
    product_columns!(),
    " FROM products WHERE product_id = ANY($1::text[]) ORDER BY product_id FOR UPDATE"
);

/// A statement of its own: only a later one sees what the locks of the products waited for. An
/// answer that rests on a row waits until that row is durable (R5).
pub(super) const LOCK_RESERVATIONS: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id FOR UPDATE"
);

/// By product id, because the numbers of the locked products are not known when this is sent.
pub(super) const LEVELS: &str =
    "SELECT stock.product_no, location_id, on_hand, reserved, quarantined, last_seq, last_movement
     FROM products JOIN stock ON stock.product_no = products.product_no
                   LEFT JOIN locations ON locations.location_no = stock.location_no
     WHERE product_id = ANY($1::text[])";

pub(super) const REQUESTS: &str = concat!(
    "SELECT ",
    movement_columns!(),
    " FROM movements",
    movement_names!(),
    "WHERE movements.request_id = ANY($1::uuid[])"
);

/// Batches that change the list of locations do so one after the other: the lock of `main`, which
/// always exists, stands for the list. Orders and movements do not wait for it, because the foreign
/// key of a new stock row locks less.
pub(super) const LOCK_LOCATIONS: &str =
    "SELECT location_no FROM locations WHERE location_id = 'main' FOR NO KEY UPDATE";

pub(super) const LOCATIONS: &str =
    "SELECT location_no, location_id, name, priority FROM locations ORDER BY priority, location_id";

/// Drawn while the products are locked, so that the numbers of a product's movements rise in the
/// order of commits.
pub(super) const BATCH_NUMBER: &str = "SELECT nextval('batch_numbers') AS batch_number";

pub(super) const PRODUCT_IDS: &str =
    "SELECT product_no, product_id FROM products WHERE product_no = ANY($1::integer[])";

pub(super) const LOCATION_IDS: &str =
    "SELECT location_no, location_id FROM locations WHERE location_no = ANY($1::integer[])";

/// Returns what the batch touches, the numbers of its products and of all locations, and the time
/// under the locks.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    batch: &[InventoryCommand],
) -> Result<(LoadedInventory, Numbers, Timestamp), Failure> {
    let touched = Touched::by(batch);
    let products: Vec<&str> = touched.products.iter().map(|id| id.as_str()).collect();
    let orders: Vec<Uuid> = touched.orders.iter().map(|id| id.0).collect();
    let requests: Vec<Uuid> = touched.requests.iter().map(|id| Uuid::from_bytes(id.0)).collect();
    // The server executes them in this order.
    let (products, reservations, locked, levels, requests, locations, now, batch_number) = tokio::join!(
        biased;
        unless(products.is_empty(), transaction.query(LOCK_PRODUCTS, [&products])),
        unless(orders.is_empty(), transaction.query(LOCK_RESERVATIONS, [&orders])),
        unless(!touched.changes_locations, transaction.query(LOCK_LOCATIONS, [])),
        unless(products.is_empty(), transaction.query(LEVELS, [&products])),
        unless(requests.is_empty(), transaction.query(REQUESTS, [&requests])),
        transaction.query(LOCATIONS, []),
        transaction.now(),
        transaction.query(BATCH_NUMBER, []),
    );
    // Of several errors, the first one is the cause.
    let (products, reservations, _) = (products?, reservations?, locked?);
    let levels = levels?;
    let (requests, locations, now) = (requests?, locations?, now?);
    let mut loaded = LoadedInventory::default();
    let mut numbers = Numbers::default();
    add_products(&mut loaded, &mut numbers, &products, &levels)?;
    add_locations(&mut loaded, &mut numbers, &locations);
    add_movements(&mut loaded, &requests)?;
    loaded.next_movement = first_movement(&batch_number?)?;
    for reservation in unpack(transaction, &reservations, &mut numbers).await? {
        loaded.reservations.insert(reservation.order_id, reservation);
    }
    Ok((loaded, numbers, now))
}

/// Asks for nothing if there is nothing to ask for.
async fn unless(
    nothing: bool,
    asking: impl Future<Output = Result<Vec<Row>, Failure>>,
) -> Result<Vec<Row>, Failure> {
    if nothing { Ok(Vec::new()) } else { asking.await }
}

/// Adds the locked products, each with its levels.
fn add_products(
    loaded: &mut LoadedInventory,
    numbers: &mut Numbers,
    products: &[Row],
    levels: &[Row],
) -> Result<(), Failure> {
    let mut levels = levels_of(levels)?;
    for row in products {
        let (number, product) = rows::product(row)?;
        let id = product.product_id.clone();
        numbers.add_product(number, id.clone());
        loaded.levels.insert(id.clone(), levels.remove(&number).unwrap_or_default());
        loaded.products.insert(id, product);
    }
    Ok(())
}

/// Adds all locations but those that cannot be decoded: they fail the rows that name them, and not
/// every batch (R17).
fn add_locations(loaded: &mut LoadedInventory, numbers: &mut Numbers, locations: &[Row]) {
    for (number, location) in locations.iter().filter_map(|row| rows::location(row).ok()) {
        numbers.add_location(number, location.location_id.clone());
        loaded.locations.insert(location.location_id.clone(), location);
    }
}

fn add_movements(loaded: &mut LoadedInventory, movements: &[Row]) -> Result<(), Failure> {
    for row in movements {
        let movement = rows::movement(row)?;
        if let Cause::Request(cause) = &movement.cause {
            loaded.movements.insert(cause.request_id, movement);
        }
    }
    Ok(())
}

/// The first number of the batch with this number.
fn first_movement(batch_number: &[Row]) -> Result<i64, Failure> {
    let number: Option<i64> =
        batch_number.first().map(|row| rows::column(row, "batch_number")).transpose()?;
    let first = number.and_then(|number| number.checked_mul(NUMBERS_OF_A_BATCH));
    let used_up = || Misfit::new("batch_numbers", "the next one", "last_value", "too high");
    first.ok_or_else(|| used_up().into())
}

/// The levels in rows of [`LEVELS`], by product.
pub(super) fn levels_of(rows: &[Row]) -> Result<BTreeMap<ProductNo, Levels>, Failure> {
    let mut levels = BTreeMap::<_, Levels>::new();
    for row in rows {
        let of_product = levels.entry(rows::product_no(row)?).or_default();
        of_product.insert(rows::location_id(row)?, rows::level(row)?);
    }
    Ok(levels)
}

/// The reservations in rows of [`reservation_columns`].
pub(super) async fn unpack(
    transaction: &Transaction<'_>,
    rows: &[Row],
    numbers: &mut Numbers,
) -> Result<Vec<Reservation>, Failure> {
    let mut packed = Vec::with_capacity(rows.len());
    for row in rows {
        packed.push(rows::reservation(row)?.parse()?);
    }
    name(transaction, packed.iter(), numbers).await?;
    packed.into_iter().map(|packed| Ok(packed.unpack(numbers)?)).collect()
}

/// Looks up the ids of products and locations that `numbers` lacks, and adds them. A batch lacks
/// none, unless a command names other products than its order has.
pub(super) async fn name(
    transaction: &Transaction<'_>,
    packed: impl Iterator<Item = &PackedReservation> + Clone,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    let products = packed.clone().flat_map(PackedReservation::products);
    let products: BTreeSet<i32> = products
        .filter(|number| numbers.product_id(*number).is_none())
        .map(|number| number.0)
        .collect();
    let locations = packed.flat_map(PackedReservation::locations);
    let locations: BTreeSet<i32> = locations
        .filter(|number| numbers.location_id(*number).is_none())
        .map(|number| number.0)
        .collect();
    let products: Vec<i32> = products.into_iter().collect();
    let locations: Vec<i32> = locations.into_iter().collect();
    let (products, locations) = tokio::join!(
        biased;
        unless(products.is_empty(), transaction.query(PRODUCT_IDS, [&products])),
        unless(locations.is_empty(), transaction.query(LOCATION_IDS, [&locations])),
    );
    for row in &products? {
        if let Ok(id) = rows::column::<&str>(row, "product_id")?.parse() {
            numbers.add_product(rows::product_no(row)?, id);
        }
    }
    for row in &locations? {
        if let Ok(id) = rows::column::<&str>(row, "location_id")?.parse() {
            numbers.add_location(LocationNo(rows::column(row, "location_no")?), id);
        }
    }
    Ok(())
}

/// The ids of orders, as parameters.
pub(super) fn uuids(order_ids: &[OrderId]) -> Vec<Uuid> {
    order_ids.iter().map(|id| id.0).collect()
}
