//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Level, Movement};
use platform::failure::Failure;
use rusqlite::{Connection, OptionalExtension, params};
use storage::sqlite::Readers;

use super::super::{AuditStore, HELD_AT_ONCE, HeldAudit, LedgerRange, StockAudit, StockKey};
use super::load;
use super::rows::{self, MOVEMENT_COLUMNS, RESERVATION_COLUMNS, ReservationRow};

/// The readers of one file; there is no way to write through them.
#[derive(Debug)]
pub struct SqliteAudit {
    readers: Readers,
}

impl SqliteAudit {
    pub(super) fn new(readers: Readers) -> Self {
        Self { readers }
    }
}

#[async_trait]
impl AuditStore for SqliteAudit {
    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, Failure> {
        self.readers.read(move |connection| reservations_after(connection, after, limit)).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.readers.read(move |connection| ids(connection, after, limit)).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.readers.read(last).await
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Reservation>, Failure> {
        self.readers.read(move |connection| of(connection, &order_ids)).await
    }

    async fn stock_after(
        &self,
        after: Option<StockKey>,
        limit: u32,
    ) -> Result<Vec<StockAudit>, Failure> {
        self.readers.read(move |connection| stock(connection, after.as_ref(), limit)).await
    }

    async fn held_at(
        &self,
        stock_key: StockKey,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<HeldAudit, Failure> {
        self.readers.read(move |connection| held(connection, &stock_key, after, limit)).await
    }

    async fn ledger(&self, stretch: LedgerRange) -> Result<Vec<Movement>, Failure> {
        self.readers.read(move |connection| movements(connection, &stretch)).await
    }

    async fn levels_at(&self, points: Vec<(StockKey, i64)>) -> Result<Vec<Option<Level>>, Failure> {
        self.readers.read(move |connection| levels(connection, &points)).await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        self.readers.read(move |connection| products(connection, &product_ids)).await
    }
}

fn reservations_after(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<Reservation>> {
    let sql = format!(
        "SELECT {RESERVATION_COLUMNS} FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2"
    );
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![lowest, limit], ReservationRow::read)?;
    rows.map(|row| row?.complete(connection)).collect()
}

fn ids(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderId>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_id FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2",
    )?;
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let ids = statement
        .query_map(params![lowest, limit], |row| Ok(rows::order_id(row.get("order_id")?)))?;
    ids.collect()
}

fn last(connection: &Connection) -> rusqlite::Result<Option<OrderId>> {
    let mut statement =
        connection.prepare_cached("SELECT max(order_id) AS last FROM reservations")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<[u8; 16]>>("last"))?.map(rows::order_id))
}

fn of(connection: &Connection, order_ids: &[OrderId]) -> rusqlite::Result<Vec<Reservation>> {
    let mut sorted = order_ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let found = sorted.into_iter().map(|order_id| load::reservation(connection, order_id));
    found.filter_map(Result::transpose).collect()
}

fn stock(
    connection: &Connection,
    after: Option<&StockKey>,
    limit: u32,
) -> rusqlite::Result<Vec<StockAudit>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_id, location_id, on_hand, reserved, last_seq,
                (SELECT CASE WHEN count(*) <= ?4 THEN coalesce(sum(quantity) FILTER (WHERE state = 'reserved'), 0) END
                 FROM (SELECT quantity, state
                       FROM allocations LEFT JOIN reservations ON reservations.order_id = allocations.order_id
                       WHERE allocations.product_id = stock.product_id AND allocations.location_id = stock.location_id
                       LIMIT ?4 + 1)) AS held,
                (SELECT coalesce(max(seq), 0) FROM movements
                 WHERE movements.product_id = stock.product_id AND movements.location_id = stock.location_id) AS newest_seq
         FROM stock WHERE (product_id, location_id) > (?1, ?2) ORDER BY product_id, location_id LIMIT ?3",
    )?;
    let (product_id, location_id) =
        after.map_or(("", ""), |(product, location)| (product.as_str(), location.as_str()));
    let rows =
        statement.query_map(params![product_id, location_id, limit, HELD_AT_ONCE], |row| {
            Ok(StockAudit {
                product_id: rows::id("stock", row, "product_id")?,
                location_id: rows::id("stock", row, "location_id")?,
                level: rows::level(row, "last_seq")?,
                held: row.get("held")?,
                newest_seq: row.get("newest_seq")?,
            })
        })?;
    rows.collect()
}

fn held(
    connection: &Connection,
    (product_id, location_id): &StockKey,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<HeldAudit> {
    let stock_key = params![product_id.as_str(), location_id.as_str()];
    let level = connection
        .prepare_cached("SELECT on_hand, reserved, last_seq FROM stock WHERE product_id = ?1 AND location_id = ?2")?
        .query_row(stock_key, |row| rows::level(row, "last_seq"))
        .optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT allocations.order_id, CASE WHEN state = 'reserved' THEN quantity ELSE 0 END AS held
         FROM allocations LEFT JOIN reservations ON reservations.order_id = allocations.order_id
         WHERE product_id = ?1 AND location_id = ?2 AND allocations.order_id > ?3
         ORDER BY allocations.order_id LIMIT ?4",
    )?;
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let found = statement
        .query_map(params![product_id.as_str(), location_id.as_str(), lowest, limit], |row| {
            Ok((rows::order_id(row.get("order_id")?), row.get::<_, i64>("held")?))
        })?;
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(HeldAudit::of(level.unwrap_or_default(), &found, limit))
}

fn movements(connection: &Connection, stretch: &LedgerRange) -> rusqlite::Result<Vec<Movement>> {
    let sql = format!(
        "SELECT {MOVEMENT_COLUMNS} FROM movements
         WHERE product_id = ?1 AND location_id = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let LedgerRange { product_id, location_id, after_seq, up_to_seq, limit } = stretch;
    let row = params![product_id.as_str(), location_id.as_str(), after_seq, up_to_seq, limit];
    let rows = statement.query_map(row, rows::movement)?;
    rows.collect()
}

fn levels(
    connection: &Connection,
    points: &[(StockKey, i64)],
) -> rusqlite::Result<Vec<Option<Level>>> {
    let mut statement = connection.prepare_cached(
        "SELECT on_hand, reserved, seq FROM movements WHERE product_id = ?1 AND location_id = ?2 AND seq = ?3",
    )?;
    let mut level = |((product_id, location_id), seq): &(StockKey, i64)| {
        let row = params![product_id.as_str(), location_id.as_str(), seq];
        statement.query_row(row, |found| rows::level(found, "seq")).optional()
    };
    points.iter().map(&mut level).collect()
}

fn products(connection: &Connection, product_ids: &[ProductId]) -> rusqlite::Result<Vec<bool>> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM products WHERE product_id = ?1")?;
    product_ids.iter().map(|id| statement.exists(params![id.as_str()])).collect()
}
