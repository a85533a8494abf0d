//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use orders_core::decide::Deadline;
use platform::clock::Clock;
use platform::failure::Failure;
use platform::pairing::Identity;
use rusqlite::{Connection, OptionalExtension, params};
use storage::sqlite::Readers;

use super::super::packed::StoredOrder;
use super::super::{Backlog, OrderAudit, OrderAuditStore, RowAudit, RowKey};
use super::query;
use super::rows::{self, SELECT_ORDER};

/// The readers of one file; there is no way to write through them.
#[derive(Debug)]
pub struct SqliteAudit {
    pub(super) readers: Readers,
    clock: Arc<dyn Clock>,
}

impl SqliteAudit {
    pub(super) fn new(readers: Readers, clock: Arc<dyn Clock>) -> Self {
        Self { readers, clock }
    }

    /// What the database says about itself.
    ///
    /// # Errors
    ///
    /// It cannot be read now.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        self.readers.identity().await
    }
}

#[async_trait]
impl OrderAuditStore for SqliteAudit {
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure> {
        self.readers.read(move |connection| orders_after(connection, after, limit)).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.readers.read(move |connection| ids(connection, after, limit)).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.readers.read(last_order).await
    }

    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        self.readers.read(move |connection| of(connection, &order_ids)).await
    }

    async fn pending_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.readers.read(move |connection| rows_of(PENDING, connection, after, limit)).await
    }

    async fn last_pending(&self) -> Result<Option<RowKey>, Failure> {
        self.readers.read(|connection| last_of(PENDING, connection)).await
    }

    async fn deadlines_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.readers.read(move |connection| rows_of(DEADLINES, connection, after, limit)).await
    }

    async fn last_deadline(&self) -> Result<Option<RowKey>, Failure> {
        self.readers.read(|connection| last_of(DEADLINES, connection)).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let now = self.clock.now();
        self.readers.read(move |connection| query::backlog(connection, now)).await
    }
}

/// The tables of which an order has at most one row.
const PENDING: &str = "pending_commands";
const DEADLINES: &str = "payment_deadlines";

/// The bytes that an id must exceed to come after another one.
pub(super) fn lowest(after: Option<OrderId>) -> Vec<u8> {
    after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default()
}

fn orders_after(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderAudit>> {
    let sql = format!("{SELECT_ORDER} WHERE order_id > ?1 ORDER BY order_id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![lowest(after), limit], rows::stored_order)?;
    rows.map(|row| audit(connection, row?)).collect()
}

fn ids(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderId>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_id FROM orders WHERE order_id > ?1 ORDER BY order_id LIMIT ?2",
    )?;
    let ids = statement
        .query_map(params![lowest(after), limit], |row| Ok(rows::order_id(row.get("order_id")?)))?;
    ids.collect()
}

fn last_order(connection: &Connection) -> rusqlite::Result<Option<OrderId>> {
    let mut statement = connection.prepare_cached("SELECT max(order_id) AS last FROM orders")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<[u8; 16]>>("last"))?.map(rows::order_id))
}

fn of(connection: &Connection, order_ids: &[OrderId]) -> rusqlite::Result<Vec<OrderAudit>> {
    let mut sorted = order_ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut found = Vec::with_capacity(sorted.len());
    for id in sorted {
        if let Some(stored) = rows::order_by_id(connection, id)? {
            found.push(audit(connection, stored)?);
        }
    }
    Ok(found)
}

/// An order with its pending command and its deadline.
fn audit(
    connection: &Connection,
    (order_no, stored): (i64, StoredOrder),
) -> rusqlite::Result<OrderAudit> {
    let pending = connection
        .prepare_cached("SELECT revision, since FROM pending_commands WHERE order_no = ?1")?
        .query_row([order_no], |row| Ok((row.get("revision")?, row.get("since")?)))
        .optional()?;
    let deadline = connection
        .prepare_cached("SELECT armed_at, pay_by FROM payment_deadlines WHERE order_no = ?1")?
        .query_row([order_no], |row| {
            let armed_at_micros = row.get("armed_at")?;
            Ok(Deadline { armed_at_micros, pay_by_micros: row.get("pay_by")? })
        })
        .optional()?;
    Ok(stored.audit(pending, deadline))
}

fn rows_of(
    table: &str,
    connection: &Connection,
    after: Option<RowKey>,
    limit: u32,
) -> rusqlite::Result<Vec<RowAudit>> {
    let sql = format!(
        "SELECT {table}.order_no, order_id
         FROM {table} LEFT JOIN orders ON orders.order_no = {table}.order_no
         WHERE {table}.order_no > ?1 ORDER BY {table}.order_no LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let lowest = after.map_or(Ok(i64::MIN), |key| i64::try_from(key.0));
    let rows = statement.query_map(params![lowest.unwrap_or(i64::MAX), limit], |row| {
        let order_no: i64 = row.get("order_no")?;
        let order_id: Option<[u8; 16]> = row.get("order_id")?;
        Ok(RowAudit {
            key: row_key(order_no),
            name: format!("order_no {order_no}"),
            has_order: order_id.is_some(),
        })
    })?;
    rows.collect()
}

fn last_of(table: &str, connection: &Connection) -> rusqlite::Result<Option<RowKey>> {
    let sql = format!("SELECT max(order_no) AS last FROM {table}");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([], |row| row.get::<_, Option<i64>>("last"))?.map(row_key))
}

fn row_key(order_no: i64) -> RowKey {
    RowKey(u128::try_from(order_no).unwrap_or_default())
}
