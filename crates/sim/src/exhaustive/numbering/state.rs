//! A state: the transactions, the journal, the relays and the reader.

use std::hash::{Hash, Hasher};

use super::super::hash::Quick;
use super::super::known::Digest;
use super::Bounds;

/// The most transactions.
pub(super) const WRITERS: usize = 4;
/// The most orders.
pub(super) const ORDERS: usize = 3;
/// The most relays, each of a replica of its own.
pub(super) const RELAYS: usize = 3;
/// The most entries that all transactions make.
pub(super) const ENTRIES: usize = 6;
/// Nothing is here.
pub(super) const NONE: u8 = u8::MAX;

/// A transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    /// How often it may still be tried, this time included. 0 if it is over.
    pub(super) attempts: u8,
    /// The orders that it has locked, one bit each.
    pub(super) locked: u8,
    /// The id that it has drawn; 0 if none.
    pub(super) id: u8,
    pub(super) has_written: bool,
}

/// The row of a transaction, if that has committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Row {
    /// The place of its commit among all commits, from 1; 0 if there is no row.
    pub(super) commit: u8,
    pub(super) id: u8,
    /// 0 if it has none.
    pub(super) number: u8,
}

/// The transaction of a replica that gives numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Relay {
    /// Whether it believes that it has the head, and the last number that was there.
    pub(super) has_head: bool,
    pub(super) from: u8,
    pub(super) has_read: bool,
    /// The transactions whose rows it numbers, in this order.
    pub(super) rows: [u8; WRITERS],
    pub(super) has_written: bool,
    /// The server has ended its transaction, and it does not know.
    pub(super) is_ended: bool,
}

impl Relay {
    pub(super) const IDLE: Self = Self {
        has_head: false,
        from: 0,
        has_read: false,
        rows: [NONE; WRITERS],
        has_written: false,
        is_ended: false,
    };
}

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The number of the next row. A reader of ids takes the next one that there is.
    pub(super) row: u8,
    /// How many entries of it were read.
    pub(super) entry: u8,
}

/// An entry of the history of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) order: u8,
    /// Its number in the history, from 1.
    pub(super) seq: u8,
}

/// A list of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entries {
    count: u8,
    list: [Entry; ENTRIES],
}

impl Entries {
    pub(super) fn list(&self) -> &[Entry] {
        &self.list[..usize::from(self.count)]
    }

    /// Adds an entry. Returns false if there are too many.
    pub(super) fn add(&mut self, entry: Entry) -> bool {
        let Some(place) = self.list.get_mut(usize::from(self.count)) else { return false };
        *place = entry;
        self.count += 1;
        true
    }
}

/// A client of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    /// Its cursor. It is kept together with what was read.
    pub(super) at: Place,
    /// What it has kept.
    pub(super) kept: Entries,
    /// A page that it has not kept yet, and the cursor behind it.
    pub(super) page: Option<(Entries, Place)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) writers: [Writer; WRITERS],
    pub(super) rows: [Row; WRITERS],
    /// The last id that was drawn.
    pub(super) drawn: u8,
    /// How many transactions have committed.
    pub(super) commits: u8,
    /// The head of the journal: the last number that was given.
    pub(super) last: u8,
    /// Which relay has locked the head; [`NONE`] if none.
    pub(super) holder: u8,
    pub(super) relays: [Relay; RELAYS],
    pub(super) reader: Reader,
}

impl State {
    /// Nothing has happened.
    pub(super) fn start(bounds: Bounds) -> Self {
        let writer = |orders: u8| Writer {
            attempts: if orders == 0 { 0 } else { bounds.attempts },
            ..Writer::default()
        };
        let at = Place { row: 1, entry: 0 };
        Self {
            writers: bounds.orders.map(writer),
            rows: [Row::default(); WRITERS],
            drawn: 0,
            commits: 0,
            last: 0,
            holder: NONE,
            relays: [Relay::IDLE; RELAYS],
            reader: Reader { at, kept: Entries::default(), page: None },
        }
    }

    /// The committed rows, each with the index of its transaction.
    pub(super) fn committed(&self) -> impl Iterator<Item = (u8, &Row)> {
        (0..).zip(&self.rows).filter(|(_, row)| row.commit != 0)
    }

    /// The committed rows without a number, by id.
    pub(super) fn waiting(&self) -> Vec<u8> {
        let waiting = self.committed().filter(|(_, row)| row.number == 0);
        let mut waiting: Vec<_> = waiting.map(|(writer, row)| (row.id, writer)).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, writer)| writer).collect()
    }

    /// The entries of a committed row: one of each of its orders, each with its number in the
    /// history. The locks make the order of the commits the order of the histories.
    pub(super) fn entries(&self, writer: u8, bounds: Bounds) -> Vec<Entry> {
        let orders_of = |writer: u8| bounds.orders[usize::from(writer)];
        let commit = self.rows[usize::from(writer)].commit;
        let entry = |order: u8| {
            let of_order = |other: u8| orders_of(other) & 1 << order != 0;
            let before = self
                .committed()
                .filter(|(other, row)| of_order(*other) && row.commit < commit)
                .map(|_| 1_u8);
            Entry { order, seq: before.sum::<u8>() + 1 }
        };
        let orders = (0..).take(ORDERS).filter(|order| orders_of(writer) & 1 << order != 0);
        orders.map(entry).collect()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { writers, rows, drawn, commits, last, holder, relays, reader } = self;
        writers.hash(hasher);
        rows.hash(hasher);
        relays.hash(hasher);
        reader.hash(hasher);
        hasher.write_u32(u32::from_le_bytes([*drawn, *commits, *last, *holder]));
    }
}

impl Digest for State {
    fn digest(&self) -> u64 {
        let mut quick = Quick::default();
        self.hash(&mut quick);
        quick.finish()
    }
}
