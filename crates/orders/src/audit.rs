//! The audit of orders: INV-4 and INV-7, which can be checked on this service's database alone.
//!
//! The service's audit worker and `lastro verify` share it.

use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use orders_core::money;
use platform::audit::{Audit, Findings, Invariant, Progress, ReadBudget, Table, Walk, read_page};
use platform::clock::Timestamp;
use platform::failure::Failure;

use crate::store::{AuditStore, OrderAudit, PendingAudit};

pub const INV_4: Invariant =
    Invariant { name: "INV-4", says: "every order's history is a legal path", counted: "orders" };
pub const INV_7: Invariant = Invariant {
    name: "INV-7",
    says: "a command is pending exactly while one is in flight",
    counted: "orders",
};

/// Audits the orders, and then the pending commands, page by page.
///
/// A round reads the rows of each that are new since the last round, and a stretch of older ones.
#[derive(Debug)]
pub struct OrdersAudit {
    store: Arc<dyn AuditStore>,
    budget: ReadBudget,
    under_way: bool,
    orders: Walk<OrderId>,
    pending: Walk<OrderId>,
}

impl OrdersAudit {
    pub fn new(store: Arc<dyn AuditStore>, budget: ReadBudget) -> Self {
        let walk = Walk::new(budget.round);
        Self { store, budget, under_way: false, orders: walk, pending: walk }
    }
}

#[async_trait]
impl Audit for OrdersAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_4, INV_7]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if !self.under_way {
            let last = self.store.last_order_id().await?;
            self.orders.begin(last);
            self.pending.begin(last);
            self.under_way = true;
        }
        if let Some(page) = self.orders.page(self.budget.page) {
            let (orders, to) = read_page(&*self.store, page, INV_4, findings).await?;
            findings.read(orders.len());
            orders.iter().for_each(|order| judge(order, findings));
            self.orders.went(to, orders.len());
        } else if let Some(page) = self.pending.page(self.budget.page) {
            let pending = self.store.pending_after(page.after, page.limit).await?;
            let pending = page.of(pending, |command| command.order_id);
            findings.read(pending.len());
            pending.iter().for_each(|command| judge_pending(command, findings));
            self.pending.went(pending.last().map(|command| command.order_id), pending.len());
        } else {
            self.under_way = false;
            return Ok(Progress::RoundOver);
        }
        Ok(Progress::UnderWay)
    }
}

#[async_trait]
impl Table for dyn AuditStore + '_ {
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

/// Checks one snapshot of one order (INV-4, INV-7).
pub fn judge(order: &OrderAudit, findings: &mut Findings) {
    let id = order.order_id;
    findings.checked(INV_4, 1);
    findings.demand(INV_4, is_legal(order), || {
        let path =
            order.history.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>().join(" → ");
        format!("order {id} is {} with the history {path}", order.status.as_str())
    });
    let lines = || order.terms.lines.iter();
    let total = money::total(lines().map(|line| (line.quantity.get(), line.price_minor)));
    findings.demand(INV_4, total == Ok(order.total_minor), || {
        format!(
            "order {id}: its total is {} minor units, its lines come to {total:?}",
            order.total_minor
        )
    });
    findings.checked(INV_7, 1);
    findings.demand(INV_7, order.pending == order.status.in_flight(), || {
        format!("order {id} is {}, its pending command {:?}", order.status.as_str(), order.pending)
    });
}

fn is_legal(order: &OrderAudit) -> bool {
    let mut before = None;
    let numbered = order.history.iter().zip(1..).all(|((seq, status), expected)| {
        let legal = *seq == expected && status.may_follow(before);
        before = Some(*status);
        legal
    });
    numbered && before == Some(order.status)
}

/// Checks one pending command against its order (INV-7). This finds commands without an order, and
/// commands whose time is not that of their order's last transition, which would falsify the age of
/// the backlog.
fn judge_pending(command: &PendingAudit, findings: &mut Findings) {
    let PendingAudit { order_id, kind, since_micros, moved_at_micros } = command;
    let Some(moved) = moved_at_micros else {
        return findings.violated(
            INV_7,
            format!("a {kind} is pending for order {order_id}, which does not exist"),
        );
    };
    findings.demand(INV_7, since_micros == moved, || {
        let (since, moved) = (Timestamp(*since_micros), Timestamp(*moved));
        format!(
            "order {order_id}: its {kind} is pending since {since}, its last step was at {moved}"
        )
    });
}

#[cfg(test)]
mod tests;
