//! Units that come back: from the customer, or because their shipment was cancelled.

use std::collections::BTreeMap;

use contract::{Intent, LocationId, ProductId, ReturnedUnits};

use super::batch_state::BatchState;
use crate::reservation::{Holding, Reservation, ReturnedStock};
use crate::stock::{Cause, Deltas, MAX_ON_HAND, MovementKind};

impl BatchState {
    /// Checks that the units that an intent brings back fit into the stock. Only units that come
    /// back can raise the units on hand above the maximum.
    ///
    /// # Errors
    ///
    /// The reason, for people, why the intent is an anomaly.
    pub(super) fn check_room(
        &self,
        intent: &Intent,
        reservation: &Reservation,
    ) -> Result<(), &'static str> {
        let comes_back = |holding: &Holding| {
            holding.shipped > 0
                && holding.shipped > intent.shipped.at(&holding.product_id, &holding.location_id)
        };
        if intent.returned.is_empty() && !reservation.holdings.iter().any(comes_back) {
            return Ok(());
        }
        let first = self.first_location();
        let mut changes: BTreeMap<(&ProductId, &LocationId), i64> = BTreeMap::new();
        for holding in &reservation.holdings {
            let stock_key = (&holding.product_id, &holding.location_id);
            let units = holding.shipped - intent.shipped.at(stock_key.0, stock_key.1);
            if units != 0 {
                changes.insert(stock_key, units);
            }
        }
        for entry in &intent.returned {
            let found = reservation.returned_to(&entry.product_id, &entry.location_id);
            let booked_at = match found {
                Some(found) => Some(&found.booked_at),
                None => self.booked_at(&entry.location_id, first),
            };
            let booked_at = booked_at.ok_or("there is no location where a return can be booked")?;
            let units = on_hand(entry) - found.map_or(0, |found| on_hand(&found.units));
            *changes.entry((&entry.product_id, booked_at)).or_default() += units;
        }
        let is_full = |((product_id, location_id), units): ((&ProductId, &LocationId), i64)| {
            units > 0 && self.level(product_id, location_id).on_hand + units > MAX_ON_HAND
        };
        if changes.into_iter().any(is_full) {
            return Err("more units would come back than a location may have");
        }
        Ok(())
    }

    /// Books the units that came back from the customer since the last revision: one movement for
    /// each product and location whose numbers rose. Units that were written off are not on hand,
    /// so a return of nothing else moves by nothing.
    pub(super) fn book_returns(&mut self, intent: &Intent, reservation: &mut Reservation) {
        if intent.returned.is_empty() {
            return;
        }
        let first = self.first_location().cloned();
        for entry in &intent.returned {
            let index = match reservation.find_returned(&entry.product_id, &entry.location_id) {
                Ok(index) if reservation.returns[index].units == *entry => continue,
                Ok(index) => index,
                Err(index) => {
                    let booked_at = self.booked_at(&entry.location_id, first.as_ref());
                    let booked_at = booked_at.expect("the room was checked").clone();
                    reservation.returns.insert(index, ReturnedStock::nothing(entry, booked_at));
                    index
                }
            };
            let found = &mut reservation.returns[index];
            let before = std::mem::replace(&mut found.units, entry.clone());
            let deltas = Deltas {
                on_hand: on_hand(entry) - on_hand(&before),
                reserved: 0,
                quarantined: i64::from(entry.quarantined) - i64::from(before.quarantined),
            };
            let stock_key = (&entry.product_id, &found.booked_at);
            let cause = Cause::Order(reservation.order_id);
            let movement = self
                .move_stock(stock_key, MovementKind::Return, deltas, cause)
                .expect("returns only rise, and the room was checked");
            found.movements.push(movement.number());
        }
    }

    /// Where units that came back to a location are booked: there, or at the first location if
    /// Inventory does not know that one. `None` if no location can be read.
    fn booked_at<'it>(
        &self,
        location_id: &'it LocationId,
        first: Option<&'it LocationId>,
    ) -> Option<&'it LocationId> {
        if self.location(location_id).is_some() { Some(location_id) } else { first }
    }
}

/// The units that came back and were not written off.
fn on_hand(units: &ReturnedUnits) -> i64 {
    i64::from(units.restocked) + i64::from(units.quarantined)
}
