//! Orders in a SQLite file: one writer, which is a synchronous struct, and a few readers beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use contract::commands::StockCommand;
use faults::fault_point;
use orders_core::decide::{Decide, Decided, OrderCommand, Receipt};
use platform::clock::Clock;
use platform::failure::Failure;
use platform::quarantine::Quarantined;
use storage::migration::Migration;
use storage::quarantine;
use storage::sqlite::{Database, OpenError, Session, failure};

use super::{Backlog, Filter, Lease, OrderSummary, OrderView, Store};

mod audit;
mod lease;
mod read;
mod rows;
mod write;

/// The schema's steps, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { number: 1, sql: include_str!("../../migrations/sqlite/0001_orders.sql") }];

/// The writer. Holds the file's lock as long as it lives.
#[derive(Debug)]
pub struct SqliteStore(Session);

impl SqliteStore {
    /// Opens or makes the file, and brings its schema up to date.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Session::open(path, MIGRATIONS, clock).map(Self)
    }

    /// See [`Store::run`].
    pub fn run(&mut self, batch: &[OrderCommand], decide: Decide) -> Result<Vec<Decided>, Failure> {
        self.0.transact(|transaction, now| {
            let loaded = read::load(transaction, batch).map_err(failure)?;
            let decision = catch_unwind(AssertUnwindSafe(|| decide(now.0, batch, loaded)))
                .map_err(|_| Failure::Suspect("the decider panicked".to_owned()))?;
            write::apply(transaction, &decision.changes)?;
            fault_point!("orders.before_commit", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "orders.commit_sent", when batch.iter().any(OrderCommand::is_request));
            fault_point!(during "settle.commit_sent", when !batch.iter().all(OrderCommand::is_request));
            Ok(decision.decided)
        })
    }

    /// See [`Store::lease`].
    pub fn lease(&mut self, lease: Lease) -> Result<Vec<StockCommand>, Failure> {
        self.0.transact(|transaction, now| lease::lease(transaction, lease, now).map_err(failure))
    }

    /// See [`Store::quarantine`].
    pub fn quarantine(&mut self, entries: &[Quarantined]) -> Result<(), Failure> {
        self.0.transact(|transaction, now| quarantine::insert_sqlite(transaction, entries, now).map_err(failure))
    }
}

/// [`SqliteStore`] on a thread of its own, and readers: the port that the service stands on.
#[derive(Debug)]
pub struct Sqlite {
    database: Database<SqliteStore>,
    clock: Arc<dyn Clock>,
}

impl Sqlite {
    /// Opens the file for one service; see [`SqliteStore::open`].
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let store = SqliteStore::open(path, clock.clone())?;
        Ok(Self { database: Database::new(path, store)?, clock })
    }

    /// Opens the file without any thread, for the simulator: every call is done where it is made.
    pub fn open_inline(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let store = SqliteStore::open(path, clock.clone())?;
        Ok(Self { database: Database::inline(path, store), clock })
    }

    /// Opens an existing file beside the service that owns it, for reading only.
    pub fn open_for_audit(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Ok(Self { database: Database::for_audit(path, MIGRATIONS)?, clock })
    }
}

#[async_trait]
impl Store for Sqlite {
    fn parallel_batches(&self) -> usize {
        1
    }

    async fn run(&self, batch: Arc<[OrderCommand]>, decide: Decide) -> Result<Vec<Decided>, Failure> {
        self.database.write(move |store| store.run(&batch, decide)).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<StockCommand>, Failure> {
        self.database.write(move |store| store.lease(lease)).await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        self.database.write(move |store| store.quarantine(&entries)).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure> {
        self.database.read(move |connection| read::order(connection, order_id)).await
    }

    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure> {
        self.database.read(move |connection| read::receipt(connection, order_id)).await
    }

    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure> {
        self.database.read(move |connection| read::orders(connection, &filter)).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        let now = self.clock.now();
        self.database.read(move |connection| read::backlog(connection, now)).await
    }
}

#[cfg(test)]
mod tests;
