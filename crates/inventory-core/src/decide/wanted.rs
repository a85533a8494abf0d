//! Less and more wanted: what is released, and what is reserved in addition.

use std::cmp::Reverse;

use contract::{Intent, ProductId, Quantity};

use super::batch_state::BatchState;
use super::sourcing::{MissingLine, Part, source};
use crate::reservation::{Holding, Rejection, Reservation};
use crate::stock::{Deltas, MovementKind};

impl BatchState {
    /// Releases what the order has of each product and does not want any more. Units that were
    /// shipped are never released: held units go, those of the last location by (priority, id)
    /// first.
    pub(super) fn release_unwanted(&mut self, intent: &Intent, reservation: &mut Reservation) {
        for line in &intent.wanted {
            let granted = reservation.granted(&line.product_id);
            let mut unwanted = granted - i64::from(line.quantity);
            if unwanted <= 0 {
                continue;
            }
            for index in self.last_locations_first(reservation, &line.product_id) {
                let holding = &mut reservation.holdings[index];
                let units = holding.held().min(unwanted);
                if units > 0 {
                    holding.released += units;
                    unwanted -= units;
                    let deltas = Deltas { reserved: -units, ..Deltas::default() };
                    self.move_holding(reservation, index, MovementKind::Release, deltas);
                }
            }
        }
    }

    /// The holdings of a product, those at the location that serves last first. A location that
    /// cannot be read serves nobody.
    fn last_locations_first(
        &self,
        reservation: &Reservation,
        product_id: &ProductId,
    ) -> Vec<usize> {
        let mut indexes: Vec<usize> = reservation.range_of(product_id).collect();
        indexes.sort_by_key(|index| {
            let location_id = &reservation.holdings[*index].location_id;
            let priority = self.location(location_id).map_or(u32::MAX, |found| found.priority);
            Reverse((priority, location_id))
        });
        indexes
    }

    /// Reserves all that the order wants and does not have, or nothing of it. A new order has
    /// nothing. Neither has one that expired and was paid late, unless the payment overtook the
    /// release.
    pub(super) fn reserve_missing(&mut self, intent: &Intent, reservation: &mut Reservation) {
        let mut missing = Vec::with_capacity(intent.wanted.iter().len());
        for line in &intent.wanted {
            let granted = reservation.granted(&line.product_id);
            let quantity = u32::try_from(i64::from(line.quantity) - granted).unwrap_or(0);
            if let Ok(quantity) = Quantity::new(quantity) {
                missing.push(MissingLine { product_id: &line.product_id, quantity });
            }
        }
        match source(self, &missing, &reservation.holdings) {
            Ok(parts) => self.promise(reservation, parts),
            Err(shortfalls) => {
                reservation.rejection = Some(Rejection { revision: intent.revision, shortfalls });
            }
        }
    }

    /// Reserves units that sourcing found. A new order gets its holdings in the order of the parts.
    fn promise(&mut self, reservation: &mut Reservation, parts: Vec<Part<'_>>) {
        let is_new = reservation.holdings.is_empty();
        reservation.holdings.reserve_exact(parts.len());
        for Part { product_id, location_id, units } in parts {
            let found = if is_new {
                Err(reservation.holdings.len())
            } else {
                reservation.find_holding(product_id, &location_id)
            };
            let index = found.unwrap_or_else(|index| {
                let holding = Holding::nothing(product_id.clone(), location_id);
                reservation.holdings.insert(index, holding);
                index
            });
            reservation.holdings[index].promised += units;
            let deltas = Deltas { reserved: units, ..Deltas::default() };
            self.move_holding(reservation, index, MovementKind::Reserve, deltas);
        }
    }
}
