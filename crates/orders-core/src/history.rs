//! The history of an order, which is the only copy of its registers.

use contract::{Allocations, BookedAt, Facts, Returned, Revision, Shortage, Wanted};

use super::changes::{RequestKey, Tracking};
use super::order::Terms;
use super::registers::{Misfit, Registers};
use super::status::{Purpose, Status};
use super::trace::TraceId;

pub(super) use kind::BeforeEntry;
pub use kind::EntryKind;

mod kind;
mod length;

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
    /// The trace of the request that caused the entry, if it is exported.
    pub trace_id: Option<TraceId>,
}

/// What an entry adds to the registers. Numbers are absolute; what is `None` did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The intent changed.
    Intended(Box<Intended>),
    /// Inventory answered the current revision.
    Settled {
        /// When Inventory decided, in microseconds since 1970 UTC on its clock.
        decided_at_micros: i64,
        /// What the order has from now on.
        allocated: Option<Allocations>,
        /// What was short, sorted by product; otherwise empty.
        shortages: Vec<Shortage>,
        /// Where Inventory booked what came back to locations that it does not know.
        booked_at: Option<Vec<BookedAt>>,
    },
    /// A client recorded a payment.
    Paid {
        /// Who recorded it; `None` if clients are not asked who they are.
        actor: Option<String>,
        /// What tells it from other payments.
        reference: String,
        /// The amount, in minor units of the order's currency; at least 1.
        amount_minor: i64,
    },
    /// A client recorded a refund.
    Refunded {
        /// Who recorded it; `None` if clients are not asked who they are.
        actor: Option<String>,
        /// What tells it from other refunds of the order.
        reference: String,
        /// The amount, in minor units of the order's currency; at least 1.
        amount_minor: i64,
    },
    /// A client said how to follow a shipment.
    Tracked {
        /// Who said it; `None` if clients are not asked who they are.
        actor: Option<String>,
        /// The shipment's number.
        shipment: u32,
        /// How to follow it from now on.
        tracking: Tracking,
    },
}

/// A new intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intended {
    /// The new revision.
    pub revision: Revision,
    /// What the revision is for. The history keeps it as the entry's status.
    pub purpose: Purpose,
    /// Who made the request; `None` if clients are not asked who they are, or if the service made
    /// the revision itself.
    pub actor: Option<String>,
    /// Why, in the words of the client, if it said so.
    pub reason: Option<String>,
    /// What the order wants from now on.
    pub wanted: Option<Wanted>,
    /// What shall be shipped from now on.
    pub shipped: Option<Allocations>,
    /// What came back until now.
    pub returned: Option<Returned>,
    /// The idempotency key of a cancellation of lines, a shipment or a return.
    pub key: Option<RequestKey>,
    /// How to follow the shipment that the entry makes, if the client said so.
    pub tracking: Option<Tracking>,
    /// The number of the shipment that the entry cancels.
    pub cancelled_shipment: Option<u32>,
}

impl Intended {
    /// A revision that changes no number, made by the service itself.
    pub fn unchanged(revision: Revision, purpose: Purpose) -> Self {
        Self {
            revision,
            purpose,
            actor: None,
            reason: None,
            wanted: None,
            shipped: None,
            returned: None,
            key: None,
            tracking: None,
            cancelled_shipment: None,
        }
    }
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

/// Adds up a whole history and checks each of its prefixes.
///
/// # Errors
///
/// [`BrokenHistory`] for the first entry that does not follow, or on which another one must follow.
/// A retry fails again.
pub fn fold(terms: &Terms, entries: &[Entry]) -> Result<Registers, BrokenHistory> {
    let registers = fold_prefix(terms, entries)?;
    let seq = entries.last().map_or(1, |last| last.seq);
    registers.check_end().map_err(|misfit| BrokenHistory::Misfit { seq, misfit })?;
    Ok(registers)
}

/// Adds up the beginning of a history. It may end between two entries that were made at once: a
/// payment that came after the deadline, and the revision that asks for the units again.
///
/// # Errors
///
/// [`BrokenHistory`] for the first entry that does not follow. A retry fails again.
pub(crate) fn fold_prefix(terms: &Terms, entries: &[Entry]) -> Result<Registers, BrokenHistory> {
    let mut registers = Registers::placed(terms.ordered());
    for (entry, expected) in entries.iter().zip(2..) {
        let seq = entry.seq;
        if seq != expected {
            return Err(BrokenHistory::Gap { expected, found: seq });
        }
        let applied = registers.apply(terms, seq, entry.at_micros, &entry.event);
        applied.map_err(|misfit| BrokenHistory::Misfit { seq, misfit })?;
        let expected = registers.status(terms);
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
        _ => None,
    });
    allocated.unwrap_or_default()
}

impl Event {
    /// The event by which facts settle the revision that they answer.
    pub(super) fn settled(before: &Registers, facts: &Facts, decided_at_micros: i64) -> Self {
        let known = before.facts.as_ref();
        let allocated = known.map(|known| &*known.allocated).unwrap_or_default();
        let booked_at = known.map(|known| known.booked_at.as_slice()).unwrap_or_default();
        Self::Settled {
            decided_at_micros,
            allocated: (*allocated != *facts.allocated).then(|| facts.allocated.clone()),
            shortages: facts.shortages.clone(),
            booked_at: (booked_at != facts.booked_at).then(|| facts.booked_at.clone()),
        }
    }
}
