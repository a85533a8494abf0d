//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::fmt::Display;

use contract::answers::Allocation;
use contract::{BadId, Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::reservation::{Reservation, Shortfall, StateName};
use inventory_core::stock::{
    Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId,
};
use rusqlite::{Connection, Row, params};
use storage::Misfit;
use uuid::Uuid;

use super::super::text;

/// What a row cannot mean.
fn misfit(
    table: &'static str,
    row: impl Display,
    column: &'static str,
    value: impl Display,
) -> rusqlite::Error {
    Misfit::new(table, row, column, value).into()
}

/// Reads a column that holds the id of a product or a location, which is the row's name as well.
pub(super) fn id<T: std::str::FromStr<Err = BadId>>(
    table: &'static str,
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|bad: BadId| misfit(table, &text, "id", bad))
}

pub(super) fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(Uuid::from_bytes(bytes))
}

/// The columns that every read of `products` selects, for [`product`].
pub(super) const PRODUCT_COLUMNS: &str = "product_id, name, low_stock_at, created_at, updated_at";

pub(super) fn product(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        product_id: id("products", row, "product_id")?,
        name: row.get("name")?,
        low_stock_at: row.get("low_stock_at")?,
        created_at_micros: row.get("created_at")?,
        updated_at_micros: row.get("updated_at")?,
    })
}

/// Of `location_id, name, priority`.
pub(super) fn location(row: &Row<'_>) -> rusqlite::Result<Location> {
    Ok(Location {
        location_id: id("locations", row, "location_id")?,
        name: row.get("name")?,
        priority: row.get("priority")?,
    })
}

/// Of `on_hand`, `reserved` and the column that numbers them.
pub(super) fn level(row: &Row<'_>, seq: &str) -> rusqlite::Result<Level> {
    Ok(Level {
        on_hand: row.get("on_hand")?,
        reserved: row.get("reserved")?,
        last_seq: row.get(seq)?,
    })
}

/// The columns that every read of `movements` selects, for [`movement`].
pub(super) const MOVEMENT_COLUMNS: &str = "product_id, location_id, on_hand, reserved, seq, kind, on_hand_delta, \
     reserved_delta, order_id, request_id, request_digest, reason, reference, actor, created_at";

pub(super) fn movement(row: &Row<'_>) -> rusqlite::Result<Movement> {
    let (product_id, location_id) = (
        id::<ProductId>("movements", row, "product_id")?,
        id::<LocationId>("movements", row, "location_id")?,
    );
    let after = level(row, "seq")?;
    let name = || format!("{product_id} at {location_id}, seq {}", after.last_seq);
    let kind: String = row.get("kind")?;
    Ok(Movement {
        kind: MovementKind::parse(&kind)
            .ok_or_else(|| misfit("movements", name(), "kind", kind))?,
        deltas: Deltas { on_hand: row.get("on_hand_delta")?, reserved: row.get("reserved_delta")? },
        cause: cause(row)?.ok_or_else(|| misfit("movements", name(), "cause", "missing"))?,
        created_at_micros: row.get("created_at")?,
        product_id,
        location_id,
        after,
    })
}

fn cause(row: &Row<'_>) -> rusqlite::Result<Option<Cause>> {
    let order: Option<[u8; 16]> = row.get("order_id")?;
    let request: (Option<[u8; 16]>, Option<[u8; 16]>) =
        (row.get("request_id")?, row.get("request_digest")?);
    Ok(match (order, request) {
        (Some(order), _) => Some(Cause::Order(order_id(order))),
        (None, (Some(request_id), Some(digest))) => Some(Cause::Request(RequestCause {
            request_id: RequestId(request_id),
            digest: Digest(digest),
            reason: row.get("reason")?,
            reference: row.get("reference")?,
            actor: row.get("actor")?,
        })),
        _ => None,
    })
}

/// The columns that every read of `reservations` selects, for [`ReservationRow::read`].
pub(super) const RESERVATION_COLUMNS: &str =
    "order_id, state, digest, shortages, created_at, updated_at";

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
        let (order_id, state) = (order_id(row.get("order_id")?), row.get::<_, String>("state")?);
        Ok(Self {
            order_id,
            state: StateName::parse(&state)
                .ok_or_else(|| misfit("reservations", order_id, "state", state))?,
            digest: Digest(row.get("digest")?),
            shortfalls: text::shortfalls(row.get::<_, Option<String>>("shortages")?.as_deref())
                .map_err(|error| misfit("reservations", order_id, "shortages", error))?,
            created_at_micros: row.get("created_at")?,
            updated_at_micros: row.get("updated_at")?,
        })
    }

    /// With its allocations. Which of them and of the shortages there are says what a released one
    /// was before.
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
        let units: u32 = row.get("quantity")?;
        Ok(Allocation {
            product_id: id("allocations", row, "product_id")?,
            location_id: id("allocations", row, "location_id")?,
            quantity: Quantity::new(units)
                .map_err(|_| misfit("allocations", order_id, "quantity", units))?,
        })
    })?;
    rows.collect()
}
