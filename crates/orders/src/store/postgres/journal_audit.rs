//! Reads of the journal for the audit (INV-13).

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};
use storage::journal::{self, RowLimit};
use storage::postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::super::OrderAuditStore;
use super::super::made;
use super::audit::PostgresAudit;
use super::rows;

/// Selects orders, each with the number of its last entry.
macro_rules! select_lengths {
    ($rest:literal) => {
        concat!(
            "SELECT orders.order_id, coalesce(order_states.last_seq, 1) AS length
             FROM orders LEFT JOIN order_states ON order_states.order_id = orders.order_id ",
            $rest
        )
    };
}

const LENGTHS: &str = select_lengths!("WHERE orders.order_id = ANY($1::uuid[])");
const LENGTHS_AFTER: &str =
    select_lengths!("WHERE orders.order_id >= $1 ORDER BY orders.order_id LIMIT $2");

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 5] = [
    LENGTHS,
    LENGTHS_AFTER,
    journal::LAST_POSTGRES,
    journal::ROWS_POSTGRES,
    journal::UNNUMBERED_POSTGRES,
];

#[async_trait]
impl JournalAuditStore for PostgresAudit {
    fn name(&self, key: JournalKey) -> String {
        format!("order {}", made::order_of(key))
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
            journal::rows_postgres(snapshot, after, limit, made::span).await
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
            journal::unnumbered_postgres(snapshot, after, limit, made::span).await
        };
        self.readers.read(read).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let ids: Vec<Uuid> = keys.into_iter().map(|key| made::order_of(key).0).collect();
        let rows = self.readers.read(async |snapshot| snapshot.query(LENGTHS, [&ids]).await);
        rows.await?.iter().map(length).collect()
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        Ok(self.last_order_id().await?.map(made::key))
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let after = after.map(|key| made::order_of(key).0);
        let page =
            async |snapshot: &Transaction<'_>| snapshot.page(LENGTHS_AFTER, after, limit).await;
        self.readers.read(page).await?.iter().map(length).collect()
    }
}

fn length(row: &Row) -> Result<(JournalKey, i64), Failure> {
    Ok((made::key(rows::order_id(row)?), rows::column(row, "length")?))
}
