//! Orders as requests and the event feed read them.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Allocations, OrderId, Shortage};
use orders_core::history::{Entry, EntryKind, last_allocated};
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

/// An order whose history was added up.
#[derive(Clone, Debug)]
pub(super) struct FoldedOrder {
    pub(super) order_id: OrderId,
    pub(super) terms: Terms,
    /// What the history adds up to.
    pub(super) registers: Registers,
    pub(super) history: Vec<Entry>,
    pub(super) actor: Option<String>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) created_at_micros: i64,
}

impl From<FoldedOrder> for OrderView {
    fn from(order: FoldedOrder) -> Self {
        let FoldedOrder { order_id, terms, registers, history, actor, trace_id, created_at_micros } =
            order;
        let status = registers.status(&terms);
        let has_nothing = matches!(status, Status::Rejected | Status::Expired);
        let facts = registers.facts.as_ref().filter(|_| has_nothing);
        let shortages = facts.map(|facts| facts.shortages.clone()).unwrap_or_default();
        let last_at_micros = history.last().map(|entry| entry.at_micros);
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
            updated_at_micros: last_at_micros.unwrap_or(created_at_micros),
        }
    }
}

impl FoldedOrder {
    /// The order as it was after each of these entries of its history that it has. The first one is
    /// the placement. However many there are, the history is added up once.
    pub(super) fn as_of(&self, seqs: &BTreeSet<u32>) -> BTreeMap<u32, OrderView> {
        let mut registers = Registers::placed(self.terms.ordered());
        let mut views = BTreeMap::new();
        if seqs.contains(&1) {
            views.insert(1, self.with(registers.clone(), 0));
        }
        for (entries, entry) in (1..).zip(&self.history) {
            let applied = registers.apply(&self.terms, entry.seq, entry.at_micros, &entry.event);
            if applied.is_err() {
                break;
            }
            if seqs.contains(&entry.seq) {
                views.insert(entry.seq, self.with(registers.clone(), entries));
            }
        }
        views
    }

    /// The order after the first entries of its history, which add up to these registers.
    fn with(&self, registers: Registers, entries: usize) -> OrderView {
        let history = self.history[..entries].to_vec();
        let terms = self.terms.clone();
        let actor = self.actor.clone();
        let Self { order_id, trace_id, created_at_micros, .. } = *self;
        FoldedOrder { order_id, terms, registers, history, actor, trace_id, created_at_micros }
            .into()
    }
}

impl OrderView {
    /// Takes when the payment is due from the row of the deadline: it was armed again if the clock
    /// was set back.
    pub(super) fn pay_by(&mut self, pay_by_micros: Option<i64>) {
        if let (Some(balance), Some(_)) = (&mut self.balance, pay_by_micros) {
            balance.pay_by_micros = pay_by_micros;
        }
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

/// What never changes of an order, without its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderHeader {
    /// Who placed it.
    pub customer_id: CustomerId,
    /// The currency of its prices.
    pub currency: Currency,
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
    /// When its payment is due, in microseconds since the epoch; `None` unless it is `reserved`.
    pub pay_by_micros: Option<i64>,
    /// When it was accepted, in microseconds since the epoch.
    pub created_at_micros: i64,
    /// When it last changed, in microseconds since the epoch.
    pub updated_at_micros: i64,
}
