//! A store in memory. It checks everything that the decider says about stored rows.

use std::collections::BTreeMap;

use contract::{Facts, LocationId, OrderId, ProductId, ShortageReason};

use crate::admin::AdminEvent;
use crate::decide::{
    DecidedInventory, InventoryChanges, InventoryCommand, InventoryDecision, LoadedInventory,
    ReservationChange, StockChange, Touched, decide,
};
use crate::reservation::{Holding, Reservation};
use crate::stock::{Level, Levels, Location, Movement};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) now_micros: i64,
    all: LoadedInventory,
    /// The movements by (product, location), in the order of `seq`.
    ledger: BTreeMap<(ProductId, LocationId), Vec<Movement>>,
    /// The newest facts that each order was answered with.
    facts: BTreeMap<OrderId, Facts>,
}

impl Default for Stock {
    /// One location, as after the first migration of a database.
    fn default() -> Self {
        let main =
            Location { location_id: LocationId::main(), name: "Main".to_owned(), priority: 0 };
        let locations = BTreeMap::from([(LocationId::main(), main)]);
        let all = LoadedInventory { locations, next_movement: 1, ..LoadedInventory::default() };
        Self { now_micros: 1, all, ledger: BTreeMap::new(), facts: BTreeMap::new() }
    }
}

impl Stock {
    pub(super) fn run(&mut self, batch: &[InventoryCommand]) -> Vec<DecidedInventory> {
        let InventoryDecision { decided, changes } =
            decide(self.now_micros, batch, self.load(&Touched::by(batch)));
        assert_eq!(decided.len(), batch.len());
        changes
            .reservations
            .iter()
            .filter(|change| change.from.is_none())
            .for_each(|change| self.check_seen(&change.to));
        self.write(changes);
        decided.iter().for_each(|one| self.check_facts(one));
        decided
    }

    /// What a batch would write into the admin log.
    pub(super) fn acts(&self, batch: &[InventoryCommand]) -> Vec<AdminEvent> {
        let decision = decide(self.now_micros, batch, self.load(&Touched::by(batch)));
        decision.changes.acts.into_iter().map(|act| act.event).collect()
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
    fn load(&self, touched: &Touched) -> LoadedInventory {
        fn only<K: Ord + Clone, V: Clone>(
            map: &BTreeMap<K, V>,
            keys: &std::collections::BTreeSet<K>,
        ) -> BTreeMap<K, V> {
            keys.iter().filter_map(|key| Some((key.clone(), map.get(key)?.clone()))).collect()
        }
        LoadedInventory {
            reservations: only(&self.all.reservations, &touched.orders),
            movements: only(&self.all.movements, &touched.requests),
            products: only(&self.all.products, &touched.products),
            levels: only(&self.all.levels, &touched.products),
            locations: self.all.locations.clone(),
            next_movement: self.all.next_movement,
        }
    }

    fn write(&mut self, changes: InventoryChanges) {
        for product in changes.products {
            self.all.products.insert(product.product_id.clone(), product);
        }
        for location in changes.locations {
            self.all.locations.insert(location.location_id.clone(), location);
        }
        changes.stock.into_iter().for_each(|change| self.write_stock(change));
        for ReservationChange { from, to } in changes.reservations {
            let found = self.all.reservations.insert(to.order_id, to);
            assert_eq!(found.map(|found| found.revision), from);
        }
        for movement in changes.movements {
            assert_eq!(movement.number(), self.all.next_movement, "numbers rise");
            self.all.next_movement += 1;
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
        level.last_movement = after.last_movement;
        assert_eq!(*level, after);
    }

    /// R24: at one revision the facts never shrink, and revisions rise.
    fn check_facts(&mut self, decided: &DecidedInventory) {
        let Some(answer) = &decided.publish else { return };
        let before = self.facts.insert(answer.order_id, answer.facts.clone());
        let Some(before) = before else { return };
        assert!(before.revision <= answer.facts.revision, "R21");
        if before.revision == answer.facts.revision {
            assert_eq!(before, answer.facts, "R24");
        }
    }

    /// Checks INV-1, INV-2, INV-3 and INV-8 against the ledger.
    pub(super) fn audit(&self) {
        for ((product, location), movements) in &self.ledger {
            let mut level = Level::default();
            for movement in movements {
                let previous = (level.last_seq > 0).then_some(level.last_movement);
                assert_eq!(movement.previous, previous, "INV-2: the chain of the stock key");
                level = level.after(movement.deltas, movement.number()).expect("INV-1");
                assert_eq!(movement.after, level, "INV-2: the level is the sum so far");
            }
            let stored = self.all.levels[product][location];
            assert_eq!(stored, level, "INV-2: a level is the sum of its movements");
            assert_eq!(self.held(product, location), level.reserved, "INV-3");
        }
        let rows: usize = self.all.levels.values().map(BTreeMap::len).sum();
        assert_eq!(rows, self.ledger.len(), "INV-2: every level has movements");
        self.all.products.keys().for_each(|product| self.audit_product_chain(product));
        for reservation in self.all.reservations.values() {
            self.audit_rejection(reservation);
            reservation.holdings.iter().for_each(|holding| self.audit_holding(holding));
        }
    }

    /// INV-2: the movements of a product, over all locations, are one chain.
    fn audit_product_chain(&self, product: &ProductId) {
        let of_product = self.ledger.iter().filter(|((found, _), _)| found == product);
        let mut movements: Vec<_> = of_product.flat_map(|(_, movements)| movements).collect();
        movements.sort_by_key(|movement| movement.number());
        let mut previous = None;
        for movement in movements {
            assert_eq!(movement.previous_of_product, previous, "INV-2: the product's chain");
            previous = Some(movement.number());
        }
    }

    /// INV-3: what a holding says is the sum of the movements that it lists.
    fn audit_holding(&self, holding: &Holding) {
        let stock_key = (holding.product_id.clone(), holding.location_id.clone());
        let listed = |movement: &&Movement| holding.movements.contains(&movement.number());
        let movements = self.ledger[&stock_key].iter().filter(listed);
        let sum = movements.fold((0, 0), |(on_hand, reserved), movement| {
            (on_hand + movement.deltas.on_hand, reserved + movement.deltas.reserved)
        });
        assert_eq!(sum, (-holding.shipped, holding.held()), "INV-3");
    }

    /// INV-8: a rejection has seen every level and every product from before its batch.
    fn check_seen(&self, reservation: &Reservation) {
        for shortfall in reservation.shortfalls() {
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
                shortfall.shortage.reason != ShortageReason::UnknownProduct || !known,
                "INV-8: the product was unknown"
            );
        }
    }

    fn held(&self, product: &ProductId, location: &LocationId) -> i64 {
        let holdings = self.all.reservations.values().flat_map(|found| &found.holdings);
        let here =
            holdings.filter(|part| part.product_id == *product && part.location_id == *location);
        here.map(Holding::held).sum()
    }

    fn audit_rejection(&self, reservation: &Reservation) {
        for shortfall in reservation.shortfalls() {
            let shortage = &shortfall.shortage;
            let available_at = |seen: &crate::reservation::Seen| {
                let stock_key = (shortage.product_id.clone(), seen.location_id.clone());
                let mut movements = self.ledger[&stock_key].iter();
                let found = movements.find(|movement| movement.number() == seen.movement);
                found.expect("a movement with this number").after.available()
            };
            let available: i64 = shortfall.seen.iter().map(available_at).sum();
            assert_eq!(available, shortage.available, "INV-8: the points that were seen");
            let short = available < shortage.requested.units();
            assert!(short || shortage.reason == ShortageReason::TooManyAllocations, "INV-8");
            assert!(
                shortage.reason != ShortageReason::UnknownProduct || shortfall.seen.is_empty(),
                "INV-8"
            );
        }
    }
}
