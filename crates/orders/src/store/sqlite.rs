//! Orders in a SQLite file: one thread writes, and a few connections read beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use contract::commands::AllocateStock;
use faults::fault_point;
use orders_core::decide::{DecideOrders, DecidedOrder, OrderCommand, Receipt};
use platform::admin::{AdminLog, Requester};
use platform::clock::{Clock, Timestamp};
use platform::failure::{Failure, Suspicion};
use platform::journal::{Journal, Position, Recorded};
use platform::keys::KeyTable;
use platform::pairing::Pairing;
use platform::quarantine::{QuarantineTable, Quarantined};
use rusqlite::Transaction;
use storage::migration::Migration;
use storage::quarantine;
use storage::sqlite::{Database, Keeper, OpenError, Readers, failure};

use super::{
    Backlog, DeadlineLease, Filter, Lease, LeasedDeadlines, MadeDue, MadeEntry, OrderFeedStore,
    OrderHeader, OrderStore, OrderSummary, OrderView, Overdue, PendingFilter, PendingPage,
    ReadOrder,
};
use crate::NAMES;

mod audit;
mod deadlines;
mod journal_audit;
mod lease;
mod load;
mod pending;
mod query;
mod rows;
mod write;

pub use audit::SqliteAudit;

/// The schema's steps, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, sql: include_str!("../../migrations/sqlite/0001_orders.sql") }];

/// A file that one service has opened; it holds the file's lock as long as it lives.
#[derive(Debug)]
pub struct Sqlite {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Sqlite {
    /// Opens or makes the file, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// Another service uses the file, or it is not what a service can stand on.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Database::open(path, MIGRATIONS, clock.clone())?;
        Ok(Self { database, clock })
    }

    /// The same without any thread, for the simulator: every call is done where it is made.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_inline(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Database::open_inline(path, MIGRATIONS, clock.clone())?;
        Ok(Self { database, clock })
    }

    /// Opens an existing file beside the service that owns it, for reading only.
    ///
    /// # Errors
    ///
    /// There is no such file, or its schema is not one that this program knows.
    pub fn open_for_audit(path: &Path, clock: Arc<dyn Clock>) -> Result<SqliteAudit, OpenError> {
        let readers = Readers::for_audit(path, MIGRATIONS)?;
        Ok(SqliteAudit::new(readers, clock))
    }

    /// Which database this is, and which one its peer.
    ///
    /// # Errors
    ///
    /// It cannot be read now.
    pub async fn pairing(&self) -> Result<Arc<Pairing>, Failure> {
        self.database.pairing(NAMES).await
    }

    /// The table of API keys.
    pub fn keys(&self) -> Arc<dyn KeyTable> {
        Arc::new(self.database.clone())
    }

    /// The journal of what happened to orders.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.database.clone())
    }

    /// The messages that were set aside, as operators look through them.
    pub fn quarantine_table(&self) -> Arc<dyn QuarantineTable> {
        Arc::new(self.database.clone())
    }

    /// What people changed by hand, as operators read it.
    pub fn admin_log(&self) -> Arc<dyn AdminLog> {
        Arc::new(self.database.clone())
    }

    /// The worker that looks after the file while the service runs.
    pub fn keeper(&self) -> Keeper {
        self.database.keeper()
    }

    /// What the service's own auditor reads.
    pub fn audit(&self) -> SqliteAudit {
        SqliteAudit::new(self.database.readers().clone(), self.clock.clone())
    }
}

#[async_trait]
impl OrderStore for Sqlite {
    fn parallel_batches(&self) -> usize {
        1
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        let deciding = move |transaction: &Transaction<'_>, now: Timestamp| {
            let (loaded, numbers) = load::load(transaction, &batch).map_err(failure)?;
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, &batch, loaded)))
                .map_err(|_| Suspicion::DeciderPanicked)?;
            write::apply(transaction, &decision.changes, &numbers)?;
            fault_point!("orders.before_commit", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "orders.commit_sent", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "settle.commit_sent", when batch.iter().any(OrderCommand::is_answer));
            Ok(decision.decided)
        };
        self.database.write(deciding).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        self.database
            .write(move |transaction, now| lease::lease(transaction, lease, now).map_err(failure))
            .await
    }

    async fn lease_deadlines(&self, lease: DeadlineLease) -> Result<LeasedDeadlines, Failure> {
        let leasing = move |transaction: &Transaction<'_>, now| {
            deadlines::lease(transaction, lease, now).map_err(failure)
        };
        self.database.write(leasing).await
    }

    async fn overdue(&self) -> Result<Overdue, Failure> {
        let now = self.clock.now();
        self.database.read(move |connection| deadlines::overdue(connection, now)).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        let insert = move |transaction: &Transaction<'_>, now| {
            quarantine::insert_sqlite(transaction, &entries, now).map_err(failure)
        };
        self.database.write(insert).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure> {
        self.database.read(move |connection| query::order(connection, order_id)).await
    }

    async fn header(&self, order_id: OrderId) -> Result<Option<OrderHeader>, Failure> {
        self.database.read(move |connection| query::header(connection, order_id)).await
    }

    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure> {
        self.database.read(move |connection| query::receipt(connection, order_id)).await
    }

    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure> {
        self.database.read(move |connection| query::orders(connection, &filter)).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let now = self.clock.now();
        self.database.read(move |connection| query::backlog(connection, now)).await
    }

    async fn refunds_due(&self, limit: u32) -> Result<u64, Failure> {
        self.database.read(move |connection| query::refunds_due(connection, limit)).await
    }

    async fn pending(&self, filter: PendingFilter) -> Result<PendingPage, Failure> {
        let now = self.clock.now();
        self.database.read(move |connection| pending::pending(connection, &filter, now)).await
    }

    async fn make_due(&self, order_id: OrderId, requester: Requester) -> Result<MadeDue, Failure> {
        let make_due = move |transaction: &Transaction<'_>, now| {
            pending::make_due(transaction, order_id, requester, now)
        };
        self.database.write(make_due).await
    }
}

#[async_trait]
impl OrderFeedStore for Sqlite {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
        self.database.read(move |connection| query::made(connection, from, limit)).await
    }

    async fn views(&self, entries: Vec<MadeEntry>) -> Result<Vec<ReadOrder>, Failure> {
        self.database.read(move |connection| query::views(connection, &entries)).await
    }
}

#[cfg(test)]
mod tests;
