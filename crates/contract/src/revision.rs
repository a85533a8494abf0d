//! The number by which a register rises.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of an intent of one order, from 1.
///
/// Of two intents or facts of one order, the one with the higher revision is the newer one. Inventory
/// may be behind the Order Service, and never ahead of it (INV-5).
///
/// ```
/// use contract::Revision;
///
/// let placed = Revision::FIRST;
/// let cancelled = placed.next();
/// assert!(placed < cancelled);
/// // `None` stands for "nothing yet", and is below every revision.
/// assert!(None < Some(placed));
/// ```
///
/// The Order Service raises it by one whenever it changes the intent (R20). The Inventory Service
/// applies a revision above its own and answers every other one with its facts (R21), so it may
/// never see some revisions of an order.
///
/// In JSON, it is an integer from 1 to 2³² − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Revision(u32);

/// The number is not a revision: it is 0. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a revision must be a whole number from 1")]
pub struct BadRevision;

impl Revision {
    /// The revision of an order that was placed and not changed since.
    pub const FIRST: Self = Self(1);

    /// The revision as a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The revision after this one.
    ///
    /// # Panics
    ///
    /// After 2³² − 1. No order is changed that often: its history is bounded (R17).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("the history of an order is bounded"))
    }
}

impl TryFrom<u32> for Revision {
    type Error = BadRevision;

    /// # Errors
    ///
    /// [`BadRevision`] if the number is 0.
    fn try_from(number: u32) -> Result<Self, BadRevision> {
        if number == 0 { Err(BadRevision) } else { Ok(Self(number)) }
    }
}

impl From<Revision> for u32 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_count_from_one() {
        assert_eq!(Revision::try_from(0), Err(BadRevision));
        assert_eq!(Revision::try_from(1), Ok(Revision::FIRST));
        assert_eq!(u32::from(Revision::FIRST.next()), 2);
        assert!(Revision::FIRST < Revision::FIRST.next());
        assert_eq!(Revision::FIRST.to_string(), "1");
        assert!(serde_json::from_str::<Revision>("0").is_err());
    }
}
