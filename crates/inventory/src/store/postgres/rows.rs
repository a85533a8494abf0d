//! Rows of this schema as values of the domain. What does not fit names its table and row.

use std::fmt::Display;

use contract::{BadId, Digest, LocationId, OrderId, ProductId};
use inventory_core::stock::{
    Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId,
};
use platform::failure::Failure;
use storage::Misfit;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::super::numbers::{LocationNo, ProductNo};
use super::super::packed::ReservationRow;
use super::super::{NamedMovement, StockPosition};

/// What a row cannot mean.
fn misfit(
    table: &'static str,
    row: impl Display,
    column: &'static str,
    value: impl Display,
) -> Failure {
    Misfit::new(table, row, column, value).into()
}

/// Reads a column by its name.
pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(storage::postgres::failure)
}

/// Reads the id of a product or a location, for a row that an operator calls `name`. It is NULL if
/// the table of products or locations has no row for the number.
fn id<T: std::str::FromStr<Err = BadId>>(
    row: &Row,
    (table, name): (&'static str, i64),
    id: &'static str,
) -> Result<T, Failure> {
    let text: Option<&str> = column(row, id)?;
    let text = text.ok_or_else(|| misfit(table, name, id, "missing"))?;
    text.parse().map_err(|bad: BadId| misfit(table, name, id, format!("{text:?}: {bad}")))
}

pub(super) fn product_no(row: &Row) -> Result<ProductNo, Failure> {
    column(row, "product_no").map(ProductNo)
}

/// Reads the id of the location of a stock row.
pub(super) fn location_id(row: &Row) -> Result<LocationId, Failure> {
    id(row, ("stock", product_no(row)?.0.into()), "location_id")
}

/// Reads the product and the location of a stock row.
pub(super) fn stock_key(row: &Row) -> Result<(ProductId, LocationId), Failure> {
    let product = product_no(row)?.0.into();
    Ok((id(row, ("stock", product), "product_id")?, id(row, ("stock", product), "location_id")?))
}

pub(super) fn stock_position(row: &Row) -> Result<StockPosition, Failure> {
    Ok(StockPosition {
        product_no: column(row, "product_no")?,
        location_no: column(row, "location_no")?,
    })
}

pub(super) fn order_id(row: &Row) -> Result<OrderId, Failure> {
    column(row, "order_id").map(OrderId)
}

macro_rules! product_columns {
    () => {
        "product_no, product_id, name, low_stock_at, created_at, updated_at"
    };
}
pub(super) use product_columns;

/// Reads [`product_columns`].
pub(super) fn product(row: &Row) -> Result<(ProductNo, Product), Failure> {
    let number = product_no(row)?;
    let product = Product {
        product_id: id(row, ("products", number.0.into()), "product_id")?,
        name: column(row, "name")?,
        low_stock_at: column(row, "low_stock_at")?,
        created_at_micros: column(row, "created_at")?,
        updated_at_micros: column(row, "updated_at")?,
    };
    Ok((number, product))
}

/// Reads `location_no, location_id, name, priority`.
pub(super) fn location(row: &Row) -> Result<(LocationNo, Location), Failure> {
    let number: i32 = column(row, "location_no")?;
    let name = ("locations", number.into());
    let wide: i32 = column(row, "priority")?;
    let priority = wide.try_into().map_err(|_| misfit("locations", number, "priority", wide))?;
    let location = Location {
        location_id: id(row, name, "location_id")?,
        name: column(row, "name")?,
        priority,
    };
    Ok((LocationNo(number), location))
}

/// Reads `on_hand, reserved, quarantined, last_seq, last_movement` of a stock row.
pub(super) fn level(row: &Row) -> Result<Level, Failure> {
    Ok(Level {
        on_hand: column(row, "on_hand")?,
        reserved: column(row, "reserved")?,
        quarantined: column(row, "quarantined")?,
        last_seq: column(row, "last_seq")?,
        last_movement: column(row, "last_movement")?,
    })
}

macro_rules! movement_columns {
    () => {
        "movements.movement_no, products.product_id, locations.location_id, movements.seq, movements.previous, \
         movements.previous_of_product, movements.kind::text AS kind, movements.on_hand_delta, \
         movements.reserved_delta, movements.on_hand, movements.reserved, movements.created_at, movements.order_id, \
         movements.request_id, movements.request_digest, movements.reason, movements.reference, movements.actor, \
         movements.quarantined_delta, movements.quarantined"
    };
}
pub(super) use movement_columns;

/// The tables that name the numbers of `movements`, for [`movement_columns`]. A number without a
/// product or location leaves its id NULL. Products are looked up one by one, however many there
/// are.
macro_rules! movement_names {
    () => {
        " LEFT JOIN LATERAL (SELECT product_id FROM products WHERE products.product_no = movements.product_no LIMIT 1) \
               AS products ON true \
          LEFT JOIN locations ON locations.location_no = movements.location_no "
    };
}
pub(super) use movement_names;

/// Reads [`movement_columns`].
pub(super) fn movement(row: &Row) -> Result<Movement, Failure> {
    let number: i64 = column(row, "movement_no")?;
    let name = ("movements", number);
    let kind: &str = column(row, "kind")?;
    Ok(Movement {
        previous: column(row, "previous")?,
        previous_of_product: column(row, "previous_of_product")?,
        product_id: id(row, name, "product_id")?,
        location_id: id(row, name, "location_id")?,
        kind: MovementKind::parse(kind).ok_or_else(|| misfit("movements", number, "kind", kind))?,
        deltas: Deltas {
            on_hand: column(row, "on_hand_delta")?,
            reserved: column(row, "reserved_delta")?,
            quarantined: or_zero(row, "quarantined_delta")?,
        },
        after: Level {
            on_hand: column(row, "on_hand")?,
            reserved: column(row, "reserved")?,
            quarantined: or_zero(row, "quarantined")?,
            last_seq: column(row, "seq")?,
            last_movement: number,
        },
        cause: cause(row)?.ok_or_else(|| misfit("movements", number, "cause", "missing"))?,
        created_at_micros: column(row, "created_at")?,
    })
}

/// Reads a number that is NULL for 0.
fn or_zero(row: &Row, name: &str) -> Result<i64, Failure> {
    Ok(column::<Option<i64>>(row, name)?.unwrap_or(0))
}

fn cause(row: &Row) -> Result<Option<Cause>, Failure> {
    if let Some(order_id) = column(row, "order_id")? {
        return Ok(Some(Cause::Order(OrderId(order_id))));
    }
    let request_id: Option<Uuid> = column(row, "request_id")?;
    let digest: Option<Uuid> = column(row, "request_digest")?;
    let (Some(request_id), Some(digest)) = (request_id, digest) else { return Ok(None) };
    Ok(Some(Cause::Request(RequestCause {
        request_id: RequestId(request_id.into_bytes()),
        digest: Digest(digest.into_bytes()),
        reason: column(row, "reason")?,
        reference: column(row, "reference")?,
        actor: column(row, "actor")?,
    })))
}

/// The columns of the movement in the table `alias` that a row of `table` names, for [`named`].
macro_rules! named_columns {
    ($alias:literal, $table:literal) => {
        concat!(
            $alias,
            ".movement_no AS ",
            $alias,
            "_no, ",
            $alias,
            ".product_no = ",
            $table,
            ".product_no AS ",
            $alias,
            "_product, ",
            $alias,
            ".location_no = ",
            $table,
            ".location_no AS ",
            $alias,
            "_location, ",
            $alias,
            ".seq AS ",
            $alias,
            "_seq, ",
            $alias,
            ".on_hand AS ",
            $alias,
            "_on_hand, ",
            $alias,
            ".reserved AS ",
            $alias,
            "_reserved, ",
            $alias,
            ".quarantined AS ",
            $alias,
            "_quarantined"
        )
    };
}
pub(super) use named_columns;

/// Reads [`named_columns`].
pub(super) fn named(row: &Row, alias: &str) -> Result<Option<NamedMovement>, Failure> {
    let name = |name: &str| format!("{alias}_{name}");
    let Some(last_movement) = column(row, &name("no"))? else { return Ok(None) };
    Ok(Some(NamedMovement {
        same_product: column(row, &name("product"))?,
        same_location: column(row, &name("location"))?,
        level: Level {
            on_hand: column(row, &name("on_hand"))?,
            reserved: column(row, &name("reserved"))?,
            quarantined: or_zero(row, &name("quarantined"))?,
            last_seq: column(row, &name("seq"))?,
            last_movement,
        },
    }))
}

macro_rules! reservation_columns {
    () => {
        "order_id, revision, digest, allocations::text AS allocations, shortages::text AS shortages, \
         returns::text AS returns, created_at, updated_at"
    };
}
pub(super) use reservation_columns;

/// Reads [`reservation_columns`].
pub(super) fn reservation(row: &Row) -> Result<ReservationRow, Failure> {
    let digest: Uuid = column(row, "digest")?;
    Ok(ReservationRow {
        order_id: order_id(row)?,
        revision: column(row, "revision")?,
        digest: Digest(digest.into_bytes()),
        allocations: column(row, "allocations")?,
        shortages: column(row, "shortages")?,
        returns: column(row, "returns")?,
        created_at_micros: column(row, "created_at")?,
        updated_at_micros: column(row, "updated_at")?,
    })
}
