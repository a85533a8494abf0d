//! The Order Service's port to its database.
//!
//! The main verb takes the batch *and* the decider: open a transaction, load under lock, decide,
//! write, commit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::commands::{StockCommand, StockCommandKind};
use contract::{Digest, OrderId};
use orders_core::decide::{Decide, Decided, OrderCommand, Receipt};
use orders_core::order::{CustomerId, Entry, Status, Terms};
use platform::failure::Failure;
use platform::quarantine::Quarantined;

#[cfg(test)]
pub(crate) mod laws;
pub mod postgres;
pub mod sqlite;
mod text;

/// Where orders are kept.
///
/// Source: R1, R4, R7, R11, R13; every engine passes the same laws.
///
/// # Errors
///
/// [`Failure`] says whether anything was written and whether to try again.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// How many batches it executes side by side.
    fn parallel_batches(&self) -> usize;

    /// Decides and writes a batch in one transaction.
    ///
    /// One answer per command, in order. Orders change by compare-and-set on their status.
    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: Decide,
    ) -> Result<Vec<Decided>, Failure>;

    /// Takes due commands for re-sending: raises their attempt and puts off their next one,
    /// durably, first (R7).
    async fn lease(&self, lease: Lease) -> Result<Vec<StockCommand>, Failure>;

    /// Sets messages aside, in a transaction of its own (R16).
    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<(), Failure>;

    /// One order with all that is known of it.
    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure>;

    /// Where one order stands.
    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure>;

    /// A page of orders, newest first.
    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure>;

    /// The commands in flight.
    async fn backlog(&self) -> Result<Backlog, Failure>;
}

/// What the audit reads of orders, beside the service or from another program.
///
/// Each call reads one snapshot of the last commit.
///
/// # Errors
///
/// Nothing was read; every call may be repeated. [`Failure::Suspect`] is about a row that makes no
/// sense.
#[async_trait]
pub trait AuditStore: Send + Sync + fmt::Debug {
    /// Orders after `after`, sorted by id.
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure>;

    /// The ids of the same orders, whatever else their rows say.
    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure>;

    /// The highest id that an order or a command in flight has.
    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure>;

    /// Those of these orders that exist, sorted by id.
    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure>;

    /// The commands in flight after `after`, sorted by order id, also those whose order is missing.
    async fn pending_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<PendingAudit>, Failure>;

    /// The commands in flight, as the service counts them.
    async fn backlog(&self) -> Result<Backlog, Failure>;
}

/// Which due commands to take.
#[derive(Clone, Copy)]
pub struct Lease {
    /// No more than this many.
    pub limit: u32,
    pub pick: Pick,
    /// How long a command then waits for its answer, given the attempt about to be made.
    pub delay: fn(u32, u64) -> Duration,
    /// Makes the jitter of each delay differ.
    pub random: u64,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("limit", &self.limit)
            .field("pick", &self.pick)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Due by time, for at least `patience`. What became due last goes first, and one in five is
    /// what has been due for longest (R8).
    Due { patience: Duration },
    /// Whatever was last sent longer ago than this, due or not, oldest first: Inventory answers
    /// again (R8). An age, since the store's clock is not that of whoever asks.
    SentBefore { ago: Duration },
}

/// An order as it is shown.
#[derive(Clone, Debug)]
pub struct OrderView {
    pub order_id: OrderId,
    pub status: Status,
    pub terms: Terms,
    /// From the first entry on. Allocations and shortages are in the entries that an answer made.
    pub history: Vec<Entry>,
    pub created_at_micros: i64,
    pub updated_at_micros: i64,
}

/// An order as a list shows it.
#[derive(Clone, Debug)]
pub struct OrderSummary {
    pub order_id: OrderId,
    pub status: Status,
    pub customer_id: CustomerId,
    pub currency: orders_core::money::Currency,
    pub total_minor: i64,
    pub created_at_micros: i64,
    pub updated_at_micros: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub customer_id: Option<CustomerId>,
    /// Only orders older than this one.
    pub before: Option<OrderId>,
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub commands: u64,
    /// Age of the oldest, on the store's clock.
    pub oldest_age: Duration,
}

/// What the invariants speak of, of one order, from one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderAudit {
    pub order_id: OrderId,
    pub status: Status,
    pub digest: Digest,
    pub total_minor: i64,
    pub terms: Terms,
    pub history: Vec<(u32, Status)>,
    pub pending: Option<StockCommandKind>,
}

/// A command in flight and the order that it belongs to, from one snapshot.
///
/// In microseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAudit {
    pub order_id: OrderId,
    /// As it is written there.
    pub kind: String,
    pub since_micros: i64,
    /// When the order took its last step; nothing if there is no such order.
    pub moved_at_micros: Option<i64>,
}
