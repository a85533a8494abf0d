//! Reads for the audit: what the invariants speak of, a page at a time, each page from one snapshot.

use std::collections::BTreeMap;

use contract::{OrderId, ProductId};
use platform::batcher::Failure;
use platform::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::{Place, StockAudit, Stretch};
use super::load::ALLOCATIONS;
use super::rows::{self, movement_columns, reservation_columns};
use crate::core::reservation::Reservation;
use crate::core::stock::{Level, Movement};

const AFTER: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE $1::uuid IS NULL OR order_id > $1 ORDER BY order_id LIMIT $2"
);
const OF: &str =
    concat!("SELECT ", reservation_columns!(), " FROM reservations WHERE order_id = ANY($1::uuid[]) ORDER BY order_id");
const STOCK: &str = "SELECT product_id, location_id, on_hand, reserved, last_seq,
            (SELECT coalesce(sum(allocations.quantity), 0)::bigint
             FROM allocations JOIN reservations ON reservations.order_id = allocations.order_id
             WHERE allocations.product_id = stock.product_id AND allocations.location_id = stock.location_id
               AND reservations.state = 'reserved'),
            (SELECT coalesce(max(seq), 0) FROM movements
             WHERE movements.product_id = stock.product_id AND movements.location_id = stock.location_id)
     FROM stock WHERE (product_id, location_id) > ($1::text, $2::text) ORDER BY product_id, location_id LIMIT $3";
const STRETCH: &str = concat!(
    "SELECT ",
    movement_columns!(),
    " FROM movements WHERE product_id = $1 AND location_id = $2 AND seq > $3 AND seq <= $4 ORDER BY seq LIMIT $5"
);
const LEVELS_AT: &str = "SELECT number, on_hand, reserved, seq
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS point (product, location, at, number)
          JOIN movements ON product_id = product AND location_id = location AND seq = at";
const KNOWN_SINCE: &str = "SELECT product_id, created_at FROM products WHERE product_id = ANY($1::text[])";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 6] = [AFTER, OF, STOCK, STRETCH, LEVELS_AT, KNOWN_SINCE];

pub(super) async fn after(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<Reservation>, Failure> {
    let rows = snapshot.query(AFTER, [&after.map(|id| id.0), &i64::from(limit)]).await?;
    complete(snapshot, &rows).await
}

pub(super) async fn of(snapshot: &Transaction<'_>, order_ids: &[OrderId]) -> Result<Vec<Reservation>, Failure> {
    let ids: Vec<Uuid> = order_ids.iter().map(|id| id.0).collect();
    let rows = snapshot.query(OF, [&ids]).await?;
    complete(snapshot, &rows).await
}

/// These reservations with their allocations.
async fn complete(snapshot: &Transaction<'_>, rows: &[Row]) -> Result<Vec<Reservation>, Failure> {
    let ids: Vec<Uuid> = rows.iter().map(|row| rows::column(row, 0)).collect::<Result<_, _>>()?;
    rows::reservations(rows, &snapshot.query(ALLOCATIONS, [&ids]).await?)
}

pub(super) async fn stock(
    snapshot: &Transaction<'_>,
    after: Option<&Place>,
    limit: u32,
) -> Result<Vec<StockAudit>, Failure> {
    let (product_id, location_id) = after.map_or(("", ""), |(product, location)| (product.as_str(), location.as_str()));
    let level = |row: &Row| {
        Ok(StockAudit {
            product_id: rows::id("stock", row, 0)?,
            location_id: rows::id("stock", row, 1)?,
            level: rows::level(row, 2)?,
            held: rows::column(row, 5)?,
            newest_seq: rows::column(row, 6)?,
        })
    };
    snapshot.query(STOCK, [&product_id, &location_id, &i64::from(limit)]).await?.iter().map(level).collect()
}

pub(super) async fn movements(snapshot: &Transaction<'_>, stretch: &Stretch) -> Result<Vec<Movement>, Failure> {
    let Stretch { product_id, location_id, after_seq, up_to_seq, limit } = stretch;
    let (product, location, limit) = (product_id.as_str(), location_id.as_str(), i64::from(*limit));
    let rows = snapshot.query(STRETCH, [&product, &location, after_seq, up_to_seq, &limit]).await?;
    rows.iter().map(rows::movement).collect()
}

pub(super) async fn levels(snapshot: &Transaction<'_>, points: &[(Place, i64)]) -> Result<Vec<Option<Level>>, Failure> {
    let products: Vec<&str> = points.iter().map(|((product, _), _)| product.as_str()).collect();
    let locations: Vec<&str> = points.iter().map(|((_, location), _)| location.as_str()).collect();
    let numbers: Vec<i64> = points.iter().map(|(_, seq)| *seq).collect();
    let rows = snapshot.query(LEVELS_AT, [&products, &locations, &numbers]).await?;
    let found = rows.iter().map(|row| Ok((rows::column::<i64>(row, 0)?, rows::level(row, 1)?)));
    let found: BTreeMap<i64, Level> = found.collect::<Result<_, Failure>>()?;
    Ok((1..).zip(points).map(|(number, _)| found.get(&number).copied()).collect())
}

pub(super) async fn products(
    snapshot: &Transaction<'_>,
    product_ids: &[ProductId],
) -> Result<Vec<Option<i64>>, Failure> {
    let ids: Vec<&str> = product_ids.iter().map(|id| id.as_str()).collect();
    let rows = snapshot.query(KNOWN_SINCE, [&ids]).await?;
    let known = rows.iter().map(|row| Ok((rows::column(row, 0)?, rows::column(row, 1)?)));
    let known: BTreeMap<&str, i64> = known.collect::<Result<_, Failure>>()?;
    Ok(ids.iter().map(|id| known.get(id).copied()).collect())
}
