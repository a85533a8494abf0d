//! What people ask for: to receive, adjust and count stock, and to keep the lists of products and locations.

use super::batch_state::BatchState;
use super::command::{Change, MovementRequest, PutProduct};
use super::decision::{InventoryOutcome, Refusal};
use crate::stock::{Cause, Deltas, Level, Location, OffLimits, Product};

impl BatchState {
    /// The checks stand in the order in which [`Refusal`] lists them.
    pub(super) fn request(&mut self, request: &MovementRequest) -> Result<InventoryOutcome, Refusal> {
        if let Some(movement) = self.movement_of(request.cause.request_id).cloned() {
            let same = matches!(&movement.cause, Cause::Request(cause) if cause.digest == request.cause.digest);
            return if same {
                Ok(InventoryOutcome::Moved { movement, replayed: true })
            } else {
                Err(Refusal::KeyReused)
            };
        }
        if self.product(&request.product_id).is_none() {
            return Err(Refusal::ProductNotFound);
        }
        if self.location(&request.location_id).is_none() {
            return Err(Refusal::UnknownLocation);
        }
        let row = (&request.product_id, &request.location_id);
        let level = self.level(row.0, row.1);
        let deltas = Deltas { on_hand: difference(request.change, level)?, reserved: 0 };
        match self.move_stock(row, request.change.kind(), deltas, Cause::Request(request.cause.clone())) {
            Ok(movement) => Ok(InventoryOutcome::Moved { movement, replayed: false }),
            Err(OffLimits::BelowReserved) => Err(Refusal::BelowReserved { reserved: level.reserved }),
            Err(OffLimits::AboveMaximum) => Err(Refusal::OutOfRange),
        }
    }

    /// A replacement that changes nothing leaves the time of the last change alone.
    pub(super) fn put_product(&mut self, put: &PutProduct) -> InventoryOutcome {
        let found = self.product(&put.product_id).cloned();
        let created = found.is_none();
        let product = match found {
            Some(found) if found.name == put.name && found.low_stock_at == put.low_stock_at => found,
            found => {
                let product = Product {
                    product_id: put.product_id.clone(),
                    name: put.name.clone(),
                    low_stock_at: put.low_stock_at,
                    created_at_micros: found.map_or(self.now_micros, |found| found.created_at_micros),
                    updated_at_micros: self.now_micros,
                };
                self.record_product(product.clone());
                product
            }
        };
        InventoryOutcome::ProductPut { stock: self.stock_of(product), created }
    }

    pub(super) fn put_location(&mut self, location: &Location) -> InventoryOutcome {
        let found = self.location(&location.location_id);
        let created = found.is_none();
        if found != Some(location) {
            self.record_location(location.clone());
        }
        InventoryOutcome::LocationPut { location: location.clone(), created }
    }
}

/// By how much the change moves what is on hand. A count that finds what the books say is a movement by nothing.
fn difference(change: Change, level: Level) -> Result<i64, Refusal> {
    match change {
        Change::Receive(quantity) => Ok(quantity.units()),
        Change::Adjust(units) => Ok(units),
        Change::Count { expected: Some(expected), .. } if expected != level.on_hand => {
            Err(Refusal::StockChanged { on_hand: level.on_hand })
        }
        Change::Count { on_hand, .. } => Ok(on_hand.saturating_sub(level.on_hand)),
    }
}
