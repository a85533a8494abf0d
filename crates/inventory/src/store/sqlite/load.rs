//! Loads what a batch touches: products with their levels, then reservations, then the movements of
//! requests (R11).

use contract::{OrderId, ProductId};
use inventory_core::decide::{InventoryCommand, Loaded, Touched};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Levels, Location, Movement, Product, RequestId};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, MOVEMENT_COLUMNS, PRODUCT_COLUMNS, RESERVATION_COLUMNS, ReservationRow};

/// Returns what the batch touches. The caller holds the write lock; an engine with row locks takes
/// them in this order.
pub(super) fn load(
    connection: &Connection,
    batch: &[InventoryCommand],
) -> rusqlite::Result<Loaded> {
    let touched = Touched::by(batch);
    let mut loaded = Loaded::default();
    for product_id in touched.products {
        if let Some(found) = product(connection, &product_id)? {
            loaded.levels.insert(product_id.clone(), levels(connection, &product_id)?);
            loaded.products.insert(product_id, found);
        }
    }
    for order_id in touched.orders {
        if let Some(found) = reservation(connection, order_id)? {
            loaded.reservations.insert(order_id, found);
        }
    }
    for request_id in touched.requests {
        if let Some(found) = movement_of(connection, request_id)? {
            loaded.movements.insert(request_id, found);
        }
    }
    loaded.locations = locations(connection)?
        .into_iter()
        .map(|found| (found.location_id.clone(), found))
        .collect();
    Ok(loaded)
}

pub(super) fn reservation(
    connection: &Connection,
    order_id: OrderId,
) -> rusqlite::Result<Option<Reservation>> {
    let sql = format!("SELECT {RESERVATION_COLUMNS} FROM reservations WHERE order_id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let row =
        statement.query_row(params![order_id.0.as_bytes()], ReservationRow::read).optional()?;
    row.map(|row| row.complete(connection)).transpose()
}

fn movement_of(
    connection: &Connection,
    request_id: RequestId,
) -> rusqlite::Result<Option<Movement>> {
    let sql = format!("SELECT {MOVEMENT_COLUMNS} FROM movements WHERE request_id = ?1");
    connection.prepare_cached(&sql)?.query_row(params![request_id.0], rows::movement).optional()
}

pub(super) fn product(
    connection: &Connection,
    product_id: &ProductId,
) -> rusqlite::Result<Option<Product>> {
    let sql = format!("SELECT {PRODUCT_COLUMNS} FROM products WHERE product_id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row(params![product_id.as_str()], rows::product)
        .optional()
}

pub(super) fn levels(connection: &Connection, product_id: &ProductId) -> rusqlite::Result<Levels> {
    let mut statement = connection.prepare_cached(
        "SELECT location_id, on_hand, reserved, last_seq FROM stock WHERE product_id = ?1 ORDER BY location_id",
    )?;
    let rows = statement.query_map(params![product_id.as_str()], |row| {
        Ok((rows::id("stock", row, "location_id")?, rows::level(row, "last_seq")?))
    })?;
    rows.collect()
}

pub(super) fn locations(connection: &Connection) -> rusqlite::Result<Vec<Location>> {
    let mut statement = connection.prepare_cached(
        "SELECT location_id, name, priority FROM locations ORDER BY priority, location_id",
    )?;
    let rows = statement.query_map([], rows::location)?;
    rows.collect()
}
