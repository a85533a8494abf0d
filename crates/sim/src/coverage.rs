//! Coverage of the tables: of states and events, counted at the deciders, and of commits of unknown
//! fate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use inventory_core::decide::{DecideInventory, InventoryCommand};
use orders_core::decide::{DecideOrders, OrderCommand, OrderRequest};
use orders_core::status::Status;

pub(crate) use orders::{Answered, Asked, Has, OrderEvent, decide_orders};
pub(crate) use stock::{Known, StockEvent, decide_stock};

mod orders;
mod stock;

/// What a transaction does for a client or for the other service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Placement,
    /// What a client asks of an order that exists, but to pay it.
    Change,
    Payment,
    /// The deadline of a payment.
    Deadline,
    Settlement,
    Allocation,
    Movement,
}

impl Work {
    pub(crate) const ALL: [Self; 7] = [
        Self::Placement,
        Self::Change,
        Self::Payment,
        Self::Deadline,
        Self::Settlement,
        Self::Allocation,
        Self::Movement,
    ];

    pub(crate) fn of_order(command: &OrderCommand) -> Self {
        match command {
            OrderCommand::Place(_) => Self::Placement,
            OrderCommand::Request { request, .. } => match **request {
                OrderRequest::Pay { .. } => Self::Payment,
                _ => Self::Change,
            },
            OrderCommand::Expire { .. } => Self::Deadline,
            OrderCommand::Settle(_) => Self::Settlement,
        }
    }

    /// The work of a command to Inventory. Products and locations have none: they are set up before
    /// the run.
    pub(crate) fn of_stock(command: &InventoryCommand) -> Option<Self> {
        match command {
            InventoryCommand::Allocate(_) => Some(Self::Allocation),
            InventoryCommand::Move(_) => Some(Self::Movement),
            InventoryCommand::PutProduct(_)
            | InventoryCommand::PutLocation(_)
            | InventoryCommand::Import(_)
            | InventoryCommand::Note(_)
            | InventoryCommand::Repair(_) => None,
        }
    }
}

/// How a commit turned out of which the replica does not learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnknownCommit {
    Done,
    NotDone,
    DoneLater,
    /// It is done, and the process dies before it tells anybody.
    Died,
}

impl UnknownCommit {
    pub(crate) const ALL: [Self; 4] = [Self::Done, Self::NotDone, Self::DoneLater, Self::Died];
}

/// How often each cell of the tables and each mark was reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) orders: BTreeMap<(Status, OrderEvent), u64>,
    pub(crate) stock: BTreeMap<(Known, StockEvent), u64>,
    pub(crate) commits: BTreeMap<(Work, UnknownCommit), u64>,
    pub(crate) marks: BTreeMap<&'static str, u64>,
}

/// The deciders of a world's services.
#[derive(Clone, Copy)]
struct Deciders {
    orders: DecideOrders,
    stock: DecideInventory,
}

thread_local! {
    static COVERAGE: RefCell<Coverage> = RefCell::default();
    /// A decider is a plain function without state: the observed ones are kept here.
    static DECIDERS: Cell<Deciders> = const {
        Cell::new(Deciders {
            orders: orders_core::decide::decide,
            stock: inventory_core::decide::decide,
        })
    };
}

/// Begins to observe these deciders on this thread, with an empty coverage.
pub(crate) fn begin(orders: DecideOrders, stock: DecideInventory) {
    DECIDERS.set(Deciders { orders, stock });
    take();
}

/// Takes the coverage of this thread, and leaves an empty one.
pub(crate) fn take() -> Coverage {
    COVERAGE.take()
}

/// Reads the coverage of this thread.
pub(crate) fn with<T>(look: impl FnOnce(&Coverage) -> T) -> T {
    COVERAGE.with_borrow(look)
}

pub(crate) fn mark(name: &'static str) {
    COVERAGE.with_borrow_mut(|coverage| *coverage.marks.entry(name).or_default() += 1);
}

/// Counts a commit of which the replica does not learn, for each kind of its commands.
pub(crate) fn count_unknown(works: &BTreeSet<Work>, fate: UnknownCommit) {
    COVERAGE.with_borrow_mut(|coverage| {
        works.iter().for_each(|work| *coverage.commits.entry((*work, fate)).or_default() += 1);
    });
}

impl Coverage {
    pub(crate) fn add(&mut self, other: Self) {
        sum(&mut self.orders, other.orders);
        sum(&mut self.stock, other.stock);
        sum(&mut self.commits, other.commits);
        sum(&mut self.marks, other.marks);
    }
}

fn sum<K: Ord>(counts: &mut BTreeMap<K, u64>, other: BTreeMap<K, u64>) {
    other.into_iter().for_each(|(key, count)| *counts.entry(key).or_default() += count);
}
