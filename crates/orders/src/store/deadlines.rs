//! The deadlines of payments, as the worker leases them and the metrics show them (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use std::time::Duration;

use contract::OrderId;
use orders_core::order::Order;
use platform::clock::Timestamp;
use storage::Misfit;

use super::packed::misfit;

/// Which deadlines to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineLease {
    /// The most deadlines to take: those that are due for longest.
    pub limit: u32,
    /// How long a deadline that is taken is left alone. If its order still waits for its payment
    /// then, it is taken again.
    pub push: Duration,
}

/// What a lease of deadlines took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeasedDeadlines {
    /// Those whose orders are to be asked to expire.
    pub due: Vec<DueDeadline>,
    /// How many others were taken whose orders cannot be read. They are in the quarantine (R16), and
    /// are left alone for an hour.
    pub set_aside: usize,
}

impl LeasedDeadlines {
    /// How many deadlines the lease took.
    pub fn taken(&self) -> usize {
        self.due.len() + self.set_aside
    }
}

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDeadline {
    /// The order that was not paid.
    pub order_id: OrderId,
    /// How long ago the deadline passed.
    pub late: Duration,
}

/// The deadlines that have passed while their orders are still reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// How many there are.
    pub deadlines: u64,
    /// How long ago the first of them passed; zero if there is none.
    pub late: Duration,
}

impl Overdue {
    /// These deadlines, the first of which passed at this time.
    pub(super) fn since(deadlines: i64, first: Option<i64>, now: Timestamp) -> Self {
        let late = first.map(|first| now.since(Timestamp(first))).unwrap_or_default();
        Self { deadlines: deadlines.unsigned_abs(), late }
    }
}

/// How long the deadline of a damaged order is left alone. Somebody must repair the order first.
pub(super) const PUSH_OF_DAMAGED: Duration = Duration::from_secs(3600);

/// By how much a time must be ahead of the clock to prove that the clock was set back since. What
/// was written after the lease read the clock is not.
const SET_BACK: Duration = Duration::from_secs(60);

/// The bounds of a lease at this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// A deadline that was armed later was armed before the clock was set back.
    pub(super) armed: Timestamp,
    /// A deadline that was leased until later was leased before the clock was set back.
    pub(super) leased: Timestamp,
}

impl Bounds {
    /// At `now`, for leases as long as this one or shorter.
    pub(super) fn at(now: Timestamp, lease: DeadlineLease) -> Self {
        let armed = now.after(SET_BACK);
        Self { armed, leased: armed.after(lease.push.max(PUSH_OF_DAMAGED)) }
    }
}

/// Whether an order may have a deadline: only one that is `reserved` may (INV-7).
pub(super) fn must_be_reserved(order: &Order) -> Result<(), Misfit> {
    match order.deadline() {
        Some(_) => Ok(()),
        None => {
            let status = format_args!("of an order that is {}", order.status().as_str());
            Err(misfit("payment_deadlines", order.order_id, "order", status))
        }
    }
}

/// What the quarantine says of an order that cannot be read.
pub(super) fn reason(cause: impl std::fmt::Display) -> String {
    format!("the deadline of a payment: {cause}")
}
