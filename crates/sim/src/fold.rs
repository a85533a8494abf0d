//! Adds up the history of an order, entry by entry: a second opinion that shares no code with the
//! services. The seeds read the entries from the database, the exhaustive search has them in
//! memory.

use std::collections::{BTreeMap, BTreeSet};

use contract::Digest;
use orders_core::status::Status;
use serde::Deserialize;

use crate::states::{Violation, broken, may_follow};

mod changes;
mod money;
#[cfg(test)]
mod tests;

/// Units of products.
pub(crate) type ProductUnits = BTreeMap<String, i64>;
/// A product and a location.
pub(crate) type StockKey = (String, String);
/// Units of products at locations.
pub(crate) type StockUnits = BTreeMap<StockKey, i64>;
/// Units that came back to locations: those that were restocked, quarantined and written off.
pub(crate) type Back = BTreeMap<StockKey, [i64; 3]>;
/// Product, requested and available units, and the reason.
pub(crate) type Short = (String, i64, i64, String);

/// The content of an order, which never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Product, units and price in minor units, as the client sent them.
    pub(crate) lines: Vec<(String, i64, i64)>,
    /// For how many seconds the order waits for its payment, if it does.
    pub(crate) pays_within_s: Option<i64>,
    pub(crate) created_at: i64,
}

/// An entry of a history after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) status: Status,
    pub(crate) at: i64,
    pub(crate) made: Made,
}

/// What an entry of a history says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Intent(NewIntent),
    Answer(Answer),
    Payment {
        reference: String,
        amount: i64,
    },
    Refund {
        reference: String,
        amount: i64,
    },
    /// How to follow the shipment of this number.
    Tracking {
        shipment: i64,
        tracking: Tracking,
    },
}

/// A new intent. What is `None` did not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewIntent {
    pub(crate) revision: i64,
    pub(crate) wanted: Option<ProductUnits>,
    pub(crate) shipped: Option<StockUnits>,
    pub(crate) returned: Option<Back>,
    pub(crate) key: Option<String>,
    pub(crate) cancelled_shipment: Option<i64>,
    pub(crate) tracking: Option<Tracking>,
}

/// How to follow a shipment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tracking {
    pub(crate) carrier: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) url: Option<String>,
}

/// An answer of Inventory. What is `None` did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) decided_at: i64,
    pub(crate) allocated: Option<StockUnits>,
    pub(crate) shortages: Vec<Short>,
    /// Where units that came back to unknown locations were booked.
    pub(crate) booked_at: Option<BTreeMap<StockKey, String>>,
}

/// The registers of an order after an entry of its history.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    pub(crate) content: Content,
    pub(crate) ordered: ProductUnits,
    /// The intent of each revision, the first one first.
    pub(crate) intents: Vec<IntentThen>,
    /// When the newest intent was made.
    pub(crate) made_at: i64,
    /// What Inventory answered, the first answer first.
    pub(crate) answers: Vec<FactsThen>,
    pub(crate) status: Status,
    /// When the order began to wait for its payment.
    pub(crate) reserved_at: Option<i64>,
    payments: Vec<(String, i64)>,
    refunds: Vec<(String, i64)>,
    /// The units of each shipment, by the number of its entry, and whether it was cancelled.
    shipments: BTreeMap<i64, (StockUnits, bool)>,
    keys: BTreeSet<String>,
    /// What each entry is, for those who follow the changes: the first one first.
    pub(crate) kinds: Vec<&'static str>,
    /// The status that the newest answer gave the order.
    settled_as: Option<Status>,
    /// The payment came after the deadline, and the next entry must ask for the units again.
    must_revive: bool,
}

/// What an order wanted at one revision, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentThen {
    /// The status while the revision was not answered.
    pub(crate) purpose: Status,
    pub(crate) wanted: ProductUnits,
    pub(crate) shipped: StockUnits,
    pub(crate) returned: Back,
}

/// What an order had when Inventory answered one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactsThen {
    pub(crate) revision: i64,
    pub(crate) decided_at: i64,
    pub(crate) allocated: StockUnits,
    pub(crate) shortages: Vec<Short>,
    pub(crate) booked_at: BTreeMap<StockKey, String>,
}

impl Content {
    /// The ordered units, summed by product.
    pub(crate) fn ordered(&self) -> ProductUnits {
        let mut sums = ProductUnits::new();
        for (product_id, units, _) in &self.lines {
            *sums.entry(product_id.clone()).or_default() += units;
        }
        sums
    }
}

impl Registers {
    /// Adds up a history.
    ///
    /// # Errors
    ///
    /// INV-4, INV-6, INV-9 or INV-10, for the first entry that cannot follow on those before it.
    pub(crate) fn of(content: Content, steps: &[Step]) -> Result<Self, Violation> {
        let ordered = content.ordered();
        let first = IntentThen {
            purpose: Status::Received,
            wanted: ordered.clone(),
            shipped: StockUnits::new(),
            returned: Back::new(),
        };
        let mut registers = Self {
            ordered,
            intents: vec![first],
            made_at: content.created_at,
            answers: Vec::new(),
            status: Status::Received,
            reserved_at: None,
            payments: Vec::new(),
            refunds: Vec::new(),
            shipments: BTreeMap::new(),
            keys: BTreeSet::new(),
            kinds: vec![Status::Received.as_str()],
            settled_as: None,
            must_revive: false,
            content,
        };
        for (step, seq) in steps.iter().zip(2..) {
            registers.add(seq, step).map_err(|Violation { invariant, what }| Violation {
                invariant,
                what: format!("entry {seq}: {what}: {step:?}"),
            })?;
        }
        if registers.must_revive {
            return broken("INV-4", "a payment came late, and nothing is asked for again");
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

    pub(crate) fn is_ahead(&self) -> bool {
        self.settled() < self.revision()
    }

    /// What Inventory answered last.
    pub(crate) fn facts(&self) -> Option<&FactsThen> {
        self.answers.last()
    }

    /// The intent of a revision that the order has or had.
    pub(crate) fn intent(&self, revision: i64) -> Option<&IntentThen> {
        self.intents.get(usize::try_from(revision - 1).ok()?)
    }

    pub(crate) fn newest(&self) -> &IntentThen {
        self.intents.last().expect("an order begins with an intent")
    }

    pub(crate) fn allocated(&self) -> StockUnits {
        self.facts().map(|facts| facts.allocated.clone()).unwrap_or_default()
    }

    fn add(&mut self, seq: i64, step: &Step) -> Result<(), Violation> {
        let before = self.status;
        let revives = matches!(step.made, Made::Intent(_)) && step.status == Status::Reviving;
        match (std::mem::take(&mut self.must_revive), revives) {
            (true, false) => {
                return broken("INV-4", "a payment came late, and nothing is asked for again");
            }
            (false, true) => return broken("INV-4", "no payment came late just before"),
            (_, _) => {}
        }
        let may_stay = match &step.made {
            Made::Intent(intent) => {
                self.intend(seq, step, intent)?;
                false
            }
            Made::Answer(answer) => {
                self.settle(answer)?;
                false
            }
            Made::Payment { reference, amount } => {
                self.pay(reference, *amount)?;
                true
            }
            Made::Refund { reference, amount } => {
                self.refund(reference, *amount)?;
                true
            }
            Made::Tracking { shipment, .. } if self.shipments.contains_key(shipment) => true,
            Made::Tracking { .. } => return broken("INV-4", "there is no such shipment"),
        };
        self.check_line_arithmetic()?;
        let status = self.derived();
        let stays = may_stay && status == before;
        let is_by_a_payment = matches!(step.made, Made::Payment { .. });
        let goes = (is_by_a_payment || !may_stay) && may_follow(Some(before), status);
        if step.status != status || !(stays || goes) {
            return broken("INV-4", format!("{status:?} is right, after {before:?}"));
        }
        self.kinds.push(self.kind(step));
        if let Made::Answer(_) = step.made {
            self.settled_as = Some(status);
        }
        self.status = status;
        if status == Status::Reserved {
            self.reserved_at.get_or_insert(step.at);
        }
        self.check_paid()
    }

    /// What an entry is: a status that the order got, or a change beside its status. A change is no
    /// news about the status unless it shipped the rest.
    fn kind(&self, step: &Step) -> &'static str {
        let status = step.status;
        match &step.made {
            Made::Payment { .. } if self.status == Status::Reserved => status.as_str(),
            Made::Payment { .. } => "paid",
            Made::Refund { .. } => "refunded",
            Made::Tracking { .. } => "shipment.tracked",
            Made::Intent(intent) if intent.cancelled_shipment.is_some() => "shipment.cancelled",
            Made::Intent(intent) if intent.key.is_none() => status.as_str(),
            Made::Intent(intent) if intent.shipped.is_some() => "shipment.created",
            Made::Intent(intent) if intent.returned.is_some() => "return.created",
            Made::Intent(_) => "cancellation.created",
            Made::Answer(_) => {
                let amended = self.newest().purpose == Status::Amending;
                let is_news = status == Status::Fulfilled && self.settled_as != Some(status);
                if amended && !is_news { "amended" } else { status.as_str() }
            }
        }
    }

    fn settle(&mut self, answer: &Answer) -> Result<(), Violation> {
        let revision = self.revision();
        if !self.is_ahead() {
            return broken("INV-4", "the revision was answered already");
        }
        let known = self.allocated();
        if answer.allocated.as_ref() == Some(&known) {
            return broken("INV-4", "it repeats what the order has");
        }
        let booked_before = self.facts().map(|facts| facts.booked_at.clone()).unwrap_or_default();
        self.answers.push(FactsThen {
            revision,
            decided_at: answer.decided_at,
            allocated: answer.allocated.clone().unwrap_or(known),
            shortages: answer.shortages.clone(),
            booked_at: answer.booked_at.clone().unwrap_or(booked_before),
        });
        self.check_answer()
    }

    /// INV-10, right after an answer: the order got what it wants, unless it asked for stock and is
    /// short.
    fn check_answer(&self) -> Result<(), Violation> {
        let Some(facts) = self.facts() else { return Ok(()) };
        let intent = self.newest();
        let wanted = intent.sent_wanted();
        let right = if facts.shortages.is_empty() {
            wanted.iter().all(|(product, units)| of_product(&facts.allocated, product) == *units)
        } else {
            intent.asks_for_stock() && facts.allocated.is_empty()
        };
        let short = facts.shortages.iter().map(|(product, ..)| product);
        let came_back = |key: &StockKey| intent.returned.contains_key(key);
        if right
            && short.is_sorted_by(|one, next| one < next)
            && facts.booked_at.keys().all(came_back)
        {
            Ok(())
        } else {
            broken("INV-10", format!("{wanted:?} is wanted, and the answer is {facts:?}"))
        }
    }

    /// The units of a product that the order keeps.
    pub(crate) fn kept(&self, product: &str) -> i64 {
        let intent = self.newest();
        match intent.purpose {
            Status::Expiring => 0,
            _ if self.is_ahead() => intent.wanted.get(product).copied().unwrap_or(0),
            _ => of_product(&self.allocated(), product),
        }
    }

    /// INV-10, always: what is kept, what is shipped, and what came back.
    fn check_line_arithmetic(&self) -> Result<(), Violation> {
        let IntentThen { wanted, shipped, returned, .. } = self.newest();
        let allocated = self.allocated();
        if !wanted.keys().eq(self.ordered.keys()) {
            return broken("INV-10", format!("not every product is named: {wanted:?}"));
        }
        for (product, ordered) in &self.ordered {
            let (kept, shipped) = (self.kept(product), of_product(shipped, product));
            let back = back_of(returned, product);
            if !(0..=*ordered).contains(&kept) || shipped > kept || back > shipped {
                let what = format!("of {ordered} {product}, {kept} are kept, {shipped} shipped");
                return broken("INV-10", format!("{what}, {back} came back"));
            }
        }
        let is_foreign = |key: &StockKey| !self.ordered.contains_key(&key.0);
        let exceeds = |(key, units): (_, &i64)| allocated.get(key).unwrap_or(&0) < units;
        let positive = allocated.values().chain(shipped.values()).all(|units| *units > 0);
        let foreign = allocated.keys().chain(returned.keys()).any(is_foreign);
        if positive && !foreign && !shipped.iter().any(exceeds) {
            Ok(())
        } else {
            broken("INV-10", format!("{allocated:?} is allocated, {shipped:?} shipped"))
        }
    }

    fn derived(&self) -> Status {
        let intent = self.newest();
        if self.is_ahead() {
            return intent.purpose;
        }
        let allocated = self.allocated();
        let has: i64 = allocated.values().sum();
        match intent.purpose {
            Status::Received if has == 0 => Status::Rejected,
            Status::Expiring | Status::Reviving if has == 0 => Status::Expired,
            _ if has == 0 => Status::Cancelled,
            _ if self.is_due() => Status::Reserved,
            _ if intent.shipped == allocated => Status::Fulfilled,
            _ => Status::Confirmed,
        }
    }
}

impl IntentThen {
    /// What Inventory is told to want: nothing once the deadline has passed.
    pub(crate) fn sent_wanted(&self) -> ProductUnits {
        let expires = self.purpose == Status::Expiring;
        let sent =
            |(product, units): (&String, &i64)| (product.clone(), if expires { 0 } else { *units });
        self.wanted.iter().map(sent).collect()
    }

    /// Whether Inventory may have too few units for it.
    pub(crate) fn asks_for_stock(&self) -> bool {
        matches!(self.purpose, Status::Received | Status::Reviving)
    }

    /// The digest of what Inventory is sent, as R14 defines it.
    pub(crate) fn digest(&self, revision: i64) -> Digest {
        digest(revision, &self.sent_wanted(), &self.shipped, &self.returned)
    }
}

/// The digest of an intent as R14 defines it.
pub(crate) fn digest(
    revision: i64,
    wanted: &ProductUnits,
    shipped: &StockUnits,
    returned: &Back,
) -> Digest {
    let wanted = wanted.iter().map(|(product, units)| format!("w\0{product}\0{units}\n"));
    let shipped = shipped
        .iter()
        .map(|((product, location), units)| format!("s\0{product}\0{location}\0{units}\n"));
    let returned = returned.iter().map(|((product, location), [restocked, quarantined, lost])| {
        format!("r\0{product}\0{location}\0{restocked}\0{quarantined}\0{lost}\n")
    });
    let lines: String = wanted.chain(shipped).chain(returned).collect();
    Digest::of(format!("{revision}\n{lines}").as_bytes())
}

/// The units of one product, over all locations.
pub(crate) fn of_product(units: &StockUnits, product: &str) -> i64 {
    units.iter().filter(|((its, _), _)| its == product).map(|(_, units)| units).sum()
}

/// The units of one product that came back, over all locations.
pub(crate) fn back_of(returned: &Back, product: &str) -> i64 {
    let its = returned.iter().filter(|((its, _), _)| its == product);
    its.flat_map(|(_, units)| units).sum()
}
