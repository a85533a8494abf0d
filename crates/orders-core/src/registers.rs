//! The registers of an order: what it intends, what Inventory says that it has, and what clients
//! recorded about it.

use std::borrow::Cow;

use contract::{Allocations, Digest, Facts, Intent, ProductId, Revision, Wanted, WantedLine};

use super::changes::{Cancellation, Return, Shipment, UsedKey};
use super::history::Event;
use super::order::Terms;
use super::payment::{Balance, MoneyEntry, PaymentState, sum};
use super::status::{Purpose, Status, status};

mod apply;
mod fits;

/// What the history of an order adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// What the order wants, by its newest revision, as it is written. Facts never change it (R20).
    pub intent: Intent,
    /// What the newest revision is for.
    pub purpose: Purpose,
    /// What Inventory said last; `None` until the first answer.
    pub facts: Option<Facts>,
    /// The status that the order got by the newest answer; `None` until the first answer.
    pub settled_as: Option<Status>,
    /// When the order became `reserved`, in microseconds since 1970 UTC; `None` if it never was.
    pub reserved_at_micros: Option<i64>,
    /// The payments, oldest first. There is at most one.
    pub payments: Vec<MoneyEntry>,
    /// The refunds, oldest first.
    pub refunds: Vec<MoneyEntry>,
    /// The shipments, oldest first, also those that were cancelled.
    pub shipments: Vec<Shipment>,
    /// The returns, oldest first.
    pub returns: Vec<Return>,
    /// The cancellations of lines, oldest first.
    pub cancellations: Vec<Cancellation>,
    /// The idempotency keys of changes.
    pub keys: Vec<UsedKey>,
    /// How many entries clients made beside placing, cancelling, fulfilling and paying the order,
    /// and beside saying how to follow shipments.
    pub changes: usize,
    /// About how long the history is when it is stored, in bytes (R17). It is counted by the entries
    /// alone, so it does not depend on which entries were written together.
    pub history_bytes: usize,
    /// Whether the last entry is a payment that came after the deadline. The next one asks for the
    /// units again.
    pub(super) must_revive: bool,
}

/// What an answer of Inventory means for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The answer settles the current revision.
    Settles,
    /// The answer is of a lower revision, or a repeat. Normal on a bus that repeats and reorders.
    Stale,
    /// No healthy history explains the answer; this is the reason, for people. It changes nothing
    /// and goes into quarantine (R16).
    Anomaly(&'static str),
}

/// Why an event cannot follow on the registers before it (INV-4, INV-10). A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misfit(&'static str);

impl Registers {
    /// The registers of an order that was just placed.
    pub fn placed(ordered: Wanted) -> Self {
        Self {
            intent: Intent::placed(ordered),
            purpose: Purpose::Place,
            facts: None,
            settled_as: None,
            reserved_at_micros: None,
            payments: Vec::new(),
            refunds: Vec::new(),
            shipments: Vec::new(),
            returns: Vec::new(),
            cancellations: Vec::new(),
            keys: Vec::new(),
            changes: 0,
            history_bytes: 0,
            must_revive: false,
        }
    }

    /// The intent that Inventory is sent: what is written, or 0 of each product if the deadline of
    /// the payment has passed.
    pub fn sent_intent(&self) -> Intent {
        self.sent().into_owned()
    }

    /// As [`sent_intent`](Self::sent_intent), and copied only if it is not the one that is written.
    pub(super) fn sent(&self) -> Cow<'_, Intent> {
        match self.purpose {
            Purpose::Expire => {
                let wanted = self.intent.wanted.nothing();
                Cow::Owned(Intent { wanted, ..self.intent.clone() })
            }
            _ => Cow::Borrowed(&self.intent),
        }
    }

    /// The units of a line of the intent that Inventory is sent.
    fn sent_units(&self, line: &WantedLine) -> i64 {
        match self.purpose {
            Purpose::Expire => 0,
            _ => i64::from(line.quantity),
        }
    }

    /// The revision that the newest facts answer; `None` until the first answer.
    pub fn settled(&self) -> Option<Revision> {
        self.facts.as_ref().map(|facts| facts.revision)
    }

    /// The revision that waits for an answer, if there is one (INV-7).
    pub fn in_flight(&self) -> Option<Revision> {
        let revision = self.intent.revision;
        (self.settled() < Some(revision)).then_some(revision)
    }

    /// The status of the order, which was placed on these terms.
    pub fn status(&self, terms: &Terms) -> Status {
        status(&self.intent, self.purpose, self.facts.as_ref(), || {
            terms.payment.is_some() && sum(&self.payments) < self.value(terms)
        })
    }

    /// Whether the order has its units and waits for its payment.
    pub(super) fn is_reserved(&self) -> bool {
        let waits = self.settled_as == Some(Status::Reserved) && self.payments.is_empty();
        waits && self.in_flight().is_none()
    }

    /// The units of a product that the order keeps: what it was granted, or while the intent is
    /// ahead, what it wants. An order whose deadline passed keeps nothing (INV-10).
    pub fn kept(&self, product_id: &ProductId) -> i64 {
        match (&self.facts, self.purpose) {
            (_, Purpose::Expire) => 0,
            (Some(facts), _) if facts.revision >= self.intent.revision => {
                facts.allocated.of(product_id)
            }
            (_, _) => self.intent.wanted.of(product_id),
        }
    }

    /// The value of what the order keeps, in minor units.
    fn value(&self, terms: &Terms) -> i64 {
        terms.value_of(|product_id| self.kept(product_id))
    }

    /// What must be given back: `max(0, paid − refunded − value(kept))`, in minor units (INV-9).
    pub fn refund_due_minor(&self, terms: &Terms) -> i64 {
        if self.payments.is_empty() {
            return 0;
        }
        (sum(&self.payments) - sum(&self.refunds) - self.value(terms)).max(0)
    }

    /// The money of the order; `None` if it was placed without a payment.
    pub fn balance(&self, terms: &Terms) -> Option<Balance> {
        let payment = terms.payment?;
        let status = self.status(terms);
        let wanted = terms.value_of(|product_id| self.intent.wanted.of(product_id));
        let amount_minor = if status == Status::Rejected { 0 } else { wanted };
        let paid_minor = sum(&self.payments);
        let refund_due_minor = self.refund_due_minor(terms);
        let state = match status {
            _ if refund_due_minor > 0 => PaymentState::RefundDue,
            _ if paid_minor > 0 && self.value(terms) > 0 => PaymentState::Paid,
            _ if paid_minor > 0 => PaymentState::NotDue,
            Status::Received | Status::Reserved if amount_minor > 0 => PaymentState::Due,
            Status::Expiring | Status::Expired => PaymentState::Expired,
            _ => PaymentState::NotDue,
        };
        let pay_by_micros = (status == Status::Reserved)
            .then_some(self.reserved_at_micros)
            .flatten()
            .map(|at| at.saturating_add(payment.within_micros()));
        Some(Balance {
            currency: terms.currency,
            amount_minor,
            paid_minor,
            refunded_minor: sum(&self.refunds),
            refund_due_minor,
            pay_by_micros,
            state,
        })
    }

    /// The units that Inventory said last that the order has.
    pub fn allocated(&self) -> Allocations {
        self.facts.as_ref().map(|facts| facts.allocated.clone()).unwrap_or_default()
    }

    /// Whether Inventory still has to take units from the order: the intent wants less than the
    /// facts grant. Which units are taken, Orders cannot know (R22).
    pub fn is_reducing(&self) -> bool {
        let Some(facts) = &self.facts else { return false };
        let has_more =
            |line: &WantedLine| self.sent_units(line) < facts.allocated.of(&line.product_id);
        self.intent.wanted.iter().any(has_more)
    }

    /// Reads an answer of Inventory. `digest` is the digest of the intent that was sent last,
    /// `answered` that of the intent that Inventory carried out.
    pub fn read(&self, facts: &Facts, answered: Digest, digest: Digest) -> Reading {
        if facts.revision < self.intent.revision {
            return Reading::Stale;
        }
        if facts.revision > self.intent.revision {
            return Reading::Anomaly("the answer is of a revision that the order never had");
        }
        if answered != digest {
            return Reading::Anomaly("the answer is about another intent: the digests differ");
        }
        match &self.facts {
            Some(known) if known == facts => Reading::Stale,
            Some(known) if known.revision == facts.revision => {
                Reading::Anomaly("the answer contradicts an earlier answer of the same revision")
            }
            _ => match self.fits(facts) {
                Ok(()) => Reading::Settles,
                Err(Misfit(why)) => Reading::Anomaly(why),
            },
        }
    }

    /// Adds an event of the history: the fold's step. `seq` and `at_micros` are those of its entry.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if no order that was decided correctly has this event next. Nothing is changed
    /// then.
    pub fn apply(
        &mut self,
        terms: &Terms,
        seq: u32,
        at_micros: i64,
        event: &Event,
    ) -> Result<(), Misfit> {
        apply::apply(self, terms, apply::At { seq, at_micros }, event)
    }

    /// Checks that a history may end here.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the last entry is a late payment: the decider adds two entries at once.
    pub(super) fn check_end(&self) -> Result<(), Misfit> {
        if self.must_revive { Err(Misfit(apply::LATE_AND_FORGOTTEN)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
