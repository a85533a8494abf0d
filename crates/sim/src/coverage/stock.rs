//! The cells of a reservation's table, counted at the decider.

use std::collections::BTreeMap;

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use contract::{OrderId, Revision};
use inventory_core::decide::{
    DecidedInventory, InventoryCommand, InventoryDecision, InventoryOutcome, LoadedInventory,
};
use inventory_core::reservation::{Reservation, ReservationState};

use super::orders::{Has, has};
use super::{COVERAGE, DECIDERS, mark};
use crate::spoil;

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
    /// The intent is newer, and ships all that it wants.
    Fulfill,
    /// The intent is newer, and wants something that it does not ship.
    Keep,
}

impl StockEvent {
    pub(crate) const ALL: [Self; 6] =
        [Self::Lower, Self::Same, Self::Place, Self::Cancel, Self::Fulfill, Self::Keep];
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
    } else if intent.revision == Revision::FIRST {
        StockEvent::Place
    } else if intent.shipped.total() == intent.wanted.total() {
        StockEvent::Fulfill
    } else {
        StockEvent::Keep
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
        (Has::Granted, _) if command.intent.shipped == answer.facts.allocated => Known::Shipped,
        (Has::Granted, _) => Known::Reserved,
        (Has::Rejected, _) => Known::Rejected,
        (Has::Nothing, Known::Nothing) => Known::Tombstone,
        (Has::Nothing, _) => Known::Released,
    }
}
