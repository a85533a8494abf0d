//! The writes of an Inventory transaction: done as the stores do them, and checked.

use inventory_core::decide::{
    InventoryChanges, InventoryCommand, ReservationChange, StockChange, Touched,
};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Cause, Level as Stored, Movement};

use super::actors::{self, KEYS};
use super::ledger;
use super::levels::Level;
use super::state::Stock;
use super::stock_database::StockDatabase;
use crate::states::{Violation, broken};

impl StockDatabase {
    /// Writes the changes.
    ///
    /// # Errors
    ///
    /// Returns a violation if a store would refuse them, or if they break an invariant.
    pub(super) fn write(
        &mut self,
        mut stock: Stock,
        changes: InventoryChanges,
    ) -> Result<Stock, Violation> {
        let InventoryChanges { stock: changed, reservations, movements, .. } = changes;
        let mut levels = *self.levels(stock.levels);
        for change in &changed {
            write_level(&mut levels.rows, change, &movements)?;
        }
        let points = ledger::follow(levels.ledger, &movements)?;
        for (key, level) in levels.ledger.iter_mut().enumerate() {
            *level = Level::written(points.last(key))?;
        }
        stock.levels = self.number_of_levels(levels);
        let before = stock.reservations.map(|number| self.reservation(number));
        ledger::check_lists(&before, &reservations, &movements)?;
        for change in reservations {
            let index = usize::from(actors::order_of(change.to.order_id));
            let before = self.reservation(stock.reservations[index]);
            compare(before, &change)?;
            ledger::check_rejection(before, &change.to, &points)?;
            stock.reservations[index] = self.number(change.to);
        }
        for movement in movements {
            if let Cause::Request(cause) = movement.cause {
                let bit = 1 << cause.request_id.0[0];
                if stock.received & bit != 0 {
                    return broken("R4", "a delivery counts twice");
                }
                stock.received |= bit;
            }
        }
        Ok(stock)
    }
}

/// R11: a transaction changes only rows that it has locked: those that its batch touches.
pub(super) fn check_locked(
    batch: &[InventoryCommand],
    changes: &InventoryChanges,
) -> Result<(), Violation> {
    let touched = Touched::by(batch);
    let locked_products = |to: &Reservation| {
        let of_holdings = to.holdings.iter().map(|holding| &holding.product_id);
        let of_returns = to.returns.iter().map(|back| &back.units.product_id);
        of_holdings.chain(of_returns).all(|product_id| touched.products.contains(product_id))
    };
    let locked = changes.stock.iter().all(|change| touched.products.contains(&change.product_id))
        && changes.reservations.iter().all(|ReservationChange { to, .. }| {
            touched.orders.contains(&to.order_id) && locked_products(to)
        });
    if locked { Ok(()) } else { broken("R11", format!("a changed row is not locked: {changes:?}")) }
}

/// Adds the deltas of a change, if the level is still as the transaction has read it (R11). The row
/// must name the last movement of the batch (INV-2).
fn write_level(
    rows: &mut [Level; KEYS],
    change: &StockChange,
    movements: &[Movement],
) -> Result<(), Violation> {
    let Some(key) = actors::key_of(&change.product_id, &change.location_id) else {
        return broken("R11", format!("there is no stock of this kind: {change:?}"));
    };
    let found = rows[key].stored(key);
    let unchanged = found.last_seq == change.before.last_seq
        && found.last_movement == change.before.last_movement;
    if !unchanged {
        return broken("R11", format!("the level is {found:?}, and the decision was: {change:?}"));
    }
    let its = |movement: &&Movement| {
        movement.product_id == change.product_id && movement.location_id == change.location_id
    };
    let last = movements.iter().rev().find(its).map(|movement| movement.after.last_movement);
    if last != Some(change.after.last_movement) {
        return broken("INV-2", format!("the last movement is {last:?}: {change:?}"));
    }
    let deltas = change.deltas();
    rows[key] = Level::written(Stored {
        on_hand: found.on_hand + deltas.on_hand,
        reserved: found.reserved + deltas.reserved,
        quarantined: found.quarantined + deltas.quarantined,
        ..change.after
    })?;
    Ok(())
}

/// Compares the revision of a reservation (R11), which only rises (R12, R21).
fn compare(found: Option<&Reservation>, change: &ReservationChange) -> Result<(), Violation> {
    let found = found.map(|found| found.revision);
    if found != change.from {
        return broken(
            "R11",
            format!("the reservation is at {found:?}, and the decision was: {change:?}"),
        );
    }
    if Some(change.to.revision) <= found {
        let name = actors::name(actors::order_of(change.to.order_id));
        return broken(
            "R12",
            format!("revision {} of {name} replaces {found:?}", change.to.revision),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
