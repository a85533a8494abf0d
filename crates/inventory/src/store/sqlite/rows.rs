//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::fmt::Display;

use contract::{BadId, Digest, LocationId, OrderId, ProductId};
use inventory_core::stock::{
    Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId,
};
use rusqlite::Row;
use storage::Misfit;
use uuid::Uuid;

use super::super::numbers::{LocationNo, ProductNo};
use super::super::packed::ReservationRow;
use super::super::{NamedMovement, StockPosition};

/// What a row cannot mean.
pub(super) fn misfit(
    table: &'static str,
    row: impl Display,
    column: &'static str,
    value: impl Display,
) -> rusqlite::Error {
    Misfit::new(table, row, column, value).into()
}

/// Reads the id of a product or a location, for a row that an operator calls `name`. It is NULL if
/// the table of products or locations has no row for the number.
fn id<T: std::str::FromStr<Err = BadId>>(
    row: &Row<'_>,
    (table, name): (&'static str, i64),
    column: &'static str,
) -> rusqlite::Result<T> {
    let text: Option<String> = row.get(column)?;
    let text = text.ok_or_else(|| misfit(table, name, column, "missing"))?;
    text.parse().map_err(|bad: BadId| misfit(table, name, column, format!("{text:?}: {bad}")))
}

/// Reads the id of the location of a stock row.
pub(super) fn location_id(row: &Row<'_>, product: ProductNo) -> rusqlite::Result<LocationId> {
    id(row, ("stock", product.0.into()), "location_id")
}

/// Reads the product and the location of a stock row.
pub(super) fn stock_key(row: &Row<'_>) -> rusqlite::Result<(ProductId, LocationId)> {
    let product: i64 = row.get("product_no")?;
    Ok((id(row, ("stock", product), "product_id")?, id(row, ("stock", product), "location_id")?))
}

pub(super) fn stock_position(row: &Row<'_>) -> rusqlite::Result<StockPosition> {
    Ok(StockPosition { product_no: row.get("product_no")?, location_no: row.get("location_no")? })
}

pub(super) fn order_id(bytes: [u8; 16]) -> OrderId {
    OrderId(Uuid::from_bytes(bytes))
}

/// The columns that every read of `products` selects, for [`product`].
pub(super) const PRODUCT_COLUMNS: &str =
    "product_no, product_id, name, low_stock_at, created_at, updated_at";

pub(super) fn product(row: &Row<'_>) -> rusqlite::Result<(ProductNo, Product)> {
    let number: i32 = row.get("product_no")?;
    let product = Product {
        product_id: id(row, ("products", number.into()), "product_id")?,
        name: row.get("name")?,
        low_stock_at: row.get("low_stock_at")?,
        created_at_micros: row.get("created_at")?,
        updated_at_micros: row.get("updated_at")?,
    };
    Ok((ProductNo(number), product))
}

/// Reads `location_no, location_id, name, priority`.
pub(super) fn location(row: &Row<'_>) -> rusqlite::Result<(LocationNo, Location)> {
    let number: i32 = row.get("location_no")?;
    let location = Location {
        location_id: id(row, ("locations", number.into()), "location_id")?,
        name: row.get("name")?,
        priority: row.get("priority")?,
    };
    Ok((LocationNo(number), location))
}

/// Reads `on_hand, reserved, quarantined, last_seq, last_movement` of a stock row.
pub(super) fn level(row: &Row<'_>) -> rusqlite::Result<Level> {
    Ok(Level {
        on_hand: row.get("on_hand")?,
        reserved: row.get("reserved")?,
        quarantined: row.get("quarantined")?,
        last_seq: row.get("last_seq")?,
        last_movement: row.get("last_movement")?,
    })
}

/// The columns that every read of `movements` selects, for [`movement`].
pub(super) const MOVEMENT_COLUMNS: &str = "movements.movement_no, products.product_id, locations.location_id, \
     movements.seq, movements.previous, movements.previous_of_product, movements.kind, movements.on_hand_delta, \
     movements.reserved_delta, movements.on_hand, movements.reserved, movements.created_at, movements.order_id, \
     movements.request_id, movements.request_digest, movements.reason, movements.reference, movements.actor, \
     movements.quarantined_delta, movements.quarantined";

/// The tables of [`MOVEMENT_COLUMNS`]. A number without a product or location leaves its id NULL.
pub(super) const MOVEMENTS: &str = "movements \
     LEFT JOIN products ON products.product_no = movements.product_no \
     LEFT JOIN locations ON locations.location_no = movements.location_no";

pub(super) fn movement(row: &Row<'_>) -> rusqlite::Result<Movement> {
    let number: i64 = row.get("movement_no")?;
    let name = ("movements", number);
    let kind: String = row.get("kind")?;
    Ok(Movement {
        previous: row.get("previous")?,
        previous_of_product: row.get("previous_of_product")?,
        product_id: id(row, name, "product_id")?,
        location_id: id(row, name, "location_id")?,
        kind: MovementKind::parse(&kind)
            .ok_or_else(|| misfit("movements", number, "kind", kind))?,
        deltas: Deltas {
            on_hand: row.get("on_hand_delta")?,
            reserved: row.get("reserved_delta")?,
            quarantined: or_zero(row, "quarantined_delta")?,
        },
        after: Level {
            on_hand: row.get("on_hand")?,
            reserved: row.get("reserved")?,
            quarantined: or_zero(row, "quarantined")?,
            last_seq: row.get("seq")?,
            last_movement: number,
        },
        cause: cause(row)?.ok_or_else(|| misfit("movements", number, "cause", "missing"))?,
        created_at_micros: row.get("created_at")?,
    })
}

/// Reads a number that is NULL for 0.
fn or_zero(row: &Row<'_>, column: &str) -> rusqlite::Result<i64> {
    Ok(row.get::<_, Option<i64>>(column)?.unwrap_or(0))
}

fn cause(row: &Row<'_>) -> rusqlite::Result<Option<Cause>> {
    if let Some(order) = row.get("order_id")? {
        return Ok(Some(Cause::Order(order_id(order))));
    }
    let request_id: Option<[u8; 16]> = row.get("request_id")?;
    let digest: Option<[u8; 16]> = row.get("request_digest")?;
    let (Some(request_id), Some(digest)) = (request_id, digest) else { return Ok(None) };
    Ok(Some(Cause::Request(RequestCause {
        request_id: RequestId(request_id),
        digest: Digest(digest),
        reason: row.get("reason")?,
        reference: row.get("reference")?,
        actor: row.get("actor")?,
    })))
}

/// The columns of the movement in the table `alias` that a row of `table` names, for [`named`].
pub(super) fn named_columns(alias: &str, table: &str) -> String {
    format!(
        "{alias}.movement_no AS {alias}_no, {alias}.product_no = {table}.product_no AS {alias}_product, \
         {alias}.location_no = {table}.location_no AS {alias}_location, {alias}.seq AS {alias}_seq, \
         {alias}.on_hand AS {alias}_on_hand, {alias}.reserved AS {alias}_reserved, \
         {alias}.quarantined AS {alias}_quarantined"
    )
}

pub(super) fn named(row: &Row<'_>, alias: &str) -> rusqlite::Result<Option<NamedMovement>> {
    let column = |name: &str| format!("{alias}_{name}");
    let Some(last_movement) = row.get(column("no").as_str())? else { return Ok(None) };
    Ok(Some(NamedMovement {
        same_product: row.get(column("product").as_str())?,
        same_location: row.get(column("location").as_str())?,
        level: Level {
            on_hand: row.get(column("on_hand").as_str())?,
            reserved: row.get(column("reserved").as_str())?,
            quarantined: or_zero(row, &column("quarantined"))?,
            last_seq: row.get(column("seq").as_str())?,
            last_movement,
        },
    }))
}

/// The columns that every read of `reservations` selects, for [`reservation`].
pub(super) const RESERVATION_COLUMNS: &str =
    "order_id, revision, digest, allocations, shortages, returns, created_at, updated_at";

pub(super) fn reservation(row: &Row<'_>) -> rusqlite::Result<ReservationRow> {
    Ok(ReservationRow {
        order_id: order_id(row.get("order_id")?),
        revision: row.get("revision")?,
        digest: Digest(row.get("digest")?),
        allocations: row.get("allocations")?,
        shortages: row.get("shortages")?,
        returns: row.get("returns")?,
        created_at_micros: row.get("created_at")?,
        updated_at_micros: row.get("updated_at")?,
    })
}
