//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::collections::BTreeMap;
use std::fmt::Display;

use contract::answers::Allocation;
use contract::{BadId, Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::reservation::{Reservation, StateName};
use inventory_core::stock::{Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId};
use platform::failure::Failure;
use storage::Misfit;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::text;

/// What a row cannot mean.
fn misfit(table: &'static str, row: impl Display, column: &'static str, value: impl Display) -> Failure {
    Misfit::new(table, row, column, value).into()
}

/// A column by its number.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, at: usize) -> Result<T, Failure> {
    row.try_get(at).map_err(storage::postgres::failure)
}

/// Reads a column that holds the id of a product or a location, which is the row's name as well.
pub(super) fn id<T: std::str::FromStr<Err = BadId>>(table: &'static str, row: &Row, at: usize) -> Result<T, Failure> {
    let text: &str = column(row, at)?;
    text.parse().map_err(|bad: BadId| misfit(table, text, "id", bad))
}

pub(super) fn order_id(row: &Row, at: usize) -> Result<OrderId, Failure> {
    column::<Uuid>(row, at).map(OrderId)
}

fn sixteen(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok()
}

macro_rules! product_columns {
    () => {
        "product_id, name, low_stock_at, created_at, updated_at"
    };
}
pub(super) use product_columns;

/// Of [`product_columns`].
pub(super) fn product(row: &Row) -> Result<Product, Failure> {
    Ok(Product {
        product_id: id("products", row, 0)?,
        name: column(row, 1)?,
        low_stock_at: column(row, 2)?,
        created_at_micros: column(row, 3)?,
        updated_at_micros: column(row, 4)?,
    })
}

/// Of `location_id, name, priority`.
pub(super) fn location(row: &Row) -> Result<Location, Failure> {
    let (location_id, wide): (LocationId, i64) = (id("locations", row, 0)?, column(row, 2)?);
    let priority = wide.try_into().map_err(|_| misfit("locations", &location_id, "priority", wide))?;
    Ok(Location { location_id, name: column(row, 1)?, priority })
}

/// Of `on_hand, reserved, last_seq`, which begin at column `first`.
pub(super) fn level(row: &Row, first: usize) -> Result<Level, Failure> {
    Ok(Level { on_hand: column(row, first)?, reserved: column(row, first + 1)?, last_seq: column(row, first + 2)? })
}

macro_rules! movement_columns {
    () => {
        "product_id, location_id, on_hand, reserved, seq, kind, on_hand_delta, reserved_delta, order_id, request_id, \
         request_digest, reason, reference, actor, created_at"
    };
}
pub(super) use movement_columns;

/// Of [`movement_columns`].
pub(super) fn movement(row: &Row) -> Result<Movement, Failure> {
    let (product_id, location_id) = (id::<ProductId>("movements", row, 0)?, id::<LocationId>("movements", row, 1)?);
    let after = level(row, 2)?;
    let name = || format!("{product_id} at {location_id}, seq {}", after.last_seq);
    let kind: &str = column(row, 5)?;
    Ok(Movement {
        kind: MovementKind::parse(kind).ok_or_else(|| misfit("movements", name(), "kind", kind))?,
        deltas: Deltas { on_hand: column(row, 6)?, reserved: column(row, 7)? },
        cause: cause(row)?.ok_or_else(|| misfit("movements", name(), "cause", "missing"))?,
        created_at_micros: column(row, 14)?,
        product_id,
        location_id,
        after,
    })
}

fn cause(row: &Row) -> Result<Option<Cause>, Failure> {
    let request: (Option<&[u8]>, Option<&[u8]>) = (column(row, 9)?, column(row, 10)?);
    Ok(match (column::<Option<Uuid>>(row, 8)?, request.0.and_then(sixteen), request.1.and_then(sixteen)) {
        (Some(order), ..) => Some(Cause::Order(OrderId(order))),
        (None, Some(request_id), Some(digest)) => Some(Cause::Request(RequestCause {
            request_id: RequestId(request_id),
            digest: Digest(digest),
            reason: column(row, 11)?,
            reference: column(row, 12)?,
            actor: column(row, 13)?,
        })),
        _ => None,
    })
}

macro_rules! reservation_columns {
    () => {
        "order_id, state, digest, shortages, created_at, updated_at"
    };
}
pub(super) use reservation_columns;

/// Rows of [`reservation_columns`], each with its allocations: rows of `order_id, product_id, location_id, quantity`.
pub(super) fn reservations(rows: &[Row], allocations: &[Row]) -> Result<Vec<Reservation>, Failure> {
    let mut held = BTreeMap::<OrderId, Vec<Allocation>>::new();
    for row in allocations {
        let order = order_id(row, 0)?;
        held.entry(order).or_default().push(allocation(order, row)?);
    }
    rows.iter().map(|row| reservation(row, &mut held)).collect()
}

fn allocation(order: OrderId, row: &Row) -> Result<Allocation, Failure> {
    let wide: i64 = column(row, 3)?;
    let quantity = u32::try_from(wide).ok().and_then(|units| Quantity::new(units).ok());
    Ok(Allocation {
        product_id: id("allocations", row, 1)?,
        location_id: id("allocations", row, 2)?,
        quantity: quantity.ok_or_else(|| misfit("allocations", order, "quantity", wide))?,
    })
}

fn reservation(row: &Row, held: &mut BTreeMap<OrderId, Vec<Allocation>>) -> Result<Reservation, Failure> {
    let order_id = order_id(row, 0)?;
    let (name, digest): (&str, &[u8]) = (column(row, 1)?, column(row, 2)?);
    let state = StateName::parse(name).ok_or_else(|| misfit("reservations", order_id, "state", name))?;
    let shortfalls = text::shortfalls(column(row, 3)?);
    let shortfalls = shortfalls.map_err(|error| misfit("reservations", order_id, "shortages", error))?;
    Ok(Reservation {
        order_id,
        digest: sixteen(digest).map(Digest).ok_or_else(|| misfit("reservations", order_id, "digest", digest.len()))?,
        state: text::state(state, held.remove(&order_id).unwrap_or_default(), shortfalls),
        created_at_micros: column(row, 4)?,
        updated_at_micros: column(row, 5)?,
    })
}
