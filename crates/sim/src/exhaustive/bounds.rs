//! How much may happen at most. What the bounds allow happens in every order.

use std::fmt;

/// **Units:** counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// 1 or 2 customers, with one order each.
    pub(super) orders: u8,
    /// The first customer's request may be sent again under its key while it is still under way.
    pub(super) twins: bool,
    /// What lies on the shelf at the start.
    pub(super) units: u8,
    /// Deliveries of one more unit, at any time.
    pub(super) receives: u8,
    /// The most commands in one batch: 1 or 2.
    pub(super) batch: usize,
    /// How many of the four replicas may be in the middle of something at the same time.
    pub(super) busy: usize,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, twins, units, receives, batch, busy } = self;
        let counted = |count: u8, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (orders, units) = (counted(*orders, "order"), counted(*units, "unit"));
        let twins = if *twins { ", sent twice" } else { "" };
        let receives = if *receives == 0 { String::new() } else { format!(" and {}", counted(*receives, "delivery")) };
        let receives = receives.replace("deliverys", "deliveries");
        write!(f, "{orders}{twins}; {units}{receives}; batches of {batch}; {busy} of 4 replicas busy")
    }
}
