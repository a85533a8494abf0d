//! A store in memory. It checks everything that the decider says about stored rows.

use std::collections::BTreeMap;

use contract::{Facts, LocationId, OrderId, ProductId, ShortageReason};

use crate::admin::{AdminAct, AdminEvent};
use crate::decide::{
    DecidedInventory, InventoryChanges, InventoryCommand, InventoryDecision, LoadedInventory,
    ReservationChange, StockChange, Touched, decide,
};
use crate::reservation::{Holding, Reservation, ReturnedStock};
use crate::stock::{Cause, Level, Levels, Location, Movement, MovementKind};

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
            .filter(|change| self.is_newly_rejected(&change.to))
            .for_each(|change| self.check_seen(&change.to));
        self.write(changes);
        decided.iter().for_each(|one| self.check_facts(one));
        decided
    }

    /// What a batch would lead to if no location could be read.
    pub(super) fn run_without_locations(
        &self,
        batch: &[InventoryCommand],
    ) -> Vec<DecidedInventory> {
        let mut loaded = self.load(&Touched::by(batch));
        loaded.locations.clear();
        decide(self.now_micros, batch, loaded).decided
    }

    /// What a batch would write into the admin log.
    pub(super) fn acts(&self, batch: &[InventoryCommand]) -> Vec<AdminEvent> {
        self.admin_acts(batch).into_iter().map(|act| act.event).collect()
    }

    /// The same, with who asked for it.
    pub(super) fn admin_acts(&self, batch: &[InventoryCommand]) -> Vec<AdminAct> {
        decide(self.now_micros, batch, self.load(&Touched::by(batch))).changes.acts
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
            if let Cause::Request(cause) = &movement.cause {
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
        level.quarantined += deltas.quarantined;
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

    /// Checks INV-1, INV-2, INV-3, INV-8, INV-10 and INV-11 against the ledger.
    pub(super) fn audit(&self) {
        for ((product, location), movements) in &self.ledger {
            let mut level = Level::default();
            for movement in movements {
                let previous = (level.last_seq > 0).then_some(level.last_movement);
                assert_eq!(movement.previous, previous, "INV-2: the chain of the stock key");
                level = level.after(movement.deltas, movement.number()).expect("INV-1");
                assert!(fits_kind(movement), "INV-11: {movement:?}");
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
            self.audit_listed(reservation);
            audit_arithmetic(reservation);
            reservation.holdings.iter().for_each(|holding| self.audit_holding(holding));
            reservation.returns.iter().for_each(|found| self.audit_returned(found));
        }
    }

    /// INV-3: the movements of an order are those that its reservation lists.
    fn audit_listed(&self, reservation: &Reservation) {
        let its = |movement: &&Movement| movement.cause == Cause::Order(reservation.order_id);
        let mut caused: Vec<_> =
            self.ledger.values().flatten().filter(its).map(Movement::number).collect();
        let mut listed: Vec<_> = reservation.movements().collect();
        caused.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, caused, "INV-3");
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
        let stock_key = (&holding.product_id, &holding.location_id);
        let mut sums = [0; 3];
        for movement in self.listed(stock_key, &holding.movements) {
            let [promised, released, shipped] = &mut sums;
            match movement.kind {
                MovementKind::Reserve => *promised += movement.deltas.reserved,
                MovementKind::Release => *released -= movement.deltas.reserved,
                MovementKind::Ship | MovementKind::Unship => *shipped -= movement.deltas.on_hand,
                other => panic!("INV-3: a holding lists a {}", other.as_str()),
            }
        }
        assert_eq!(sums, [holding.promised, holding.released, holding.shipped], "INV-3");
    }

    /// INV-3: what came back is the sum of the movements that booked it.
    fn audit_returned(&self, found: &ReturnedStock) {
        let stock_key = (&found.units.product_id, &found.booked_at);
        let mut sums = [0; 2];
        for movement in self.listed(stock_key, &found.movements) {
            assert_eq!(movement.kind, MovementKind::Return, "INV-3");
            sums[0] += movement.deltas.on_hand;
            sums[1] += movement.deltas.quarantined;
        }
        let [restocked, quarantined] =
            [found.units.restocked, found.units.quarantined].map(i64::from);
        assert_eq!(sums, [restocked + quarantined, quarantined], "INV-3");
        assert!(!found.movements.is_empty(), "INV-3");
    }

    /// The movements at a stock key with these numbers, all of which must be there.
    fn listed(
        &self,
        (product, location): (&ProductId, &LocationId),
        numbers: &[i64],
    ) -> Vec<&Movement> {
        let movements = &self.ledger[&(product.clone(), location.clone())];
        let find = |number: &i64| movements.iter().find(|movement| movement.number() == *number);
        numbers.iter().map(|number| find(number).expect("INV-3: a listed movement")).collect()
    }

    /// Whether a change of a reservation is one that found too little.
    fn is_newly_rejected(&self, to: &Reservation) -> bool {
        let known = self.all.reservations.get(&to.order_id);
        to.rejection.is_some() && known.is_none_or(|known| known.rejection != to.rejection)
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

/// INV-10, as far as Inventory knows the numbers: what came back is out, and what is out is
/// allocated.
fn audit_arithmetic(reservation: &Reservation) {
    let (returned, shipped) = (reservation.returned(), reservation.shipped());
    for entry in &returned {
        assert!(returned.of(&entry.product_id) <= shipped.of(&entry.product_id), "INV-10");
    }
    for Holding { promised, released, shipped, .. } in &reservation.holdings {
        assert!(0 <= *shipped && 0 <= *released && *shipped <= promised - released, "INV-10");
    }
}

/// INV-11: the deltas and the cause are those of the kind.
fn fits_kind(movement: &Movement) -> bool {
    let crate::stock::Deltas { on_hand, reserved, quarantined } = movement.deltas;
    let of_order = matches!(movement.cause, Cause::Order(_));
    match movement.kind {
        MovementKind::Receive => !of_order && on_hand > 0 && (reserved, quarantined) == (0, 0),
        MovementKind::Adjust | MovementKind::Count => {
            !of_order && (reserved, quarantined) == (0, 0)
        }
        MovementKind::Reserve => of_order && reserved > 0 && (on_hand, quarantined) == (0, 0),
        MovementKind::Release => of_order && reserved < 0 && (on_hand, quarantined) == (0, 0),
        MovementKind::Ship => of_order && on_hand < 0 && (reserved, quarantined) == (on_hand, 0),
        MovementKind::Unship => of_order && on_hand > 0 && (reserved, quarantined) == (on_hand, 0),
        MovementKind::Return => of_order && reserved == 0 && (0..=on_hand).contains(&quarantined),
        MovementKind::Quarantine => !of_order && quarantined > 0 && (on_hand, reserved) == (0, 0),
        MovementKind::Unquarantine => !of_order && quarantined < 0 && (on_hand, reserved) == (0, 0),
        MovementKind::WriteOff => {
            !of_order && on_hand < 0 && (reserved, quarantined) == (0, on_hand)
        }
    }
}
