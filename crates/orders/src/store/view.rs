//! Orders as requests and the event feed read them.

use contract::{Allocations, OrderId, Shortage};
use orders_core::history::{Entry, EntryKind, fold, last_allocated};
use orders_core::money::Currency;
use orders_core::order::{CustomerId, Terms};
use orders_core::payment::Balance;
use orders_core::registers::Registers;
use orders_core::status::Status;
use orders_core::trace::TraceId;
use platform::failure::Failure;

/// An order, or why it cannot be read.
pub type ReadOrder = Result<OrderView, Failure>;

/// An order with its history, as the API shows it.
#[derive(Clone, Debug)]
pub struct OrderView {
    /// Its id.
    pub order_id: OrderId,
    /// Its current status.
    pub status: Status,
    /// What the customer ordered.
    pub terms: Terms,
    /// What its history adds up to: shipments, returns, cancellations, payments and refunds.
    pub registers: Registers,
    /// Its money; `None` if it was placed without a payment.
    pub balance: Option<Balance>,
    /// The stock that it has, or had before it was cancelled.
    pub allocated: Allocations,
    /// The products that were short, if it has nothing therefore.
    pub shortages: Vec<Shortage>,
    /// Who placed it; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The trace of the request that placed it, if it is exported.
    pub trace_id: Option<TraceId>,
    /// The entries of its history after the first, oldest first.
    pub history: Vec<Entry>,
    /// When it was accepted, in microseconds since the epoch.
    pub created_at_micros: i64,
    /// When it last changed, in microseconds since the epoch.
    pub updated_at_micros: i64,
}

impl OrderView {
    /// The order whose history adds up to these registers.
    pub(super) fn new(
        order_id: OrderId,
        terms: Terms,
        registers: Registers,
        history: Vec<Entry>,
        (actor, trace_id): (Option<String>, Option<TraceId>),
        created_at_micros: i64,
        updated_at_micros: i64,
    ) -> Self {
        let status = registers.status(&terms);
        let has_nothing = matches!(status, Status::Rejected | Status::Expired);
        let facts = registers.facts.as_ref().filter(|_| has_nothing);
        let shortages = facts.map(|facts| facts.shortages.clone()).unwrap_or_default();
        Self {
            order_id,
            status,
            balance: registers.balance(&terms),
            terms,
            registers,
            allocated: last_allocated(&history),
            shortages,
            actor,
            trace_id,
            history,
            created_at_micros,
            updated_at_micros,
        }
    }

    /// The order as it was after the entry `seq` of its history, or `None` if there is no such
    /// entry. The first one is the placement.
    pub fn as_of(&self, seq: u32) -> Option<Self> {
        let entries = usize::try_from(seq).ok()?.checked_sub(1)?;
        let history = self.history.get(..entries)?.to_vec();
        let registers = fold(&self.terms, &history).ok()?;
        let last_at = history.last().map(|entry| entry.at_micros);
        Some(Self::new(
            self.order_id,
            self.terms.clone(),
            registers,
            history,
            (self.actor.clone(), self.trace_id),
            self.created_at_micros,
            last_at.unwrap_or(self.created_at_micros),
        ))
    }
}

/// An entry of a history, as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MadeEntry {
    /// The order.
    pub order_id: OrderId,
    /// The number of the entry in the history of the order, from 1 without gaps. The first entry is
    /// the placement.
    pub seq: u32,
    /// What the entry is.
    pub kind: EntryKind,
}

/// An order as a list shows it.
#[derive(Clone, Debug)]
pub struct OrderSummary {
    /// Its id.
    pub order_id: OrderId,
    /// Its current status.
    pub status: Status,
    /// Who placed it.
    pub customer_id: CustomerId,
    /// The currency of the total.
    pub currency: Currency,
    /// The total in minor units of the currency, such as cents.
    pub total_minor: i64,
    /// What must be given back, in minor units of the currency.
    pub refund_due_minor: i64,
    /// When it was accepted, in microseconds since the epoch.
    pub created_at_micros: i64,
    /// When it last changed, in microseconds since the epoch.
    pub updated_at_micros: i64,
}
