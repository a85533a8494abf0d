//! Commands of the Order Service: units are promised to an order, given back, or shipped.

use contract::answers::StockAnswer;
use contract::commands::StockCommand;

use super::batch_state::BatchState;
use super::decision::{Decided, InventoryOutcome};
use super::sourcing::source;
use crate::reservation::{Action, Before, Reservation, State, judge};
use crate::stock::{Cause, Deltas, MovementKind};

impl BatchState {
    pub(super) fn execute(&mut self, command: &StockCommand) -> Decided {
        let found = self.reservation(command.order_id).cloned();
        let step = match judge(command, found) {
            Ok(step) => step,
            Err(why) => return Decided::silent(InventoryOutcome::Anomaly(why)),
        };
        let reservation = match step {
            Action::Repeat(reservation) => return self.answered(command, &reservation, true),
            Action::Source => self.reserve(command),
            Action::Bury => Reservation::first(command, State::Released(Before::Absent), self.now_micros),
            Action::Release(reservation) => self.release(reservation),
            Action::Ship(reservation) => self.ship(reservation),
        };
        let decided = self.answered(command, &reservation, false);
        self.record(reservation);
        decided
    }

    fn reserve(&mut self, command: &StockCommand) -> Reservation {
        let state = match source(self, &command.lines) {
            Ok(allocations) => State::Reserved(allocations),
            Err(shortfalls) => State::Rejected(shortfalls),
        };
        let reservation = Reservation::first(command, state, self.now_micros);
        self.move_allocations(&reservation, MovementKind::Reserve, |units| Deltas { on_hand: 0, reserved: units });
        reservation
    }

    /// Gives back what was recorded, wherever sourcing would look today.
    fn release(&mut self, reservation: Reservation) -> Reservation {
        self.move_allocations(&reservation, MovementKind::Release, |units| Deltas { on_hand: 0, reserved: -units });
        reservation.released(self.now_micros)
    }

    fn ship(&mut self, reservation: Reservation) -> Reservation {
        self.move_allocations(&reservation, MovementKind::Ship, |units| Deltas { on_hand: -units, reserved: -units });
        reservation.shipped(self.now_micros)
    }

    fn move_allocations(&mut self, reservation: &Reservation, kind: MovementKind, deltas: fn(i64) -> Deltas) {
        for allocation in reservation.state.allocations() {
            let row = (&allocation.product_id, &allocation.location_id);
            let deltas = deltas(allocation.quantity.units());
            self.move_stock(row, kind, deltas, Cause::Order(reservation.order_id))
                .expect("sourcing takes what is available, and what an order holds is reserved (INV-3)");
        }
    }

    fn answered(&self, command: &StockCommand, reservation: &Reservation, repeated: bool) -> Decided {
        let (outcome, decided_at_micros) = reservation.answer_to(command.kind);
        let answer = StockAnswer {
            // Whoever wrote the command reads its version; a newer one might be beyond it (R16).
            schema: command.schema,
            outcome,
            order_id: command.order_id,
            lines: command.lines.clone(),
            digest: command.digest,
            attempt: command.attempt,
            decided_at_micros,
            sent_at_micros: self.now_micros,
            traceparent: command.traceparent.clone(),
        };
        Decided { outcome: InventoryOutcome::Answered { repeated }, publish: Some(answer) }
    }
}
