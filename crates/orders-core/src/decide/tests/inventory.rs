//! A small model of Inventory: what it can carry out for one order, and what it answers.
//!
//! It is written from the rules of the protocol, and shares no arithmetic with the decider.

use std::collections::BTreeMap;

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use contract::{
    Allocation, Allocations, BookedAt, Digest, Facts, OrderId, ProductId, Quantity, Returned,
    Revision, Shortage, ShortageReason,
};

type Key = (String, String);
type Units = BTreeMap<Key, i64>;

/// What the stock is like when an order asks for some.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stock {
    /// Location `main` has enough of everything.
    Main,
    /// Locations `east` and `main` share what is wanted, `east` with the smaller half.
    Split,
    /// There is nothing.
    Short,
}

impl Stock {
    pub(super) const ALL: [Self; 3] = [Self::Main, Self::Split, Self::Short];
}

/// What Inventory knows of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    revision: Revision,
    digest: Digest,
    wanted: BTreeMap<String, i64>,
    allocated: Units,
    shipped: Units,
    returned: BTreeMap<Key, [i64; 3]>,
    is_short: bool,
}

impl Reservation {
    /// The reservation after a command, or why Inventory cannot carry it out: an anomaly.
    pub(super) fn carry_out(
        before: Option<&Self>,
        command: &AllocateStock,
        stock: Stock,
    ) -> Result<Self, String> {
        let intent = &command.intent;
        if command.digest != intent.digest() {
            return Err("the digest is not that of the intent".to_owned());
        }
        if let Some(before) = before.filter(|before| before.revision >= intent.revision) {
            if before.revision == intent.revision && before.digest != command.digest {
                return Err("another intent of the same revision".to_owned());
            }
            return Ok(before.clone());
        }
        if before.is_none() && intent.revision > Revision::FIRST && intent.wanted.total() > 0 {
            return Err("a later revision wants something, and there is no reservation".to_owned());
        }
        let lines = intent.wanted.iter();
        let mut after = Self {
            revision: intent.revision,
            digest: command.digest,
            wanted: lines.map(|l| (l.product_id.to_string(), i64::from(l.quantity))).collect(),
            allocated: before.map(|before| before.allocated.clone()).unwrap_or_default(),
            shipped: units(&intent.shipped),
            returned: returns(&intent.returned),
            is_short: false,
        };
        after.check_what_left()?;
        after.check_what_came_back(before)?;
        after.take_less()?;
        after.seek_more(stock)?;
        Ok(after)
    }

    fn check_what_left(&self) -> Result<(), String> {
        for (key, units) in &self.shipped {
            let allocated = self.allocated.get(key).copied().unwrap_or(0);
            if *units > allocated {
                return Err(format!("ships {units} of {key:?}, and {allocated} are allocated"));
            }
        }
        Ok(())
    }

    fn check_what_came_back(&self, before: Option<&Self>) -> Result<(), String> {
        let nothing = BTreeMap::new();
        for (key, less) in before.map_or(&nothing, |before| &before.returned) {
            let now = self.returned.get(key).copied().unwrap_or_default();
            if less.iter().zip(now).any(|(less, now)| now < *less) {
                return Err(format!("less of {key:?} came back than before"));
            }
        }
        for (product, _) in self.returned.keys() {
            let entries = self.returned.iter().filter(|(key, _)| key.0 == *product);
            let back: i64 = entries.map(|(_, numbers)| numbers.iter().sum::<i64>()).sum();
            if back > of(&self.shipped, product) {
                return Err(format!("{back} of {product} came back, and fewer were shipped"));
            }
        }
        Ok(())
    }

    /// Takes held units of the last location first.
    fn take_less(&mut self) -> Result<(), String> {
        for (product, wanted) in &self.wanted {
            let mut excess = of(&self.allocated, product) - wanted;
            for (key, allocated) in self.allocated.iter_mut().rev() {
                if key.0 == *product && excess > 0 {
                    let held = *allocated - self.shipped.get(key).copied().unwrap_or(0);
                    let taken = excess.min(held);
                    *allocated -= taken;
                    excess -= taken;
                }
            }
            if excess > 0 {
                return Err(format!("{product}: {excess} shipped units are not wanted any more"));
            }
        }
        self.allocated.retain(|_, units| *units > 0);
        Ok(())
    }

    /// All of what is wanted or nothing; and nobody asks for a part.
    fn seek_more(&mut self, stock: Stock) -> Result<(), String> {
        let is_missing =
            |(product, wanted): &(&String, &i64)| of(&self.allocated, product) < **wanted;
        let missing: Vec<_> = self.wanted.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if !self.allocated.is_empty() {
            return Err("wants more than it has, and has something".to_owned());
        }
        for (product, wanted) in missing {
            let east = match stock {
                Stock::Main => 0,
                Stock::Split => wanted / 2,
                Stock::Short => {
                    self.is_short = true;
                    continue;
                }
            };
            for (location, units) in [("east", east), ("main", wanted - east)] {
                if units > 0 {
                    self.allocated.insert((product.clone(), location.to_owned()), units);
                }
            }
        }
        Ok(())
    }

    /// The answer to any command of the order that is not newer.
    pub(super) fn answer(&self, order_id: OrderId) -> StockAllocated {
        let shortage = |(product, wanted): (&String, &i64)| {
            let requested = Quantity::new(u32::try_from(*wanted).ok()?).ok()?;
            let (product_id, reason) = (product_id(product), ShortageReason::OutOfStock);
            Some(Shortage { product_id, requested, available: 0, reason })
        };
        let shortages = self.wanted.iter().filter_map(shortage);
        let facts = Facts {
            revision: self.revision,
            allocated: allocations(&self.allocated),
            shortages: if self.is_short { shortages.collect() } else { Vec::new() },
            booked_at: self.booked_elsewhere(),
        };
        StockAllocated {
            schema: 1,
            order_id,
            facts,
            digest: self.digest,
            attempt: 1,
            decided_at_micros: 5,
            sent_at_micros: 6,
            traceparent: None,
        }
    }

    /// Returns to locations other than `east` and `main` are booked at `east`.
    fn booked_elsewhere(&self) -> Vec<BookedAt> {
        let unknown = self.returned.keys().filter(|(_, at)| at != "east" && at != "main");
        let booked = |(product, location): &Key| BookedAt {
            product_id: product_id(product),
            location_id: location.parse().expect("an id"),
            booked_at: "east".parse().expect("an id"),
        };
        unknown.map(booked).collect()
    }
}

/// All that Inventory may know of an order, as far as its answers tell: it has carried out some of
/// the commands that were sent, in order.
#[derive(Default)]
pub(super) struct Possible {
    /// Whether Inventory has answered, so that it cannot have missed everything.
    is_known: bool,
    states: Vec<Reservation>,
}

impl Possible {
    /// Adds what a new command may lead to.
    ///
    /// # Panics
    ///
    /// If Inventory may be in a state in which it cannot carry the command out (R22).
    pub(super) fn send(&mut self, command: &AllocateStock) {
        let mut next = Vec::new();
        let unknown = (!self.is_known).then_some(None);
        for before in unknown.into_iter().chain(self.states.iter().map(Some)) {
            for stock in Stock::ALL {
                let after = Reservation::carry_out(before, command, stock);
                let after = after.unwrap_or_else(|why| panic!("R22: {why}: {command:?}"));
                if !next.contains(&after) {
                    next.push(after);
                }
            }
        }
        for state in next {
            if !self.states.contains(&state) {
                self.states.push(state);
            }
        }
    }

    /// Notes what Inventory said.
    pub(super) fn answered(&mut self, state: &Reservation) {
        assert!(self.states.contains(state), "the model answers what it may answer: {state:?}");
        self.is_known = true;
        self.states.retain(|other| other == state || other.revision > state.revision);
    }
}

fn of(units: &Units, product: &str) -> i64 {
    units.iter().filter(|(key, _)| key.0 == product).map(|(_, units)| units).sum()
}

fn units(allocations: &Allocations) -> Units {
    let key = |one: &Allocation| (one.product_id.to_string(), one.location_id.to_string());
    allocations.iter().map(|one| (key(one), one.quantity.units())).collect()
}

fn returns(returned: &Returned) -> BTreeMap<Key, [i64; 3]> {
    let entries = returned.iter().map(|entry| {
        let key = (entry.product_id.to_string(), entry.location_id.to_string());
        (key, [entry.restocked, entry.quarantined, entry.written_off].map(i64::from))
    });
    entries.collect()
}

fn allocations(units: &Units) -> Allocations {
    let list = units.iter().map(|((product, location), units)| Allocation {
        product_id: product_id(product),
        location_id: location.parse().expect("an id"),
        quantity: Quantity::new(u32::try_from(*units).expect("units")).expect("a quantity"),
    });
    Allocations::sorted(list.collect()).expect("distinct stock keys")
}

fn product_id(text: &str) -> ProductId {
    text.parse().expect("an id")
}
