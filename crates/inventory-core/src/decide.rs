//! The decider of the Inventory Service.
//!
//! The store loads the rows that a batch touches ([`Touched`]), [`decide`] decides the batch, and
//! the store writes the decision, all in one transaction (R11).

use batch_state::BatchState;

use crate::admin::AdminEvent;

pub use command::{
    Change, ImportRow, InventoryCommand, MovementRequest, Precondition, PutLocation, PutProduct,
    RepairOrder, Touched,
};
pub use decision::{
    DecidedInventory, Imported, InventoryChanges, InventoryDecision, InventoryOutcome,
    LoadedInventory, Refusal, ReservationChange, StockChange,
};

mod allocate;
mod batch_state;
mod command;
mod decision;
mod import;
mod movement_requests;
mod returns;
mod sourcing;
#[cfg(test)]
mod tests;
mod wanted;

/// The type of [`decide`], which a store takes as a parameter.
///
/// A function pointer holds no state. Its arguments are the time in microseconds since 1970 UTC,
/// the batch, and the rows that the store loaded for it.
pub type DecideInventory = fn(i64, &[InventoryCommand], LoadedInventory) -> InventoryDecision;

/// Decides the commands of a batch one after the other. Each sees the effects of those before it.
///
/// `now_micros` is the time in microseconds since 1970 UTC, which the store read while it held its
/// locks. `loaded` must contain every row that [`Touched::by`] names for the batch and that exists.
/// The result depends on the arguments alone, so a batch may be decided again after a commit of
/// unknown fate (R4). Sources: the table of reservations, R12, R14, R21 to
/// R24, INV-1 to INV-3, INV-8.
///
/// # Panics
///
/// If `loaded` breaks INV-3: a reservation holds units that are not reserved at their location. The
/// store then rolls back, and the committer runs the commands one by one (R11).
pub fn decide(
    now_micros: i64,
    batch: &[InventoryCommand],
    loaded: LoadedInventory,
) -> InventoryDecision {
    let mut state = BatchState::new(now_micros, loaded);
    let decided = batch.iter().map(|command| state.decide_one(command)).collect();
    InventoryDecision { decided, changes: state.into_changes() }
}

impl BatchState {
    fn decide_one(&mut self, command: &InventoryCommand) -> DecidedInventory {
        match command {
            InventoryCommand::Allocate(command) => self.allocate(command),
            InventoryCommand::Move(request) => DecidedInventory::silent(
                self.request(request).unwrap_or_else(InventoryOutcome::Refused),
            ),
            InventoryCommand::PutProduct(put) => DecidedInventory::silent(
                self.put_product(put).unwrap_or_else(InventoryOutcome::Refused),
            ),
            InventoryCommand::PutLocation(put) => DecidedInventory::silent(
                self.put_location(put).unwrap_or_else(InventoryOutcome::Refused),
            ),
            InventoryCommand::Import(row) => DecidedInventory::silent(
                self.import(row).unwrap_or_else(InventoryOutcome::RowRefused),
            ),
            InventoryCommand::Repair(repair) => self.repair(repair),
            InventoryCommand::Note(note) => {
                self.record_act(&note.requester, AdminEvent::Noted(note.note.clone()));
                DecidedInventory::silent(InventoryOutcome::Noted)
            }
        }
    }
}
