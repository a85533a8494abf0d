//! Levels of the stock, small enough for a state.
//!
//! A state does not keep the numbers of movements, because deciders only copy them. A loaded number
//! follows from the movement's place in the ledger of its stock key. A transaction numbers its own
//! movements from [`NEXT_MOVEMENT`] on, and the checks of what it writes see these numbers.

use inventory_core::reservation::Reservation;
use inventory_core::stock::Level as Stored;

use super::actors::{self, KEYS};
use crate::states::{Violation, broken};

/// A number above all stored ones.
pub(super) const NEXT_MOVEMENT: i64 = 1000;

/// A level of one stock key, or what its movements add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Level {
    pub(super) on_hand: u8,
    pub(super) reserved: u8,
    pub(super) quarantined: u8,
    /// How many movements there were.
    pub(super) moves: u8,
}

/// The stock rows, and what the movements of each stock key add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Levels {
    pub(super) rows: [Level; KEYS],
    pub(super) ledger: [Level; KEYS],
}

/// The units of a reservation by stock key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Units {
    pub(super) held: [u8; KEYS],
    pub(super) shipped: [u8; KEYS],
    /// What came back and is on hand, and how much of it is quarantined.
    pub(super) back: [u8; KEYS],
    pub(super) quarantined: [u8; KEYS],
}

impl Level {
    /// The level as a transaction loads it.
    pub(super) fn stored(self, key: usize) -> Stored {
        let (moves, key) = (i64::from(self.moves), i64::try_from(key).expect("few stock keys"));
        let keys = i64::try_from(KEYS).expect("few stock keys");
        Stored {
            on_hand: self.on_hand.into(),
            reserved: self.reserved.into(),
            quarantined: self.quarantined.into(),
            last_seq: moves,
            last_movement: if moves == 0 { 0 } else { moves * keys + key },
        }
    }

    /// The level that a transaction has written.
    ///
    /// # Errors
    ///
    /// Returns a violation if a number is negative.
    pub(super) fn written(stored: Stored) -> Result<Self, Violation> {
        let small = |number: i64| u8::try_from(number);
        let Stored { on_hand, reserved, quarantined, last_seq, .. } = stored;
        match [on_hand, reserved, quarantined, last_seq].map(small) {
            [Ok(on_hand), Ok(reserved), Ok(quarantined), Ok(moves)] => {
                Ok(Self { on_hand, reserved, quarantined, moves })
            }
            _ => broken("INV-1", format!("a level of {stored:?}")),
        }
    }
}

impl Units {
    pub(super) fn of(reservation: &Reservation) -> Self {
        let mut units = Self::default();
        let small = |units: i64| u8::try_from(units).expect("its movements were checked");
        let known = "it is a stock key: its movements were checked";
        for back in &reservation.returns {
            let key = actors::key_of(&back.units.product_id, &back.booked_at).expect(known);
            units.back[key] += small((back.units.restocked + back.units.quarantined).into());
            units.quarantined[key] += small(back.units.quarantined.into());
        }
        for holding in &reservation.holdings {
            let key = actors::key_of(&holding.product_id, &holding.location_id).expect(known);
            units.held[key] = small(holding.promised - holding.released - holding.shipped);
            units.shipped[key] = small(holding.shipped);
        }
        units
    }
}
