//! Reads of the journal for the audit (INV-13).

use std::collections::BTreeMap;

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};
use storage::journal::{self, RowLimit};
use storage::postgres::Transaction;
use tokio_postgres::Row;

use super::super::moved::{self, Moved};
use super::super::{StockAuditStore, StockPosition};
use super::audit::PostgresAudit;
use super::rows;

const POSITIONS: &str = "SELECT movement_no, product_no, location_no, seq FROM movements
     WHERE movement_no = ANY($1::bigint[])";
/// Stock rows are looked up one by one, however many there are.
const LENGTHS: &str = "SELECT stock.product_no, stock.location_no, stock.last_seq
     FROM unnest($1::integer[], $2::integer[]) AS named (product, location)
          CROSS JOIN LATERAL (SELECT * FROM stock WHERE product_no = named.product
                              AND location_no = named.location LIMIT 1) AS stock";
const LENGTHS_AFTER: &str = "SELECT product_no, location_no, last_seq FROM stock
     WHERE (product_no, location_no) > ($1::integer, $2::integer)
     ORDER BY product_no, location_no LIMIT $3";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 6] = [
    POSITIONS,
    LENGTHS,
    LENGTHS_AFTER,
    journal::LAST_POSTGRES,
    journal::ROWS_POSTGRES,
    journal::UNNUMBERED_POSTGRES,
];

#[async_trait]
impl JournalAuditStore for PostgresAudit {
    fn name(&self, key: JournalKey) -> String {
        format!("the ledger of {}", moved::position_of(key))
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        self.readers.read(async |snapshot| journal::last_postgres(snapshot).await).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let limit = RowLimit { rows, entries };
        let read = async |snapshot: &Transaction<'_>| {
            let rows = journal::rows_postgres(snapshot, after, limit, moved::unpack).await?;
            let positions = positions(snapshot, rows.iter().map(|row| &row.entries)).await?;
            let spanned = |JournalRow { number, entries }: JournalRow<Moved>| JournalRow {
                number,
                entries: spans(entries, &positions),
            };
            Ok(rows.into_iter().map(spanned).collect())
        };
        self.readers.read(read).await
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        let limit = RowLimit { rows, entries };
        let read = async |snapshot: &Transaction<'_>| {
            let rows = journal::unnumbered_postgres(snapshot, after, limit, moved::unpack).await?;
            let positions = positions(snapshot, rows.iter().map(|row| &row.entries)).await?;
            let spanned = |Unnumbered { id, entries }: Unnumbered<Moved>| Unnumbered {
                id,
                entries: spans(entries, &positions),
            };
            Ok(rows.into_iter().map(spanned).collect())
        };
        self.readers.read(read).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let positions: Vec<_> = keys.into_iter().map(moved::position_of).collect();
        let products: Vec<i32> = positions.iter().map(|position| position.product_no).collect();
        let locations: Vec<i32> = positions.iter().map(|position| position.location_no).collect();
        let read = async |snapshot: &Transaction<'_>| {
            snapshot.query(LENGTHS, [&products, &locations]).await
        };
        self.readers.read(read).await?.iter().map(length).collect()
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        Ok(self.last_stock().await?.map(moved::key))
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let StockPosition { product_no, location_no } =
            after.map_or(StockPosition::BEFORE_ALL, moved::position_of);
        let limit = i64::from(limit);
        let read = async |snapshot: &Transaction<'_>| {
            snapshot.query(LENGTHS_AFTER, [&product_no, &location_no, &limit]).await
        };
        self.readers.read(read).await?.iter().map(length).collect()
    }
}

/// The stock keys of movements and their positions in its ledger, by their numbers.
type Positions = BTreeMap<i64, (StockPosition, i64)>;

/// The positions of the last movements of these entries.
async fn positions<'rows>(
    snapshot: &Transaction<'_>,
    entries: impl Iterator<Item = &'rows Result<Vec<Moved>, Failure>>,
) -> Result<Positions, Failure> {
    let entries = entries.flatten().flatten();
    let numbers: Vec<i64> = entries.map(|entry| entry.last_movement).collect();
    let position = |row: &Row| {
        let position = (rows::stock_position(row)?, rows::column(row, "seq")?);
        Ok((rows::column(row, "movement_no")?, position))
    };
    snapshot.query(POSITIONS, [&numbers]).await?.iter().map(position).collect()
}

fn spans(
    entries: Result<Vec<Moved>, Failure>,
    positions: &Positions,
) -> Result<Vec<Span>, Failure> {
    let span = |entry: Moved| Ok(entry.span(positions.get(&entry.last_movement).copied())?);
    entries?.into_iter().map(span).collect()
}

fn length(row: &Row) -> Result<(JournalKey, i64), Failure> {
    Ok((moved::key(rows::stock_position(row)?), rows::column(row, "last_seq")?))
}
