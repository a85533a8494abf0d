//! Coverage of the tables: of states and events, counted at the deciders, and of commits of unknown
//! fate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use contract::{Facts, OrderId, Revision};
use inventory_core::decide::{
    DecideInventory, DecidedInventory, InventoryCommand, InventoryDecision, InventoryOutcome,
    LoadedInventory,
};
use inventory_core::reservation::{Reservation, ReservationState};
use orders_core::decide::{
    DecideOrders, DecidedOrder, LoadedOrders, OrderCommand, OrderOutcome, OrdersDecision,
};
use orders_core::status::Status;

use crate::describe::receipt;
use crate::spoil;

/// What an order has by the facts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Has {
    Granted,
    Rejected,
    Nothing,
}

/// An event of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OrderEvent {
    Cancel,
    Fulfill,
    /// Facts of a lower revision than the order's.
    Lower(Has),
    /// Facts of the order's revision.
    Current(Has),
}

impl OrderEvent {
    pub(crate) const ALL: [Self; 8] = [
        Self::Cancel,
        Self::Fulfill,
        Self::Lower(Has::Granted),
        Self::Lower(Has::Rejected),
        Self::Lower(Has::Nothing),
        Self::Current(Has::Granted),
        Self::Current(Has::Rejected),
        Self::Current(Has::Nothing),
    ];
}

/// A command, from the point of view of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StockEvent {
    /// The intent has a lower revision than the reservation.
    Lower,
    /// The intent has the revision of the reservation.
    Same,
    /// The intent is newer, and wants what was ordered.
    Place,
    /// The intent is newer, and wants nothing.
    Cancel,
    /// The intent is newer, and ships what the order has.
    Fulfill,
}

impl StockEvent {
    pub(crate) const ALL: [Self; 5] =
        [Self::Lower, Self::Same, Self::Place, Self::Cancel, Self::Fulfill];
}

/// What Inventory knows of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    /// There is no reservation.
    Nothing,
    Reserved,
    Rejected,
    /// A cancellation came before the order.
    Tombstone,
    Released,
    Shipped,
}

impl Known {
    pub(crate) const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Reserved,
        Self::Rejected,
        Self::Tombstone,
        Self::Released,
        Self::Shipped,
    ];
}

/// What a transaction does for a client or for the other service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Placement,
    /// A cancellation or a fulfillment.
    Change,
    Settlement,
    Allocation,
    Movement,
}

impl Work {
    pub(crate) const ALL: [Self; 5] =
        [Self::Placement, Self::Change, Self::Settlement, Self::Allocation, Self::Movement];

    pub(crate) fn of_order(command: &OrderCommand) -> Self {
        match command {
            OrderCommand::Place(_) => Self::Placement,
            OrderCommand::Cancel { .. } | OrderCommand::Fulfill { .. } => Self::Change,
            OrderCommand::Settle(_) => Self::Settlement,
        }
    }

    /// The work of a command to Inventory. Products and locations have none: they are set up before
    /// the run.
    pub(crate) fn of_stock(command: &InventoryCommand) -> Option<Self> {
        match command {
            InventoryCommand::Allocate(_) => Some(Self::Allocation),
            InventoryCommand::Move(_) => Some(Self::Movement),
            InventoryCommand::PutProduct(_) | InventoryCommand::PutLocation(_) => None,
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

/// Counts a commit of unknown fate, for each kind of its commands.
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

/// The Order Service's decider, observed.
pub(crate) fn decide_orders(
    now_micros: i64,
    batch: &[OrderCommand],
    loaded: LoadedOrders,
) -> OrdersDecision {
    let orders = loaded.orders.iter();
    let mut states: BTreeMap<OrderId, (Status, Revision)> = orders
        .map(|(id, order)| (*id, (order.status(), order.registers.intent.revision)))
        .collect();
    let finds_itself = |command: &OrderCommand| match command {
        OrderCommand::Place(placement) => states.contains_key(&placement.order_id),
        _ => false,
    };
    if batch.iter().any(finds_itself) {
        mark("a placement that finds itself after an unknown commit");
    }
    let decision = (DECIDERS.get().orders)(now_micros, batch, loaded);
    for (command, decided) in batch.iter().zip(&decision.decided) {
        if let Some((status, revision)) = states.get(&command.order_id())
            && let Some(event) = order_event(command, *revision)
            && !matches!(decided.outcome, OrderOutcome::Anomaly(_))
        {
            let cell = (*status, event);
            COVERAGE.with_borrow_mut(|coverage| *coverage.orders.entry(cell).or_default() += 1);
        }
        note_order(&mut states, decided);
    }
    decision
}

/// Notes the status and the revision of an order after a command.
fn note_order(states: &mut BTreeMap<OrderId, (Status, Revision)>, decided: &DecidedOrder) {
    let Some(receipt) = receipt(&decided.outcome) else { return };
    let (_, known) =
        states.get(&receipt.order_id).copied().unwrap_or((receipt.status, Revision::FIRST));
    let made = decided.publish.as_ref().map(|command| command.intent.revision);
    states.insert(receipt.order_id, (receipt.status, made.unwrap_or(known)));
}

/// The event of an order that is at this revision. Forged messages are none.
fn order_event(command: &OrderCommand, at: Revision) -> Option<OrderEvent> {
    match command {
        OrderCommand::Place(_) => None,
        OrderCommand::Cancel { .. } => Some(OrderEvent::Cancel),
        OrderCommand::Fulfill { .. } => Some(OrderEvent::Fulfill),
        OrderCommand::Settle(answer) if spoil::is_forged(answer.sent_at_micros) => None,
        OrderCommand::Settle(answer) if answer.facts.revision < at => {
            Some(OrderEvent::Lower(has(&answer.facts)))
        }
        OrderCommand::Settle(answer) => Some(OrderEvent::Current(has(&answer.facts))),
    }
}

fn has(facts: &Facts) -> Has {
    match (facts.allocated.is_empty(), facts.shortages.is_empty()) {
        (false, _) => Has::Granted,
        (true, false) => Has::Rejected,
        (true, true) => Has::Nothing,
    }
}

/// The Inventory Service's decider, observed.
pub(crate) fn decide_stock(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let reservations = loaded.reservations.iter();
    let mut states: BTreeMap<OrderId, (Known, Revision)> =
        reservations.map(|(id, its)| (*id, (known(its), its.revision))).collect();
    let decision = (DECIDERS.get().stock)(now_micros, batch, loaded);
    for (command, decided) in batch.iter().zip(&decision.decided) {
        if is_replay(&decided.outcome) {
            mark("a movement that was made before");
        }
        let InventoryCommand::Allocate(command) = command else { continue };
        let state = states.get(&command.order_id).copied();
        let before = state.map_or(Known::Nothing, |(known, _)| known);
        if !matches!(decided.outcome, InventoryOutcome::Anomaly(_))
            && !spoil::is_forged(command.sent_at_micros)
        {
            let cell = (before, stock_event(command, state.map(|(_, revision)| revision)));
            COVERAGE.with_borrow_mut(|coverage| *coverage.stock.entry(cell).or_default() += 1);
        }
        if let Some(answer) = &decided.publish
            && !is_repeated(decided)
        {
            let after = after(before, command, answer);
            states.insert(command.order_id, (after, answer.facts.revision));
        }
    }
    decision
}

fn known(reservation: &Reservation) -> Known {
    let is_empty = reservation.holdings.is_empty() && reservation.rejection.is_none();
    match reservation.state() {
        ReservationState::Reserved => Known::Reserved,
        ReservationState::Rejected => Known::Rejected,
        ReservationState::Released if is_empty => Known::Tombstone,
        ReservationState::Released => Known::Released,
        ReservationState::Shipped => Known::Shipped,
    }
}

fn stock_event(command: &AllocateStock, at: Option<Revision>) -> StockEvent {
    let intent = &command.intent;
    if at > Some(intent.revision) {
        StockEvent::Lower
    } else if at == Some(intent.revision) {
        StockEvent::Same
    } else if intent.wanted.total() == 0 {
        StockEvent::Cancel
    } else if intent.shipped.is_empty() {
        StockEvent::Place
    } else {
        StockEvent::Fulfill
    }
}

fn is_replay(outcome: &InventoryOutcome) -> bool {
    matches!(outcome, InventoryOutcome::Moved { replayed: true, .. })
}

fn is_repeated(decided: &DecidedInventory) -> bool {
    matches!(decided.outcome, InventoryOutcome::Answered { repeated: true })
}

/// What Inventory knows after it carried out a command.
fn after(before: Known, command: &AllocateStock, answer: &StockAllocated) -> Known {
    match (has(&answer.facts), before) {
        (Has::Granted, _) if command.intent.shipped.is_empty() => Known::Reserved,
        (Has::Granted, _) => Known::Shipped,
        (Has::Rejected, _) => Known::Rejected,
        (Has::Nothing, Known::Nothing) => Known::Tombstone,
        (Has::Nothing, _) => Known::Released,
    }
}
