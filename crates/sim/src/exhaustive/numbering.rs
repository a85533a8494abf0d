//! The numbers of a journal as PostgreSQL gives them (R29), in every interleaving within small
//! bounds.
//!
//! On SQLite, which the simulated worlds use, a transaction numbers its own row. On PostgreSQL a
//! number is given after the commit, by whichever replica holds the head of the journal. Here
//! transactions lock their orders one after the other, draw an id, write and commit, or fail, or do
//! not learn their fate and are tried again. Relays lock the head, read, number and commit; they
//! die at every step, and freeze until the server ends their transaction. A reader follows the
//! numbers with a cursor, and dies too.

mod calm;
mod describe;
mod oracle;
mod search;
mod state;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use search::explore;
use state::{ORDERS, WRITERS};

/// The bounds of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The orders of each transaction, one bit each; 0 if there is no such transaction. It makes an
    /// entry of the history of each.
    orders: [u8; WRITERS],
    /// How often each transaction may begin.
    attempts: u8,
    /// How many replicas give numbers.
    relays: usize,
    /// The most rows that one of them numbers at once.
    at_once: u8,
    /// The most entries that the reader reads at once. A page may end within a row.
    page: u8,
}

const A: u8 = 0b001;
const B: u8 = 0b010;
const C: u8 = 0b100;

/// Bounds that are explored completely in some seconds. The narrower ones come first: their
/// counterexamples are shorter.
pub(crate) const USUAL: [Bounds; 5] = [
    Bounds { orders: [A, A, 0, 0], attempts: 2, relays: 2, at_once: 2, page: 1 },
    Bounds { orders: [A, B, 0, 0], attempts: 2, relays: 3, at_once: 1, page: 1 },
    Bounds { orders: [A | B, B | C, A | C, 0], attempts: 1, relays: 3, at_once: 2, page: 4 },
    Bounds { orders: [A | B, A, B, 0], attempts: 2, relays: 2, at_once: 2, page: 2 },
    Bounds { orders: [A, A, B, 0], attempts: 2, relays: 2, at_once: 2, page: 2 },
];

/// Bounds that take minutes.
pub(crate) const WIDE: [Bounds; 2] = [
    Bounds { orders: [A, A, B, 0], attempts: 2, relays: 3, at_once: 2, page: 2 },
    Bounds { orders: [A | B, A, B, A], attempts: 1, relays: 3, at_once: 2, page: 2 },
];

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, attempts, relays, at_once, page } = self;
        let orders = orders.iter().filter(|orders| **orders != 0).map(|orders| names(*orders));
        let orders = orders.collect::<Vec<_>>().join(", ");
        let tried = if *attempts == 1 { "once" } else { "twice" };
        write!(
            f,
            "numbering of {orders}, each tried {tried}, {relays} relays, {at_once} numbers at \
             once, pages of {page}"
        )
    }
}

/// The names of orders, of which there is one bit each.
fn names(orders: u8) -> String {
    let all = (0..).take(ORDERS).filter(|order| orders & 1 << order != 0);
    all.map(name).collect::<Vec<_>>().join("+")
}

fn name(order: u8) -> &'static str {
    ["A", "B", "C"][usize::from(order)]
}

/// What is planted in the numbering, or in its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A relay reads the rows without a number, and then locks the head.
    ReadsBeforeLock,
    /// A transaction draws its id, and then locks its orders.
    DrawsBeforeLocks,
    /// A relay reads the head without locking it.
    NoLock,
    /// The reader follows the ids instead of the numbers.
    FollowsIds,
    /// A frozen relay keeps the head for as long as it is frozen.
    NoLease,
    /// A relay whose transaction was ended writes its numbers all the same.
    WritesAfterLease,
}

/// A mistake that the worlds on SQLite cannot make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) flaw: Flaw,
}

pub(crate) const MISTAKES: [Mistake; 6] = [
    Mistake {
        name: "relay_reads_before_lock",
        what: "rows are read, and then the head of the journal is locked",
        flaw: Flaw::ReadsBeforeLock,
    },
    Mistake {
        name: "id_drawn_before_locks",
        what: "a transaction draws the id of its row before it has its locks",
        flaw: Flaw::DrawsBeforeLocks,
    },
    Mistake {
        name: "relay_without_lock",
        what: "two replicas give numbers at the same time",
        flaw: Flaw::NoLock,
    },
    Mistake {
        name: "reader_follows_ids",
        what: "the feed follows the ids, which are drawn before the commit",
        flaw: Flaw::FollowsIds,
    },
    Mistake {
        name: "frozen_relay_keeps_lock",
        what: "a relay that is frozen keeps the head of the journal",
        flaw: Flaw::NoLease,
    },
    Mistake {
        name: "late_relay_writes",
        what: "a relay that was frozen writes its numbers when another one has the head",
        flaw: Flaw::WritesAfterLease,
    },
];
