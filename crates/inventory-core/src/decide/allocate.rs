//! The command of the Order Service: make the stock of an order what its intent says.

use contract::Intent;
use contract::answers::StockAllocated;
use contract::commands::AllocateStock;

use super::batch_state::BatchState;
use super::command::RepairOrder;
use super::decision::{DecidedInventory, InventoryOutcome};
use crate::admin::AdminEvent;
use crate::reservation::{Action, Reservation, choose_action};
use crate::stock::{Cause, Deltas, MovementKind};

impl BatchState {
    /// Decides one command by the table of reservations (R12, R21).
    pub(super) fn allocate(&mut self, command: &AllocateStock) -> DecidedInventory {
        let found = self.reservation(command.order_id).cloned();
        let action = choose_action(command, found);
        let reservation = match action {
            Ok(Action::Repeat(reservation)) => return self.answered(command, &reservation, true),
            Ok(Action::Begin) => Reservation::first(command, self.now_micros),
            Ok(Action::Apply(reservation)) => reservation,
            Err(why) => return DecidedInventory::silent(InventoryOutcome::Anomaly(why)),
        };
        if let Err(why) = self.check_room(&command.intent, &reservation) {
            return DecidedInventory::silent(InventoryOutcome::Anomaly(why));
        }
        let reservation = self.apply(command, reservation);
        let decided = self.answered(command, &reservation, false);
        self.record(reservation);
        decided
    }

    /// Decides a command that an operator gives, as if the Order Service had sent it, and records what
    /// it changed.
    pub(super) fn repair(&mut self, repair: &RepairOrder) -> DecidedInventory {
        let RepairOrder { command, requester } = repair;
        let before = self.reservation(command.order_id).cloned();
        let decided = self.allocate(command);
        if decided.outcome == (InventoryOutcome::Answered { repeated: false }) {
            let after = self.reservation(command.order_id).cloned();
            let after = after.expect("a command that is carried out has a reservation");
            self.record_act(requester, AdminEvent::Repaired { before, after });
        }
        decided
    }

    /// Makes the stock of the order what the intent says, whatever revisions lie between (R21), in
    /// the order of R23: what is out, what came back, what is wanted less, what is wanted more. The
    /// recorded holdings decide where units leave; sourcing finds those that are added.
    fn apply(&mut self, command: &AllocateStock, mut reservation: Reservation) -> Reservation {
        let intent = &command.intent;
        for index in 0..reservation.holdings.len() {
            self.ship(intent, &mut reservation, index);
        }
        self.book_returns(intent, &mut reservation);
        self.release_unwanted(intent, &mut reservation);
        self.reserve_missing(intent, &mut reservation);
        reservation.revision = intent.revision;
        reservation.digest = command.digest;
        reservation.updated_at_micros = self.now_micros;
        reservation
    }

    /// Ships units of a holding, or puts units back whose shipment was cancelled. They are reserved
    /// for the order as before: they go back to the order, and not to the shelf.
    fn ship(&mut self, intent: &Intent, reservation: &mut Reservation, index: usize) {
        let holding = &mut reservation.holdings[index];
        let shipped = intent.shipped.at(&holding.product_id, &holding.location_id);
        let units = shipped - holding.shipped;
        if units == 0 {
            return;
        }
        holding.shipped = shipped;
        let kind = if units > 0 { MovementKind::Ship } else { MovementKind::Unship };
        let deltas = Deltas { on_hand: -units, reserved: -units, quarantined: 0 };
        self.move_holding(reservation, index, kind, deltas);
    }

    /// Moves the stock of one holding, and lists the movement in it (INV-3).
    pub(super) fn move_holding(
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
            "sourcing takes available units only, an order's units are reserved (INV-3), and the \
             room was checked",
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
