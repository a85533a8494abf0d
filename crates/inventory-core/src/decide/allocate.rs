//! The command of the Order Service: make the stock of an order what its intent says.

use contract::Intent;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::batch_state::BatchState;
use super::decision::{DecidedInventory, InventoryOutcome};
use super::sourcing::{Part, source};
use crate::reservation::{Action, Holding, Rejection, Reservation, choose_action};
use crate::stock::{Cause, Deltas, MovementKind};

impl BatchState {
    /// Decides one command by the table of reservations (R12, R21).
    pub(super) fn allocate(&mut self, command: &AllocateStock) -> DecidedInventory {
        let found = self.reservation(command.order_id).cloned();
        let action = match choose_action(command, found) {
            Ok(action) => action,
            Err(why) => return DecidedInventory::silent(InventoryOutcome::Anomaly(why)),
        };
        let reservation = match action {
            Action::Repeat(reservation) => return self.answered(command, &reservation, true),
            Action::Source => self.reserve(command),
            Action::RecordTombstone => Reservation::first(command, self.now_micros),
            Action::Apply(reservation) => self.apply(command, reservation),
        };
        let decided = self.answered(command, &reservation, false);
        self.record(reservation);
        decided
    }

    /// Reserves all that the order wants, or nothing.
    fn reserve(&mut self, command: &AllocateStock) -> Reservation {
        let mut reservation = Reservation::first(command, self.now_micros);
        match source(self, &command.intent.wanted) {
            Ok(parts) => {
                let holding = |part: Part| Holding {
                    product_id: part.product_id,
                    location_id: part.location_id,
                    promised: part.units,
                    released: 0,
                    shipped: 0,
                    movements: Vec::new(),
                };
                reservation.holdings = parts.into_iter().map(holding).collect();
            }
            Err(shortfalls) => {
                let revision = command.intent.revision;
                reservation.rejection = Some(Rejection { revision, shortfalls });
            }
        }
        for index in 0..reservation.holdings.len() {
            let reserved = reservation.holdings[index].promised;
            let deltas = Deltas { on_hand: 0, reserved };
            self.move_holding(&mut reservation, index, MovementKind::Reserve, deltas);
        }
        reservation
    }

    /// Ships, then releases, until the order has what the intent says (R23). The recorded holdings
    /// decide where; sourcing has no part in it.
    fn apply(&mut self, command: &AllocateStock, mut reservation: Reservation) -> Reservation {
        for index in 0..reservation.holdings.len() {
            self.ship(&command.intent, &mut reservation, index);
        }
        for index in 0..reservation.holdings.len() {
            self.release(&command.intent, &mut reservation, index);
        }
        reservation.revision = command.intent.revision;
        reservation.digest = command.digest;
        reservation.updated_at_micros = self.now_micros;
        reservation
    }

    fn ship(&mut self, intent: &Intent, reservation: &mut Reservation, index: usize) {
        let holding = &mut reservation.holdings[index];
        let shipped = intent.shipped.at(&holding.product_id, &holding.location_id);
        let units = shipped - holding.shipped;
        if units > 0 {
            holding.shipped = shipped;
            let deltas = Deltas { on_hand: -units, reserved: -units };
            self.move_holding(reservation, index, MovementKind::Ship, deltas);
        }
    }

    fn release(&mut self, intent: &Intent, reservation: &mut Reservation, index: usize) {
        let holding = &mut reservation.holdings[index];
        let units = holding.held();
        if units > 0 && intent.wanted.of(&holding.product_id) == 0 {
            holding.released += units;
            let deltas = Deltas { on_hand: 0, reserved: -units };
            self.move_holding(reservation, index, MovementKind::Release, deltas);
        }
    }

    /// Moves the stock of one holding, and lists the movement in it (INV-3).
    fn move_holding(
        &mut self,
        reservation: &mut Reservation,
        index: usize,
        kind: MovementKind,
        deltas: Deltas,
    ) {
        let cause = Cause::Order(reservation.order_id);
        let holding = &mut reservation.holdings[index];
        let stock_key = (&holding.product_id, &holding.location_id);
        let movement = self.move_stock(stock_key, kind, deltas, cause).expect(
            "sourcing takes available units only, and an order's units are reserved (INV-3)",
        );
        holding.movements.push(movement.number());
    }

    fn answered(
        &self,
        command: &AllocateStock,
        reservation: &Reservation,
        repeated: bool,
    ) -> DecidedInventory {
        let answer = StockAllocated {
            // The sender of the command can read this version, and perhaps no newer one (R16).
            schema: command.schema,
            order_id: command.order_id,
            facts: reservation.facts(),
            digest: reservation.digest,
            attempt: command.attempt,
            decided_at_micros: reservation.updated_at_micros,
            sent_at_micros: self.now_micros,
            traceparent: command.traceparent.clone(),
        };
        let outcome = InventoryOutcome::Answered { repeated };
        DecidedInventory { outcome, publish: Some(answer) }
    }
}
