//! Reads of the journal for the audit (INV-13).

use async_trait::async_trait;
use contract::OrderId;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};
use rusqlite::{Connection, OptionalExtension, Row, params};
use storage::journal::{self, RowLimit};

use super::super::OrderAuditStore;
use super::super::made;
use super::audit::{SqliteAudit, lowest};
use super::rows;

#[async_trait]
impl JournalAuditStore for SqliteAudit {
    fn name(&self, key: JournalKey) -> String {
        format!("order {}", made::order_of(key))
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        self.readers.read(journal::last_sqlite).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let limit = RowLimit { rows, entries };
        let read = move |connection: &Connection| {
            journal::rows_sqlite(connection, after, limit, made::span)
        };
        self.readers.read(read).await
    }

    /// A transaction numbers its own row.
    async fn unnumbered_after(
        &self,
        _: i64,
        _: u32,
        _: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        Ok(Vec::new())
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        self.readers.read(move |connection| lengths(connection, &keys)).await
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        Ok(self.last_order_id().await?.map(made::key))
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let after = after.map(made::order_of);
        self.readers.read(move |connection| lengths_after(connection, after, limit)).await
    }
}

/// An order, and the number of its last entry.
const LENGTHS: &str = "SELECT order_id, coalesce(last_seq, 1) AS length
     FROM orders LEFT JOIN order_states ON order_states.order_no = orders.order_no";

fn length(row: &Row<'_>) -> rusqlite::Result<(JournalKey, i64)> {
    Ok((made::key(rows::order_id(row.get("order_id")?)), row.get("length")?))
}

fn lengths(
    connection: &Connection,
    keys: &[JournalKey],
) -> rusqlite::Result<Vec<(JournalKey, i64)>> {
    let mut statement = connection.prepare_cached(&format!("{LENGTHS} WHERE order_id = ?1"))?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let id = made::order_of(*key).0.into_bytes();
        found.extend(statement.query_row([id], length).optional()?);
    }
    Ok(found)
}

fn lengths_after(
    connection: &Connection,
    after: Option<OrderId>,
    limit: u32,
) -> rusqlite::Result<Vec<(JournalKey, i64)>> {
    let sql = format!("{LENGTHS} WHERE order_id > ?1 ORDER BY order_id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params![lowest(after), limit], length)?.collect()
}
