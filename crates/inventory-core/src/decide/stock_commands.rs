//! Commands of the Order Service: reserve, release and ship the stock of an order.

use contract::answers::StockAnswer;
use contract::commands::StockCommand;

use super::batch_state::BatchState;
use super::decision::{Decided, InventoryOutcome};
use super::sourcing::source;
use crate::reservation::{Action, Before, Reservation, State, choose_action};
use crate::stock::{Cause, Deltas, MovementKind};

impl BatchState {
    /// Decides one command by the table of reservations (R12).
    pub(super) fn execute(&mut self, command: &StockCommand) -> Decided {
        let found = self.reservation(command.order_id).cloned();
        let action = match choose_action(command, found) {
            Ok(action) => action,
            Err(why) => return Decided::silent(InventoryOutcome::Anomaly(why)),
        };
        let reservation = match action {
            Action::Repeat(reservation) => return self.answered(command, &reservation, true),
            Action::Source => self.reserve(command),
            Action::RecordTombstone => {
                Reservation::first(command, State::Released(Before::Absent), self.now_micros)
            }
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
        self.move_allocations(&reservation, MovementKind::Reserve, |units| Deltas {
            on_hand: 0,
            reserved: units,
        });
        reservation
    }

    /// Releases the recorded allocations. Sourcing has no part in it.
    fn release(&mut self, reservation: Reservation) -> Reservation {
        self.move_allocations(&reservation, MovementKind::Release, |units| Deltas {
            on_hand: 0,
            reserved: -units,
        });
        reservation.released(self.now_micros)
    }

    fn ship(&mut self, reservation: Reservation) -> Reservation {
        self.move_allocations(&reservation, MovementKind::Ship, |units| Deltas {
            on_hand: -units,
            reserved: -units,
        });
        reservation.shipped(self.now_micros)
    }

    fn move_allocations(
        &mut self,
        reservation: &Reservation,
        kind: MovementKind,
        deltas: fn(i64) -> Deltas,
    ) {
        for allocation in reservation.state.allocations() {
            let stock_key = (&allocation.product_id, &allocation.location_id);
            let deltas = deltas(allocation.quantity.units());
            self.move_stock(stock_key, kind, deltas, Cause::Order(reservation.order_id)).expect(
                "sourcing takes available units only, and an order's units are reserved (INV-3)",
            );
        }
    }

    fn answered(
        &self,
        command: &StockCommand,
        reservation: &Reservation,
        repeated: bool,
    ) -> Decided {
        let (outcome, decided_at_micros) = reservation.answer_to(command.kind);
        let answer = StockAnswer {
            // The sender of the command can read this version, and perhaps no newer one (R16).
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
