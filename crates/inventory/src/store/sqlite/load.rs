//! Loads what a batch touches: products with their levels, then reservations, then the movements of
//! requests. The write lock is the only lock; the order is that of an engine with row locks (R11).

use contract::{OrderId, ProductId};
use inventory_core::decide::{InventoryCommand, LoadedInventory, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Levels, Movement, Product, RequestId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::super::numbers::{LocationNo, Numbers, ProductNo};
use super::super::packed::PackedReservation;
use super::rows::{
    self, MOVEMENT_COLUMNS, MOVEMENTS, PRODUCT_COLUMNS, RESERVATION_COLUMNS, location_id,
};

/// Returns what the batch touches, and the numbers of the products and locations.
pub(super) fn load(
    connection: &Connection,
    batch: &[InventoryCommand],
) -> rusqlite::Result<(LoadedInventory, Numbers)> {
    let touched = Touched::by(batch);
    let mut loaded =
        LoadedInventory { next_movement: next_movement(connection)?, ..LoadedInventory::default() };
    let mut numbers = Numbers::default();
    let (mut products, mut stock) = (Products::prepare(connection)?, Stock::prepare(connection)?);
    for product_id in touched.products {
        if let Some((number, found)) = products.find(&product_id)? {
            loaded.levels.insert(product_id.clone(), stock.levels(number)?);
            loaded.products.insert(product_id.clone(), found);
            numbers.add_product(number, product_id);
        }
    }
    load_locations(connection, &mut loaded, &mut numbers)?;
    let mut reservations = Reservations::prepare(connection)?;
    for order_id in touched.orders {
        if let Some(found) = reservations.find(order_id, &mut numbers)? {
            loaded.reservations.insert(order_id, found);
        }
    }
    for request_id in touched.requests {
        if let Some(found) = movement_of(connection, request_id)? {
            loaded.movements.insert(request_id, found);
        }
    }
    Ok((loaded, numbers))
}

/// The numbers go on from the last one. Nothing is deleted, so no number is given twice.
fn next_movement(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(max(movement_no), 0) + 1 AS next_movement FROM movements",
    )?;
    statement.query_row([], |row| row.get("next_movement"))
}

/// Loads all locations but those that cannot be decoded: they fail the rows that name them, and not
/// every batch (R17).
fn load_locations(
    connection: &Connection,
    loaded: &mut LoadedInventory,
    numbers: &mut Numbers,
) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT location_no, location_id, name, priority FROM locations")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok((number, location)) = rows::location(row) {
            numbers.add_location(number, location.location_id.clone());
            loaded.locations.insert(location.location_id.clone(), location);
        }
    }
    Ok(())
}

/// Finds reservations by their orders.
pub(super) struct Reservations<'c> {
    connection: &'c Connection,
    select: CachedStatement<'c>,
}

impl<'c> Reservations<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = format!("SELECT {RESERVATION_COLUMNS} FROM reservations WHERE order_id = ?1");
        Ok(Self { connection, select: connection.prepare_cached(&sql)? })
    }

    pub(super) fn find(
        &mut self,
        order_id: OrderId,
        numbers: &mut Numbers,
    ) -> rusqlite::Result<Option<Reservation>> {
        let row = self.select.query_row(params![order_id.0.as_bytes()], rows::reservation);
        let Some(row) = row.optional()? else { return Ok(None) };
        unpack(self.connection, row.parse()?, numbers).map(Some)
    }
}

/// Unpacks a reservation. Looks up the ids of products and locations that `numbers` lacks, and adds
/// them.
pub(super) fn unpack(
    connection: &Connection,
    packed: PackedReservation,
    numbers: &mut Numbers,
) -> rusqlite::Result<Reservation> {
    let products: Vec<_> = packed.products().collect();
    for number in products {
        if numbers.product_id(number).is_none() {
            name_product(connection, number, numbers)?;
        }
    }
    let locations: Vec<_> = packed.locations().collect();
    for number in locations {
        if numbers.location_id(number).is_none() {
            name_location(connection, number, numbers)?;
        }
    }
    Ok(packed.unpack(numbers)?)
}

fn name_product(
    connection: &Connection,
    number: ProductNo,
    numbers: &mut Numbers,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT product_id FROM products WHERE product_no = ?1")?;
    let text: Option<String> =
        statement.query_row(params![number.0], |row| row.get("product_id")).optional()?;
    if let Some(id) = text.and_then(|text| text.parse().ok()) {
        numbers.add_product(number, id);
    }
    Ok(())
}

fn name_location(
    connection: &Connection,
    number: LocationNo,
    numbers: &mut Numbers,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT location_id FROM locations WHERE location_no = ?1")?;
    let text: Option<String> =
        statement.query_row(params![number.0], |row| row.get("location_id")).optional()?;
    if let Some(id) = text.and_then(|text| text.parse().ok()) {
        numbers.add_location(number, id);
    }
    Ok(())
}

fn movement_of(
    connection: &Connection,
    request_id: RequestId,
) -> rusqlite::Result<Option<Movement>> {
    let sql = format!("SELECT {MOVEMENT_COLUMNS} FROM {MOVEMENTS} WHERE movements.request_id = ?1");
    connection.prepare_cached(&sql)?.query_row(params![request_id.0], rows::movement).optional()
}

/// Finds products by their ids.
pub(super) struct Products<'c>(CachedStatement<'c>);

impl<'c> Products<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let sql = format!("SELECT {PRODUCT_COLUMNS} FROM products WHERE product_id = ?1");
        connection.prepare_cached(&sql).map(Self)
    }

    pub(super) fn find(
        &mut self,
        product_id: &ProductId,
    ) -> rusqlite::Result<Option<(ProductNo, Product)>> {
        self.0.query_row(params![product_id.as_str()], rows::product).optional()
    }
}

/// Reads the levels of products.
pub(super) struct Stock<'c>(CachedStatement<'c>);

impl<'c> Stock<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let select = connection.prepare_cached(
            "SELECT location_id, on_hand, reserved, quarantined, last_seq, last_movement
             FROM stock LEFT JOIN locations ON locations.location_no = stock.location_no
             WHERE stock.product_no = ?1",
        );
        select.map(Self)
    }

    pub(super) fn levels(&mut self, product: ProductNo) -> rusqlite::Result<Levels> {
        let level = |row: &Row<'_>| Ok((location_id(row, product)?, rows::level(row)?));
        self.0.query_map(params![product.0], level)?.collect()
    }
}
