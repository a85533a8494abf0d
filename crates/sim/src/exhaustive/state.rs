//! A state: both databases, the network, the clients' answers, and the local state of each replica.
//! It takes a few bytes: larger parts are stored once in tables, and the state has their indices.

use std::hash::{Hash, Hasher};

use super::hash;
use super::known::Digest;

/// The number of order ids: two for the requests with the same key, and one for the request without
/// a key.
pub(super) const IDS: usize = 3;
/// Two replicas of each service. Those of the Order Service come first.
pub(super) const REPLICAS: usize = 4;
/// The index of a row that does not exist.
pub(super) const NOTHING: u16 = 0;
/// The index of the local state of an idle replica.
pub(super) const IDLE: u16 = 0;

/// How many bits the number of a reservation has.
pub(super) const RESERVATION_BITS: u32 = 15;

/// Inventory's database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// For each order, the index of its reservation in the table of distinct reservations;
    /// [`NOTHING`] if there is none.
    pub(super) reservations: [u16; IDS],
    /// The deliveries that are in the ledger, one bit each.
    pub(super) received: u8,
    /// The index of the levels, and of what the movements add up to, in the table of distinct ones.
    pub(super) levels: u16,
}

/// The replicas of a service are sorted by their local states, because they differ in nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// For each order, the index of its row in the table of distinct rows; [`NOTHING`] if there is
    /// none.
    pub(super) orders: [u16; IDS],
    /// The 2xx answers that clients got: one bit for each order, then one for each delivery.
    pub(crate) acknowledged: u8,
    pub(super) stock: Stock,
    /// Every message that was ever sent, one bit each. The network may deliver any of them at any
    /// time, repeatedly.
    pub(crate) sent: u128,
    /// The indices of the replicas' local states.
    pub(super) locals: [u16; REPLICAS],
}

impl Stock {
    /// A word that differs for different rows.
    pub(super) fn word(self) -> u64 {
        let [a, b, c] = self.reservations.map(u64::from);
        debug_assert!(a.max(b).max(c) < 1 << RESERVATION_BITS, "few reservations");
        let reservations = a | b << RESERVATION_BITS | c << (2 * RESERVATION_BITS);
        reservations | u64::from(self.levels) << 45 | u64::from(self.received) << 61
    }
}

impl State {
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

/// Both halves of a set of messages.
pub(super) fn halves(sent: u128) -> [u64; 2] {
    let [low, high] = [sent & u128::from(u64::MAX), sent >> 64];
    [low, high].map(|half| u64::try_from(half).expect("a half"))
}

impl Digest for State {
    fn digest(&self) -> u64 {
        let [a, b, c] = self.orders.map(u64::from);
        let rows = a | b << 16 | c << 32 | u64::from(self.acknowledged) << 48;
        let [d, e, f, g] = self.locals.map(u64::from);
        let locals = d | e << 16 | f << 32 | g << 48;
        let [low, high] = halves(self.sent);
        hash::of_words(&[rows, low, high, self.stock.word(), locals])
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.digest());
    }
}
