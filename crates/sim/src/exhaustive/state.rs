//! A state: both databases, the network, what clients were told, and the local state of each
//! replica. It takes a few bytes: whatever is larger is kept once and named by its number.

use std::hash::{Hash, Hasher};

use super::hash;

/// The number of order ids: two of the requests with the one key, and one of the request without.
pub(super) const IDS: usize = 3;
/// Two of each service. Those of the Order Service come first.
pub(super) const REPLICAS: usize = 4;
/// The number of a row that does not exist.
pub(super) const NOTHING: u8 = 0;
/// The number of the local state of an idle replica.
pub(super) const IDLE: u16 = 0;

/// A level of the stock, or the sum of its ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) on_hand: u8,
    pub(super) reserved: u8,
    /// The number of movements.
    pub(super) moves: u8,
}

/// The replicas of a service are sorted by their local states: they differ in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Numbers of rows of the Order Service, by order.
    pub(super) orders: [u8; IDS],
    /// Numbers of reservations, by order.
    pub(super) reservations: [u8; IDS],
    pub(super) level: Level,
    pub(super) ledger: Level,
    /// Which deliveries stand in the ledger, a bit each.
    pub(super) received: u8,
    /// What clients were answered with a 2xx: a bit for each order, then one for each delivery.
    pub(crate) acknowledged: u8,
    /// Every message that was ever sent, a bit each. The network may bring any of them at any time,
    /// repeatedly.
    pub(crate) sent: u32,
    /// Numbers of the replicas' local states.
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

    /// The same state with the replicas of each service sorted, and for each service whether they
    /// were swapped.
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
