//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::fmt::Display;

use contract::answers::Allocation;
use contract::{BadId, Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::reservation::{Reservation, Shortfall, StateName};
use inventory_core::stock::{Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId};
use rusqlite::{Connection, Row, params};
use storage::Misfit;
use uuid::Uuid;

use super::super::text;

/// What a row cannot mean.
fn misfit(table: &'static str, row: impl Display, column: &'static str, value: impl Display) -> rusqlite::Error {
    Misfit::new(table, row, column, value).into()
}

/// Reads a column that holds the id of a product or a location, which is the row's name as well.
pub(super) fn id<T: std::str::FromStr<Err = BadId>>(
    table: &'static str,
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|bad: BadId| misfit(table, &text, "id", bad))
}

pub(super) fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(Uuid::from_bytes(bytes))
}

/// The columns that every read of `products` selects, in the order of [`product`].
pub(super) const PRODUCT_COLUMNS: &str = "product_id, name, low_stock_at, created_at, updated_at";

pub(super) fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        product_id: id("products", row, 0)?,
        name: row.get(1)?,
        low_stock_at: row.get(2)?,
        created_at_micros: row.get(3)?,
        updated_at_micros: row.get(4)?,
    })
}

/// Of `location_id, name, priority`.
pub(super) fn location(row: &Row<'_>) -> rusqlite::Result<Location> {
    Ok(Location { location_id: id("locations", row, 0)?, name: row.get(1)?, priority: row.get(2)? })
}

/// Of `on_hand, reserved, last_seq`, which begin at column `first`.
pub(super) fn level(row: &Row<'_>, first: usize) -> rusqlite::Result<Level> {
    Ok(Level { on_hand: row.get(first)?, reserved: row.get(first + 1)?, last_seq: row.get(first + 2)? })
}

/// The columns that every read of `movements` selects, in the order of [`movement`].
pub(super) const MOVEMENT_COLUMNS: &str = "product_id, location_id, on_hand, reserved, seq, kind, on_hand_delta, \
     reserved_delta, order_id, request_id, request_digest, reason, reference, actor, created_at";

pub(super) fn movement(row: &Row<'_>) -> rusqlite::Result<Movement> {
    let (product_id, location_id) = (id::<ProductId>("movements", row, 0)?, id::<LocationId>("movements", row, 1)?);
    let after = level(row, 2)?;
    let name = || format!("{product_id} at {location_id}, seq {}", after.last_seq);
    let kind: String = row.get(5)?;
    Ok(Movement {
        kind: MovementKind::parse(&kind).ok_or_else(|| misfit("movements", name(), "kind", kind))?,
        deltas: Deltas { on_hand: row.get(6)?, reserved: row.get(7)? },
        cause: cause(row)?.ok_or_else(|| misfit("movements", name(), "cause", "missing"))?,
        created_at_micros: row.get(14)?,
        product_id,
        location_id,
        after,
    })
}

fn cause(row: &Row<'_>) -> rusqlite::Result<Option<Cause>> {
    let order: Option<[u8; 16]> = row.get(8)?;
    let request: (Option<[u8; 16]>, Option<[u8; 16]>) = (row.get(9)?, row.get(10)?);
    Ok(match (order, request) {
        (Some(order), _) => Some(Cause::Order(order_id(order))),
        (None, (Some(request_id), Some(digest))) => Some(Cause::Request(RequestCause {
            request_id: RequestId(request_id),
            digest: Digest(digest),
            reason: row.get(11)?,
            reference: row.get(12)?,
            actor: row.get(13)?,
        })),
        _ => None,
    })
}

/// The columns that every read of `reservations` selects, in the order of [`ReservationRow::read`].
pub(super) const RESERVATION_COLUMNS: &str = "order_id, state, digest, shortages, created_at, updated_at";

/// A row of `reservations`, without its allocations.
pub(super) struct ReservationRow {
    order_id: OrderId,
    state: StateName,
    digest: Digest,
    shortfalls: Option<Vec<Shortfall>>,
    created_at_micros: i64,
    updated_at_micros: i64,
}

impl ReservationRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (order_id, state) = (order_id(row.get(0)?), row.get::<_, String>(1)?);
        Ok(Self {
            order_id,
            state: StateName::parse(&state).ok_or_else(|| misfit("reservations", order_id, "state", state))?,
            digest: Digest(row.get(2)?),
            shortfalls: text::shortfalls(row.get::<_, Option<String>>(3)?.as_deref())
                .map_err(|error| misfit("reservations", order_id, "shortages", error))?,
            created_at_micros: row.get(4)?,
            updated_at_micros: row.get(5)?,
        })
    }

    /// With its allocations. Which of them and of the shortages there are says what a released one was before.
    pub(super) fn complete(self, connection: &Connection) -> rusqlite::Result<Reservation> {
        let allocations = allocations(connection, self.order_id)?;
        let state = text::state(self.state, allocations, self.shortfalls);
        Ok(Reservation {
            order_id: self.order_id,
            digest: self.digest,
            state,
            created_at_micros: self.created_at_micros,
            updated_at_micros: self.updated_at_micros,
        })
    }
}

fn allocations(connection: &Connection, order_id: OrderId) -> rusqlite::Result<Vec<Allocation>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_id, location_id, quantity FROM allocations WHERE order_id = ?1
         ORDER BY product_id, location_id",
    )?;
    let rows = statement.query_map(params![order_id.0.as_bytes()], |row| {
        let units: u32 = row.get(2)?;
        Ok(Allocation {
            product_id: id("allocations", row, 0)?,
            location_id: id("allocations", row, 1)?,
            quantity: Quantity::new(units).map_err(|_| misfit("allocations", order_id, "quantity", units))?,
        })
    })?;
    rows.collect()
}
