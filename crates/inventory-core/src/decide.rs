//! A batch in, decisions out. The store loads what the batch touches, this decides, the store writes it down.

use batch_state::BatchState;

pub use command::{Change, InventoryCommand, MovementRequest, PutProduct, Touched};
pub use decision::{Changes, Decided, Decision, InventoryOutcome, Loaded, Refusal, ReservationChange, StockChange};

mod batch_state;
mod command;
mod decision;
mod movement_requests;
mod sourcing;
mod stock_commands;
#[cfg(test)]
mod tests;

/// How a store is told to decide; a plain function, so that it can hold no state and do no I/O.
pub type Decide = fn(i64, &[InventoryCommand], Loaded) -> Decision;

/// Decides the commands in their order, each seeing the ones before.
///
/// **Units:** `now_micros` since the epoch. **Source:** the table of reservations, R12, R14, INV-1 to INV-3, INV-8.
pub fn decide(now_micros: i64, batch: &[InventoryCommand], loaded: Loaded) -> Decision {
    let mut state = BatchState::new(now_micros, loaded);
    let decided = batch.iter().map(|command| state.decide_one(command)).collect();
    Decision { decided, changes: state.into_changes() }
}

impl BatchState {
    fn decide_one(&mut self, command: &InventoryCommand) -> Decided {
        match command {
            InventoryCommand::Stock(command) => self.execute(command),
            InventoryCommand::Move(request) => {
                Decided::silent(self.request(request).unwrap_or_else(InventoryOutcome::Refused))
            }
            InventoryCommand::PutProduct(put) => Decided::silent(self.put_product(put)),
            InventoryCommand::PutLocation(location) => Decided::silent(self.put_location(location)),
        }
    }
}
