//! The money of an order: what was paid and refunded, and what follows from it.
//!
//! Lastro moves no money. It records what a client says, so that an order waits for its payment and
//! no money that came is forgotten.

use crate::money::Currency;

/// What a client records about money: a payment or a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyEntry {
    /// What tells it from others, in the words of the client: the id of a charge, for example.
    pub reference: String,
    /// The amount, in minor units of the order's currency; at least 1.
    pub amount_minor: i64,
    /// The number of its entry in the history.
    pub seq: u32,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

/// The money of an order at one moment (INV-9). All amounts are in minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The currency of the order.
    pub currency: Currency,
    /// The value of what the order wants, or wanted when its deadline passed.
    pub amount_minor: i64,
    /// The sum of its payments.
    pub paid_minor: i64,
    /// The sum of its refunds.
    pub refunded_minor: i64,
    /// What must be given back: what was paid and not refunded, above the value of what the order
    /// keeps.
    pub refund_due_minor: i64,
    /// When the order expires unless it is paid, in microseconds since 1970 UTC; `None` unless it
    /// is `reserved`.
    pub pay_by_micros: Option<i64>,
    /// What the numbers mean.
    pub state: PaymentState,
}

/// What the money of an order means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentState {
    /// The order waits for its payment, or for stock and then for its payment.
    Due,
    /// What the order keeps is paid.
    Paid,
    /// More was paid than the order keeps.
    RefundDue,
    /// The deadline has passed. A payment brings the order back if there is stock.
    Expired,
    /// Nothing has to be paid, and nothing to be given back: the order costs nothing, or it keeps
    /// nothing of value and all of its money went back.
    NotDue,
}

impl PaymentState {
    /// The name in the API, in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Paid => "paid",
            Self::RefundDue => "refund_due",
            Self::Expired => "expired",
            Self::NotDue => "not_due",
        }
    }
}

/// The sum of the amounts, in minor units.
///
/// A payment and a refund are at most [`MAX_TOTAL_MINOR`](crate::money::MAX_TOTAL_MINOR), and an
/// order has one payment and at most as many refunds as changes, so the sum cannot overflow.
pub(super) fn sum(entries: &[MoneyEntry]) -> i64 {
    entries.iter().map(|entry| entry.amount_minor).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up() {
        let entry = |amount_minor| MoneyEntry {
            reference: "r".to_owned(),
            amount_minor,
            seq: 2,
            at_micros: 7,
        };
        assert_eq!(sum(&[]), 0);
        assert_eq!(sum(&[entry(5), entry(7)]), 12);
    }
}
