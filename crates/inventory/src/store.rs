//! The Inventory Service's port to its database.
//!
//! The main verb takes the batch *and* the decider: open a transaction, load under lock, decide,
//! write, commit.

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

/// Where the stock is kept.
///
/// Source: R1, R4, R11, R12; every engine passes the same laws.
///
/// # Errors
///
/// [`Failure`] says whether anything was written and whether to try again.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Decides and writes a batch in one transaction.
    ///
    /// One answer per command, in order. Levels change by compare-and-set on the number of their
    /// last movement, reservations by compare-and-set on their state.
    async fn run(
        &self,
        batch: Arc<[InventoryCommand]>,
        decide: Decide,
    ) -> Result<Vec<Decided>, Failure>;

    /// Sets messages aside, in a transaction of its own (R16).
    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure>;

    /// One product with all of its stock.
    async fn product(&self, product_id: ProductId) -> Result<Option<ProductStock>, Failure>;

    /// A page of products, sorted by id.
    async fn products(&self, filter: ProductFilter) -> Result<Vec<ProductStock>, Failure>;

    /// A page of one product's ledger, newest first.
    async fn movements(&self, filter: MovementFilter) -> Result<Vec<Movement>, Failure>;

    /// What an order was promised.
    async fn reservation(&self, order_id: OrderId) -> Result<Option<Reservation>, Failure>;

    /// All of them, in the order in which they serve: by (priority, id).
    async fn locations(&self) -> Result<Vec<Location>, Failure>;
}

/// What the audit reads of stock, beside the service or from another program.
///
/// Each call reads one snapshot of the last commit.
///
/// # Errors
///
/// Nothing was read; every call may be repeated. [`Failure::Suspect`] is about a row that makes no
/// sense.
#[async_trait]
pub trait AuditStore: Send + Sync + fmt::Debug {
    /// Reservations after `after`, sorted by order id.
    async fn reservations_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, Failure>;

    /// The order ids of the same reservations, whatever else their rows say.
    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure>;

    /// The highest order id that a reservation has.
    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure>;

    /// Those of these orders' reservations that exist, sorted by order id.
    async fn reservations_by_id(
        &self,
        order_ids: Vec<OrderId>,
    ) -> Result<Vec<Reservation>, Failure>;

    /// Levels after `after`, sorted by place, each with what is held there; all from one snapshot.
    async fn stock_after(
        &self,
        after: Option<StockKey>,
        limit: u32,
    ) -> Result<Vec<StockAudit>, Failure>;

    /// What orders after `after` hold at one place, the first `limit` that were ever promised
    /// anything there, and the place's level; all from one snapshot.
    async fn held_at(
        &self,
        place: StockKey,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<HeldAudit, Failure>;

    /// A stretch of one ledger, from its older end on.
    async fn ledger(&self, stretch: Stretch) -> Result<Vec<Movement>, Failure>;

    /// The level that each of these movements left behind, in order; nothing where there is none.
    async fn levels_at(&self, points: Vec<(StockKey, i64)>) -> Result<Vec<Option<Level>>, Failure>;

    /// Whether each of these products is known, in order.
    async fn known_products(&self, product_ids: Vec<ProductId>) -> Result<Vec<bool>, Failure>;
}

/// Where one product lies.
pub type StockKey = (ProductId, LocationId);

/// Which products to list. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct ProductFilter {
    /// The beginning of the id, or a part of the name, in any case.
    pub text: Option<String>,
    pub ids: Option<Vec<ProductId>>,
    /// Only those of which no more is available than their low-stock mark, over all locations.
    pub low_stock: bool,
    /// Only products that sort after this one.
    pub after: Option<ProductId>,
    pub limit: u32,
}

/// Which movements to list.
#[derive(Clone, Debug)]
pub struct MovementFilter {
    pub product_id: ProductId,
    pub location_id: Option<LocationId>,
    /// Only movements older than this one.
    pub before: Option<Moment>,
    pub limit: u32,
}

/// A movement's position among all of its product's, over all locations. Sorts from old to new.
///
/// By time first: where the clock was set back, an older number may stand before a newer one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub created_at_micros: i64,
    pub location_id: LocationId,
    pub seq: i64,
}

/// A level, and Σ of what reservations in state reserved hold there (INV-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAudit {
    pub product_id: ProductId,
    pub location_id: LocationId,
    pub level: Level,
    /// Nothing where more than [`HELD_AT_ONCE`] orders were ever promised something.
    pub held: Option<i64>,
    /// The number of the newest movement of its ledger (INV-2).
    pub newest_seq: i64,
}

/// Of so many orders, and no more, it is said together with a stock row what they hold there.
pub const HELD_AT_ONCE: u32 = 100;

/// What some orders hold at one place, and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldAudit {
    pub level: Level,
    /// Σ over those whose reservation is in state reserved.
    pub units: i64,
    /// How many orders these are, whatever became of them.
    pub allocations: usize,
    /// The last of these orders, if others may come after it.
    pub more_after: Option<OrderId>,
}

impl HeldAudit {
    /// A page of at most `limit` orders and what each of them holds.
    fn of(level: Level, page: &[(OrderId, i64)], limit: u32) -> Self {
        let more = page.len() >= limit as usize;
        let last = page.last().map(|(order_id, _)| *order_id);
        let units = page.iter().map(|(_, units)| units).sum();
        Self { level, units, allocations: page.len(), more_after: last.filter(|_| more) }
    }
}

/// The movements of one place with `after_seq < seq ≤ up_to_seq`, the first `limit` of them.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub product_id: ProductId,
    pub location_id: LocationId,
    pub after_seq: i64,
    pub up_to_seq: i64,
    pub limit: u32,
}
