//! The limits of a search. Within the bounds, everything happens in every order.

use std::fmt;

/// The bounds of a search, as counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// 1 or 2 customers, with one order each.
    pub(super) orders: u8,
    /// The first customer may repeat the request, with its key, while it is still under way.
    pub(super) twins: bool,
    /// Units on hand at the start.
    pub(super) units: u8,
    /// Deliveries of one unit, which may come at any time.
    pub(super) receives: u8,
    /// The most commands in one batch: 1 or 2.
    pub(super) batch: usize,
    /// How many of the four replicas may be busy at the same time.
    pub(super) busy: usize,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, twins, units, receives, batch, busy } = self;
        let twins = if *twins { " (one of them sent twice)" } else { "" };
        write!(
            f,
            "orders {orders}{twins}, units {units} + {receives}, batches of {batch}, \
             {busy} of 4 replicas busy"
        )
    }
}

pub(super) const fn of(
    orders: u8,
    twins: bool,
    units: u8,
    receives: u8,
    batch: usize,
    busy: usize,
) -> Bounds {
    Bounds { orders, twins, units, receives, batch, busy }
}

/// Bounds that are explored completely in about a minute. The narrower ones come first: their
/// counterexamples are shorter.
pub(crate) const USUAL: [Bounds; 6] = [
    of(1, true, 1, 0, 2, 4),
    of(2, true, 1, 1, 2, 1),
    of(2, false, 2, 0, 2, 1),
    of(2, false, 2, 0, 1, 2),
    of(2, true, 1, 0, 1, 2),
    of(2, false, 1, 0, 1, 4),
];

/// Bounds that take many minutes.
pub(super) const WIDE: [Bounds; 3] =
    [of(1, true, 1, 1, 2, 4), of(2, false, 1, 0, 2, 2), of(2, true, 1, 0, 1, 4)];
