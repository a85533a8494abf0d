//! The Inventory Service's port to its database.
//!
//! Its main method, [`Store::run`], takes a batch *and* the decider: it opens a transaction, loads
//! under lock, decides, writes and commits.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{LocationId, OrderId, ProductId};
use inventory_core::decide::{Decide, Decided, InventoryCommand};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Level, Location, Movement, ProductStock};
use platform::failure::Failure;
use platform::quarantine::Quarantined;

#[cfg(test)]
pub(crate) mod laws;
pub mod postgres;
pub mod sqlite;
mod text;

/// The database of stock (R1, R4, R11, R12). Every engine passes the same laws.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Decides and writes a batch in one transaction, and returns one decision per command, in
    /// order.
    ///
    /// Levels change by compare-and-set on the number of their last movement, reservations by
    /// compare-and-set on their state (R11).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the batch have been
    /// written; it may be run again (R4).
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: Decide,
    ) -> Result<Vec<Decided>, Failure>;

    /// Writes messages to the quarantine, in a transaction of its own (R16).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the entries have been
    /// written; a retry then raises their count.
    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure>;

    /// Returns one product with its stock at all locations, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure>;

    /// Returns a page of products, sorted by id.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure>;

    /// Returns a page of one product's movements, newest first.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure>;

    /// Returns the reservation of an order, or `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure>;

    /// Returns all locations in sourcing order: by priority, then id.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn locations(&self) -> Result<Vec<Location>, Failure>;
}

/// What the audit reads of stock, beside the service or in another program.
///
/// Each call reads one snapshot of the last commit.
///
/// # Errors
///
/// Every call may be retried, unless it returns [`Failure::Fatal`]. [`Failure::Suspect`] means that
/// a row cannot be decoded.
#[async_trait]
pub trait AuditStore: Send + Sync + fmt::Debug {
    /// Returns the first `limit` reservations after `after`, sorted by order id.
    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, Failure>;

    /// Returns the order ids of the same reservations, also of those that cannot be decoded.
    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure>;

    /// Returns the highest order id of a reservation.
    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure>;

    /// Returns the reservations of these orders that exist, sorted by order id.
    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Reservation>, Failure>;

    /// Returns the first `limit` levels after `after`, sorted by stock key, each with the units
    /// that reservations hold there.
    async fn stock_after(
        &self,
        after: Option<StockKey>,
        limit: u32,
    ) -> Result<Vec<StockAudit>, Failure>;

    /// Returns how many units the first `limit` orders after `after` hold at one stock key, and its
    /// level. Orders count that ever had an allocation there.
    async fn held_at(
        &self,
        stock_key: StockKey,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<HeldAudit, Failure>;

    /// Returns a stretch of one ledger, oldest first.
    async fn ledger(&self, stretch: LedgerRange) -> Result<Vec<Movement>, Failure>;

    /// Returns the level after each of these movements, in order; `None` for one that does not
    /// exist.
    async fn levels_at(&self, points: Vec<(StockKey, i64)>) -> Result<Vec<Option<Level>>, Failure>;

    /// Returns whether each of these products exists, in order.
    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure>;
}

/// A product at a location, which has a level and a ledger.
pub type StockKey = (ProductId, LocationId);

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

/// Which movements to list.
#[derive(Clone, Debug)]
pub struct MovementFilter {
    /// The product.
    pub product_id: ProductId,
    /// Only movements at this location.
    pub location_id: Option<LocationId>,
    /// Only movements older than this one.
    pub before: Option<Moment>,
    /// The most movements to return.
    pub limit: u32,
}

/// The position of a movement among all movements of its product. Sorts from old to new.
///
/// It sorts by time first. If the clock was set back, a lower `seq` may sort after a higher one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When the movement was written, in microseconds since the epoch.
    pub created_at_micros: i64,
    /// Its location.
    pub location_id: LocationId,
    /// Its number in the ledger of its stock key, from 1.
    pub seq: i64,
}

/// A stock row with its ledger's end and what reservations hold there (INV-2, INV-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAudit {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The stored level.
    pub level: Level,
    /// The units that reservations in state reserved hold there; `None` if more than
    /// [`HELD_AT_ONCE`] orders ever had an allocation there.
    pub held: Option<i64>,
    /// The number of the newest movement of its ledger (INV-2).
    pub newest_seq: i64,
}

/// The most orders whose units are added up when a stock row is read.
pub const HELD_AT_ONCE: u32 = 100;

/// The units that a page of orders holds at one stock key, and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAudit {
    /// The level in the same snapshot.
    pub level: Level,
    /// The sum over orders whose reservation is in state reserved.
    pub units: i64,
    /// How many orders the page has, in any state.
    pub allocations: usize,
    /// The last order of the page, if there may be more after it.
    pub more_after: Option<OrderId>,
}

impl HeldAudit {
    /// Adds up a page of at most `limit` orders and the units that each holds.
    fn of(level: Level, page: &[(OrderId, i64)], limit: u32) -> Self {
        let more = page.len() >= limit as usize;
        let last = page.last().map(|(order_id, _)| *order_id);
        let units = page.iter().map(|(_, units)| units).sum();
        Self { level, units, allocations: page.len(), more_after: last.filter(|_| more) }
    }
}

/// The first `limit` movements of one stock key with `after_seq < seq ≤ up_to_seq`.
#[derive(Clone, Debug)]
pub struct LedgerRange {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The number before the first movement; 0 for the beginning of the ledger.
    pub after_seq: i64,
    /// The highest number to return.
    pub up_to_seq: i64,
    /// The most movements to return.
    pub limit: u32,
}
