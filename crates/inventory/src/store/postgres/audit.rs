//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Level, Movement};
use platform::failure::Failure;
use storage::postgres::{Parameter, Readers, Transaction, page_from};
use tokio_postgres::Row;

use super::super::{AuditStore, HELD_AT_ONCE, HeldAudit, LedgerRange, StockAudit, StockKey};
use super::query::{complete, reservations};
use super::rows::{self, movement_columns, reservation_columns};

const AFTER: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE order_id >= $1 ORDER BY order_id LIMIT $2"
);
const IDS: &str =
    "SELECT order_id FROM reservations WHERE order_id >= $1 ORDER BY order_id LIMIT $2";
const LAST: &str = "SELECT order_id FROM reservations ORDER BY order_id DESC LIMIT 1";
const STOCK: &str = "SELECT product_id, location_id, on_hand, reserved, last_seq,
            (SELECT CASE WHEN count(*) <= $4::bigint
                         THEN coalesce(sum(quantity) FILTER (WHERE state = 'reserved'), 0)::bigint END
             FROM (SELECT quantity, state
                   FROM allocations LEFT JOIN reservations ON reservations.order_id = allocations.order_id
                   WHERE allocations.product_id = stock.product_id AND allocations.location_id = stock.location_id
                   LIMIT $4::bigint + 1) AS promised) AS held,
            (SELECT coalesce(max(seq), 0) FROM movements
             WHERE movements.product_id = stock.product_id AND movements.location_id = stock.location_id) AS newest_seq
     FROM stock WHERE (product_id, location_id) > ($1::text, $2::text) ORDER BY product_id, location_id LIMIT $3";
const LEVEL: &str =
    "SELECT on_hand, reserved, last_seq FROM stock WHERE product_id = $1 AND location_id = $2";
const HELD: &str = "SELECT promised.order_id,
            (SELECT promised.quantity FROM reservations
             WHERE reservations.order_id = promised.order_id AND state = 'reserved') AS held
     FROM (SELECT order_id, quantity FROM allocations
           WHERE product_id = $1 AND location_id = $2 AND order_id >= $3 ORDER BY order_id LIMIT $4) AS promised
     ORDER BY promised.order_id";
const STRETCH: &str = concat!(
    "SELECT ",
    movement_columns!(),
    " FROM movements WHERE product_id = $1 AND location_id = $2 AND seq > $3 AND seq <= $4 ORDER BY seq LIMIT $5"
);
const LEVELS_AT: &str = "SELECT number, on_hand, reserved, seq
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS point (product, location, at, number)
          JOIN movements ON product_id = product AND location_id = location AND seq = at";
const KNOWN: &str = "SELECT product_id FROM products WHERE product_id = ANY($1::text[])";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 9] =
    [AFTER, IDS, LAST, STOCK, LEVEL, HELD, STRETCH, LEVELS_AT, KNOWN];

/// Connections that read; there is no way to write through them.
#[derive(Debug)]
pub struct PostgresAudit {
    readers: Readers,
}

impl PostgresAudit {
    pub(super) fn new(readers: Readers) -> Self {
        Self { readers }
    }
}

#[async_trait]
impl AuditStore for PostgresAudit {
    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, Failure> {
        self.readers.read(async |snapshot| reservations_after(snapshot, after, limit).await).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.readers.read(async |snapshot| ids(snapshot, after, limit).await).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.readers.read(async |snapshot| last(snapshot).await).await
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Reservation>, Failure> {
        self.readers.read(async |snapshot| reservations(snapshot, &order_ids).await).await
    }

    async fn stock_after(
        &self,
        after: Option<StockKey>,
        limit: u32,
    ) -> Result<Vec<StockAudit>, Failure> {
        self.readers.read(async |snapshot| stock(snapshot, after.as_ref(), limit).await).await
    }

    async fn held_at(
        &self,
        stock_key: StockKey,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<HeldAudit, Failure> {
        self.readers.read(async |snapshot| held(snapshot, &stock_key, after, limit).await).await
    }

    async fn ledger(&self, stretch: LedgerRange) -> Result<Vec<Movement>, Failure> {
        self.readers.read(async |snapshot| movements(snapshot, &stretch).await).await
    }

    async fn levels_at(&self, points: Vec<(StockKey, i64)>) -> Result<Vec<Option<Level>>, Failure> {
        self.readers.read(async |snapshot| levels(snapshot, &points).await).await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        self.readers.read(async |snapshot| products(snapshot, &product_ids).await).await
    }
}

async fn reservations_after(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<Reservation>, Failure> {
    complete(snapshot, &snapshot.page(AFTER, after.map(|id| id.0), limit).await?).await
}

async fn ids(
    snapshot: &Transaction<'_>,
    after: Option<OrderId>,
    limit: u32,
) -> Result<Vec<OrderId>, Failure> {
    snapshot.page(IDS, after.map(|id| id.0), limit).await?.iter().map(rows::order_id).collect()
}

async fn last(snapshot: &Transaction<'_>) -> Result<Option<OrderId>, Failure> {
    snapshot.query(LAST, []).await?.first().map(rows::order_id).transpose()
}

async fn stock(
    snapshot: &Transaction<'_>,
    after: Option<&StockKey>,
    limit: u32,
) -> Result<Vec<StockAudit>, Failure> {
    let (product_id, location_id) =
        after.map_or(("", ""), |(product, location)| (product.as_str(), location.as_str()));
    let level = |row: &Row| {
        Ok(StockAudit {
            product_id: rows::id("stock", row, "product_id")?,
            location_id: rows::id("stock", row, "location_id")?,
            level: rows::level(row, "last_seq")?,
            held: rows::column(row, "held")?,
            newest_seq: rows::column(row, "newest_seq")?,
        })
    };
    let parameters: [Parameter<'_>; 4] =
        [&product_id, &location_id, &i64::from(limit), &i64::from(HELD_AT_ONCE)];
    snapshot.query(STOCK, parameters).await?.iter().map(level).collect()
}

async fn held(
    snapshot: &Transaction<'_>,
    (product_id, location_id): &StockKey,
    after: Option<OrderId>,
    limit: u32,
) -> Result<HeldAudit, Failure> {
    let (product, location) = (product_id.as_str(), location_id.as_str());
    let level = snapshot.query(LEVEL, [&product, &location]).await?;
    let page = match page_from(after.map(|id| id.0)) {
        Some(from) => snapshot.query(HELD, [&product, &location, &from, &i64::from(limit)]).await?,
        None => Vec::new(),
    };
    let level =
        level.first().map(|row| rows::level(row, "last_seq")).transpose()?.unwrap_or_default();
    let held = |row: &Row| {
        Ok((
            OrderId(rows::column(row, "order_id")?),
            rows::column::<Option<i64>>(row, "held")?.unwrap_or(0),
        ))
    };
    let page: Vec<_> = page.iter().map(held).collect::<Result<_, Failure>>()?;
    Ok(HeldAudit::of(level, &page, limit))
}

async fn movements(
    snapshot: &Transaction<'_>,
    stretch: &LedgerRange,
) -> Result<Vec<Movement>, Failure> {
    let LedgerRange { product_id, location_id, after_seq, up_to_seq, limit } = stretch;
    let (product, location, limit) = (product_id.as_str(), location_id.as_str(), i64::from(*limit));
    let rows = snapshot.query(STRETCH, [&product, &location, after_seq, up_to_seq, &limit]).await?;
    rows.iter().map(rows::movement).collect()
}

async fn levels(
    snapshot: &Transaction<'_>,
    points: &[(StockKey, i64)],
) -> Result<Vec<Option<Level>>, Failure> {
    let products: Vec<&str> = points.iter().map(|((product, _), _)| product.as_str()).collect();
    let locations: Vec<&str> = points.iter().map(|((_, location), _)| location.as_str()).collect();
    let numbers: Vec<i64> = points.iter().map(|(_, seq)| *seq).collect();
    let rows = snapshot.query(LEVELS_AT, [&products, &locations, &numbers]).await?;
    let found =
        rows.iter().map(|row| Ok((rows::column::<i64>(row, "number")?, rows::level(row, "seq")?)));
    let found: BTreeMap<i64, Level> = found.collect::<Result<_, Failure>>()?;
    Ok((1..).zip(points).map(|(number, _)| found.get(&number).copied()).collect())
}

async fn products(
    snapshot: &Transaction<'_>,
    product_ids: &[ProductId],
) -> Result<Vec<bool>, Failure> {
    let ids: Vec<&str> = product_ids.iter().map(|id| id.as_str()).collect();
    let rows = snapshot.query(KNOWN, [&ids]).await?;
    let known: BTreeSet<&str> =
        rows.iter().map(|row| rows::column(row, "product_id")).collect::<Result<_, Failure>>()?;
    Ok(ids.iter().map(|id| known.contains(id)).collect())
}
