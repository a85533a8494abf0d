//! The reads of the journals.

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};

use super::Reads;

#[async_trait]
impl<S, T> JournalAuditStore for Reads<S, T>
where
    S: JournalAuditStore + ?Sized,
    T: std::fmt::Debug + Send + Sync,
{
    fn name(&self, key: JournalKey) -> String {
        self.store.name(key)
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        self.last_number.get((), || self.store.last_number()).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let read = || self.store.rows_after(after, rows, entries);
        self.journal.get((after, rows, entries), read).await
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        self.store.unnumbered_after(after, rows, entries).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        self.lengths.get(keys.clone(), || self.store.lengths(keys)).await
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        self.store.last_key().await
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        self.store.lengths_after(after, limit).await
    }
}
