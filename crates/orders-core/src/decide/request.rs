//! What clients ask of an accepted order, and the events that carry it out.

use std::collections::BTreeMap;

use contract::{Allocation, Intent, ProductId, Wanted, WantedLine};

use super::command::{OrderRequest, RequestContext, ReturnLine, ShipmentLine, UnitsOfProduct};
use super::decision::{Refusal, Unavailable};
use super::lines::{NotTaken, UnitsWithCustomer, named_first, pick, refuse, take};
use crate::changes::{RequestKey, Tracking};
use crate::history::{Event, Intended};
use crate::order::Order;
use crate::payment::sum;
use crate::status::{Admission, Purpose, RequestKind, Status};
use crate::units::{self, UnitsByKey};

/// The most changes of an order beside placing, paying, cancelling and fulfilling it (R17).
pub const MAX_CHANGES: usize = 200;

/// The length of a history, in bytes, from which on an order takes no more such changes (R17).
pub const MAX_HISTORY_BYTES: usize = 128 * 1024;

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Step {
    /// The order is as the request asks already. The number is that of the entry which made it so,
    /// if that is known.
    Unchanged(Option<u32>),
    /// The history gets these entries.
    Next(Vec<Event>),
}

impl Order {
    /// Decides a request by the table of requests, and by the order's numbers (R22).
    ///
    /// # Errors
    ///
    /// [`Refusal`]; if several apply, the one that is listed first.
    pub(super) fn decide_request(
        &self,
        request: &OrderRequest,
        context: &RequestContext,
    ) -> Result<Step, Refusal> {
        let asked = RequestOfClient { order: self, context };
        match request {
            OrderRequest::Cancel { reason } => asked.cancel(reason.clone()),
            OrderRequest::Fulfill => asked.fulfill(),
            OrderRequest::Pay { reference, amount_minor } => asked.pay(reference, *amount_minor),
            OrderRequest::Refund { reference, amount_minor } => {
                asked.refund(reference, *amount_minor)
            }
            OrderRequest::CancelLines { key, lines, reason } => {
                asked.once(key, |asked| asked.cancel_lines(key, lines, reason.clone()))
            }
            OrderRequest::Ship { key, lines, tracking } => {
                asked.once(key, |asked| asked.ship(key, lines.as_deref(), tracking.clone()))
            }
            OrderRequest::Track { shipment, tracking } => asked.track(*shipment, tracking),
            OrderRequest::CancelShipment { shipment, reason } => {
                asked.cancel_shipment(*shipment, reason.clone())
            }
            OrderRequest::Return { key, lines, reason } => {
                asked.once(key, |asked| asked.book_return(key, lines, reason.clone()))
            }
        }
    }

    /// The event by which the deadline of the payment ends the reservation; `None` if the order
    /// does not wait for its payment any more. A payment that was decided before wins (R13, R25).
    pub(super) fn expire(&self) -> Option<Event> {
        let admitted = self.status().admits(RequestKind::Expire) == Admission::Next;
        let revision = self.registers.intent.revision.next();
        admitted.then(|| Intended::unchanged(revision, Purpose::Expire).into())
    }
}

impl From<Intended> for Event {
    fn from(intended: Intended) -> Self {
        Self::Intended(Box::new(intended))
    }
}

/// An order, and who asks something of it.
#[derive(Clone, Copy)]
struct RequestOfClient<'a> {
    order: &'a Order,
    context: &'a RequestContext,
}

impl RequestOfClient<'_> {
    fn status(self) -> Status {
        self.order.status()
    }

    fn intent(&self) -> &Intent {
        &self.order.registers.intent
    }

    /// A revision that this client makes.
    fn intended(self, purpose: Purpose) -> Intended {
        let revision = self.intent().revision.next();
        Intended { actor: self.context.actor.clone(), ..Intended::unchanged(revision, purpose) }
    }

    /// Checks the status, and how often the order was changed.
    fn admit_change(self) -> Result<(), Refusal> {
        if self.status().admits(RequestKind::Change) != Admission::Next {
            return Err(Refusal::InvalidTransition(self.status()));
        }
        self.admit_entry()
    }

    fn admit_entry(self) -> Result<(), Refusal> {
        let registers = &self.order.registers;
        let changed_often = registers.changes >= MAX_CHANGES;
        if changed_often || registers.history_bytes >= MAX_HISTORY_BYTES {
            Err(Refusal::TooManyChanges)
        } else {
            Ok(())
        }
    }

    /// The tracking of a shipment may change often. It leaves room for returns and cancelled
    /// shipments: it is no change that is counted, and it stops at three quarters of the history.
    fn admit_tracking(self) -> Result<(), Refusal> {
        if self.order.registers.history_bytes >= MAX_HISTORY_BYTES / 4 * 3 {
            Err(Refusal::TooManyChanges)
        } else {
            Ok(())
        }
    }

    /// Decides a request unless its key was used before.
    fn once(
        self,
        key: &RequestKey,
        decide: impl FnOnce(Self) -> Result<Step, Refusal>,
    ) -> Result<Step, Refusal> {
        match self.order.registers.keys.iter().find(|used| used.key.key == key.key) {
            Some(used) if used.key.digest == key.digest => Ok(Step::Unchanged(Some(used.seq))),
            Some(_) => Err(Refusal::KeyReused),
            None => decide(self),
        }
    }

    fn cancel(self, reason: Option<String>) -> Result<Step, Refusal> {
        let refused = Err(Refusal::InvalidTransition(self.status()));
        match self.status().admits(RequestKind::Cancel) {
            Admission::Unchanged => Ok(Step::Unchanged(None)),
            Admission::Refused => refused,
            Admission::Next if !self.intent().shipped.is_empty() => refused,
            Admission::Next => {
                let wanted = Some(self.intent().wanted.nothing());
                let next = Intended { reason, wanted, ..self.intended(Purpose::Cancel) };
                Ok(Step::Next(vec![next.into()]))
            }
        }
    }

    fn fulfill(self) -> Result<Step, Refusal> {
        match self.status().admits(RequestKind::Fulfill) {
            Admission::Unchanged => Ok(Step::Unchanged(None)),
            Admission::Refused => Err(Refusal::InvalidTransition(self.status())),
            Admission::Next if self.order.registers.is_reducing() => Err(Refusal::OrderBusy),
            Admission::Next => {
                let shipped = self.order.registers.allocated();
                if shipped == self.intent().shipped {
                    return Ok(Step::Unchanged(None));
                }
                let shipped = Some(shipped);
                let next = Intended { shipped, ..self.intended(Purpose::Fulfill) };
                Ok(Step::Next(vec![next.into()]))
            }
        }
    }

    fn pay(self, reference: &str, amount_minor: Option<i64>) -> Result<Step, Refusal> {
        let registers = &self.order.registers;
        let Some(balance) = registers.balance(&self.order.terms) else {
            return Err(Refusal::PaymentNotExpected);
        };
        if let Some(payment) = registers.payments.iter().find(|paid| paid.reference == reference) {
            let same = amount_minor.is_none_or(|amount| amount == payment.amount_minor);
            return if same {
                Ok(Step::Unchanged(Some(payment.seq)))
            } else {
                Err(Refusal::KeyReused)
            };
        }
        if !registers.payments.is_empty() || self.order.terms.total_minor == 0 {
            return Err(Refusal::AlreadyPaid);
        }
        // An order that is over costs nothing any more. What comes all the same is recorded, and
        // owed; only the client knows how much it is.
        let due = (balance.amount_minor > 0).then_some(balance.amount_minor);
        let amount_minor = amount_minor.or(due).ok_or(Refusal::AmountRequired)?;
        if amount_minor < balance.amount_minor {
            return Err(Refusal::Underpaid { due_minor: balance.amount_minor });
        }
        let paid = Event::Paid {
            actor: self.context.actor.clone(),
            reference: reference.to_owned(),
            amount_minor,
        };
        let revives = self.status().admits(RequestKind::Pay) == Admission::Next;
        let revived = revives.then(|| Event::from(self.intended(Purpose::Revive)));
        Ok(Step::Next(std::iter::once(paid).chain(revived).collect()))
    }

    fn refund(self, reference: &str, amount_minor: i64) -> Result<Step, Refusal> {
        let registers = &self.order.registers;
        let known = registers.refunds.iter().find(|refund| refund.reference == reference);
        if let Some(refund) = known {
            let same = amount_minor == refund.amount_minor;
            return if same {
                Ok(Step::Unchanged(Some(refund.seq)))
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let most_minor = sum(&registers.payments) - sum(&registers.refunds);
        if amount_minor > most_minor {
            return Err(Refusal::RefundExceedsPayment { most_minor });
        }
        // What is owed can always be given back, and then nothing is owed any more. So can all that
        // is left.
        let is_all = amount_minor == most_minor
            || amount_minor == registers.refund_due_minor(&self.order.terms);
        if !is_all {
            self.admit_entry()?;
        }
        let refunded = Event::Refunded {
            actor: self.context.actor.clone(),
            reference: reference.to_owned(),
            amount_minor,
        };
        Ok(Step::Next(vec![refunded]))
    }

    fn cancel_lines(
        self,
        key: &RequestKey,
        lines: &[UnitsOfProduct],
        reason: Option<String>,
    ) -> Result<Step, Refusal> {
        self.admit_change()?;
        let before = self.intent();
        let mut left: BTreeMap<&ProductId, i64> = BTreeMap::new();
        let mut unavailable = Vec::new();
        for (line, units) in lines.iter().enumerate() {
            let product_id = &units.product_id;
            let unshipped = before.wanted.of(product_id) - before.shipped.of(product_id);
            let left = left.entry(product_id).or_insert(unshipped);
            if let Err(available) = take(left, units.quantity) {
                unavailable.push(Unavailable { line, available });
            }
        }
        refuse(unavailable)?;
        let reduced = |line: &WantedLine| {
            let rest = left.get(&line.product_id).map_or(i64::from(line.quantity), |left| {
                left + before.shipped.of(&line.product_id)
            });
            let quantity = u32::try_from(rest).expect("no more is taken than is there");
            WantedLine { product_id: line.product_id.clone(), quantity }
        };
        let lines: Vec<_> = before.wanted.iter().map(reduced).collect();
        let wanted = Wanted::try_from(lines).expect("the products are those of before");
        let next = Intent { wanted: wanted.clone(), ..before.clone() };
        let next = Intended {
            reason,
            wanted: Some(wanted),
            key: Some(key.clone()),
            ..self.intended(Purpose::of_change(&next, true))
        };
        Ok(Step::Next(vec![next.into()]))
    }

    fn ship(
        self,
        key: &RequestKey,
        lines: Option<&[ShipmentLine]>,
        tracking: Option<Tracking>,
    ) -> Result<Step, Refusal> {
        self.admit_change()?;
        if self.order.registers.is_reducing() {
            return Err(Refusal::OrderBusy);
        }
        let before = self.intent();
        let held = self.held();
        let shipment = match lines {
            Some(lines) => pick(&held, lines)?,
            None => held,
        };
        let shipment = units::allocations(shipment).expect("no more is shipped than is held");
        if shipment.is_empty() {
            return Err(Refusal::QuantityUnavailable(Vec::new()));
        }
        let shipped = units::sum(&before.shipped, &shipment);
        let shipped = shipped.expect("no more is shipped than is allocated");
        let next = Intent { shipped: shipped.clone(), ..before.clone() };
        let next = Intended {
            shipped: Some(shipped),
            key: Some(key.clone()),
            tracking,
            ..self.intended(Purpose::of_change(&next, true))
        };
        Ok(Step::Next(vec![next.into()]))
    }

    /// The units that are allocated and not shipped yet, as far as Orders knows and has asked.
    fn held(self) -> UnitsByKey {
        let mut held = units::by_key(&self.order.registers.allocated());
        for shipped in &self.intent().shipped {
            let key = (shipped.product_id.clone(), shipped.location_id.clone());
            *held.entry(key).or_default() -= shipped.quantity.units();
        }
        held.retain(|_, units| *units > 0);
        held
    }

    fn track(self, shipment: u32, tracking: &Tracking) -> Result<Step, Refusal> {
        let mut shipments = self.order.registers.shipments.iter();
        let found = shipments.find(|found| found.seq == shipment);
        let found = found.ok_or(Refusal::ShipmentNotFound)?;
        if found.tracking.as_ref() == Some(tracking) {
            return Ok(Step::Unchanged(None));
        }
        self.admit_tracking()?;
        let tracked = Event::Tracked {
            actor: self.context.actor.clone(),
            shipment,
            tracking: tracking.clone(),
        };
        Ok(Step::Next(vec![tracked]))
    }

    fn cancel_shipment(self, shipment: u32, reason: Option<String>) -> Result<Step, Refusal> {
        let mut shipments = self.order.registers.shipments.iter();
        let found = shipments.find(|found| found.seq == shipment);
        let found = found.ok_or(Refusal::ShipmentNotFound)?;
        if found.cancelled_by.is_some() {
            return Ok(Step::Unchanged(None));
        }
        self.admit_change()?;
        let before = self.intent();
        let shipped = units::difference(&before.shipped, &found.lines);
        let shipped = shipped.expect("what a shipment ships is shipped");
        let kept_back = |(line, units): (usize, &Allocation)| {
            let product_id = &units.product_id;
            let available = before.shipped.of(product_id) - before.returned.of(product_id);
            let missing = shipped.of(product_id) < before.returned.of(product_id);
            missing.then_some(Unavailable { line, available })
        };
        refuse(found.lines.iter().enumerate().filter_map(kept_back).collect())?;
        let next = Intent { shipped: shipped.clone(), ..before.clone() };
        let next = Intended {
            reason,
            shipped: Some(shipped),
            cancelled_shipment: Some(shipment),
            ..self.intended(Purpose::of_change(&next, false))
        };
        Ok(Step::Next(vec![next.into()]))
    }

    fn book_return(
        self,
        key: &RequestKey,
        lines: &[ReturnLine],
        reason: Option<String>,
    ) -> Result<Step, Refusal> {
        self.admit_change()?;
        let before = self.intent();
        let mut out = UnitsWithCustomer::of(before);
        let mut unavailable = Vec::new();
        let mut without_entry = Vec::new();
        let mut entries = Vec::new();
        for (line, back) in named_first(lines, |line| line.location_id.is_some()) {
            match out.take(back) {
                Ok(parts) => entries.extend(parts),
                Err(NotTaken::TooFew { available }) => {
                    unavailable.push(Unavailable { line, available });
                }
                Err(NotTaken::NoEntry) => without_entry.push(line),
            }
        }
        refuse(unavailable)?;
        if !without_entry.is_empty() {
            without_entry.sort_unstable();
            return Err(Refusal::TooManyReturnEntries(without_entry));
        }
        let returned = units::returned_sum(&before.returned, &entries);
        let returned = returned.expect("there are no more entries and units than may come back");
        let next = Intent { returned: returned.clone(), ..before.clone() };
        let next = Intended {
            reason,
            returned: Some(returned),
            key: Some(key.clone()),
            ..self.intended(Purpose::of_change(&next, false))
        };
        Ok(Step::Next(vec![next.into()]))
    }
}
