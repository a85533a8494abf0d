//! Less and more wanted: what is released, and what is reserved in addition.

use std::cmp::Reverse;

use contract::{Intent, ProductId, WantedLine};

use super::batch_state::BatchState;
use super::sourcing::{Part, source};
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
        let missing = |line: &WantedLine| {
            let granted = reservation.granted(&line.product_id);
            let quantity = u32::try_from(i64::from(line.quantity) - granted).unwrap_or(0);
            WantedLine { product_id: line.product_id.clone(), quantity }
        };
        let missing: Vec<_> =
            intent.wanted.iter().map(missing).filter(|line| line.quantity > 0).collect();
        match source(self, &missing, &reservation.holdings) {
            Ok(parts) => {
                for part in parts {
                    self.promise(reservation, part);
                }
            }
            Err(shortfalls) => {
                reservation.rejection = Some(Rejection { revision: intent.revision, shortfalls });
            }
        }
    }

    /// Reserves units that sourcing found.
    fn promise(&mut self, reservation: &mut Reservation, part: Part) {
        let Part { product_id, location_id, units } = part;
        let index = match reservation.find_holding(&product_id, &location_id) {
            Ok(index) => index,
            Err(index) => {
                reservation.holdings.insert(index, Holding::nothing(product_id, location_id));
                index
            }
        };
        reservation.holdings[index].promised += units;
        let deltas = Deltas { reserved: units, ..Deltas::default() };
        self.move_holding(reservation, index, MovementKind::Reserve, deltas);
    }
}
