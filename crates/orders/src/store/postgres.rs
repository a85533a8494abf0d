//! Orders in PostgreSQL: any number of replicas on one database.
//!
//! A batch is one transaction and a statement per table: keys are claimed, orders locked, all of
//! them by their ids in one order everywhere (R11), then decided, then written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::OrderId;
use contract::commands::AllocateStock;
use faults::fault_point;
use orders_core::decide::{DecideOrders, DecidedOrder, OrderCommand, Receipt};
use platform::admin::{AdminLog, Requester};
use platform::failure::{Failure, Suspicion};
use platform::journal::{Journal, Position, Recorded};
use platform::keys::KeyTable;
use platform::pairing::Pairing;
use platform::quarantine::{QuarantineTable, Quarantined};
use storage::journal::PostgresJournal;
use storage::migration::Migration;
use storage::postgres::{
    Database, LINGER, OpenError, Readers, Schema, Server, Table, Time, Transaction, WriteCheck,
};
use storage::{journal, keys, quarantine};

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

pub use audit::PostgresAudit;

/// Of the newest program.
pub const SCHEMA: Schema = Schema {
    migrations: &[Migration {
        number: 1,
        sql: include_str!("../../migrations/postgres/0001_orders.sql"),
    }],
    tables: TABLES,
    sequences: &[],
    statements: &[
        load::CLAIM_KEYS,
        load::KEYS,
        load::LOCK_ORDERS,
        rows::ORDERS,
        write::INSERT_ORDERS,
        write::INSERT_STATES,
        write::UPDATE_STATES,
        write::DELETE_PENDING,
        write::INSERT_PENDING,
        write::DELETE_DEADLINES,
        write::INSERT_DEADLINES,
        lease::AHEAD,
        lease::OLDEST,
        lease::FRESHEST,
        lease::SENT_BEFORE,
        lease::POSTPONE,
        deadlines::ARM_AGAIN,
        deadlines::END_LEASES,
        deadlines::DUE,
        deadlines::POSTPONE,
        quarantine::LOCK_POSTGRES,
        quarantine::KNOWN_POSTGRES,
        quarantine::PUSH_OUT_POSTGRES,
        quarantine::INSERT_POSTGRES,
        journal::APPEND_POSTGRES,
        journal::LEASE_POSTGRES,
        journal::HEAD_POSTGRES,
        journal::OWN_POSTGRES,
        journal::LOCK_POSTGRES,
        journal::NUMBER_POSTGRES,
    ],
};

/// Every table and view, with all that the service does with it: `lastro migrate --role` lets its
/// role do no more.
const TABLES: &[Table] = &[
    Table::appended("idempotency_keys"),
    // No column changes, and a trigger forbids it. But the service locks orders.
    Table::appended("orders").updated(&["order_id"]).audited(),
    Table::appended("order_states")
        .updated(&[
            "status",
            "revision",
            "settled",
            "last_seq",
            "digest",
            "updated_at",
            "refund_due_minor",
            "history",
        ])
        .audited(),
    Table::appended("pending_commands")
        .updated(&["attempt", "sent_at", "next_attempt_at"])
        .deleted()
        .audited(),
    Table::appended("payment_deadlines")
        .updated(&["armed_at", "pay_by", "next_attempt_at"])
        .deleted()
        .audited(),
    // A row gets its number later, and never changes again.
    Table::appended("journal").updated(&["no"]).audited(),
    Table::read("journal_head").updated(&["last"]),
    Table::appended("quarantine")
        .updated(&["count", "last_at", "discarded_at", "discarded_by"])
        .deleted(),
    // Its owner makes and changes keys (`lastro keys`); the service notes when they were used.
    Table::read("api_keys").updated(&keys::USES),
    Table::read("api_keys_version"),
    Table::appended("admin_log").audited(),
    Table::read("deployment").updated(&["peer"]).audited(),
    Table::appended("deployment_channels").deleted(),
    Table::for_people("order_list"),
    Table::for_people("order_lines"),
    Table::for_people("order_history"),
];

/// A database that the replicas of one service share.
#[derive(Debug)]
pub struct Postgres {
    database: Database,
}

impl Postgres {
    /// Waits for the database and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// It did not come, or it is not what a service can stand on.
    pub async fn open(server: Server, time: Time) -> Result<Self, OpenError> {
        let database = Database::open(server, &SCHEMA, time).await?;
        Ok(Self { database })
    }

    /// Opens a database beside the service that owns it, for reading only.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or its schema is not one that this program knows.
    pub async fn open_for_audit(server: Server) -> Result<PostgresAudit, OpenError> {
        Readers::for_audit(server, &SCHEMA).await.map(PostgresAudit::new)
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
        Arc::new(PostgresJournal::new(self.database.clone(), PostgresJournal::LEASE))
    }

    /// The messages that were set aside, as operators look through them.
    pub fn quarantine_table(&self) -> Arc<dyn QuarantineTable> {
        Arc::new(self.database.clone())
    }

    /// What people changed by hand, as operators read it.
    pub fn admin_log(&self) -> Arc<dyn AdminLog> {
        Arc::new(self.database.clone())
    }

    /// The worker that tells the readiness probe whether the service can write.
    pub fn write_check(&self) -> WriteCheck {
        self.database.write_check()
    }

    /// What the service's own auditor reads.
    pub fn audit(&self) -> PostgresAudit {
        PostgresAudit::new(self.database.readers().clone())
    }
}

#[async_trait]
impl OrderStore for Postgres {
    fn engine(&self) -> &'static str {
        "postgresql"
    }

    fn linger(&self) -> Duration {
        LINGER
    }

    /// While one waits for the disk and the standby, the next is on its way.
    fn parallel_batches(&self) -> usize {
        2
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        let deciding = async |transaction: &Transaction<'_>| {
            let (loaded, claimed, now) = load::load(transaction, &batch).await?;
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, &batch, loaded)))
                .map_err(|_| Suspicion::DeciderPanicked)?;
            write::apply(transaction, &decision.changes, &claimed).await?;
            fault_point!("orders.before_commit", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "orders.commit_sent", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "settle.commit_sent", when batch.iter().any(OrderCommand::is_answer));
            Ok(decision.decided)
        };
        self.database.write(deciding).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        self.database.write(async |transaction| lease::lease(transaction, lease).await).await
    }

    async fn lease_deadlines(&self, lease: DeadlineLease) -> Result<LeasedDeadlines, Failure> {
        self.database.write(async |transaction| deadlines::lease(transaction, lease).await).await
    }

    async fn overdue(&self) -> Result<Overdue, Failure> {
        self.database.read(async |snapshot| deadlines::overdue(snapshot).await).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.database
            .write(async |transaction| quarantine::insert_postgres(transaction, &entries).await)
            .await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure> {
        self.database.read(async |snapshot| query::order(snapshot, order_id).await).await
    }

    async fn header(&self, order_id: OrderId) -> Result<Option<OrderHeader>, Failure> {
        self.database.read(async |snapshot| query::header(snapshot, order_id).await).await
    }

    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure> {
        self.database.read(async |snapshot| query::receipt(snapshot, order_id).await).await
    }

    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure> {
        self.database.read(async |snapshot| query::orders(snapshot, &filter).await).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        self.database.read(async |snapshot| query::backlog(snapshot).await).await
    }

    async fn refunds_due(&self, limit: u32) -> Result<u64, Failure> {
        self.database.read(async |snapshot| query::refunds_due(snapshot, limit).await).await
    }

    async fn pending(&self, filter: PendingFilter) -> Result<PendingPage, Failure> {
        self.database.read(async |snapshot| pending::pending(snapshot, &filter).await).await
    }

    async fn make_due(&self, order_id: OrderId, requester: Requester) -> Result<MadeDue, Failure> {
        let make_due = async |transaction: &Transaction<'_>| {
            pending::make_due(transaction, order_id, requester).await
        };
        self.database.write(make_due).await
    }
}

#[async_trait]
impl OrderFeedStore for Postgres {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<MadeEntry>>, Failure> {
        self.database.read(async |snapshot| query::made(snapshot, from, limit).await).await
    }

    async fn views(&self, entries: Vec<MadeEntry>) -> Result<Vec<ReadOrder>, Failure> {
        self.database.read(async |snapshot| query::views(snapshot, &entries).await).await
    }
}

#[cfg(test)]
mod tests;
