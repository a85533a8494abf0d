//! Adds up the history of an order, entry by entry: a second opinion that shares no code with the
//! services.

use contract::Digest;
use orders_core::status::Status;

use crate::databases::{EntryRow, OrderRow, ProductUnits, StockUnits};
use crate::states::{Violation, broken, may_follow};

/// The registers of an order after an entry of its history.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    pub(crate) ordered: ProductUnits,
    /// The intent of each revision, the first one first.
    pub(crate) intents: Vec<IntentThen>,
    /// When the newest intent was made.
    pub(crate) made_at: i64,
    /// What Inventory answered, the first answer first.
    pub(crate) answers: Vec<FactsThen>,
    pub(crate) status: Status,
}

/// What an order wanted at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentThen {
    pub(crate) wanted: ProductUnits,
    pub(crate) shipped: StockUnits,
}

/// What an order had when Inventory answered one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactsThen {
    pub(crate) revision: i64,
    pub(crate) decided_at: i64,
    pub(crate) allocated: StockUnits,
    /// Product, requested and available units, and the reason.
    pub(crate) shortages: Vec<(String, i64, i64, String)>,
}

impl Registers {
    /// Adds up the history of an order.
    ///
    /// # Errors
    ///
    /// INV-4 or INV-10, for the first entry that cannot follow on those before it.
    pub(crate) fn of(order: &OrderRow) -> Result<Self, Violation> {
        let ordered = order.ordered();
        let first = IntentThen { wanted: ordered.clone(), shipped: StockUnits::new() };
        let mut registers = Self {
            ordered,
            intents: vec![first],
            made_at: order.created_at,
            answers: Vec::new(),
            status: Status::Received,
        };
        for (entry, seq) in order.history().iter().zip(2..) {
            registers.add(entry).map_err(|Violation { invariant, what }| Violation {
                invariant,
                what: format!("order {}, entry {seq}: {what}: {entry:?}", order.order_id),
            })?;
        }
        Ok(registers)
    }

    pub(crate) fn revision(&self) -> i64 {
        i64::try_from(self.intents.len()).expect("few revisions")
    }

    /// The revision that Inventory answered last; 0 before its first answer.
    pub(crate) fn settled(&self) -> i64 {
        self.facts().map_or(0, |facts| facts.revision)
    }

    /// What Inventory answered last.
    pub(crate) fn facts(&self) -> Option<&FactsThen> {
        self.answers.last()
    }

    /// The intent of a revision that the order has or had.
    pub(crate) fn intent(&self, revision: i64) -> Option<&IntentThen> {
        self.intents.get(usize::try_from(revision - 1).ok()?)
    }

    fn newest(&self) -> &IntentThen {
        self.intents.last().expect("an order begins with an intent")
    }

    fn allocated(&self) -> StockUnits {
        self.facts().map(|facts| facts.allocated.clone()).unwrap_or_default()
    }

    fn add(&mut self, entry: &EntryRow) -> Result<(), Violation> {
        let is_of_intent = entry.wanted.is_some() || entry.shipped.is_some();
        let is_of_facts = entry.allocated.is_some() || !entry.shortages.is_empty();
        match (entry.revision, entry.decided_at) {
            (Some(revision), None) if !is_of_facts => self.intend(revision, entry)?,
            (None, Some(decided_at)) if !is_of_intent && entry.reason.is_none() => {
                self.settle(decided_at, entry)?;
            }
            _ => return broken("INV-4", "it is neither an intent nor an answer"),
        }
        self.check_line_arithmetic()?;
        let status = self.derived();
        if entry.status != status || !may_follow(Some(self.status), status) {
            return broken("INV-4", format!("{status:?} is right, after {:?}", self.status));
        }
        self.status = status;
        Ok(())
    }

    /// A request wants nothing any more, or ships all that the order has.
    fn intend(&mut self, revision: i64, entry: &EntryRow) -> Result<(), Violation> {
        if revision != self.revision() + 1 {
            return broken("INV-4", format!("it follows revision {}", self.revision()));
        }
        let IntentThen { wanted, shipped } = self.newest().clone();
        let next = match (&entry.wanted, entry.shipped()) {
            (Some(nothing), None) if shipped.is_empty() => {
                let nothing: ProductUnits = nothing.iter().cloned().collect();
                let names_all = nothing.keys().eq(self.ordered.keys());
                if !names_all || nothing.values().any(|units| *units != 0) {
                    return broken("INV-4", "a cancellation wants something, or not every product");
                }
                IntentThen { wanted: nothing, shipped }
            }
            (None, Some(shipped))
                if self.settled() == self.revision() && shipped == self.allocated() =>
            {
                IntentThen { wanted, shipped }
            }
            _ => return broken("INV-4", "no request makes this intent"),
        };
        self.intents.push(next);
        self.made_at = entry.at;
        Ok(())
    }

    fn settle(&mut self, decided_at: i64, entry: &EntryRow) -> Result<(), Violation> {
        let revision = self.revision();
        if self.settled() == revision {
            return broken("INV-4", "the revision was answered already");
        }
        let known = self.allocated();
        if entry.allocated().as_ref() == Some(&known) {
            return broken("INV-4", "it repeats what the order has");
        }
        let allocated = entry.allocated().unwrap_or(known);
        let shortages = entry.shortages.clone();
        self.answers.push(FactsThen { revision, decided_at, allocated, shortages });
        self.check_answer()
    }

    /// INV-10, right after an answer: the order got what it wants, unless it was placed and is
    /// short.
    fn check_answer(&self) -> Result<(), Violation> {
        let Some(facts) = self.facts() else { return Ok(()) };
        let wanted = &self.newest().wanted;
        let right = if facts.shortages.is_empty() {
            wanted.iter().all(|(product, units)| of_product(&facts.allocated, product) == *units)
        } else {
            facts.revision == 1 && facts.allocated.is_empty()
        };
        let short = facts.shortages.iter().map(|(product, ..)| product);
        if right && short.is_sorted_by(|one, next| one < next) {
            Ok(())
        } else {
            broken("INV-10", format!("{wanted:?} is wanted, and the answer is {facts:?}"))
        }
    }

    /// INV-10, always: what is kept and what is shipped.
    fn check_line_arithmetic(&self) -> Result<(), Violation> {
        let IntentThen { wanted, shipped } = self.newest();
        let allocated = self.allocated();
        let is_ahead = self.settled() < self.revision();
        for (product, ordered) in &self.ordered {
            let kept = if is_ahead { wanted[product] } else { of_product(&allocated, product) };
            let shipped = of_product(shipped, product);
            if !(0..=*ordered).contains(&kept) || shipped > kept {
                let what = format!("of {ordered} {product}, {kept} are kept, {shipped} shipped");
                return broken("INV-10", what);
            }
        }
        let is_foreign = |key: &(String, String)| !self.ordered.contains_key(&key.0);
        let exceeds = |(key, units): (_, &i64)| allocated.get(key).unwrap_or(&0) < units;
        let positive = allocated.values().chain(shipped.values()).all(|units| *units > 0);
        if positive && !allocated.keys().any(is_foreign) && !shipped.iter().any(exceeds) {
            Ok(())
        } else {
            broken("INV-10", format!("{allocated:?} is allocated, {shipped:?} shipped"))
        }
    }

    fn derived(&self) -> Status {
        let IntentThen { wanted, shipped } = self.newest();
        let wants_something = wanted.values().any(|units| *units > 0);
        let has_something = !self.allocated().is_empty();
        if self.settled() < self.revision() {
            return match (self.revision(), wants_something) {
                (1, _) => Status::Received,
                (_, false) => Status::Cancelling,
                (_, true) => Status::Fulfilling,
            };
        }
        match (self.revision(), has_something) {
            (1, false) => Status::Rejected,
            (_, false) => Status::Cancelled,
            (_, true) if *shipped == self.allocated() => Status::Fulfilled,
            (_, true) => Status::Confirmed,
        }
    }
}

impl IntentThen {
    /// The digest of the intent as R14 defines it.
    pub(crate) fn digest(&self, revision: i64) -> Digest {
        let wanted = self.wanted.iter().map(|(product, units)| format!("w\0{product}\0{units}\n"));
        let shipped = self
            .shipped
            .iter()
            .map(|((product, location), units)| format!("s\0{product}\0{location}\0{units}\n"));
        let lines: String = wanted.chain(shipped).collect();
        Digest::of(format!("{revision}\n{lines}").as_bytes())
    }
}

/// The units of one product, over all locations.
pub(crate) fn of_product(units: &StockUnits, product: &str) -> i64 {
    units.iter().filter(|((its, _), _)| its == product).map(|(_, units)| units).sum()
}
