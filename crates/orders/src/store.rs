//! The Order Service's port to its database.
//!
//! Its main method, [`OrderStore::run`], takes a batch *and* the decider: it opens a transaction, loads
//! under lock, decides, writes and commits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::commands::AllocateStock;
use contract::{Digest, OrderId};
use orders_core::decide::{
    Deadline, DecideOrders, DecidedOrder, OrderCommand, OrderState, Receipt,
};
use orders_core::history::Entry;
use orders_core::order::{CustomerId, Terms};
use orders_core::status::Status;
use platform::admin::Requester;
use platform::audit::JournalAuditStore;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::journal::{Position, Recorded};
use platform::quarantine::Quarantined;

pub use deadlines::{DeadlineLease, DueDeadline, LeasedDeadlines, Overdue};
pub use pending::{MadeDue, PendingFilter, PendingPage, WaitingCommand};
pub use view::{MadeEntry, OrderHeader, OrderSummary, OrderView, ReadOrder};

mod deadlines;
#[cfg(test)]
pub(crate) mod laws;
mod made;
mod packed;
mod pending;
pub mod postgres;
pub mod sqlite;
mod view;

/// The database of orders (R1, R4, R7, R11, R13). Every engine passes the same laws.
#[async_trait]
pub trait OrderStore: Send + Sync + fmt::Debug {
    /// Returns how many batches the store can run at the same time.
    fn parallel_batches(&self) -> usize;

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
    /// Orders change by compare-and-set on the last entry of their history (R13).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the batch have been
    /// written; it may be run again (R4).
    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure>;

    /// Leases due commands for resending and returns them. Before that it durably raises their
    /// attempt and postpones their next one (R7).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. After [`Failure::Unknown`], the commands may have been
    /// leased; they are due again later.
    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure>;

    /// Leases deadlines of payments that have passed, and returns them. Before that it durably
    /// postpones the next attempt, and arms those again from now on that were armed before the clock
    /// was set back (R25). What belongs to a damaged order goes to the quarantine instead (R16).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. After [`Failure::Unknown`], the deadlines may have been
    /// leased; they are due again later.
    async fn lease_deadlines(&self, lease: DeadlineLease) -> Result<LeasedDeadlines, Failure>;

    /// Returns how many deadlines have passed, and how long ago.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn overdue(&self) -> Result<Overdue, Failure>;

    /// Writes messages to the quarantine, in a transaction of its own (R16). Returns how many were
    /// not kept because it has [`MAX_ENTRIES`](platform::quarantine::MAX_ENTRIES) others.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Only after [`Failure::Unknown`] may the entries have been
    /// written; a retry then raises their count.
    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure>;

    /// Returns one order with its history, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure>;

    /// Returns whose order this is, or `None` if it does not exist. Its history is not read.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn header(&self, order_id: OrderId) -> Result<Option<OrderHeader>, Failure>;

    /// Returns the status of one order, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure>;

    /// Returns a page of orders, newest first.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure>;

    /// Returns the number and age of the commands that wait for an answer.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn backlog(&self) -> Result<Backlog, Failure>;

    /// Returns how many orders owe their customers money, counted up to `limit`.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn refunds_due(&self, limit: u32) -> Result<u64, Failure>;

    /// Returns a page of the commands that wait for an answer, the oldest order first.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn pending(&self, filter: PendingFilter) -> Result<PendingPage, Failure>;

    /// Makes the pending command of an order due, before all others, and records in the admin log
    /// who asked for it. The lease that takes it raises its attempt (R7).
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. After [`Failure::Unknown`] the command may be due.
    async fn make_due(&self, order_id: OrderId, requester: Requester) -> Result<MadeDue, Failure>;
}

/// What the event feed reads of orders: the journal of their histories, along its numbers (R29).
///
/// # Errors
///
/// Every call may be retried, unless it returns [`Failure::Fatal`]. [`Failure::Suspect`] means that
/// a row cannot be decoded.
#[async_trait]
pub trait OrderFeedStore: Send + Sync + fmt::Debug {
    /// Returns the first `limit` entries of the journal from `from` on.
    async fn made(&self, from: Position, limit: u32) -> Result<Vec<Recorded<MadeEntry>>, Failure>;

    /// Returns the orders as they were after these entries, in the same order and from one snapshot.
    /// Each is [`Failure::Suspect`] if its rows are damaged, whatever those of the others are.
    async fn views(&self, entries: Vec<MadeEntry>) -> Result<Vec<ReadOrder>, Failure>;
}

/// What the audit reads of orders, beside the service or in another program.
///
/// Each call reads one snapshot of the last commit.
///
/// # Errors
///
/// Every call may be retried, unless it returns [`Failure::Fatal`]. [`Failure::Suspect`] means that
/// a row cannot be decoded.
#[async_trait]
pub trait OrderAuditStore: JournalAuditStore {
    /// Returns the first `limit` orders after `after`, sorted by id.
    async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderAudit>, Failure>;

    /// Returns the ids of the same orders, also of those whose rows cannot be decoded.
    async fn order_ids_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure>;

    /// Returns the highest id of an order.
    async fn last_order_id(&self) -> Result<Option<OrderId>, Failure>;

    /// Returns those of these orders that exist, sorted by id.
    async fn orders_by_id(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure>;

    /// Returns the first `limit` pending commands after `after`, sorted by key, including those
    /// whose order is missing.
    async fn pending_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure>;

    /// Returns the highest key of a pending command.
    async fn last_pending(&self) -> Result<Option<RowKey>, Failure>;

    /// Returns the first `limit` deadlines after `after`, sorted by key, including those whose order
    /// is missing.
    async fn deadlines_after(
        &self,
        after: Option<RowKey>,
        limit: u32,
    ) -> Result<Vec<RowAudit>, Failure>;

    /// Returns the highest key of a deadline.
    async fn last_deadline(&self) -> Result<Option<RowKey>, Failure>;

    /// Returns the number and age of the pending commands, as [`OrderStore::backlog`] does.
    async fn backlog(&self) -> Result<Backlog, Failure>;
}

/// Which due commands to take.
#[derive(Clone, Copy)]
pub struct Lease {
    /// The most commands to take.
    pub limit: u32,
    /// Which of them.
    pub pick: Pick,
    /// Returns how long a command waits for its answer, from the number of the attempt that is
    /// about to be made and a random number.
    pub delay: fn(u32, u64) -> Duration,
    /// The random number from which each command's jitter is derived.
    pub random: u64,
}

impl Lease {
    /// The random number of one command of the lease, spread by the golden ratio.
    fn random_of(&self, salt: u64) -> u64 {
        self.random.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("limit", &self.limit)
            .field("pick", &self.pick)
            .finish_non_exhaustive()
    }
}

/// Which pending commands a lease takes (R8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Commands that have been due for at least `patience`. Those that became due last go first;
    /// every fifth is one that has been due for longest (R8).
    Due { patience: Duration },
    /// Commands that were last sent longer than `ago` ago, due or not, oldest orders first. It is
    /// used when Inventory answers again (R8). It is an age because the store's clock is not the
    /// caller's.
    SentBefore { ago: Duration },
}

/// How far clocks may be apart: those of replicas, that of a database, and one before and after it
/// was set back. A list by time finds every order as long as they are.
///
/// Orders are listed as they were accepted, and their times follow that up to this difference. So a
/// list by time looks at the orders within the times and this much around them, and no others.
const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// Which orders to list. All conditions that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only orders in one of these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Only orders accepted at this time or later.
    pub from: Option<Timestamp>,
    /// Only orders accepted before this time.
    pub to: Option<Timestamp>,
    /// Only orders whose money is like this.
    pub payment: Option<PaymentFilter>,
    /// Only orders of this customer.
    pub customer_id: Option<CustomerId>,
    /// Only orders older than this one.
    pub before: Option<OrderId>,
    /// The most orders to return.
    pub limit: u32,
}

/// What the money of an order is like, if a list is to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentFilter {
    /// The order is reserved until it is paid.
    Due,
    /// Something must be given back.
    RefundDue,
}

impl Filter {
    /// The statuses that a list may have: none for all, `None` if no order can be listed.
    fn statuses(&self) -> Option<Vec<Status>> {
        let all = &self.statuses;
        match self.payment {
            Some(PaymentFilter::Due) if all.is_empty() || all.contains(&Status::Reserved) => {
                Some(vec![Status::Reserved])
            }
            Some(PaymentFilter::Due) => None,
            Some(PaymentFilter::RefundDue) | None => Some(all.clone()),
        }
    }
}

/// The commands that wait for Inventory's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many there are.
    pub commands: u64,
    /// The age of the oldest by the store's clock; zero if there is none.
    pub oldest_age: Duration,
}

/// What the audit checks of one order, from one snapshot (INV-4, INV-7, INV-10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderAudit {
    /// Its id.
    pub order_id: OrderId,
    /// What the customer ordered.
    pub terms: Terms,
    /// The stored digest of its first intent.
    pub digest: Digest,
    /// What the store keeps beside the history; `None` before the first answer or change.
    pub state: Option<OrderState>,
    /// The entries of its history after the first, oldest first.
    pub history: Vec<Entry>,
    /// When it was accepted, in microseconds since the epoch.
    pub created_at_micros: i64,
    /// When it last changed, in microseconds since the epoch.
    pub updated_at_micros: i64,
    /// Its pending command, if it has one.
    pub pending: Option<PendingCommand>,
    /// The deadline of its payment, if it has one.
    pub deadline: Option<Deadline>,
}

/// A pending command as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingCommand {
    /// The revision that it carries.
    pub revision: i64,
    /// Since when it is pending, in microseconds since the epoch.
    pub since_micros: i64,
}

/// The key of a pending command or a deadline, which the engine chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub u128);

/// A pending command or a deadline, and whether its order exists, from one snapshot (INV-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAudit {
    /// Its key.
    pub key: RowKey,
    /// What an operator finds its row by.
    pub name: String,
    /// Whether there is an order with the same key.
    pub has_order: bool,
}
