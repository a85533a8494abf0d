//! The money of an order (INV-9).

use std::collections::BTreeMap;

use orders_core::status::Status;

use super::Registers;
use crate::states::{Violation, broken};

impl Registers {
    pub(crate) fn paid(&self) -> i64 {
        self.payments.iter().map(|(_, amount)| amount).sum()
    }

    pub(crate) fn refunded(&self) -> i64 {
        self.refunds.iter().map(|(_, amount)| amount).sum()
    }

    /// Whether a payment or a refund with the reference was recorded.
    pub(crate) fn has_recorded(&self, reference: &str) -> bool {
        self.payments.iter().chain(&self.refunds).any(|(its, _)| its == reference)
    }

    /// What was paid, was not given back, and is not kept.
    pub(crate) fn refund_due(&self) -> i64 {
        let kept = self.value(|product| self.kept(product));
        (self.paid() - self.refunded() - kept).max(0)
    }

    /// When the order expires, while it waits for its payment.
    pub(crate) fn pay_by(&self) -> Option<i64> {
        let waits = self.status == Status::Reserved;
        let within_s = self.content.pays_within_s.filter(|_| waits)?;
        Some(self.reserved_at? + within_s * 1_000_000)
    }

    /// The value of units of each product, which fill its lines from the first one.
    fn value(&self, units: impl Fn(&str) -> i64) -> i64 {
        let mut left: BTreeMap<&str, i64> = BTreeMap::new();
        let mut value = 0;
        for (product, quantity, price) in &self.content.lines {
            let left = left.entry(product).or_insert_with(|| units(product));
            let filled = (*quantity).min(*left);
            *left -= filled;
            value += filled * price;
        }
        value
    }

    /// The value of all that is written as wanted.
    fn value_wanted(&self) -> i64 {
        self.value(|product| self.newest().wanted.get(product).copied().unwrap_or(0))
    }

    pub(super) fn is_due(&self) -> bool {
        self.content.pays_within_s.is_some()
            && self.paid() < self.value(|product| self.kept(product))
    }

    /// A payment is recorded once, and covers what the order wants unless the order is over.
    pub(super) fn pay(&mut self, reference: &str, amount: i64) -> Result<(), Violation> {
        let is_over =
            matches!(self.status, Status::Rejected | Status::Cancelling | Status::Cancelled);
        let is_enough = is_over || amount >= self.value_wanted();
        if self.content.pays_within_s.is_none() || !self.payments.is_empty() || amount < 1 {
            return broken("INV-9", "no payment is expected");
        }
        if !is_enough {
            return broken("INV-9", "the payment is less than what the order costs");
        }
        self.payments.push((reference.to_owned(), amount));
        self.must_revive = matches!(self.status, Status::Expiring | Status::Expired);
        Ok(())
    }

    pub(super) fn refund(&mut self, reference: &str, amount: i64) -> Result<(), Violation> {
        let is_known = self.refunds.iter().any(|(its, _)| its == reference);
        if is_known || amount < 1 || self.refunded() + amount > self.paid() {
            return broken("INV-9", "more is refunded than was paid, or it was refunded before");
        }
        self.refunds.push((reference.to_owned(), amount));
        Ok(())
    }

    /// INV-9: an order that needs money has got it before anything is done with its units.
    pub(super) fn check_paid(&self) -> Result<(), Violation> {
        use Status::{Amending, Confirmed, Fulfilled, Fulfilling};
        let is_past = matches!(self.status, Confirmed | Amending | Fulfilling | Fulfilled);
        if is_past && self.is_due() {
            return broken("INV-9", format!("{:?} with {} paid", self.status, self.paid()));
        }
        Ok(())
    }
}
