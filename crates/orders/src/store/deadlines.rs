//! The deadlines of payments, as the worker leases them and the metrics show them (R25).
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use std::time::Duration;

use contract::OrderId;
use orders_core::order::PaymentTerms;
use platform::clock::Timestamp;

/// Which deadlines to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineLease {
    /// The most deadlines to take: those that passed first.
    pub limit: u32,
    /// How long a deadline that is taken is left alone. If its order still waits for its payment
    /// then, it is taken again.
    pub push: Duration,
}

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDeadline {
    /// The order that was not paid.
    pub order_id: OrderId,
    /// How long ago the deadline passed, or how long ago it should have been taken again.
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

/// The longest time for a payment, in microseconds. A deadline that was leased again and again is
/// armed for no longer, if the clock is set back.
pub(super) const LONGEST_MICROS: i64 = PaymentTerms::MAX_WITHIN_S as i64 * 1_000_000;
