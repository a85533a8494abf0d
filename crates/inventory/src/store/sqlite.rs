//! Stock in a SQLite file: one writer, which is a synchronous struct, and a few readers beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use faults::fault_point;
use inventory_core::decide::{Decide, Decided, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, ProductStock};
use platform::clock::Clock;
use platform::failure::Failure;
use platform::quarantine::Quarantined;
use storage::migration::Migration;
use storage::quarantine;
use storage::sqlite::{Database, OpenError, Session, failure};

use super::{MovementFilter, ProductFilter, Store};

mod audit;
mod list;
mod read;
mod rows;
mod write;

/// The schema's steps, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, sql: include_str!("../../migrations/sqlite/0001_stock.sql") }];

/// The writer. Holds the file's lock as long as it lives.
#[derive(Debug)]
pub struct SqliteStore(Session);

impl SqliteStore {
    /// Opens or makes the file, and brings its schema up to date.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Session::open(path, MIGRATIONS, clock).map(Self)
    }

    /// See [`Store::run`].
    pub fn run(&mut self, batch: &[InventoryCommand], decide: Decide) -> Result<Vec<Decided>, Failure> {
        self.0.transact(|transaction, now| {
            let loaded = read::load(transaction, batch).map_err(failure)?;
            fault_point!("inventory.locked", when batch.iter().any(InventoryCommand::is_of_order));
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, batch, loaded)))
                .map_err(|_| Failure::Suspect("the decider panicked".to_owned()))?;
            write::apply(transaction, &decision.changes)?;
            fault_point!("inventory.before_commit", when batch.iter().any(InventoryCommand::is_of_order));
            fault_point!(during "inventory.commit_sent", when batch.iter().any(InventoryCommand::is_of_order));
            Ok(decision.decided)
        })
    }

    /// See [`Store::quarantine`].
    pub fn quarantine(&mut self, entries: &[Quarantined]) -> Result<(), Failure> {
        self.0.transact(|transaction, now| quarantine::insert_sqlite(transaction, entries, now).map_err(failure))
    }
}

/// [`SqliteStore`] on a thread of its own, and readers: the port that the service stands on.
#[derive(Debug)]
pub struct Sqlite(Database<SqliteStore>);

impl Sqlite {
    /// Opens the file for one service; see [`SqliteStore::open`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Database::new(path, SqliteStore::open(path, clock)?).map(Self)
    }

    /// Opens the file without any thread, for the simulator: every call is done where it is made.
    pub fn open_inline(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Ok(Self(Database::inline(path, SqliteStore::open(path, clock)?)))
    }

    /// Opens an existing file beside the service that owns it, for reading only.
    pub fn open_for_audit(path: &Path) -> Result<Self, OpenError> {
        Database::for_audit(path, MIGRATIONS).map(Self)
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn run(&self, batch: Arc<[InventoryCommand]>, decide: Decide) -> Result<Vec<Decided>, Failure> {
        self.0.write(move |store| store.run(&batch, decide)).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        self.0.write(move |store| store.quarantine(&entries)).await
    }

    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure> {
        self.0.read(move |connection| read::product_stock(connection, &product_id)).await
    }

    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure> {
        self.0.read(move |connection| list::products(connection, &filter)).await
    }

    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure> {
        self.0.read(move |connection| list::movements(connection, &filter)).await
    }

    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure> {
        self.0.read(move |connection| read::reservation(connection, order_id)).await
    }

    async fn locations(&self) -> Result<Vec<Location>, Failure> {
        self.0.read(read::locations).await
    }
}

#[cfg(test)]
mod tests;
