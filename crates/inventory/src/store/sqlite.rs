//! Stock in a SQLite file: one thread writes, and a few connections read beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use faults::fault_point;
use inventory_core::decide::{DecideInventory, DecidedInventory, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::admin::AdminLog;
use platform::clock::{Clock, Timestamp};
use platform::failure::{Failure, Suspicion};
use platform::journal::{Journal, Position, Recorded};
use platform::keys::KeyTable;
use platform::pairing::Pairing;
use platform::quarantine::{QuarantineTable, Quarantined};
use rusqlite::{Connection, Transaction};
use storage::migration::Migration;
use storage::quarantine;
use storage::sqlite::{Database, Keeper, OpenError, Readers, failure};

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

pub use audit::SqliteAudit;

/// The steps of the schema, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, sql: include_str!("../../migrations/sqlite/0001_stock.sql") }];

/// A file that one service has opened. It holds the lock of the file while it lives.
#[derive(Debug)]
pub struct Sqlite {
    database: Database,
}

impl Sqlite {
    /// Opens or creates the file, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if another service uses the file, or if it cannot be written durably.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Database::open(path, MIGRATIONS, clock)?;
        Ok(Self { database })
    }

    /// The same without a thread, for the simulator: every call is done where it is made.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_inline(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Database::open_inline(path, MIGRATIONS, clock)?;
        Ok(Self { database })
    }

    /// Opens an existing file beside the service that owns it, for reading only.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the file does not exist, or if this program does not know its schema.
    pub fn open_for_audit(path: &Path) -> Result<SqliteAudit, OpenError> {
        let readers = Readers::for_audit(path, MIGRATIONS)?;
        Ok(SqliteAudit::new(readers))
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

    /// The port of the service's own auditor.
    pub fn audit(&self) -> SqliteAudit {
        SqliteAudit::new(self.database.readers().clone())
    }
}

#[async_trait]
impl StockStore for Sqlite {
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: DecideInventory,
    ) -> Result<Vec<DecidedInventory>, Failure> {
        let deciding = move |transaction: &Transaction<'_>, now: Timestamp| {
            let (loaded, mut numbers) = load::load(transaction, &batch).map_err(failure)?;
            fault_point!("inventory.locked", when batch.iter().any(InventoryCommand::is_of_order));
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, &batch, loaded)))
                .map_err(|_| Suspicion::DeciderPanicked)?;
            write::apply(transaction, &decision.changes, &mut numbers)?;
            fault_point!("inventory.before_commit", when batch.iter().any(InventoryCommand::is_of_order));
            fault_point!(during "inventory.commit_sent", when batch.iter().any(InventoryCommand::is_of_order));
            Ok(decision.decided)
        };
        self.database.write(deciding).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        let insert = move |transaction: &Transaction<'_>, now| {
            quarantine::insert_sqlite(transaction, &entries, now).map_err(failure)
        };
        self.database.write(insert).await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        self.database.read(move |connection| query::product(connection, &product_id)).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        if filter.is_search() {
            let searching = move |connection: &Connection| query::products(connection, &filter);
            return self.database.read_within(SEARCH_LIMIT, searching).await;
        }
        self.database.read(move |connection| query::products(connection, &filter)).await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        self.database.read(move |connection| query::movements(connection, &filter)).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        self.database.read(move |connection| query::reservation(connection, order_id)).await
    }

    async fn holders(&self, filter: HolderFilter) -> Result<Option<HolderPage>, Failure> {
        self.database.read(move |connection| query::holders(connection, filter)).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        self.database.read(query::locations).await
    }
}

#[async_trait]
impl StockFeedStore for Sqlite {
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockEntry>>, Failure> {
        self.database.read(move |connection| query::made(connection, from, limit)).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
