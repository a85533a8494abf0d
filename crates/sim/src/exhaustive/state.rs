//! A state: both databases, the network, the clients' answers, and the local state of each replica.
//! It takes a few bytes: larger parts are stored once in tables, and the state has their indices.

use std::hash::{Hash, Hasher};

use super::hash;

/// The number of order ids: two for the requests with the same key, and one for the request without
/// a key.
pub(super) const IDS: usize = 3;
/// Two replicas of each service. Those of the Order Service come first.
pub(super) const REPLICAS: usize = 4;
/// The index of a row that does not exist.
pub(super) const NOTHING: u8 = 0;
/// The index of the local state of an idle replica.
pub(super) const IDLE: u16 = 0;

/// A level of the stock, or the sum of its ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) on_hand: u8,
    pub(super) reserved: u8,
    /// The number of movements.
    pub(super) moves: u8,
}

/// The replicas of a service are sorted by their local states, because they differ in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// For each order, the index of its row in the table of distinct rows; [`NOTHING`] if there is
    /// none.
    pub(super) orders: [u8; IDS],
    /// For each order, the index of its reservation in the table of distinct reservations;
    /// [`NOTHING`] if there is none.
    pub(super) reservations: [u8; IDS],
    pub(super) level: Level,
    pub(super) ledger: Level,
    /// The deliveries that are in the ledger, one bit each.
    pub(super) received: u8,
    /// The 2xx answers that clients got: one bit for each order, then one for each delivery.
    pub(crate) acknowledged: u8,
    /// Every message that was ever sent, one bit each. The network may deliver any of them at any
    /// time, repeatedly.
    pub(crate) sent: u32,
    /// The indices of the replicas' local states.
    pub(super) locals: [u16; REPLICAS],
}

impl State {
    pub(super) fn digest(&self) -> u64 {
        let [a, b, c] = self.orders;
        let [d, e, f] = self.reservations;
        let locals = self.locals.map(u16::to_le_bytes);
        let locals = u64::from_le_bytes([
            locals[0][0],
            locals[0][1],
            locals[1][0],
            locals[1][1],
            locals[2][0],
            locals[2][1],
            locals[3][0],
            locals[3][1],
        ]);
        let Level { on_hand, reserved, moves } = self.level;
        let rows = u64::from_le_bytes([a, b, c, d, e, f, self.received, self.acknowledged]);
        let ledger = [self.ledger.on_hand, self.ledger.reserved, self.ledger.moves];
        let levels =
            u64::from_le_bytes([on_hand, reserved, moves, ledger[0], ledger[1], ledger[2], 0, 0]);
        hash::of_words(&[rows, levels ^ u64::from(self.sent) << 32, u64::from(self.sent), locals])
    }

    /// Sorts the replicas of each service. Returns for each service whether they were swapped.
    pub(super) fn sorted(mut self) -> (Self, [bool; 2]) {
        let swapped = [self.locals[0] > self.locals[1], self.locals[2] > self.locals[3]];
        if swapped[0] {
            self.locals.swap(0, 1);
        }
        if swapped[1] {
            self.locals.swap(2, 3);
        }
        (self, swapped)
    }

    /// How many replicas are busy.
    pub(super) fn busy(&self) -> usize {
        self.locals.iter().filter(|local| **local != IDLE).count()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.digest());
    }
}
