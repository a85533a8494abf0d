//! Stock in PostgreSQL: any number of replicas on one database.
//!
//! A batch is one transaction with a statement per table. It locks the products by id, then the
//! reservations by order id (R11), decides, and writes. It takes four round trips, and one more if
//! it creates products or locations: their numbers come from the database.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use faults::fault_point;
use inventory_core::decide::{DecideInventory, DecidedInventory, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::admin::AdminLog;
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
use storage::{admin_log, journal, keys, quarantine};

use super::{
    HolderFilter, HolderPage, MovementFilter, ProductFilter, SEARCH_LIMIT, StockEntry,
    StockFeedStore, StockStore,
};
use crate::NAMES;

mod audit;
mod journal_audit;
mod load;
mod query;
mod rows;
mod write;

pub use audit::PostgresAudit;

/// The schema of this program.
pub const SCHEMA: Schema = Schema {
    migrations: &[Migration {
        number: 1,
        sql: include_str!("../../migrations/postgres/0001_stock.sql"),
    }],
    tables: TABLES,
    sequences: &["batch_numbers"],
    statements: &[
        load::LOCK_PRODUCTS,
        load::LOCK_RESERVATIONS,
        load::LOCK_LOCATIONS,
        load::LEVELS,
        load::REQUESTS,
        load::LOCATIONS,
        load::BATCH_NUMBER,
        load::PRODUCT_IDS,
        load::LOCATION_IDS,
        write::CREATE_PRODUCTS,
        write::PUT_LOCATIONS,
        write::REPLACE_PRODUCTS,
        write::INSERT_LEVELS,
        write::MOVE_LEVELS,
        write::MOVE_QUARANTINE,
        write::INSERT_RESERVATIONS,
        write::INSERT_RETURNED_RESERVATIONS,
        write::MOVE_RESERVATIONS,
        write::INSERT_MOVEMENTS,
        write::INSERT_QUARANTINE_MOVEMENTS,
        admin_log::INSERT_POSTGRES,
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
    Table::appended("products")
        .updated(&["name", "search_name", "low_stock_at", "updated_at"])
        .audited(),
    Table::appended("locations").updated(&["name", "priority"]).audited(),
    Table::appended("stock")
        .updated(&["on_hand", "reserved", "last_seq", "last_movement", "quarantined"])
        .audited(),
    Table::appended("movements").audited(),
    Table::appended("admin_log").audited(),
    Table::appended("reservations")
        .updated(&["digest", "revision", "allocations", "shortages", "returns", "updated_at"])
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
    Table::read("deployment").updated(&["peer"]).audited(),
    Table::appended("deployment_channels").deleted(),
    Table::for_people("allocations"),
    Table::for_people("shortages"),
    Table::for_people("returns"),
    Table::for_people("ledger"),
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
    /// [`OpenError`] if the database did not come, or cannot be written durably.
    pub async fn open(server: Server, time: Time) -> Result<Self, OpenError> {
        let database = Database::open(server, &SCHEMA, time).await?;
        Ok(Self { database })
    }

    /// Opens a database beside the service that owns it, for reading only.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it cannot be reached, or if this program does not know its schema.
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

    /// The journal of what happened to stock.
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

    /// The port of the service's own auditor.
    pub fn audit(&self) -> PostgresAudit {
        PostgresAudit::new(self.database.readers().clone())
    }
}

#[async_trait]
impl StockStore for Postgres {
    fn engine(&self) -> &'static str {
        "postgresql"
    }

    fn linger(&self) -> Duration {
        LINGER
    }

    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: DecideInventory,
    ) -> Result<Vec<DecidedInventory>, Failure> {
        let deciding = async |transaction: &Transaction<'_>| {
            let (loaded, mut numbers, now) = load::load(transaction, &batch).await?;
            let found: BTreeSet<OrderId> = loaded.reservations.keys().copied().collect();
            fault_point!("inventory.locked", when batch.iter().any(InventoryCommand::is_of_order));
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, &batch, loaded)))
                .map_err(|_| Suspicion::DeciderPanicked)?;
            write::apply(transaction, &decision.changes, &found, &mut numbers).await?;
            fault_point!("inventory.before_commit", when batch.iter().any(InventoryCommand::is_of_order));
            fault_point!(during "inventory.commit_sent", when batch.iter().any(InventoryCommand::is_of_order));
            Ok(decision.decided)
        };
        self.database.write(deciding).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.database
            .write(async |transaction| quarantine::insert_postgres(transaction, &entries).await)
            .await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        self.database.read(async |snapshot| query::product(snapshot, &product_id).await).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        let reading = async |snapshot: &Transaction<'_>| query::products(snapshot, &filter).await;
        if filter.is_search() {
            return self.database.read_within(SEARCH_LIMIT, reading).await;
        }
        self.database.read(reading).await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        self.database.read(async |snapshot| query::movements(snapshot, &filter).await).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        self.database.read(async |snapshot| query::reservation(snapshot, order_id).await).await
    }

    async fn holders(&self, filter: HolderFilter) -> Result<Option<HolderPage>, Failure> {
        self.database.read(async |snapshot| query::holders(snapshot, filter).await).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        self.database.read(async |snapshot| query::locations(snapshot).await).await
    }
}

#[async_trait]
impl StockFeedStore for Postgres {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockEntry>>, Failure> {
        self.database.read(async |snapshot| query::made(snapshot, from, limit).await).await
    }
}

#[cfg(test)]
mod tests;
