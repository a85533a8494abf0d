//! The reads of the journals for the audits.

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};

use super::side::{Side, SidePort};

impl<S: Side> SidePort<S> {
    fn journal(&self) -> &dyn JournalAuditStore {
        S::journal(&self.port.world.stores)
    }
}

#[async_trait]
impl<S: Side> JournalAuditStore for SidePort<S> {
    fn name(&self, key: JournalKey) -> String {
        self.journal().name(key)
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        let found = self.journal().last_number();
        self.port.read("auditing", found).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let found = self.journal().rows_after(after, rows, entries);
        self.port.read("auditing", found).await
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        let found = self.journal().unnumbered_after(after, rows, entries);
        self.port.read("auditing", found).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.journal().lengths(keys);
        self.port.read("auditing", found).await
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        let found = self.journal().last_key();
        self.port.read("auditing", found).await
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.journal().lengths_after(after, limit);
        self.port.read("auditing", found).await
    }
}
