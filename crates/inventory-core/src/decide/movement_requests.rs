//! Requests of clients: to move stock, and to put products and locations.

use super::batch_state::BatchState;
use super::command::{Change, MovementRequest, PutLocation, PutProduct};
use super::decision::{InventoryOutcome, Refusal};
use crate::admin::AdminEvent;
use crate::stock::{Cause, Deltas, Level, LevelError, Location, MAX_LOCATIONS, Product};

impl BatchState {
    /// Moves stock, or finds the movement that the request made before.
    ///
    /// # Errors
    ///
    /// The checks are in the order in which [`Refusal`] lists them.
    pub(super) fn request(
        &mut self,
        request: &MovementRequest,
    ) -> Result<InventoryOutcome, Refusal> {
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
        let level = self.level(&request.product_id, &request.location_id);
        let deltas = deltas(request.change, level)?;
        let stock_key = (&request.product_id, &request.location_id);
        match self.move_stock(
            stock_key,
            request.change.kind(),
            deltas,
            Cause::Request(request.cause.clone()),
        ) {
            Ok(movement) => {
                if !matches!(request.change, Change::Receive(_)) {
                    self.record_act(&request.requester, AdminEvent::Stock(movement.clone()));
                }
                Ok(InventoryOutcome::Moved { movement, replayed: false })
            }
            Err(LevelError::BelowReserved) => Err(below(request.change, level)),
            Err(LevelError::AboveMaximum) => Err(Refusal::OutOfRange),
        }
    }

    /// Creates or replaces a product. A replacement with the same values keeps `updated_at_micros`,
    /// and needs no precondition: the request may be a repeat (R4; RFC 9110, section 13.1.1).
    ///
    /// # Errors
    ///
    /// [`Refusal::PreconditionFailed`].
    pub(super) fn put_product(&mut self, put: &PutProduct) -> Result<InventoryOutcome, Refusal> {
        let found = self.product(&put.product_id).cloned();
        let created = found.is_none();
        let product = match found {
            Some(found) if found.name == put.name && found.low_stock_at == put.low_stock_at => {
                found
            }
            found if !put.precondition.holds(found.as_ref().map(Product::version)) => {
                return Err(Refusal::PreconditionFailed);
            }
            before => {
                let product = Product {
                    product_id: put.product_id.clone(),
                    name: put.name.clone(),
                    low_stock_at: put.low_stock_at,
                    created_at_micros: before
                        .as_ref()
                        .map_or(self.now_micros, |before| before.created_at_micros),
                    updated_at_micros: self.now_micros,
                };
                self.record_product(product.clone());
                let event = AdminEvent::Product { before, after: product.clone() };
                self.record_act(&put.requester, event);
                product
            }
        };
        Ok(InventoryOutcome::ProductPut { stock: self.stock_of(product), created })
    }

    /// Creates or replaces a location. A replacement with the same values needs no precondition.
    ///
    /// # Errors
    ///
    /// [`Refusal::PreconditionFailed`], [`Refusal::TooManyLocations`].
    pub(super) fn put_location(&mut self, put: &PutLocation) -> Result<InventoryOutcome, Refusal> {
        let PutLocation { location, precondition, requester } = put;
        let found = self.location(&location.location_id);
        let created = found.is_none();
        if found != Some(location) {
            if !precondition.holds(found.map(Location::version)) {
                return Err(Refusal::PreconditionFailed);
            }
            if created && self.count_locations() >= MAX_LOCATIONS {
                return Err(Refusal::TooManyLocations);
            }
            let event = AdminEvent::Location { before: found.cloned(), after: location.clone() };
            self.record_location(location.clone());
            self.record_act(requester, event);
        }
        Ok(InventoryOutcome::LocationPut { location: location.clone(), created })
    }
}

/// The deltas of a change. They are 0 for a count that finds the units on hand, which makes a
/// movement as well.
fn deltas(change: Change, level: Level) -> Result<Deltas, Refusal> {
    let on_hand = |on_hand| Deltas { on_hand, ..Deltas::default() };
    let quarantined = |quarantined| Deltas { quarantined, ..Deltas::default() };
    match change {
        Change::Receive(quantity) => Ok(on_hand(quantity.units())),
        Change::Adjust(units) => Ok(on_hand(units)),
        Change::Count { expected: Some(expected), .. } if expected != level.on_hand => {
            Err(Refusal::StockChanged { on_hand: level.on_hand })
        }
        Change::Count { on_hand: counted, .. } => {
            Ok(on_hand(counted.saturating_sub(level.on_hand)))
        }
        Change::Quarantine(quantity) => Ok(quarantined(quantity.units())),
        Change::Unquarantine(quantity) => Ok(quarantined(-quantity.units())),
        Change::WriteOff(quantity) => {
            let units = -quantity.units();
            Ok(Deltas { on_hand: units, reserved: 0, quarantined: units })
        }
    }
}

/// Why a change would break INV-1 at this level.
fn below(change: Change, level: Level) -> Refusal {
    match change {
        Change::Receive(_) | Change::Adjust(_) | Change::Count { .. } => {
            let Level { reserved, quarantined, .. } = level;
            Refusal::BelowReserved { reserved, quarantined }
        }
        Change::Quarantine(_) => Refusal::QuantityUnavailable { units: level.available() },
        Change::Unquarantine(_) | Change::WriteOff(_) => {
            Refusal::QuantityUnavailable { units: level.quarantined }
        }
    }
}
