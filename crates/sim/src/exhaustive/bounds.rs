//! The limits of a search. Within the bounds, everything happens in every order.

use std::fmt;

use super::requests::Ask;

/// The bounds of a search, as counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// 1 or 2 customers, with one order each.
    pub(super) orders: u8,
    /// The first customer may repeat the request, with its key, while it is still under way.
    pub(super) twins: bool,
    /// The last customer orders a product that Inventory does not know. The commands of that order
    /// have no product to lock.
    pub(super) unknown: bool,
    /// How many units of the product that both customers order are on hand at the start.
    pub(super) units: u8,
    /// Deliveries of one such unit, which may come at any time.
    pub(super) receives: u8,
    /// What may be asked of an order, beside cancelling and fulfilling it. If it may be paid, orders
    /// wait for their payment.
    pub(super) asks: &'static [Ask],
    /// The most commands in one batch: 1 or 2.
    pub(super) batch: usize,
    /// How many of the four replicas may be busy at the same time.
    pub(super) busy: usize,
    /// A transaction of Inventory is two steps: it locks and reads; it decides, writes and commits.
    /// Otherwise it is one step.
    pub(super) locks: bool,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, twins, unknown, units, receives, asks, batch, busy, locks } = self;
        let twins = if *twins { " (one sent twice)" } else { "" };
        let unknown = if *unknown { " (one of unknown goods)" } else { "" };
        let locks = if *locks { ", locks as steps" } else { "" };
        let asks: Vec<_> = asks.iter().map(|ask| ask.describe()).collect();
        let asks = asks.join(", ");
        let asks = if asks.is_empty() { asks } else { format!("; {asks}") };
        write!(
            f,
            "orders {orders}{twins}{unknown}, units {units} + {receives}, batches of {batch}, \
             {busy} of 4 replicas busy{locks}{asks}"
        )
    }
}

/// One order and one unit, one command at a time.
pub(super) const ONE_ORDER: Bounds = Bounds {
    orders: 1,
    twins: false,
    unknown: false,
    units: 1,
    receives: 0,
    asks: &[],
    batch: 1,
    busy: 1,
    locks: false,
};

/// Two orders for one unit.
pub(super) const TWO_ORDERS: Bounds = Bounds { orders: 2, ..ONE_ORDER };

impl Bounds {
    /// Whether orders wait for their payment.
    pub(super) fn pays(&self) -> bool {
        self.asks.contains(&Ask::Pay)
    }
}

/// Bounds that are explored completely in about two minutes. The narrower ones come first: their
/// counterexamples are shorter.
pub(crate) const USUAL: [Bounds; 21] = [
    Bounds { twins: true, batch: 2, busy: 4, ..ONE_ORDER },
    Bounds { twins: true, units: 0, receives: 1, batch: 2, busy: 2, ..ONE_ORDER },
    Bounds { twins: true, receives: 1, batch: 2, ..TWO_ORDERS },
    Bounds { units: 2, batch: 2, ..TWO_ORDERS },
    Bounds { asks: &[Ask::Pay, Ask::PayAgain, Ask::Refund, Ask::Expire], ..ONE_ORDER },
    Bounds { asks: &[Ask::Pay, Ask::Expire], busy: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::Pay, Ask::Expire], batch: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Unship, Ask::CancelMug], ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Return, Ask::ReturnElsewhere], ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::CancelTee], batch: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Return], busy: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Track, Ask::Unship], ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::ShipRest, Ask::WriteOff], ..ONE_ORDER },
    Bounds { asks: &[Ask::Pay, Ask::CancelTee, Ask::Refund], ..ONE_ORDER },
    Bounds { asks: &[Ask::Pay, Ask::Expire, Ask::ShipMug, Ask::Return], ..ONE_ORDER },
    Bounds { asks: &[Ask::Pay, Ask::Expire], ..TWO_ORDERS },
    Bounds { busy: 2, locks: true, ..TWO_ORDERS },
    Bounds { twins: true, unknown: true, busy: 2, locks: true, ..TWO_ORDERS },
    Bounds { units: 2, busy: 2, ..TWO_ORDERS },
    Bounds { twins: true, busy: 2, ..TWO_ORDERS },
    Bounds { busy: 4, ..TWO_ORDERS },
];

/// Bounds that take some minutes, at most 12 million states each.
pub(super) const WIDE: [Bounds; 12] = [
    Bounds { asks: &[Ask::Pay, Ask::Expire], batch: 2, busy: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Return, Ask::ReturnElsewhere, Ask::WriteOff], ..ONE_ORDER },
    Bounds {
        asks: &[Ask::Pay, Ask::Expire, Ask::ShipMug, Ask::CancelTee, Ask::Return],
        ..ONE_ORDER
    },
    Bounds { asks: &[Ask::ShipMug, Ask::ShipRest, Ask::Unship, Ask::CancelTee], ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Unship, Ask::CancelMug], busy: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::CancelTee], ..TWO_ORDERS },
    Bounds { asks: &[Ask::Pay, Ask::Expire, Ask::CancelTee], busy: 2, ..ONE_ORDER },
    Bounds { asks: &[Ask::ShipMug, Ask::Return], batch: 2, busy: 2, ..ONE_ORDER },
    Bounds { twins: true, receives: 1, batch: 2, busy: 4, ..ONE_ORDER },
    Bounds { twins: true, batch: 2, busy: 2, locks: true, ..ONE_ORDER },
    Bounds { unknown: true, busy: 3, locks: true, ..TWO_ORDERS },
    Bounds { twins: true, busy: 3, ..TWO_ORDERS },
];
