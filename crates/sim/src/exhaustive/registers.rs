//! The registers of an order, added up from its history: a second opinion that shares no code with
//! the services.

use std::collections::BTreeMap;

use contract::{Allocations, Intent, Shortage, Wanted};
use orders_core::history::{Entry, Event};
use orders_core::status::Status;

use crate::states::may_follow;

/// UnitsByKey by product and location.
pub(super) type UnitsByKey = BTreeMap<(String, String), i64>;

/// What the entries of a history add up to.
#[derive(Debug)]
pub(super) struct Registers {
    pub(super) ordered: Wanted,
    pub(super) revision: u32,
    pub(super) wanted: Wanted,
    pub(super) shipped: Allocations,
    /// The revision that Inventory has answered; 0 before its first answer.
    pub(super) settled: u32,
    pub(super) allocated: Allocations,
    /// What was short when the revision that is settled was answered.
    pub(super) shortages: Vec<Shortage>,
    pub(super) status: Status,
    /// All intents so far, the first one first.
    pub(super) intents: Vec<Intent>,
}

pub(super) fn units(allocations: &Allocations) -> UnitsByKey {
    let unit = |part: &contract::Allocation| {
        ((part.product_id.to_string(), part.location_id.to_string()), part.quantity.units())
    };
    allocations.iter().map(unit).collect()
}

impl Registers {
    /// Adds up the entries after the first.
    ///
    /// # Errors
    ///
    /// Says why an entry cannot follow on those before it (INV-4), or what it breaks (INV-10).
    pub(super) fn fold(ordered: Wanted, entries: &[Entry]) -> Result<Self, String> {
        let mut registers = Self {
            revision: 1,
            wanted: ordered.clone(),
            shipped: Allocations::default(),
            settled: 0,
            allocated: Allocations::default(),
            shortages: Vec::new(),
            status: Status::Received,
            intents: vec![Intent::placed(ordered.clone())],
            ordered,
        };
        for (entry, seq) in entries.iter().zip(2..) {
            if entry.seq != seq {
                return Err(format!("entry {seq} has the number {}", entry.seq));
            }
            registers.add(&entry.event).map_err(|why| format!("entry {seq}: {why}"))?;
            let status = registers.derive();
            if entry.status != status || !may_follow(Some(registers.status), status) {
                return Err(format!(
                    "entry {seq} says {:?}, after {:?}, when {status:?} is right",
                    entry.status, registers.status
                ));
            }
            registers.status = status;
        }
        Ok(registers)
    }

    fn add(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Intended { revision, wanted, shipped, .. } => {
                if revision.get() != self.revision + 1 {
                    return Err(format!("revision {revision} follows {}", self.revision));
                }
                self.intend(wanted.as_ref(), shipped.as_ref())?;
                self.revision += 1;
                let (wanted, shipped) = (self.wanted.clone(), self.shipped.clone());
                self.intents.push(Intent { revision: *revision, wanted, shipped });
            }
            Event::Settled { allocated, shortages, .. } => {
                if self.settled == self.revision {
                    return Err("the revision is answered already".to_owned());
                }
                self.settled = self.revision;
                self.shortages.clone_from(shortages);
                if let Some(allocated) = allocated {
                    self.allocated = allocated.clone();
                }
                self.check_settled()?;
            }
        }
        self.check_always()
    }

    /// A change either wants nothing, while nothing is shipped, or ships all that is allocated.
    fn intend(
        &mut self,
        wanted: Option<&Wanted>,
        shipped: Option<&Allocations>,
    ) -> Result<(), String> {
        match (wanted, shipped) {
            (Some(wanted), None) if wanted.total() == 0 && self.shipped.is_empty() => {
                self.wanted = wanted.clone();
                Ok(())
            }
            (None, Some(shipped))
                if self.settled == self.revision && *shipped == self.allocated =>
            {
                self.shipped = shipped.clone();
                Ok(())
            }
            _ => Err(format!("no request wants {wanted:?} and ships {shipped:?}")),
        }
    }

    /// INV-10: what is granted is what is wanted, unless the order was placed and stock was short.
    fn check_settled(&self) -> Result<(), String> {
        let granted = |line: &contract::WantedLine| self.allocated.of(&line.product_id);
        let all = self.wanted.iter().all(|line| granted(line) == i64::from(line.quantity));
        let nothing = self.allocated.is_empty();
        let right = if self.shortages.is_empty() {
            all
        } else {
            nothing && self.revision == 1 && self.wanted.total() > 0
        };
        if right {
            Ok(())
        } else {
            Err(format!("granted {:?} of {:?}", self.allocated, self.wanted))
        }
    }

    /// INV-10: ordered = kept + cancelled, and no more is shipped than is kept and allocated.
    fn check_always(&self) -> Result<(), String> {
        let products = |wanted: &Wanted| -> Vec<_> {
            wanted.iter().map(|line| line.product_id.clone()).collect()
        };
        let names = products(&self.ordered);
        if products(&self.wanted) != names {
            return Err(format!("the intent names other products: {:?}", self.wanted));
        }
        let foreign = |part: &contract::Allocation| !names.contains(&part.product_id);
        if self.allocated.iter().chain(&self.shipped).any(foreign) {
            return Err(format!("other products: {:?}, {:?}", self.allocated, self.shipped));
        }
        for product_id in &names {
            let ahead = self.settled < self.revision;
            let kept =
                if ahead { self.wanted.of(product_id) } else { self.allocated.of(product_id) };
            let cancelled = self.ordered.of(product_id) - kept;
            if kept < 0 || cancelled < 0 || self.shipped.of(product_id) > kept {
                return Err(format!("{kept} {product_id} kept, {cancelled} cancelled"));
            }
        }
        let allocated = units(&self.allocated);
        let exceeds = |(key, shipped): (&_, &i64)| allocated.get(key).unwrap_or(&0) < shipped;
        if units(&self.shipped).iter().any(exceeds) {
            return Err(format!("shipped {:?} of {:?}", self.shipped, self.allocated));
        }
        Ok(())
    }

    fn derive(&self) -> Status {
        let (wants, ships) = (self.wanted.total() > 0, !self.shipped.is_empty());
        match (self.settled == self.revision, self.revision, wants, ships) {
            (false, 1, ..) => Status::Received,
            (false, _, true, _) => Status::Fulfilling,
            (false, _, false, _) => Status::Cancelling,
            (true, 1, ..) if self.allocated.is_empty() => Status::Rejected,
            (true, _, false, _) => Status::Cancelled,
            (true, _, true, true) => Status::Fulfilled,
            (true, _, true, false) => Status::Confirmed,
        }
    }
}
