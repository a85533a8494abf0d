//! Reads for the audit: what the invariants speak of, a page at a time, each page from one
//! snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use platform::clock::Clock;
use platform::failure::Failure;
use rusqlite::{Connection, OptionalExtension, params};
use storage::sqlite::Readers;

use super::super::{AuditStore, Backlog, OrderAudit, PendingAudit};
use super::query;
use super::rows::{self, ORDER_COLUMNS, OrderRow};

/// The readers of one file; there is no way to write through them.
#[derive(Debug)]
pub struct SqliteAudit {
    readers: Readers,
    clock: Arc<dyn Clock>,
}

impl SqliteAudit {
    pub(super) fn new(readers: Readers, clock: Arc<dyn Clock>) -> Self {
        Self { readers, clock }
    }
}

#[async_trait]
impl AuditStore for SqliteAudit {
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
        self.readers.read(last).await
    }

    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        self.readers.read(move |connection| of(connection, &order_ids)).await
    }

    async fn pending_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<PendingAudit>, Failure> {
        self.readers.read(move |connection| pending(connection, after, limit)).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let now = self.clock.now();
        self.readers.read(move |connection| query::backlog(connection, now)).await
    }
}

fn orders_after(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderAudit>> {
    let sql = format!(
        "SELECT {ORDER_COLUMNS} FROM orders WHERE order_id > ?1 ORDER BY order_id LIMIT ?2"
    );
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![lowest, limit], OrderRow::read)?;
    rows.map(|row| of_row(connection, &row?)).collect()
}

fn ids(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<OrderId>> {
    let mut statement = connection.prepare_cached(
        "SELECT order_id FROM orders WHERE order_id > ?1 ORDER BY order_id LIMIT ?2",
    )?;
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let ids = statement
        .query_map(params![lowest, limit], |row| Ok(rows::order_id(row.get("order_id")?)))?;
    ids.collect()
}

fn last(connection: &Connection) -> rusqlite::Result<Option<OrderId>> {
    let mut statement = connection.prepare_cached(
        "SELECT max(order_id) AS last FROM (SELECT max(order_id) AS order_id FROM orders
                                    UNION ALL SELECT max(order_id) FROM pending_commands)",
    )?;
    Ok(statement.query_row([], |row| row.get::<_, Option<[u8; 16]>>("last"))?.map(rows::order_id))
}

fn of(connection: &Connection, order_ids: &[OrderId]) -> rusqlite::Result<Vec<OrderAudit>> {
    let mut sorted = order_ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let sql = format!("SELECT {ORDER_COLUMNS} FROM orders WHERE order_id = ?1");
    let mut found = Vec::with_capacity(sorted.len());
    for id in sorted {
        let row = connection
            .prepare_cached(&sql)?
            .query_row(params![id.0.as_bytes()], OrderRow::read)
            .optional()?;
        if let Some(row) = row {
            found.push(of_row(connection, &row)?);
        }
    }
    Ok(found)
}

fn pending(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<PendingAudit>> {
    let mut statement = connection.prepare_cached(
        "SELECT pending_commands.order_id, kind, since, updated_at
         FROM pending_commands LEFT JOIN orders ON orders.order_id = pending_commands.order_id
         WHERE pending_commands.order_id > ?1 ORDER BY pending_commands.order_id LIMIT ?2",
    )?;
    let lowest = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let rows = statement.query_map(params![lowest, limit], |row| {
        Ok(PendingAudit {
            order_id: rows::order_id(row.get("order_id")?),
            kind: row.get("kind")?,
            since_micros: row.get("since")?,
            moved_at_micros: row.get("updated_at")?,
        })
    })?;
    rows.collect()
}

fn of_row(connection: &Connection, row: &OrderRow) -> rusqlite::Result<OrderAudit> {
    let order_id = row.order_id;
    let key = params![order_id.0.as_bytes()];
    let pending: Option<String> = connection
        .prepare_cached("SELECT kind FROM pending_commands WHERE order_id = ?1")?
        .query_row(key, |found| found.get("kind"))
        .optional()?;
    Ok(OrderAudit {
        order_id,
        status: row.status,
        digest: row.digest,
        total_minor: row.total_minor,
        terms: row.terms(rows::lines(connection, order_id)?),
        history: steps(connection, order_id)?,
        pending: pending.map(|kind| rows::kind(order_id, &kind)).transpose()?,
    })
}

fn steps(
    connection: &Connection,
    id: OrderId,
) -> rusqlite::Result<Vec<(u32, orders_core::order::Status)>> {
    let mut statement = connection
        .prepare_cached("SELECT seq, status FROM order_history WHERE order_id = ?1 ORDER BY seq")?;
    let rows = statement.query_map(params![id.0.as_bytes()], |row| {
        Ok((row.get("seq")?, rows::status("order_history", id, &row.get::<_, String>("status")?)?))
    })?;
    rows.collect()
}
