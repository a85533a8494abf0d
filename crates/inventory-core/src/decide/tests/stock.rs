//! A store in memory. It checks everything that the decider says about stored rows.

use std::collections::BTreeMap;

use contract::answers::ShortageReason;
use contract::{LocationId, ProductId};

use crate::decide::{
    Changes, Decided, Decision, InventoryCommand, Loaded, ReservationChange, StockChange, Touched,
    decide,
};
use crate::reservation::{Reservation, State};
use crate::stock::{Level, Levels, Location, Movement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) now_micros: i64,
    all: Loaded,
    /// The movements by (product, location), in the order of `seq`.
    ledger: BTreeMap<(ProductId, LocationId), Vec<Movement>>,
}

impl Default for Stock {
    /// One location, as after the first migration of a database.
    fn default() -> Self {
        let main =
            Location { location_id: LocationId::main(), name: "Main".to_owned(), priority: 0 };
        let all =
            Loaded { locations: BTreeMap::from([(LocationId::main(), main)]), ..Loaded::default() };
        Self { now_micros: 1, all, ledger: BTreeMap::new() }
    }
}

impl Stock {
    pub(super) fn run(&mut self, batch: &[InventoryCommand]) -> Vec<Decided> {
        let Decision { decided, changes } =
            decide(self.now_micros, batch, self.load(&Touched::by(batch)));
        assert_eq!(decided.len(), batch.len());
        changes
            .reservations
            .iter()
            .filter(|change| change.from.is_none())
            .for_each(|change| self.check_seen(&change.to));
        self.write(changes);
        decided
    }

    pub(super) fn levels(&self, product: &ProductId) -> &Levels {
        static NONE: Levels = Levels::new();
        self.all.levels.get(product).unwrap_or(&NONE)
    }

    pub(super) fn reservation(&self, name: &str) -> Option<&Reservation> {
        self.all.reservations.get(&super::order_id(name))
    }

    pub(super) fn ledger(&self, product: &str, location: &str) -> &[Movement] {
        let stock_key = (super::product_id(product), location.parse().expect("an id"));
        self.ledger.get(&stock_key).map_or(&[], Vec::as_slice)
    }

    /// Loads the touched rows and no others, as a store does.
    fn load(&self, touched: &Touched) -> Loaded {
        fn only<K: Ord + Clone, V: Clone>(
            map: &BTreeMap<K, V>,
            keys: &std::collections::BTreeSet<K>,
        ) -> BTreeMap<K, V> {
            keys.iter().filter_map(|key| Some((key.clone(), map.get(key)?.clone()))).collect()
        }
        Loaded {
            reservations: only(&self.all.reservations, &touched.orders),
            movements: only(&self.all.movements, &touched.requests),
            products: only(&self.all.products, &touched.products),
            levels: only(&self.all.levels, &touched.products),
            locations: self.all.locations.clone(),
        }
    }

    fn write(&mut self, changes: Changes) {
        for product in changes.products {
            self.all.products.insert(product.product_id.clone(), product);
        }
        for location in changes.locations {
            self.all.locations.insert(location.location_id.clone(), location);
        }
        changes.stock.into_iter().for_each(|change| self.write_stock(change));
        for ReservationChange { from, to } in changes.reservations {
            let found = self.all.reservations.insert(to.order_id, to);
            assert_eq!(found.map(|found| found.state.name()), from);
        }
        for movement in changes.movements {
            if let crate::stock::Cause::Request(cause) = &movement.cause {
                let found = self.all.movements.insert(cause.request_id, movement.clone());
                assert_eq!(found, None, "one movement per request");
            }
            self.ledger
                .entry((movement.product_id.clone(), movement.location_id.clone()))
                .or_default()
                .push(movement);
        }
    }

    fn write_stock(&mut self, change: StockChange) {
        let deltas = change.deltas();
        let StockChange { product_id, location_id, before, after } = change;
        assert!(
            self.all.products.contains_key(&product_id)
                && self.all.locations.contains_key(&location_id)
        );
        let level = self.all.levels.entry(product_id).or_default().entry(location_id).or_default();
        assert_eq!(level.last_seq, before.last_seq, "the row is as it was before the batch");
        level.on_hand += deltas.on_hand;
        level.reserved += deltas.reserved;
        level.last_seq = after.last_seq;
        assert_eq!(*level, after);
    }

    /// Checks INV-1, INV-2, INV-3 and INV-8 against the ledger.
    pub(super) fn audit(&self) {
        for ((product, location), movements) in &self.ledger {
            let mut level = Level::default();
            for movement in movements {
                level = level.after(movement.deltas).expect("INV-1 at every prefix");
                assert_eq!(
                    movement.after, level,
                    "INV-2: numbers have no gap, and the level is the sum so far"
                );
            }
            assert_eq!(
                self.all.levels[product][location], level,
                "INV-2: a level is the sum of its movements"
            );
            assert_eq!(self.held(product, location), level.reserved, "INV-3");
        }
        let rows: usize = self.all.levels.values().map(BTreeMap::len).sum();
        assert_eq!(rows, self.ledger.len(), "INV-2: every level has movements");
        self.all.reservations.values().for_each(|reservation| self.audit_rejection(reservation));
    }

    /// INV-8: a rejection has seen every level and every product from before its batch.
    fn check_seen(&self, reservation: &Reservation) {
        for shortfall in reservation.state.shortfalls() {
            let product = &shortfall.shortage.product_id;
            let seen = |location: &LocationId| {
                shortfall.seen.iter().any(|seen| seen.location_id == *location)
            };
            assert!(
                self.levels(product).keys().all(seen),
                "INV-8: the rejection saw every location"
            );
            let known = self.all.products.contains_key(product);
            assert!(
                shortfall.shortage.reason == ShortageReason::OutOfStock || !known,
                "INV-8: the product was unknown"
            );
        }
    }

    fn held(&self, product: &ProductId, location: &LocationId) -> i64 {
        let reserved = self
            .all
            .reservations
            .values()
            .filter(|found| matches!(found.state, State::Reserved(_)));
        let parts = reserved.flat_map(|found| found.state.allocations());
        let here =
            parts.filter(|part| part.product_id == *product && part.location_id == *location);
        here.map(|part| part.quantity.units()).sum()
    }

    fn audit_rejection(&self, reservation: &Reservation) {
        for shortfall in reservation.state.shortfalls() {
            let shortage = &shortfall.shortage;
            let available_at = |seen: &crate::reservation::Seen| {
                let movements =
                    &self.ledger[&(shortage.product_id.clone(), seen.location_id.clone())];
                movements
                    .iter()
                    .find(|movement| movement.seq() == seen.seq)
                    .expect("a movement with this number")
                    .after
                    .available()
            };
            let available: i64 = shortfall.seen.iter().map(available_at).sum();
            assert_eq!(
                available, shortage.available,
                "INV-8: the available units at the movements that were seen"
            );
            assert!(available < shortage.requested.units(), "INV-8: stock was short");
            assert!(
                shortage.reason == ShortageReason::OutOfStock || shortfall.seen.is_empty(),
                "INV-8"
            );
        }
    }
}
