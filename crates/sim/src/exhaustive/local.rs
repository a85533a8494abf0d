//! The local state of a replica: what it holds in memory. A crash loses all of it.

use std::hash::{Hash, Hasher};

use super::batch::{Batch, Item, NO_BATCH};
use super::hash::QuickMap;
use super::locks::Locks;
use super::requests::{Reply, Request};
use super::state::{IDS, Stock, halves};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Local {
    /// Requests that wait for the commit of their batch, in order.
    pub(super) held: [Option<Request>; 2],
    /// The commit of the held requests had an unknown fate: they may be done.
    pub(super) in_doubt: bool,
    /// Messages that are committed and not yet published, without those that were sent before.
    pub(super) outbox: u128,
    /// Answers that are committed and not yet given.
    pub(super) replies: [Option<Reply>; 2],
    /// The rows that the current transaction has read. It has not decided yet.
    pub(super) read: Option<Read>,
}

/// Rows that were read, and the transaction that has read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// The batch of the transaction. It is empty if the rows were read before the batch was chosen,
    /// which is a planted mistake.
    pub(super) batch: Batch,
    /// The orders, if the replica is one of the Order Service.
    pub(super) orders: [u16; IDS],
    /// Inventory's rows, if the replica is one of the Inventory Service.
    pub(super) stock: Stock,
    pub(super) locks: Locks,
}

impl Local {
    pub(super) fn held(&self) -> impl Iterator<Item = Request> {
        self.held.into_iter().flatten()
    }

    pub(super) fn holds(&self) -> usize {
        self.held().count()
    }

    /// The batch whose rows the replica has read, or else the held requests.
    pub(super) fn batch(&self) -> Batch {
        match self.has_begun() {
            Some(batch) => batch,
            None => self.held.map(|request| request.map(Item::Request)),
        }
    }

    /// The batch whose rows the replica has read.
    pub(super) fn has_begun(&self) -> Option<Batch> {
        self.read.map(|read| read.batch).filter(|batch| *batch != NO_BATCH)
    }

    pub(super) fn locks(&self) -> Locks {
        self.read.map(|read| read.locks).unwrap_or_default()
    }

    pub(super) fn replies(&self) -> impl Iterator<Item = Reply> {
        self.replies.into_iter().flatten()
    }

    /// The batch is committed, and messages or answers are still to be sent.
    pub(super) fn is_committed(&self) -> bool {
        self.outbox != 0 || self.replies[0].is_some()
    }

    pub(super) fn with(mut self, request: Request) -> Self {
        let free = self.held.iter_mut().find(|held| held.is_none());
        *free.expect("a batch has room for two") = Some(request);
        self
    }
}

impl Read {
    /// Two words that differ for different rows, whatever the batch is.
    pub(super) fn words(read: Option<&Self>) -> [u64; 2] {
        let Some(Self { orders, stock, locks, .. }) = read else { return [0; 2] };
        let [a, b, c] = orders.map(u64::from);
        [a | b << 16 | c << 32 | u64::from(locks.bits()) << 48 | 1 << 56, stock.word()]
    }
}

impl Hash for Local {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let held = self.held.map(|request| request.map_or(0, Request::code));
        let replies = self.replies.map(|reply| reply.map_or(0, Reply::code));
        let batch = self.read.map_or(NO_BATCH, |read| read.batch);
        let batch = batch.map(|item| item.map_or(0, Item::code));
        let in_doubt = self.in_doubt.into();
        let small = [held[0], held[1], replies[0], replies[1], in_doubt, batch[0], batch[1], 0];
        hasher.write_u64(u64::from_le_bytes(small));
        halves(self.outbox).into_iter().for_each(|half| hasher.write_u64(half));
        Read::words(self.read.as_ref()).into_iter().for_each(|word| hasher.write_u64(word));
    }
}

/// Every local state that ever occurred, by number.
#[derive(Debug)]
pub(super) struct Locals {
    all: Vec<Local>,
    numbers: QuickMap<Local, u16>,
}

impl Default for Locals {
    /// An idle replica has the number 0.
    fn default() -> Self {
        let idle = Local::default();
        Self { all: vec![idle], numbers: [(idle, 0)].into_iter().collect() }
    }
}

impl Locals {
    pub(super) fn get(&self, number: u16) -> Local {
        self.all[usize::from(number)]
    }

    pub(super) fn number(&mut self, local: Local) -> u16 {
        if let Some(number) = self.numbers.get(&local) {
            return *number;
        }
        let number = u16::try_from(self.all.len()).expect("narrow bounds have few local states");
        self.all.push(local);
        self.numbers.insert(local, number);
        number
    }
}
