//! The step of the fold: what an entry adds to the registers.

use contract::{Facts, Intent, ProductId, Quantity};

use super::{Misfit, Registers};
use crate::changes::{Cancellation, Return, Shipment, Tracking, UsedKey};
use crate::history::{Event, Intended};
use crate::order::Terms;
use crate::payment::{MoneyEntry, sum};
use crate::status::{Admission, Purpose, RequestKind, Status};
use crate::units;

/// Why nothing else may follow on a payment that came after the deadline.
pub(crate) const LATE_AND_FORGOTTEN: &str = "a payment came late, and no units are asked for again";

/// The number of an entry, and its time in microseconds since 1970 UTC.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) seq: u32,
    pub(super) at_micros: i64,
}

pub(super) fn apply(
    registers: &mut Registers,
    terms: &Terms,
    at: At,
    event: &Event,
) -> Result<(), Misfit> {
    registers.follows_a_late_payment(event)?;
    match event {
        Event::Intended(intended) => registers.intend(terms, at, intended)?,
        Event::Settled { allocated, shortages, booked_at, .. } => {
            let facts = Facts {
                revision: registers.intent.revision,
                allocated: allocated.clone().unwrap_or_else(|| registers.allocated()),
                shortages: shortages.clone(),
                booked_at: booked_at.clone().unwrap_or_else(|| registers.booked_at()),
            };
            registers.settle(terms, at, facts)?;
        }
        Event::Paid { reference, amount_minor, .. } => {
            registers.pay(terms, at, reference, *amount_minor)?;
        }
        Event::Refunded { reference, amount_minor, .. } => {
            registers.refund(at, reference, *amount_minor)?;
        }
        Event::Tracked { shipment, tracking, .. } => registers.track(*shipment, tracking)?,
    }
    registers.history_bytes += event.approximate_bytes();
    Ok(())
}

fn money_entry(at: At, reference: &str, amount_minor: i64) -> MoneyEntry {
    MoneyEntry {
        reference: reference.to_owned(),
        amount_minor,
        seq: at.seq,
        at_micros: at.at_micros,
    }
}

impl Registers {
    /// Checks that a late payment asks for the units again, and that nothing else does.
    fn follows_a_late_payment(&self, event: &Event) -> Result<(), Misfit> {
        let revives = matches!(event, Event::Intended(next) if next.purpose == Purpose::Revive);
        match (self.must_revive, revives) {
            (true, false) => Err(Misfit(LATE_AND_FORGOTTEN)),
            (false, true) => Err(Misfit("units are asked for again without a late payment")),
            (_, _) => Ok(()),
        }
    }

    fn settle(&mut self, terms: &Terms, at: At, facts: Facts) -> Result<(), Misfit> {
        if self.in_flight().is_none() {
            return Err(Misfit("the revision was already answered"));
        }
        self.fits(&facts)?;
        self.facts = Some(facts);
        let status = self.status(terms);
        self.settled_as = Some(status);
        if status == Status::Reserved {
            self.reserved_at_micros.get_or_insert(at.at_micros);
        }
        Ok(())
    }

    fn pay(
        &mut self,
        terms: &Terms,
        at: At,
        reference: &str,
        amount_minor: i64,
    ) -> Result<(), Misfit> {
        let Some(balance) = self.balance(terms).filter(|_| self.payments.is_empty()) else {
            return Err(Misfit("no payment was expected"));
        };
        if amount_minor < 1 || amount_minor < balance.amount_minor {
            return Err(Misfit("the payment is less than what the order costs"));
        }
        self.must_revive = self.status(terms).admits(RequestKind::Pay) == Admission::Next;
        self.payments.push(money_entry(at, reference, amount_minor));
        Ok(())
    }

    fn refund(&mut self, at: At, reference: &str, amount_minor: i64) -> Result<(), Misfit> {
        let most = sum(&self.payments) - sum(&self.refunds);
        if amount_minor < 1 || amount_minor > most {
            return Err(Misfit("more is refunded than was paid"));
        }
        if self.refunds.iter().any(|refund| refund.reference == *reference) {
            return Err(Misfit("a refund was recorded twice"));
        }
        self.refunds.push(money_entry(at, reference, amount_minor));
        self.changes += 1;
        Ok(())
    }

    fn booked_at(&self) -> Vec<contract::BookedAt> {
        self.facts.as_ref().map(|facts| facts.booked_at.clone()).unwrap_or_default()
    }

    fn track(&mut self, shipment: u32, tracking: &Tracking) -> Result<(), Misfit> {
        let found = self.shipments.iter_mut().find(|found| found.seq == shipment);
        let found = found.ok_or(Misfit("there is no such shipment"))?;
        found.tracking = Some(tracking.clone());
        Ok(())
    }

    fn intend(&mut self, terms: &Terms, at: At, intended: &Intended) -> Result<(), Misfit> {
        let before = &self.intent;
        let next = Intent {
            revision: intended.revision,
            wanted: intended.wanted.clone().unwrap_or_else(|| before.wanted.clone()),
            shipped: intended.shipped.clone().unwrap_or_else(|| before.shipped.clone()),
            returned: intended.returned.clone().unwrap_or_else(|| before.returned.clone()),
        };
        self.follows(terms, &next, intended.purpose)?;
        self.is_asked_once(intended, &next)?;
        if intended.cancelled_shipment.is_some() != (next.shipped.total() < before.shipped.total())
        {
            return Err(Misfit("less is shipped exactly when a shipment is cancelled"));
        }
        if let Some(seq) = intended.cancelled_shipment {
            self.cancel_shipment(seq, &next)?;
        } else if next.shipped != self.intent.shipped {
            self.ship(at, intended, &next)?;
        } else if next.returned != self.intent.returned {
            self.book_return(at, intended, &next)?;
        } else if intended.key.is_some() {
            self.cancel_lines(terms, at, intended, &next);
        }
        if let Some(key) = &intended.key {
            self.keys.push(UsedKey { key: key.clone(), seq: at.seq });
        }
        if intended.key.is_some() || intended.cancelled_shipment.is_some() {
            self.changes += 1;
        }
        self.intent = next;
        self.purpose = intended.purpose;
        self.must_revive = false;
        Ok(())
    }

    /// Checks that a cancellation of lines, a shipment of some units and a return have a key of
    /// their own, by which they are carried out once. To cancel or to ship all needs none.
    fn is_asked_once(&self, intended: &Intended, next: &Intent) -> Result<(), Misfit> {
        let Some(key) = &intended.key else {
            let by_itself = intended.cancelled_shipment.is_some()
                || match intended.purpose {
                    Purpose::Amend => false,
                    Purpose::Fulfill => next.wanted == self.intent.wanted,
                    _ => true,
                };
            return if by_itself { Ok(()) } else { Err(Misfit("a change has no key")) };
        };
        if intended.cancelled_shipment.is_some()
            || matches!(intended.purpose, Purpose::Expire | Purpose::Revive)
        {
            return Err(Misfit("a key of something that has none"));
        }
        if self.keys.iter().any(|used| used.key.key == key.key) {
            return Err(Misfit("a change was carried out twice: its key was used before"));
        }
        Ok(())
    }

    fn cancel_shipment(&mut self, seq: u32, next: &Intent) -> Result<(), Misfit> {
        let found = self.shipments.iter_mut().find(|found| found.seq == seq);
        let found = found
            .filter(|found| found.cancelled_by.is_none())
            .ok_or(Misfit("there is no such shipment, or it is cancelled"))?;
        if units::sum(&next.shipped, &found.lines).as_ref() != Some(&self.intent.shipped) {
            return Err(Misfit("other units are cancelled than the shipment has"));
        }
        found.cancelled_by = Some(next.revision);
        Ok(())
    }

    fn ship(&mut self, at: At, intended: &Intended, next: &Intent) -> Result<(), Misfit> {
        let lines = units::difference(&next.shipped, &self.intent.shipped)
            .ok_or(Misfit("a shipment has fewer units than none"))?;
        self.shipments.push(Shipment {
            seq: at.seq,
            revision: next.revision,
            lines,
            tracking: intended.tracking.clone(),
            created_at_micros: at.at_micros,
            cancelled_by: None,
        });
        Ok(())
    }

    fn book_return(&mut self, at: At, intended: &Intended, next: &Intent) -> Result<(), Misfit> {
        let lines = units::returned_difference(&next.returned, &self.intent.returned)
            .ok_or(Misfit("less came back than before"))?;
        self.returns.push(Return {
            seq: at.seq,
            revision: next.revision,
            lines,
            reason: intended.reason.clone(),
            created_at_micros: at.at_micros,
        });
        Ok(())
    }

    fn cancel_lines(&mut self, terms: &Terms, at: At, intended: &Intended, next: &Intent) {
        let lines = self.intent.wanted.iter().filter_map(|line| {
            let less = line.quantity - u32::try_from(next.wanted.of(&line.product_id)).ok()?;
            Some((line.product_id.clone(), Quantity::new(less).ok()?))
        });
        let lines: Vec<(ProductId, Quantity)> = lines.collect();
        let value = |intent: &Intent| terms.value_of(|product_id| intent.wanted.of(product_id));
        let amount_minor = value(&self.intent) - value(next);
        self.cancellations.push(Cancellation {
            seq: at.seq,
            revision: next.revision,
            lines,
            amount_minor,
            reason: intended.reason.clone(),
            created_at_micros: at.at_micros,
        });
    }
}
