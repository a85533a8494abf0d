//! The audit of orders: INV-4, INV-7 and INV-10, which can be checked on this service's database
//! alone.
//!
//! The service's audit worker and `lastro verify` share it.

use std::sync::Arc;

use async_trait::async_trait;
use contract::{Intent, OrderId, Revision};
use orders_core::history::{BrokenHistory, Entry, Event, fold};
use orders_core::money;
use orders_core::order::Order;
use platform::audit::{Audit, Findings, Invariant, Progress, ReadBudget, Table, Walk, read_page};
use platform::clock::Timestamp;
use platform::failure::Failure;

use crate::store::{OrderAudit, OrderAuditStore, PendingAudit, PendingKey};

/// INV-4, and with it INV-10: the fold checks the arithmetic of every line at every prefix.
pub const INV_4: Invariant = Invariant {
    name: "INV-4",
    says: "every order's registers and status are the fold of its history",
    counted: "orders",
};
/// INV-7.
pub const INV_7: Invariant = Invariant {
    name: "INV-7",
    says: "a command is pending exactly while the intent is ahead of the facts",
    counted: "orders",
};

/// Audits the orders, and then the pending commands, page by page.
///
/// A round reads the rows of each that are new since the last round, and a stretch of older ones.
#[derive(Debug)]
pub struct OrdersAudit {
    store: Arc<dyn OrderAuditStore>,
    budget: ReadBudget,
    under_way: bool,
    orders: Walk<OrderId>,
    pending: Walk<PendingKey>,
}

impl OrdersAudit {
    pub fn new(store: Arc<dyn OrderAuditStore>, budget: ReadBudget) -> Self {
        let orders = Walk::new(budget.round);
        let pending = Walk::new(budget.round);
        Self { store, budget, under_way: false, orders, pending }
    }
}

#[async_trait]
impl Audit for OrdersAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_4, INV_7]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if !self.under_way {
            self.orders.begin(self.store.last_order_id().await?);
            self.pending.begin(self.store.last_pending().await?);
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
            pending.iter().for_each(|command| judge_orphan(command, findings));
            self.pending.went(pending.last().map(|command| command.key), pending.len());
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

/// Checks one snapshot of one order (INV-4, INV-7, INV-10).
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
    let order = match folded(audit) {
        Ok(order) => order,
        Err(broken) => {
            findings.violated(INV_4, format!("order {id}: {broken}"));
            return;
        }
    };
    judge_state(audit, &order, findings);
    judge_pending(audit, &order, findings);
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
    // How long the history is matters to requests only.
    let history_bytes = 0;
    Ok(Order { order_id: audit.order_id, terms, registers, digest, last_seq, history_bytes })
}

/// Compares the columns beside the history with the fold (INV-4).
fn judge_state(audit: &OrderAudit, order: &Order, findings: &mut Findings) {
    let id = audit.order_id;
    let expected = (order.last_seq > 1).then(|| order.state());
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

/// When the newest revision was made.
fn made_at(audit: &OrderAudit) -> i64 {
    let is_intent = |entry: &&Entry| matches!(entry.event, Event::Intended(_));
    let newest = audit.history.iter().rev().find(is_intent);
    newest.map_or(audit.created_at_micros, |entry| entry.at_micros)
}

/// Finds pending commands without an order (INV-7).
fn judge_orphan(command: &PendingAudit, findings: &mut Findings) {
    findings.demand(INV_7, command.has_order, || {
        format!("a command is pending for {}, which does not exist", command.name)
    });
}

#[cfg(test)]
mod tests;
