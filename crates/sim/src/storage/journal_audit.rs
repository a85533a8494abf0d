//! The reads of the journals for the audits.

use async_trait::async_trait;
use platform::audit::{JournalAuditStore, JournalKey, Span};
use platform::failure::Failure;
use platform::journal::{JournalRow, Unnumbered};

use super::{OrdersPort, StockPort};

#[async_trait]
impl JournalAuditStore for OrdersPort {
    fn name(&self, key: JournalKey) -> String {
        self.0.world.stores.orders_audit.name(key)
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        let found = self.0.world.stores.orders_audit.last_number();
        self.0.read("auditing", found).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let found = self.0.world.stores.orders_audit.rows_after(after, rows, entries);
        self.0.read("auditing", found).await
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        let found = self.0.world.stores.orders_audit.unnumbered_after(after, rows, entries);
        self.0.read("auditing", found).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.0.world.stores.orders_audit.lengths(keys);
        self.0.read("auditing", found).await
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        let found = self.0.world.stores.orders_audit.last_key();
        self.0.read("auditing", found).await
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.0.world.stores.orders_audit.lengths_after(after, limit);
        self.0.read("auditing", found).await
    }
}

#[async_trait]
impl JournalAuditStore for StockPort {
    fn name(&self, key: JournalKey) -> String {
        self.0.world.stores.inventory_audit.name(key)
    }

    async fn last_number(&self) -> Result<i64, Failure> {
        let found = self.0.world.stores.inventory_audit.last_number();
        self.0.read("auditing", found).await
    }

    async fn rows_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<JournalRow<Span>>, Failure> {
        let found = self.0.world.stores.inventory_audit.rows_after(after, rows, entries);
        self.0.read("auditing", found).await
    }

    async fn unnumbered_after(
        &self,
        after: i64,
        rows: u32,
        entries: u32,
    ) -> Result<Vec<Unnumbered<Span>>, Failure> {
        let found = self.0.world.stores.inventory_audit.unnumbered_after(after, rows, entries);
        self.0.read("auditing", found).await
    }

    async fn lengths(&self, keys: Vec<JournalKey>) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.0.world.stores.inventory_audit.lengths(keys);
        self.0.read("auditing", found).await
    }

    async fn last_key(&self) -> Result<Option<JournalKey>, Failure> {
        let found = self.0.world.stores.inventory_audit.last_key();
        self.0.read("auditing", found).await
    }

    async fn lengths_after(
        &self,
        after: Option<JournalKey>,
        limit: u32,
    ) -> Result<Vec<(JournalKey, i64)>, Failure> {
        let found = self.0.world.stores.inventory_audit.lengths_after(after, limit);
        self.0.read("auditing", found).await
    }
}
