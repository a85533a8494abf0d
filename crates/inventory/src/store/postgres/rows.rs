//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::collections::BTreeMap;
use std::fmt::Display;

use contract::answers::Allocation;
use contract::{BadId, Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::reservation::{Reservation, StateName};
use inventory_core::stock::{
    Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId,
};
use platform::failure::Failure;
use storage::Misfit;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::text;

/// What a row cannot mean.
fn misfit(
    table: &'static str,
    row: impl Display,
    column: &'static str,
    value: impl Display,
) -> Failure {
    Misfit::new(table, row, column, value).into()
}

/// A column by its name.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(storage::postgres::failure)
}

/// Reads a column that holds the id of a product or a location, which is the row's name as well.
pub(super) fn id<T: std::str::FromStr<Err = BadId>>(
    table: &'static str,
    row: &Row,
    name: &str,
) -> Result<T, Failure> {
    let text: &str = column(row, name)?;
    text.parse().map_err(|bad: BadId| misfit(table, text, "id", bad))
}

pub(super) fn order_id(row: &Row) -> Result<OrderId, Failure> {
    column::<Uuid>(row, "order_id").map(OrderId)
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
        product_id: id("products", row, "product_id")?,
        name: column(row, "name")?,
        low_stock_at: column(row, "low_stock_at")?,
        created_at_micros: column(row, "created_at")?,
        updated_at_micros: column(row, "updated_at")?,
    })
}

/// Of `location_id, name, priority`.
pub(super) fn location(row: &Row) -> Result<Location, Failure> {
    let (location_id, wide): (LocationId, i64) =
        (id("locations", row, "location_id")?, column(row, "priority")?);
    let priority =
        wide.try_into().map_err(|_| misfit("locations", &location_id, "priority", wide))?;
    Ok(Location { location_id, name: column(row, "name")?, priority })
}

/// Of `on_hand`, `reserved` and the column that numbers them.
pub(super) fn level(row: &Row, seq: &str) -> Result<Level, Failure> {
    Ok(Level {
        on_hand: column(row, "on_hand")?,
        reserved: column(row, "reserved")?,
        last_seq: column(row, seq)?,
    })
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
    let (product_id, location_id) = (
        id::<ProductId>("movements", row, "product_id")?,
        id::<LocationId>("movements", row, "location_id")?,
    );
    let after = level(row, "seq")?;
    let name = || format!("{product_id} at {location_id}, seq {}", after.last_seq);
    let kind: &str = column(row, "kind")?;
    Ok(Movement {
        kind: MovementKind::parse(kind).ok_or_else(|| misfit("movements", name(), "kind", kind))?,
        deltas: Deltas {
            on_hand: column(row, "on_hand_delta")?,
            reserved: column(row, "reserved_delta")?,
        },
        cause: cause(row)?.ok_or_else(|| misfit("movements", name(), "cause", "missing"))?,
        created_at_micros: column(row, "created_at")?,
        product_id,
        location_id,
        after,
    })
}

fn cause(row: &Row) -> Result<Option<Cause>, Failure> {
    let request: (Option<&[u8]>, Option<&[u8]>) =
        (column(row, "request_id")?, column(row, "request_digest")?);
    Ok(
        match (
            column::<Option<Uuid>>(row, "order_id")?,
            request.0.and_then(sixteen),
            request.1.and_then(sixteen),
        ) {
            (Some(order), ..) => Some(Cause::Order(OrderId(order))),
            (None, Some(request_id), Some(digest)) => Some(Cause::Request(RequestCause {
                request_id: RequestId(request_id),
                digest: Digest(digest),
                reason: column(row, "reason")?,
                reference: column(row, "reference")?,
                actor: column(row, "actor")?,
            })),
            _ => None,
        },
    )
}

macro_rules! reservation_columns {
    () => {
        "order_id, state, digest, shortages, created_at, updated_at"
    };
}
pub(super) use reservation_columns;

/// Rows of [`reservation_columns`], each with its allocations: rows of `order_id, product_id,
/// location_id, quantity`.
pub(super) fn reservations(rows: &[Row], allocations: &[Row]) -> Result<Vec<Reservation>, Failure> {
    let mut held = BTreeMap::<OrderId, Vec<Allocation>>::new();
    for row in allocations {
        let order = order_id(row)?;
        held.entry(order).or_default().push(allocation(order, row)?);
    }
    rows.iter().map(|row| reservation(row, &mut held)).collect()
}

fn allocation(order: OrderId, row: &Row) -> Result<Allocation, Failure> {
    let wide: i64 = column(row, "quantity")?;
    let quantity = u32::try_from(wide).ok().and_then(|units| Quantity::new(units).ok());
    Ok(Allocation {
        product_id: id("allocations", row, "product_id")?,
        location_id: id("allocations", row, "location_id")?,
        quantity: quantity.ok_or_else(|| misfit("allocations", order, "quantity", wide))?,
    })
}

fn reservation(
    row: &Row,
    held: &mut BTreeMap<OrderId, Vec<Allocation>>,
) -> Result<Reservation, Failure> {
    let order_id = order_id(row)?;
    let (name, digest): (&str, &[u8]) = (column(row, "state")?, column(row, "digest")?);
    let state =
        StateName::parse(name).ok_or_else(|| misfit("reservations", order_id, "state", name))?;
    let shortfalls = text::shortfalls(column(row, "shortages")?);
    let shortfalls =
        shortfalls.map_err(|error| misfit("reservations", order_id, "shortages", error))?;
    Ok(Reservation {
        order_id,
        digest: sixteen(digest)
            .map(Digest)
            .ok_or_else(|| misfit("reservations", order_id, "digest", digest.len()))?,
        state: text::state(state, held.remove(&order_id).unwrap_or_default(), shortfalls),
        created_at_micros: column(row, "created_at")?,
        updated_at_micros: column(row, "updated_at")?,
    })
}
