//! The rows after the commands that were decided so far, and the changes to write.

use std::collections::BTreeMap;

use contract::{LocationId, OrderId, ProductId, Revision};

use super::decision::{InventoryChanges, LoadedInventory, ReservationChange, StockChange};
use crate::admin::{AdminAct, AdminEvent, Requester};
use crate::reservation::Reservation;
use crate::stock::{
    Cause, Deltas, Level, LevelError, Levels, Location, Movement, MovementKind, Product,
    ProductStock, RequestId,
};

/// The loaded rows with all changes so far, and what is needed to list the changes.
#[derive(Debug)]
pub(super) struct BatchState {
    pub(super) now_micros: i64,
    current: LoadedInventory,
    /// The revision of each changed reservation before the batch; `None` if there was none.
    revisions_before: BTreeMap<OrderId, Option<Revision>>,
    /// Each changed level before the batch.
    levels_before: BTreeMap<(ProductId, LocationId), Level>,
    /// The movements of the batch.
    movements: Vec<Movement>,
    /// The changed products.
    products: BTreeMap<ProductId, Product>,
    /// The changed locations.
    locations: BTreeMap<LocationId, Location>,
    acts: Vec<AdminAct>,
}

impl BatchState {
    pub(super) fn new(now_micros: i64, loaded: LoadedInventory) -> Self {
        Self {
            now_micros,
            current: loaded,
            revisions_before: BTreeMap::new(),
            levels_before: BTreeMap::new(),
            movements: Vec::new(),
            products: BTreeMap::new(),
            locations: BTreeMap::new(),
            acts: Vec::new(),
        }
    }

    /// The rows to write. A row that several commands changed is listed once.
    pub(super) fn into_changes(mut self) -> InventoryChanges {
        let reservations = self.revisions_before.into_iter().map(|(order_id, from)| {
            let to = self
                .current
                .reservations
                .remove(&order_id)
                .expect("a recorded reservation is loaded");
            ReservationChange { from, to }
        });
        let stock = self.levels_before.into_iter().map(|((product_id, location_id), before)| {
            let after = self.current.levels[&product_id][&location_id];
            StockChange { product_id, location_id, before, after }
        });
        InventoryChanges {
            products: self.products.into_values().collect(),
            locations: self.locations.into_values().collect(),
            reservations: reservations.collect(),
            stock: stock.collect(),
            movements: self.movements,
            acts: self.acts,
        }
    }

    pub(super) fn reservation(&self, order_id: OrderId) -> Option<&Reservation> {
        self.current.reservations.get(&order_id)
    }

    /// Adds or replaces a reservation.
    pub(super) fn record(&mut self, reservation: Reservation) {
        let order_id = reservation.order_id;
        let before = self.current.reservations.insert(order_id, reservation);
        self.revisions_before
            .entry(order_id)
            .or_insert_with(|| before.map(|before| before.revision));
    }

    pub(super) fn product(&self, product_id: &ProductId) -> Option<&Product> {
        self.current.products.get(product_id)
    }

    pub(super) fn record_product(&mut self, product: Product) {
        self.products.insert(product.product_id.clone(), product.clone());
        self.current.products.insert(product.product_id.clone(), product);
    }

    pub(super) fn location(&self, location_id: &LocationId) -> Option<&Location> {
        self.current.locations.get(location_id)
    }

    pub(super) fn count_locations(&self) -> usize {
        self.current.locations.len()
    }

    pub(super) fn record_location(&mut self, location: Location) {
        self.locations.insert(location.location_id.clone(), location.clone());
        self.current.locations.insert(location.location_id.clone(), location);
    }

    /// Adds an entry to the admin log.
    pub(super) fn record_act(&mut self, requester: &Requester, event: AdminEvent) {
        let (requester, at_micros) = (requester.clone(), self.now_micros);
        self.acts.push(AdminAct { requester, at_micros, event });
    }

    /// All locations by (priority, id), the order in which they serve orders.
    pub(super) fn locations_by_priority(&self) -> Vec<&Location> {
        let mut locations: Vec<_> = self.current.locations.values().collect();
        locations.sort_by_key(|location| location.priority);
        locations
    }

    /// The first location by (priority, id).
    pub(super) fn first_location(&self) -> Option<&LocationId> {
        let locations = self.current.locations.values();
        let first = locations.min_by_key(|location| (location.priority, &location.location_id));
        first.map(|location| &location.location_id)
    }

    pub(super) fn levels(&self, product_id: &ProductId) -> Option<&Levels> {
        self.current.levels.get(product_id)
    }

    /// The level at a location; zero if the product never moved there.
    pub(super) fn level(&self, product_id: &ProductId, location_id: &LocationId) -> Level {
        self.levels(product_id)
            .and_then(|levels| levels.get(location_id))
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn stock_of(&self, product: Product) -> ProductStock {
        let levels = self.levels(&product.product_id).cloned().unwrap_or_default();
        ProductStock { product, levels }
    }

    /// The movement that a request made, in this batch or before.
    pub(super) fn movement_of(&self, request_id: RequestId) -> Option<&Movement> {
        self.current.movements.get(&request_id)
    }

    /// The last movement of a product at any location; `None` if it never moved.
    fn last_movement_of(&self, product_id: &ProductId) -> Option<i64> {
        self.levels(product_id)?.values().map(|level| level.last_movement).max()
    }

    /// Changes a level and adds the movement that explains it.
    ///
    /// # Errors
    ///
    /// [`LevelError`] if the new level would break INV-1. Nothing is changed then.
    pub(super) fn move_stock(
        &mut self,
        (product_id, location_id): (&ProductId, &LocationId),
        kind: MovementKind,
        deltas: Deltas,
        cause: Cause,
    ) -> Result<Movement, LevelError> {
        let before = self.level(product_id, location_id);
        let after = before.after(deltas, self.current.next_movement)?;
        let movement = Movement {
            previous: (before.last_seq > 0).then_some(before.last_movement),
            previous_of_product: self.last_movement_of(product_id),
            product_id: product_id.clone(),
            location_id: location_id.clone(),
            kind,
            deltas,
            after,
            cause,
            created_at_micros: self.now_micros,
        };
        self.current.next_movement += 1;
        let stock_key = (product_id.clone(), location_id.clone());
        self.levels_before.entry(stock_key).or_insert(before);
        let levels = self.current.levels.entry(product_id.clone()).or_default();
        levels.insert(location_id.clone(), after);
        if let Cause::Request(request) = &movement.cause {
            self.current.movements.insert(request.request_id, movement.clone());
        }
        self.movements.push(movement.clone());
        Ok(movement)
    }
}
