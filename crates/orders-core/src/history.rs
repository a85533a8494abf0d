//! The history of an order, which is the only copy of its registers.

use contract::{Allocations, Facts, Revision, Shortage, Wanted};

use super::order::Terms;
use super::registers::{Misfit, Registers};
use super::status::Status;

/// One entry of an order's history after the first. The history is append-only (INV-4).
///
/// The first entry is the accepted order itself: its status is `received`, and its time is when the
/// order was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of the entry, from 2 without gaps.
    pub seq: u32,
    /// The status that the order got: the status function of all entries up to this one.
    pub status: Status,
    /// When the service decided this, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// What happened.
    pub event: Event,
}

/// What an entry adds to the registers. Numbers are absolute; what is `None` did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request changed the intent.
    Intended {
        /// The new revision.
        revision: Revision,
        /// Who made the request; `None` if clients are not asked who they are.
        actor: Option<String>,
        /// Why, in the words of the client, if it said so.
        reason: Option<String>,
        /// What the order wants from now on.
        wanted: Option<Wanted>,
        /// What shall be shipped from now on.
        shipped: Option<Allocations>,
    },
    /// Inventory answered the current revision.
    Settled {
        /// When Inventory decided, in microseconds since 1970 UTC on its clock.
        decided_at_micros: i64,
        /// What the order has from now on.
        allocated: Option<Allocations>,
        /// What was short, sorted by product; otherwise empty.
        shortages: Vec<Shortage>,
    },
}

/// An entry that does not continue the history before it (INV-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenHistory {
    /// The entry's number is not the next one.
    #[error("entry {expected} has the number {found}")]
    Gap {
        /// The number that follows the entry before.
        expected: u32,
        /// The number of the entry.
        found: u32,
    },
    /// The event cannot follow on those before it.
    #[error("entry {seq} does not follow: {misfit}")]
    Misfit {
        /// The number of the entry.
        seq: u32,
        /// Why.
        misfit: Misfit,
    },
    /// The entry's status is not the status of its registers.
    #[error("entry {seq} says {}, its registers say {}", found.as_str(), expected.as_str())]
    Status {
        /// The number of the entry.
        seq: u32,
        /// The status of the registers after the entry.
        expected: Status,
        /// The status of the entry.
        found: Status,
    },
}

/// Adds up a history and checks each of its prefixes.
///
/// # Errors
///
/// [`BrokenHistory`] for the first entry that does not follow. A retry fails again.
pub fn fold(terms: &Terms, entries: &[Entry]) -> Result<Registers, BrokenHistory> {
    let mut registers = Registers::placed(terms.ordered());
    for (entry, expected) in entries.iter().zip(2..) {
        let seq = entry.seq;
        if seq != expected {
            return Err(BrokenHistory::Gap { expected, found: seq });
        }
        registers.apply(&entry.event).map_err(|misfit| BrokenHistory::Misfit { seq, misfit })?;
        let expected = registers.status();
        if entry.status != expected {
            return Err(BrokenHistory::Status { seq, expected, found: entry.status });
        }
    }
    Ok(registers)
}

/// The units of the newest facts that had any: what a client sees as the order's allocations, also
/// after they were released.
pub fn last_allocated(entries: &[Entry]) -> Allocations {
    let allocated = entries.iter().rev().find_map(|entry| match &entry.event {
        Event::Settled { allocated: Some(allocated), .. } if !allocated.is_empty() => {
            Some(allocated.clone())
        }
        Event::Settled { .. } | Event::Intended { .. } => None,
    });
    allocated.unwrap_or_default()
}

impl Event {
    /// The event by which facts settle the revision that they answer.
    pub(super) fn settled(before: &Registers, facts: &Facts, decided_at_micros: i64) -> Self {
        let known = before.facts.as_ref().map(|facts| facts.allocated.clone());
        let unchanged = known.unwrap_or_default() == facts.allocated;
        Self::Settled {
            decided_at_micros,
            allocated: (!unchanged).then(|| facts.allocated.clone()),
            shortages: facts.shortages.clone(),
        }
    }
}
