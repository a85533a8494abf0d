//! The audit of orders: INV-4 and INV-7, which this service's own database shows.
//!
//! Whoever judges an order judges it here: the worker beside the requests, and `lastro verify`.

use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use platform::audit::{Books, Findings, Invariant, Progress, Reach};
use platform::batcher::Failure;
use platform::clock::Timestamp;

use crate::core::money;
use crate::store::{OrderAudit, PendingAudit, Store};

pub const INV_4: Invariant =
    Invariant { name: "INV-4", says: "every order's history is a legal path", counted: "orders" };
pub const INV_7: Invariant =
    Invariant { name: "INV-7", says: "a command is pending exactly while one is in flight", counted: "orders" };

/// The orders, and then the commands in flight, page by page.
#[derive(Debug)]
pub struct OrderBooks {
    store: Arc<dyn Store>,
    reach: Reach,
    /// Where the next page begins.
    next: Page,
}

#[derive(Clone, Copy, Debug)]
enum Page {
    Orders { after: Option<OrderId> },
    Pending { after: Option<OrderId> },
}

impl OrderBooks {
    pub fn new(store: Arc<dyn Store>, reach: Reach) -> Self {
        Self { store, reach, next: Page::Orders { after: None } }
    }
}

#[async_trait]
impl Books for OrderBooks {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_4, INV_7]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        match self.next {
            Page::Orders { after } => {
                let orders = self.store.audit_after(after, self.reach.page).await?;
                findings.read(orders.len());
                orders.iter().for_each(|order| judge(order, findings));
                let last = orders.last().map(|order| order.order_id);
                self.next = last.map_or(Page::Pending { after: None }, |id| Page::Orders { after: Some(id) });
                Ok(Progress::UnderWay)
            }
            Page::Pending { after } => {
                let pending = self.store.audit_pending(after, self.reach.page).await?;
                findings.read(pending.len());
                pending.iter().for_each(|command| judge_pending(command, findings));
                let last = pending.last().map(|command| command.order_id);
                self.next = last.map_or(Page::Orders { after: None }, |id| Page::Pending { after: Some(id) });
                Ok(if last.is_some() { Progress::UnderWay } else { Progress::RoundOver })
            }
        }
    }
}

/// What one snapshot of one order must satisfy by itself.
pub fn judge(order: &OrderAudit, findings: &mut Findings) {
    let id = order.order_id;
    findings.checked(INV_4, 1);
    findings.demand(INV_4, is_legal(order), || {
        let path = order.history.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>().join(" → ");
        format!("order {id} is {} with the history {path}", order.status.as_str())
    });
    let lines = || order.terms.lines.iter();
    let total = money::total(lines().map(|line| (line.quantity.get(), line.price_minor)));
    findings.demand(INV_4, total == Ok(order.total_minor), || {
        format!("order {id}: its total is {} minor units, its lines come to {total:?}", order.total_minor)
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

/// The other way round: a command without its order is seen from nowhere else. Nor is one that is said to be older or
/// younger than the step of its order that it belongs to, from which the age of the backlog is told.
fn judge_pending(command: &PendingAudit, findings: &mut Findings) {
    let PendingAudit { order_id, kind, since_micros, moved_at_micros } = command;
    let Some(moved) = moved_at_micros else {
        return findings.violated(INV_7, format!("a {kind:?} is pending for order {order_id}, which is not there"));
    };
    findings.demand(INV_7, since_micros == moved, || {
        let (since, moved) = (Timestamp(*since_micros), Timestamp(*moved));
        format!("order {order_id}: its {kind:?} is pending since {since}, its last step was at {moved}")
    });
}

#[cfg(test)]
mod tests;
