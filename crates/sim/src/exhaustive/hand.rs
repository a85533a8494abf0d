//! What a replica is in the middle of. A crash takes all of it.

use std::hash::{Hash, Hasher};

use super::cast::{Request, Told};
use super::hash::QuickMap;
use super::state::Level;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hand {
    /// Requests that wait for the commit of their batch, in their order.
    pub(super) held: [Option<Request>; 2],
    /// A commit of them was of unknown fate: they may be done.
    pub(super) in_doubt: bool,
    /// Messages that are decided and durable, and not published yet. Those that the network has anyway are left out.
    pub(super) outbox: u32,
    /// Answers that are durable, and that nobody has been told yet.
    pub(super) untold: [Option<Told>; 2],
    /// The level as it was before the lock, where that mistake is planted.
    pub(super) looked: Option<Level>,
}

impl Hand {
    pub(super) fn held(&self) -> impl Iterator<Item = Request> {
        self.held.into_iter().flatten()
    }

    pub(super) fn holds(&self) -> usize {
        self.held().count()
    }

    pub(super) fn untold(&self) -> impl Iterator<Item = Told> {
        self.untold.into_iter().flatten()
    }

    /// Its batch is committed, and what came of it is still to be sent or told.
    pub(super) fn is_committed(&self) -> bool {
        self.outbox != 0 || self.untold[0].is_some()
    }

    pub(super) fn with(mut self, request: Request) -> Self {
        let free = self.held.iter_mut().find(|held| held.is_none()).expect("a batch has room for two");
        *free = Some(request);
        self
    }
}

impl Hash for Hand {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let held = self.held.map(|request| request.map_or(0, Request::code));
        let untold = self.untold.map(|told| told.map_or(0, Told::code));
        let looked = self.looked.map_or(0, |level| level.on_hand * 16 + level.reserved + 1);
        let small = [held[0], held[1], untold[0], untold[1], self.in_doubt.into(), looked, 0, 0];
        hasher.write_u64(u64::from_le_bytes(small));
        hasher.write_u32(self.outbox);
    }
}

/// Every hand that ever occurred, by number.
#[derive(Debug)]
pub(super) struct Hands {
    all: Vec<Hand>,
    numbers: QuickMap<Hand, u16>,
}

impl Default for Hands {
    /// An empty hand has the number 0.
    fn default() -> Self {
        Self { all: vec![Hand::default()], numbers: [(Hand::default(), 0)].into_iter().collect() }
    }
}

impl Hands {
    pub(super) fn get(&self, number: u16) -> Hand {
        self.all[usize::from(number)]
    }

    pub(super) fn number(&mut self, hand: Hand) -> u16 {
        if let Some(number) = self.numbers.get(&hand) {
            return *number;
        }
        let number = u16::try_from(self.all.len()).expect("the bounds are so narrow that few different hands occur");
        self.all.push(hand);
        self.numbers.insert(hand, number);
        number
    }
}
