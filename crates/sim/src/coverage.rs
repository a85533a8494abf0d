//! Coverage of the tables: of states and events, counted at the deciders, and of commits of unknown
//! fate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use contract::answers::StockOutcome;
use contract::commands::StockCommandKind;
use inventory_core::decide as stock;
use inventory_core::reservation::StateName;
use orders_core::decide as order;
use orders_core::order::Status;

use crate::describe::receipt;

/// An event of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Cancel,
    Fulfill,
    StockReserved,
    StockRejected,
    StockReleased,
    StockShipped,
}

impl Event {
    pub(crate) const ALL: [Self; 6] = [
        Self::Cancel,
        Self::Fulfill,
        Self::StockReserved,
        Self::StockRejected,
        Self::StockReleased,
        Self::StockShipped,
    ];
}

/// What a transaction does for a client or for the other service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Placement,
    /// A cancellation or a fulfillment.
    Change,
    Settlement,
    StockCommand,
    Movement,
}

impl Work {
    pub(crate) const ALL: [Self; 5] =
        [Self::Placement, Self::Change, Self::Settlement, Self::StockCommand, Self::Movement];

    pub(crate) fn of_order(command: &order::OrderCommand) -> Self {
        match command {
            order::OrderCommand::Place(_) => Self::Placement,
            order::OrderCommand::Cancel { .. } | order::OrderCommand::Fulfill { .. } => {
                Self::Change
            }
            order::OrderCommand::Settle(_) => Self::Settlement,
        }
    }

    /// The work of a stock command. Products and locations have none: they are set up before the
    /// run.
    pub(crate) fn of_stock(command: &stock::InventoryCommand) -> Option<Self> {
        match command {
            stock::InventoryCommand::Stock(_) => Some(Self::StockCommand),
            stock::InventoryCommand::Move(_) => Some(Self::Movement),
            stock::InventoryCommand::PutProduct(_) | stock::InventoryCommand::PutLocation(_) => {
                None
            }
        }
    }
}

/// How a commit of unknown fate turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnknownCommit {
    Done,
    NotDone,
    DoneLater,
}

impl UnknownCommit {
    pub(crate) const ALL: [Self; 3] = [Self::Done, Self::NotDone, Self::DoneLater];
}

/// How often each cell of the tables and each mark was reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) orders: BTreeMap<(Status, Event), u64>,
    pub(crate) stock: BTreeMap<(Option<StateName>, StockCommandKind), u64>,
    pub(crate) commits: BTreeMap<(Work, UnknownCommit), u64>,
    pub(crate) marks: BTreeMap<&'static str, u64>,
}

/// The deciders of a world's services.
#[derive(Clone, Copy)]
struct Deciders {
    orders: order::Decide,
    stock: stock::Decide,
}

thread_local! {
    static COVERAGE: RefCell<Coverage> = RefCell::default();
    /// A decider is a plain function without state: the observed ones are kept here.
    static DECIDERS: Cell<Deciders> =
        const { Cell::new(Deciders { orders: order::decide, stock: stock::decide }) };
}

/// Begins to observe these deciders on this thread, with an empty coverage.
pub(crate) fn begin(orders: order::Decide, stock: stock::Decide) {
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

/// Counts a commit of unknown fate, for each kind of its commands.
pub(crate) fn count_unknown(works: &BTreeSet<Work>, fate: UnknownCommit) {
    COVERAGE.with_borrow_mut(|coverage| {
        works.iter().for_each(|work| *coverage.commits.entry((*work, fate)).or_default() += 1);
    });
}

impl Coverage {
    pub(crate) fn add(&mut self, other: Self) {
        other
            .orders
            .into_iter()
            .for_each(|(cell, count)| *self.orders.entry(cell).or_default() += count);
        other
            .stock
            .into_iter()
            .for_each(|(cell, count)| *self.stock.entry(cell).or_default() += count);
        other
            .commits
            .into_iter()
            .for_each(|(cell, count)| *self.commits.entry(cell).or_default() += count);
        other
            .marks
            .into_iter()
            .for_each(|(mark, count)| *self.marks.entry(mark).or_default() += count);
    }
}

/// The Order Service's decider, observed.
pub(crate) fn decide_orders(
    now_micros: i64,
    batch: &[order::OrderCommand],
    loaded: order::Loaded,
) -> order::Decision {
    let mut status: BTreeMap<_, _> =
        loaded.orders.iter().map(|(id, order)| (*id, order.status)).collect();
    let finds_itself = |command: &order::OrderCommand| match command {
        order::OrderCommand::Place(placement) => status.contains_key(&placement.order_id),
        _ => false,
    };
    let found_itself = batch.iter().any(finds_itself);
    let decision = (DECIDERS.get().orders)(now_micros, batch, loaded);
    if found_itself {
        mark("a placement that finds itself after an unknown commit");
    }
    for (command, decided) in batch.iter().zip(&decision.decided) {
        if !is_about_other_lines(&decided.outcome)
            && let Some(event) = event(command)
            && let Some(before) = status.get(&command.order_id())
        {
            let cell = (*before, event);
            COVERAGE.with_borrow_mut(|coverage| *coverage.orders.entry(cell).or_default() += 1);
        }
        if let Some(receipt) = receipt(&decided.outcome) {
            status.insert(receipt.order_id, receipt.status);
        }
    }
    decision
}

/// Whether an answer is forged: it says nothing of its order's state.
fn is_about_other_lines(outcome: &order::OrderOutcome) -> bool {
    matches!(outcome, order::OrderOutcome::Anomaly(why) if why.contains("other lines"))
}

fn event(command: &order::OrderCommand) -> Option<Event> {
    match command {
        order::OrderCommand::Place(_) => None,
        order::OrderCommand::Cancel { .. } => Some(Event::Cancel),
        order::OrderCommand::Fulfill { .. } => Some(Event::Fulfill),
        order::OrderCommand::Settle(answer) => Some(match answer.outcome {
            StockOutcome::StockReserved { .. } => Event::StockReserved,
            StockOutcome::StockRejected { .. } => Event::StockRejected,
            StockOutcome::StockReleased => Event::StockReleased,
            StockOutcome::StockShipped => Event::StockShipped,
        }),
    }
}

/// The Inventory Service's decider, observed.
pub(crate) fn decide_stock(
    now_micros: i64,
    batch: &[stock::InventoryCommand],
    loaded: stock::Loaded,
) -> stock::Decision {
    let reservations = loaded.reservations.iter();
    let mut states: BTreeMap<_, _> =
        reservations.map(|(id, its)| (*id, its.state.name())).collect();
    let decision = (DECIDERS.get().stock)(now_micros, batch, loaded);
    for (command, decided) in batch.iter().zip(&decision.decided) {
        let command = match command {
            stock::InventoryCommand::Stock(command) if !is_forged(&decided.outcome) => command,
            stock::InventoryCommand::Move(_) if is_replay(&decided.outcome) => {
                mark("a movement that was made before");
                continue;
            }
            _ => continue,
        };
        let before = states.get(&command.order_id).copied();
        let cell = (before, command.kind);
        COVERAGE.with_borrow_mut(|coverage| *coverage.stock.entry(cell).or_default() += 1);
        if let Some(after) = after(before, decided) {
            states.insert(command.order_id, after);
        }
    }
    decision
}

fn is_replay(outcome: &stock::InventoryOutcome) -> bool {
    matches!(outcome, stock::InventoryOutcome::Moved { replayed: true, .. })
}

/// Whether the command is forged: the reason of the anomaly is a digest, not the state of the
/// reservation.
fn is_forged(outcome: &stock::InventoryOutcome) -> bool {
    let is_about_state = |why: &str| why.contains("ShipStock") || why.contains("ReleaseStock");
    matches!(outcome, stock::InventoryOutcome::Anomaly(why) if !is_about_state(why))
}

fn after(before: Option<StateName>, decided: &stock::Decided) -> Option<StateName> {
    let answer = decided.publish.as_ref()?;
    Some(match (&answer.outcome, before) {
        (StockOutcome::StockShipped, _)
        | (StockOutcome::StockReserved { .. }, Some(StateName::Shipped)) => StateName::Shipped,
        (StockOutcome::StockReserved { .. }, _) => StateName::Reserved,
        (StockOutcome::StockRejected { .. }, _) => StateName::Rejected,
        (StockOutcome::StockReleased, _) => StateName::Released,
    })
}
