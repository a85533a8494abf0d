//! Reads for the services' audits, which read the same rows again and again while nothing happens.
//! Until the database changes, what it returned is returned again without SQLite. Every audit still
//! judges every row that it asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory::store::{MovementAudit, StockAudit, StockAuditStore, StockPosition, Stored};
use inventory_core::reservation::Reservation;
use inventory_core::stock::Movement;
use orders::store::{Backlog, OrderAudit, OrderAuditStore, RowAudit, RowKey};
use platform::audit::{JournalKey, Span};
use platform::failure::Failure;
use platform::journal::JournalRow;

use crate::version::Version;

mod journal;

/// A page of a table: after which key, and how many rows.
type Page<K> = (Option<K>, u32);

/// The audit's reads of one service: those of the journal, which both have, and those of its tables.
#[derive(Debug)]
pub(crate) struct Reads<S: ?Sized, T> {
    store: Arc<S>,
    last_number: Memory<(), i64>,
    journal: Memory<(i64, u32, u32), Vec<JournalRow<Span>>>,
    lengths: Memory<Vec<JournalKey>, Vec<(JournalKey, i64)>>,
    tables: T,
}

pub(crate) type OrderReads = Reads<dyn OrderAuditStore, OrderTables>;
pub(crate) type StockReads = Reads<dyn StockAuditStore, StockTables>;

/// The reads of the Order Service's tables.
#[derive(Debug)]
pub(crate) struct OrderTables {
    orders: Memory<Page<OrderId>, Vec<OrderAudit>>,
    order_ids: Memory<Page<OrderId>, Vec<OrderId>>,
    last_order_id: Memory<(), Option<OrderId>>,
    orders_by_id: Memory<Vec<OrderId>, Vec<OrderAudit>>,
    pending: Memory<Page<RowKey>, Vec<RowAudit>>,
    last_pending: Memory<(), Option<RowKey>>,
    deadlines: Memory<Page<RowKey>, Vec<RowAudit>>,
    last_deadline: Memory<(), Option<RowKey>>,
}

/// The reads of the Inventory Service's tables.
#[derive(Debug)]
pub(crate) struct StockTables {
    movements: Memory<Page<i64>, Vec<Stored<i64, MovementAudit>>>,
    last_movement: Memory<(), Option<i64>>,
    movements_by_number: Memory<Vec<i64>, Vec<Stored<i64, Movement>>>,
    stock: Memory<Page<StockPosition>, Vec<Stored<StockPosition, StockAudit>>>,
    last_stock: Memory<(), Option<StockPosition>>,
    reservations: Memory<Page<OrderId>, Vec<Stored<OrderId, Reservation>>>,
    last_order_id: Memory<(), Option<OrderId>>,
    reservations_by_id: Memory<Vec<OrderId>, Vec<Stored<OrderId, Reservation>>>,
    known_products: Memory<Vec<ProductId>, Vec<bool>>,
}

/// What the reads of one kind have returned at one version of the database.
#[derive(Debug)]
struct Memory<K, V> {
    now: Version,
    read: Mutex<(i64, BTreeMap<K, V>)>,
}

impl<K: Ord, V: Clone> Memory<K, V> {
    fn new(now: &Version) -> Self {
        Self { now: now.clone(), read: Mutex::new((now.get(), BTreeMap::new())) }
    }

    /// Returns what `read` returned for this key, or awaits it if the database has changed since.
    async fn get<F>(&self, key: K, read: impl FnOnce() -> F) -> Result<V, Failure>
    where
        F: Future<Output = Result<V, Failure>>,
    {
        let version = self.now.get();
        if let Some(known) = self.known(version, &key) {
            return Ok(known);
        }
        let found = read().await?;
        let mut read = self.read.lock().expect("nothing panics under this lock");
        if read.0 == version {
            read.1.insert(key, found.clone());
        }
        Ok(found)
    }

    fn known(&self, version: i64, key: &K) -> Option<V> {
        let mut read = self.read.lock().expect("nothing panics under this lock");
        if read.0 != version {
            *read = (version, BTreeMap::new());
        }
        read.1.get(key).cloned()
    }
}

impl<S: ?Sized, T> Reads<S, T> {
    fn with(store: Arc<S>, now: &Version, tables: T) -> Self {
        Self {
            store,
            last_number: Memory::new(now),
            journal: Memory::new(now),
            lengths: Memory::new(now),
            tables,
        }
    }
}

impl OrderReads {
    pub(crate) fn new(store: Arc<dyn OrderAuditStore>, now: &Version) -> Self {
        let tables = OrderTables {
            orders: Memory::new(now),
            order_ids: Memory::new(now),
            last_order_id: Memory::new(now),
            orders_by_id: Memory::new(now),
            pending: Memory::new(now),
            last_pending: Memory::new(now),
            deadlines: Memory::new(now),
            last_deadline: Memory::new(now),
        };
        Self::with(store, now, tables)
    }
}

#[async_trait]
impl OrderAuditStore for OrderReads {
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure> {
        self.tables.orders.get((after, limit), || self.store.orders_after(after, limit)).await
    }

    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.tables.order_ids.get((after, limit), || self.store.order_ids_after(after, limit)).await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.tables.last_order_id.get((), || self.store.last_order_id()).await
    }

    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        self.tables.orders_by_id.get(order_ids.clone(), || self.store.orders_by_id(order_ids)).await
    }

    async fn pending_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.tables.pending.get((after, limit), || self.store.pending_after(after, limit)).await
    }

    async fn last_pending(&self) -> Result<Option<RowKey>, Failure> {
        self.tables.last_pending.get((), || self.store.last_pending()).await
    }

    async fn deadlines_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure> {
        self.tables.deadlines.get((after, limit), || self.store.deadlines_after(after, limit)).await
    }

    async fn last_deadline(&self) -> Result<Option<RowKey>, Failure> {
        self.tables.last_deadline.get((), || self.store.last_deadline()).await
    }

    /// Depends on the clock, and so is never remembered.
    async fn backlog(&self) -> Result<Backlog, Failure> {
        self.store.backlog().await
    }
}

impl StockReads {
    pub(crate) fn new(store: Arc<dyn StockAuditStore>, now: &Version) -> Self {
        let tables = StockTables {
            movements: Memory::new(now),
            last_movement: Memory::new(now),
            movements_by_number: Memory::new(now),
            stock: Memory::new(now),
            last_stock: Memory::new(now),
            reservations: Memory::new(now),
            last_order_id: Memory::new(now),
            reservations_by_id: Memory::new(now),
            known_products: Memory::new(now),
        };
        Self::with(store, now, tables)
    }
}

#[async_trait]
impl StockAuditStore for StockReads {
    async fn movements_after(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored<i64, MovementAudit>>, Failure> {
        self.tables.movements.get((after, limit), || self.store.movements_after(after, limit)).await
    }

    async fn last_movement(&self) -> Result<Option<i64>, Failure> {
        self.tables.last_movement.get((), || self.store.last_movement()).await
    }

    async fn movements_by_number(
        &self,
        numbers: Vec<i64>,
    ) -> Result<Vec<Stored<i64, Movement>>, Failure> {
        let read = self
            .tables
            .movements_by_number
            .get(numbers.clone(), || self.store.movements_by_number(numbers));
        read.await
    }

    async fn stock_after(
        &self,
        after: Option<StockPosition>,
        limit: u32,
    ) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure> {
        self.tables.stock.get((after, limit), || self.store.stock_after(after, limit)).await
    }

    async fn last_stock(&self) -> Result<Option<StockPosition>, Failure> {
        self.tables.last_stock.get((), || self.store.last_stock()).await
    }

    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        self.tables
            .reservations
            .get((after, limit), || self.store.reservations_after(after, limit))
            .await
    }

    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure> {
        self.tables.last_order_id.get((), || self.store.last_order_id()).await
    }

    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure> {
        let read = self
            .tables
            .reservations_by_id
            .get(order_ids.clone(), || self.store.reservations_by_id(order_ids));
        read.await
    }

    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure> {
        let read = self
            .tables
            .known_products
            .get(product_ids.clone(), || self.store.known_products(product_ids));
        read.await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_read_is_repeated_once_the_database_has_changed() {
        let now = Version::default();
        let memory = Memory::new(&now);
        let reads = Cell::new(0);
        let read = async |key: i32| {
            let found = memory.get(key, async || {
                reads.set(reads.get() + 1);
                Ok(key * 100 + reads.get())
            });
            found.await.expect("a read")
        };
        assert_eq!(
            [read(1).await, read(2).await, read(1).await, read(2).await],
            [101, 202, 101, 202]
        );
        now.set(7);
        assert_eq!([read(2).await, read(1).await, read(2).await], [203, 104, 203]);
    }

    #[tokio::test]
    async fn a_read_that_fails_is_not_remembered() {
        let memory = Memory::new(&Version::default());
        let fails = async || Err(Failure::suspect(std::io::Error::other("damaged")));
        assert!(matches!(memory.get((), fails).await, Err(Failure::Suspect(_))));
        assert!(matches!(memory.get((), async || Ok(5)).await, Ok(5)));
    }
}
