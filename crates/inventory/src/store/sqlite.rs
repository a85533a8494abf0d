//! Stock in a SQLite file: one thread writes, and a few connections read beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use faults::fault_point;
use inventory_core::decide::{Decide, Decided, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::clock::{Clock, Timestamp};
use platform::failure::{Failure, Suspicion};
use platform::quarantine::Quarantined;
use rusqlite::Transaction;
use storage::migration::Migration;
use storage::quarantine;
use storage::sqlite::{Database, Keeper, OpenError, Readers, failure};

use super::{MovementFilter, ProductFilter, Store};

mod audit;
mod load;
mod query;
mod rows;
mod write;

pub use audit::SqliteAudit;

/// The schema's steps, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, sql: include_str!("../../migrations/sqlite/0001_stock.sql") }];

/// A file that one service has opened; it holds the file's lock as long as it lives.
#[derive(Debug)]
pub struct Sqlite {
    database: Database,
}

impl Sqlite {
    /// Opens or makes the file, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// Another service uses the file, or it is not what a service can stand on.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let database = Database::open(path, MIGRATIONS, clock)?;
        Ok(Self { database })
    }

    /// The same without any thread, for the simulator: every call is done where it is made.
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
    /// There is no such file, or its schema is not one that this program knows.
    pub fn open_for_audit(path: &Path) -> Result<SqliteAudit, OpenError> {
        let readers = Readers::for_audit(path, MIGRATIONS)?;
        Ok(SqliteAudit::new(readers))
    }

    /// The worker that looks after the file while the service runs.
    pub fn keeper(&self) -> Keeper {
        self.database.keeper()
    }

    /// What the service's own auditor reads.
    pub fn audit(&self) -> SqliteAudit {
        SqliteAudit::new(self.database.readers().clone())
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: Decide,
    ) -> Result<Vec<Decided>, Failure> {
        let deciding = move |transaction: &Transaction<'_>, now: Timestamp| {
            let loaded = load::load(transaction, &batch).map_err(failure)?;
            fault_point!("inventory.locked", when batch.iter().any(InventoryCommand::is_of_order));
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, &batch, loaded)))
                .map_err(|_| Suspicion::DeciderPanicked)?;
            write::apply(transaction, &decision.changes)?;
            fault_point!("inventory.before_commit", when batch.iter().any(InventoryCommand::is_of_order));
            fault_point!(during "inventory.commit_sent", when batch.iter().any(InventoryCommand::is_of_order));
            Ok(decision.decided)
        };
        self.database.write(deciding).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        let insert = move |transaction: &Transaction<'_>, now| {
            quarantine::insert_sqlite(transaction, &entries, now).map_err(failure)
        };
        self.database.write(insert).await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        self.database.read(move |connection| query::product(connection, &product_id)).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        self.database.read(move |connection| query::products(connection, &filter)).await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        self.database.read(move |connection| query::movements(connection, &filter)).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        self.database.read(move |connection| load::reservation(connection, order_id)).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        self.database.read(load::locations).await
    }
}

#[cfg(test)]
mod tests;
