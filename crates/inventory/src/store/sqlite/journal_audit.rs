//! Reads of the journal for the audit (INV-13).

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use storage::journal::{self, RowLimit};
use storage::sqlite::failure;

use super::super::moved::{self, Moved};
use super::super::{StockAuditStore, StockPosition};
use super::audit::SqliteAudit;
use super::rows;

#[async_trait]
impl JournalAuditStore for SqliteAudit {
    fn name(&self, key: JournalKey) -> String {
        format!("the ledger of {}", moved::position_of(key))
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
        self.readers.read(move |connection| rows_after(connection, after, limit)).await
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
        Ok(self.last_stock().await?.map(moved::key))
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let after = after.map_or(StockPosition::BEFORE_ALL, moved::position_of);
        self.readers.read(move |connection| lengths_after(connection, after, limit)).await
    }
}

fn rows_after(
    connection: &Connection,
    after: i64,
    limit: RowLimit,
) -> rusqlite::Result<Vec<JournalRow<Span>>> {
    let rows = journal::rows_sqlite(connection, after, limit, moved::unpack)?;
    let mut movements = connection.prepare_cached(
        "SELECT product_no, location_no, seq FROM movements WHERE movement_no = ?1",
    )?;
    let spans = |JournalRow { number, entries }: JournalRow<Moved>| {
        let entries = match entries {
            Ok(entries) => spans(&mut movements, &entries)?,
            Err(failure) => Err(failure),
        };
        Ok(JournalRow { number, entries })
    };
    rows.into_iter().map(spans).collect()
}

/// The entries with the positions of their last movements. Only an error of the engine ends the
/// page.
fn spans(
    movements: &mut CachedStatement<'_>,
    entries: &[Moved],
) -> rusqlite::Result<Result<Vec<Span>, Failure>> {
    let mut spans = Vec::with_capacity(entries.len());
    for entry in entries {
        let position = |row: &Row<'_>| Ok((rows::stock_position(row)?, row.get("seq")?));
        match entry.span(movements.query_row([entry.last_movement], position).optional()?) {
            Ok(span) => spans.push(span),
            Err(misfit) => return Ok(Err(failure(misfit.into()))),
        }
    }
    Ok(Ok(spans))
}

fn length(row: &Row<'_>) -> rusqlite::Result<(JournalKey, i64)> {
    Ok((moved::key(rows::stock_position(row)?), row.get("last_seq")?))
}

fn lengths(
    connection: &Connection,
    keys: &[JournalKey],
) -> rusqlite::Result<Vec<(JournalKey, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_no, location_no, last_seq FROM stock
         WHERE product_no = ?1 AND location_no = ?2",
    )?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let StockPosition { product_no, location_no } = moved::position_of(*key);
        found.extend(statement.query_row([product_no, location_no], length).optional()?);
    }
    Ok(found)
}

fn lengths_after(
    connection: &Connection,
    after: StockPosition,
    limit: u32,
) -> rusqlite::Result<Vec<(JournalKey, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT product_no, location_no, last_seq FROM stock
         WHERE (product_no, location_no) > (?1, ?2) ORDER BY product_no, location_no LIMIT ?3",
    )?;
    statement.query_map(params![after.product_no, after.location_no, limit], length)?.collect()
}
