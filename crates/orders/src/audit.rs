//! The audit of orders: INV-4, INV-7, INV-9 and INV-10, which can be checked on this service's
//! database alone.
//!
//! The service's audit worker and `lastro verify` share it.

use std::sync::Arc;

use async_trait::async_trait;
use contract::{Intent, OrderId, Revision};
use orders_core::decide::{Deadline, OrderState};
use orders_core::history::{BrokenHistory, Entry, Event, fold};
use orders_core::money;
use orders_core::order::Order;
use orders_core::status::Status;
use platform::audit::{Audit, Findings, Invariant, Progress, ReadBudget, Table, Walk, read_page};
use platform::clock::Timestamp;
use platform::failure::Failure;

use crate::store::{OrderAudit, OrderAuditStore, RowAudit, RowKey};

mod arithmetic;

/// INV-4.
pub const INV_4: Invariant = Invariant {
    name: "INV-4",
    says: "every order's registers and status are the fold of its history",
    counted: "orders",
};
/// INV-7.
pub const INV_7: Invariant = Invariant {
    name: "INV-7",
    says: "a command is pending exactly while the intent is ahead, a deadline while it is reserved",
    counted: "orders",
};
/// INV-9.
pub const INV_9: Invariant = Invariant {
    name: "INV-9",
    says: "what is past reserved is paid, and every refund that is due is the arithmetic",
    counted: "orders with a payment",
};
/// INV-10.
pub const INV_10: Invariant = Invariant {
    name: "INV-10",
    says: "the units of every line add up: ordered, wanted, allocated, shipped, returned",
    counted: "orders",
};

/// Audits the orders, then the pending commands and then the deadlines, page by page.
///
/// A round reads the rows of each that are new since the last round, and a stretch of older ones.
#[derive(Debug)]
pub struct OrdersAudit {
    store: Arc<dyn OrderAuditStore>,
    budget: ReadBudget,
    under_way: bool,
    orders: Walk<OrderId>,
    pending: Walk<RowKey>,
    deadlines: Walk<RowKey>,
}

impl OrdersAudit {
    pub fn new(store: Arc<dyn OrderAuditStore>, budget: ReadBudget) -> Self {
        let orders = Walk::new(budget.round);
        let [pending, deadlines] = [Walk::new(budget.round); 2];
        Self { store, budget, under_way: false, orders, pending, deadlines }
    }
}

#[async_trait]
impl Audit for OrdersAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_4, INV_7, INV_9, INV_10]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if !self.under_way {
            self.orders.begin(self.store.last_order_id().await?);
            self.pending.begin(self.store.last_pending().await?);
            self.deadlines.begin(self.store.last_deadline().await?);
            self.under_way = true;
        }
        if let Some(page) = self.orders.page(self.budget.page) {
            let (orders, to) = read_page(&*self.store, page, INV_4, findings).await?;
            findings.read(orders.len());
            orders.iter().for_each(|order| judge(order, findings));
            self.orders.went(to, orders.len());
        } else if let Some(page) = self.pending.page(self.budget.page) {
            let pending = self.store.pending_after(page.after, page.limit).await?;
            let pending = page.of(pending, |command| command.key);
            findings.read(pending.len());
            pending.iter().for_each(|row| judge_orphan("a command is pending", row, findings));
            self.pending.went(pending.last().map(|command| command.key), pending.len());
        } else if let Some(page) = self.deadlines.page(self.budget.page) {
            let deadlines = self.store.deadlines_after(page.after, page.limit).await?;
            let deadlines = page.of(deadlines, |deadline| deadline.key);
            findings.read(deadlines.len());
            deadlines.iter().for_each(|row| judge_orphan("a deadline is set", row, findings));
            self.deadlines.went(deadlines.last().map(|deadline| deadline.key), deadlines.len());
        } else {
            self.under_way = false;
            return Ok(Progress::RoundOver);
        }
        Ok(Progress::UnderWay)
    }
}

#[async_trait]
impl Table for dyn OrderAuditStore + '_ {
    type Key = OrderId;
    type Row = OrderAudit;

    fn key(order: &OrderAudit) -> OrderId {
        order.order_id
    }

    fn name(order_id: OrderId) -> String {
        format!("order {order_id}")
    }

    async fn after(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<OrderAudit>, Failure> {
        self.orders_after(after, limit).await
    }

    async fn keys_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.order_ids_after(after, limit).await
    }

    async fn of(&self, order_ids: Vec<OrderId>) -> Result<Vec<OrderAudit>, Failure> {
        self.orders_by_id(order_ids).await
    }
}

/// Checks one snapshot of one order.
fn judge(audit: &OrderAudit, findings: &mut Findings) {
    let id = audit.order_id;
    findings.checked(INV_4, 1);
    let lines = audit.terms.lines.iter();
    let total = money::total(lines.map(|line| (line.quantity.get(), line.price_minor)));
    findings.demand(INV_4, total == Ok(audit.terms.total_minor), || {
        let stored = audit.terms.total_minor;
        format!("order {id}: its total is {stored} minor units, its lines come to {total:?}")
    });
    let first = Intent::placed(audit.terms.ordered()).digest();
    findings.demand(INV_4, audit.digest == first, || {
        format!("order {id}: its digest is {}, that of its lines is {first}", audit.digest)
    });
    findings.checked(INV_10, 1);
    if let Some(why) = arithmetic::broken(audit) {
        findings.violated(INV_10, format!("order {id}, {why}"));
        return;
    }
    let order = match folded(audit) {
        Ok(order) => order,
        Err(broken) => {
            findings.violated(INV_4, format!("order {id}: {broken}"));
            return;
        }
    };
    judge_state(audit, &order, findings);
    judge_pending(audit, &order, findings);
    judge_deadline(audit, &order, findings);
    judge_money(audit, &order, findings);
}

/// The order that an audited history adds up to.
///
/// # Errors
///
/// [`BrokenHistory`] if the history breaks INV-4 or INV-10. A retry fails again.
pub fn folded(audit: &OrderAudit) -> Result<Order, BrokenHistory> {
    let registers = fold(&audit.terms, &audit.history)?;
    let last_seq = audit.history.last().map_or(1, |entry| entry.seq);
    let digest = registers.sent_intent().digest();
    let terms = audit.terms.clone();
    Ok(Order { order_id: audit.order_id, terms, registers, digest, last_seq })
}

/// Compares the columns beside the history with the fold (INV-4).
fn judge_state(audit: &OrderAudit, order: &Order, findings: &mut Findings) {
    let id = audit.order_id;
    // What is to be given back is judged with the money (INV-9).
    let refund_due_minor = audit.state.map_or(0, |state| state.refund_due_minor);
    let state = || OrderState { refund_due_minor, ..order.state() };
    let expected = (order.last_seq > 1).then(state);
    findings.demand(INV_4, audit.state == expected, || {
        format!("order {id}: its state is {:?}, its history says {expected:?}", audit.state)
    });
    let last_at = audit.history.last().map_or(audit.created_at_micros, |entry| entry.at_micros);
    findings.demand(INV_4, audit.updated_at_micros == last_at, || {
        let updated = Timestamp(audit.updated_at_micros);
        format!("order {id} was updated at {updated}, its last entry is of {}", Timestamp(last_at))
    });
}

/// Compares the pending command with the registers (INV-7). Since when it is pending must be when
/// its revision was made, or the age of the backlog would be wrong.
fn judge_pending(audit: &OrderAudit, order: &Order, findings: &mut Findings) {
    let id = audit.order_id;
    findings.checked(INV_7, 1);
    let expected = order.registers.in_flight().map(Revision::get).map(i64::from);
    let pending = audit.pending.map(|pending| pending.revision);
    findings.demand(INV_7, pending == expected, || {
        let status = order.status().as_str();
        format!("order {id} is {status}, its pending command is of revision {pending:?}")
    });
    let made_at = made_at(audit);
    let since = audit.pending.map_or(made_at, |pending| pending.since_micros);
    findings.demand(INV_7, since == made_at, || {
        let since = Timestamp(since);
        let made = Timestamp(made_at);
        format!("order {id}: its command is pending since {since}, its revision was made at {made}")
    });
}

/// Compares the deadline with the history (INV-7): it is the terms' time after the order was
/// reserved. If the clock was set back since, it was armed again at an earlier time.
fn judge_deadline(audit: &OrderAudit, order: &Order, findings: &mut Findings) {
    let id = audit.order_id;
    let status = order.status();
    let is_reserved = status == Status::Reserved;
    findings.demand(INV_7, audit.deadline.is_some() == is_reserved, || {
        let has = if audit.deadline.is_some() { "a" } else { "no" };
        format!("order {id} is {}, and has {has} deadline", status.as_str())
    });
    let Some((stored, expected)) = audit.deadline.zip(order.deadline()) else { return };
    let within = |deadline: Deadline| deadline.pay_by_micros - deadline.armed_at_micros;
    let is_right =
        stored.armed_at_micros <= expected.armed_at_micros && within(stored) == within(expected);
    findings.demand(INV_7, is_right, || {
        let stored = Timestamp(stored.pay_by_micros);
        let expected = Timestamp(expected.pay_by_micros);
        format!("order {id}: its deadline is {stored}, its history says {expected}")
    });
}

/// Adds up the money by the entries alone, and compares it with what the order keeps (INV-9).
fn judge_money(audit: &OrderAudit, order: &Order, findings: &mut Findings) {
    let id = audit.order_id;
    let mut paid = 0_i64;
    let mut refunded = 0_i64;
    for entry in &audit.history {
        match &entry.event {
            Event::Paid { amount_minor, .. } => paid = paid.saturating_add(*amount_minor),
            Event::Refunded { amount_minor, .. } => {
                refunded = refunded.saturating_add(*amount_minor);
            }
            Event::Intended(_) | Event::Settled { .. } | Event::Tracked { .. } => {}
        }
    }
    let kept = audit.terms.value_of(|product_id| order.registers.kept(product_id));
    let status = order.status();
    if audit.terms.payment.is_some() {
        findings.checked(INV_9, 1);
        findings.demand(INV_9, !is_past_reserved(status) || paid >= kept, || {
            let status = status.as_str();
            format!("order {id} is {status}, {paid} of {kept} minor units are paid")
        });
    }
    let due = (paid - refunded - kept).max(0) * i64::from(paid > 0);
    let stored = audit.state.map_or(0, |state| state.refund_due_minor);
    findings.demand(INV_9, stored == due, || {
        format!("order {id}: {stored} minor units are said to be given back, it is {due}")
    });
}

/// Whether an order has this status only if it is paid, should it have to be.
fn is_past_reserved(status: Status) -> bool {
    match status {
        Status::Confirmed
        | Status::Amending
        | Status::Fulfilling
        | Status::Fulfilled
        | Status::Reviving => true,
        Status::Received
        | Status::Reserved
        | Status::Rejected
        | Status::Cancelling
        | Status::Cancelled
        | Status::Expiring
        | Status::Expired => false,
    }
}

/// When the newest revision was made.
fn made_at(audit: &OrderAudit) -> i64 {
    let is_intent = |entry: &&Entry| matches!(entry.event, Event::Intended(_));
    let newest = audit.history.iter().rev().find(is_intent);
    newest.map_or(audit.created_at_micros, |entry| entry.at_micros)
}

/// Finds pending commands and deadlines without an order (INV-7).
fn judge_orphan(what: &str, row: &RowAudit, findings: &mut Findings) {
    findings
        .demand(INV_7, row.has_order, || format!("{what} for {}, which does not exist", row.name));
}

#[cfg(test)]
mod tests;
