//! The Inventory Service's ports to its database: [`StockStore`] for the service, and
//! [`StockAuditStore`] for the audit.
//!
//! The main method, [`StockStore::run`], takes a batch *and* the decider: it opens a transaction,
//! loads under lock, decides, writes and commits. Both ports speak of products and locations by
//! their ids. The integer keys of the database stay inside the adapters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::{LocationId, OrderId, ProductId};
use inventory_core::decide::{DecideInventory, DecidedInventory, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Level, Location, Movement, ProductStock};
use platform::audit::JournalAuditStore;
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use platform::quarantine::Quarantined;
use storage::Misfit;

pub use holders::{Holder, HolderFilter, HolderPage, HolderPosition};

mod admin_log;
mod holders;
#[cfg(test)]
pub(crate) mod laws;
mod moved;
mod numbers;
mod packed;
pub mod postgres;
mod search_key;
pub mod sqlite;

/// The database of stock (R1, R4, R11, R12).
///
/// Every engine passes the same laws. One call is one transaction. A row that cannot be decoded
/// fails the calls that read it with [`Failure::Suspect`], and no other call (R17).
#[async_trait]
pub trait StockStore: Send + Sync + fmt::Debug {
    /// Returns what traces call the database (`db.system.name`).
    fn engine(&self) -> &'static str {
        "sqlite"
    }

    /// Returns how long a committer waits for more commands before it begins a batch; zero if a
    /// commit costs little.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    /// Decides and writes a batch in one transaction, and returns one decision per command, in
    /// order.
    ///
    /// The store locks the products that the batch names, by id, and then the reservations that
    /// exist, by order id. It reads everything else under these locks, the time included, calls
    /// `decide` once, and writes what was decided. Levels change by compare-and-set on the number
    /// of their last movement, reservations by compare-and-set on their revision (R11).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the batch have been
    /// written; it may be run again (R4). [`Failure::Busy`] also means that another batch created
    /// the same product or reservation meanwhile: run again, the batch finds it.
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: DecideInventory,
    ) -> Result<Vec<DecidedInventory>, Failure>;

    /// Writes messages to the quarantine, in a transaction of its own (R16). Returns how many were
    /// not kept because it has [`MAX_ENTRIES`](platform::quarantine::MAX_ENTRIES) others.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the entries have been
    /// written; a retry then raises their count.
    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure>;

    /// Returns one product with its stock at all locations, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure>;

    /// Returns a page of products, sorted by id. A search is given up after [`SEARCH_LIMIT`].
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure>;

    /// Returns a page of one product's ledger: the movement that happened last comes first, also
    /// after a clock was set back.
    ///
    /// A page has fewer movements than `filter.limit` only if the ledger ends with it. It is empty
    /// if the product does not exist or never moved there, or if `filter.from` is not a movement of
    /// this ledger.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed. [`Failure::Suspect`] if a movement
    /// names one that is not in the ledger.
    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure>;

    /// Returns the reservation of an order, or `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure>;

    /// Returns a page of the orders that hold units of a product, or `None` if the product does not
    /// exist. A page looks at a bounded part of the ledger.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed. [`Failure::Suspect`] as for
    /// [`movements`](Self::movements), or if a reservation cannot be decoded.
    async fn holders(&self, filter: HolderFilter) -> Result<Option<HolderPage>, Failure>;

    /// Returns all locations in sourcing order: by priority, then id.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn locations(&self) -> Result<Vec<Location>, Failure>;
}

/// What the event feed reads of stock: the journal of its movements, along its numbers (R29).
#[async_trait]
pub trait StockFeedStore: Send + Sync + fmt::Debug {
    /// Returns the first `limit` entries of the journal from `from` on, also those whose movements
    /// cannot be decoded.
    ///
    /// # Errors
    ///
    /// It may be retried, unless it returns [`Failure::Fatal`]. [`Failure::Suspect`] means that a
    /// row of the journal itself cannot be decoded.
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<StockEntry>>, Failure>;
}

/// What the audit reads of stock, beside the service or in another program.
///
/// Each call reads one snapshot of the last commit, and returns each row under its key, also a row
/// that cannot be decoded.
///
/// # Errors
///
/// Every call may be retried, unless it returns [`Failure::Fatal`].
#[async_trait]
pub trait StockAuditStore: JournalAuditStore {
    /// Returns the first `limit` movements with a number above `after`, sorted by number.
    ///
    /// A movement that is committed later may have a lower number, if it is of another product.
    async fn movements_after(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored<i64, MovementAudit>>, Failure>;

    /// Returns the highest number of a movement.
    async fn last_movement(&self) -> Result<Option<i64>, Failure>;

    /// Returns the movements with these numbers that exist, sorted by number.
    async fn movements_by_number(
        &self,
        numbers: Vec<i64>,
    ) -> Result<Vec<Stored<i64, Movement>>, Failure>;

    /// Returns the first `limit` stock rows behind `after`.
    async fn stock_after(
        &self,
        after: Option<StockPosition>,
        limit: u32,
    ) -> Result<Vec<Stored<StockPosition, StockAudit>>, Failure>;

    /// Returns the position of the last stock row.
    async fn last_stock(&self) -> Result<Option<StockPosition>, Failure>;

    /// Returns the first `limit` reservations after `after`, sorted by order id.
    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure>;

    /// Returns the highest order id of a reservation.
    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure>;

    /// Returns the reservations of these orders that exist, sorted by order id.
    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Stored<OrderId, Reservation>>, Failure>;

    /// Returns whether each of these products exists, in order.
    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure>;
}

/// A row of a table, as the audit reads it.
#[derive(Clone, Debug)]
pub struct Stored<K, T> {
    /// The key of the row in its table.
    pub key: K,
    /// The row, or [`Failure::Suspect`] if it cannot be decoded.
    pub row: Result<T, Failure>,
}

/// A product at a location, which has a level and a ledger.
pub type StockKey = (ProductId, LocationId);

/// An entry of the journal of movements.
#[derive(Clone, Debug)]
pub struct StockEntry {
    /// The number of its last movement.
    pub last_movement: i64,
    /// What its last movement says, or [`Failure::Suspect`] if that is missing or cannot be decoded.
    pub moved: Result<StockMoved, Failure>,
}

/// What one transaction did to the stock of a product at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockMoved {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The place of its first movement in the ledger of the stock key, from 1 without gaps.
    pub from_seq: i64,
    /// The place of its last movement.
    pub to_seq: i64,
    /// The level after its last movement.
    pub level: Level,
    /// When it was decided, in microseconds since the epoch.
    pub at_micros: i64,
    /// The number of its last movement.
    pub last_movement: i64,
}

/// The position of a stock row in its table. Its numbers have no meaning outside of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StockPosition {
    /// The number of the product.
    product_no: i32,
    /// The number of the location.
    location_no: i32,
}

impl StockPosition {
    /// Before the first row. The database gives numbers from 1 on.
    const BEFORE_ALL: Self = Self { product_no: i32::MIN, location_no: i32::MIN };
}

impl fmt::Display for StockPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "product number {} at location number {}", self.product_no, self.location_no)
    }
}

/// How long a search may take. It reads every product until a page is full.
pub const SEARCH_LIMIT: Duration = Duration::from_secs(4);

/// Which products to list. All conditions that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct ProductFilter {
    /// Only products whose id begins with this text, or whose name contains it, in any case.
    pub text: Option<String>,
    /// Only these products.
    pub ids: Option<Vec<ProductId>>,
    /// Only products whose available units over all locations do not exceed their low-stock mark.
    pub low_stock: bool,
    /// Only products that sort after this one.
    pub after: Option<ProductId>,
    /// The most products to return.
    pub limit: u32,
}

impl ProductFilter {
    /// Whether the engine has to look at products one by one. All other pages are a few look-ups.
    pub fn is_search(&self) -> bool {
        let by_text = self.text.as_ref().is_some_and(|text| !text.is_empty());
        self.ids.is_none() && (by_text || self.low_stock)
    }
}

/// Which movements to list.
#[derive(Clone, Debug)]
pub struct MovementFilter {
    /// The product.
    pub product_id: ProductId,
    /// Only movements at this location.
    pub location_id: Option<LocationId>,
    /// The number of the movement to begin with; `None` for the newest. See
    /// [`next_of`](Self::next_of).
    pub from: Option<i64>,
    /// The most movements to return.
    pub limit: u32,
}

impl MovementFilter {
    /// The number of the movement that follows this one in the list, which is the one before it in
    /// the ledger of its product, or of its stock key if a location is given.
    pub fn next_of(&self, movement: &Movement) -> Option<i64> {
        match self.location_id {
            None => movement.previous_of_product,
            Some(_) => movement.previous,
        }
    }

    fn lists(&self, movement: &Movement) -> bool {
        let location_id = self.location_id.as_ref();
        movement.product_id == self.product_id
            && location_id.is_none_or(|location_id| movement.location_id == *location_id)
    }

    /// Checks a page that an engine read by following [`next_of`](Self::next_of).
    ///
    /// # Errors
    ///
    /// [`Misfit`] if a movement names one that does not exist or is of another ledger.
    fn checked(&self, page: Vec<Movement>) -> Result<Vec<Movement>, Misfit> {
        let broken = |after: &Movement| {
            let next = self.next_of(after).unwrap_or_default();
            Misfit::new("movements", after.number(), "the movement before it", next)
        };
        match page.iter().position(|movement| !self.lists(movement)) {
            // The client began at a movement of another ledger.
            Some(0) => Ok(Vec::new()),
            Some(at) => Err(broken(&page[at - 1])),
            None => match page.last().filter(|_| page.len() < self.limit as usize) {
                Some(last) if self.next_of(last).is_some() => Err(broken(last)),
                _ => Ok(page),
            },
        }
    }
}

/// A movement, and the two movements that it names as the ones before it (INV-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementAudit {
    /// The movement.
    pub movement: Movement,
    /// The movement that it names as the one before it at its stock key; `None` if it names none,
    /// or one that does not exist.
    pub previous: Option<NamedMovement>,
    /// The movement that it names as the one before it of its product; `None` if it names none, or
    /// one that does not exist.
    pub previous_of_product: Option<NamedMovement>,
}

/// A movement that another row names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedMovement {
    /// Whether it is of the product of the row that names it.
    pub same_product: bool,
    /// Whether it is at the location of the row that names it.
    pub same_location: bool,
    /// The level after it. Its `last_movement` is the number of the movement.
    pub level: Level,
}

/// A stock row, and the movement that it names as the last one (INV-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAudit {
    /// The product and the location.
    pub stock_key: StockKey,
    /// The stored level.
    pub level: Level,
    /// The movement that it names; `None` if it does not exist.
    pub last: Option<NamedMovement>,
}
