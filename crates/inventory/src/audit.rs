//! The audit of stock: INV-1 to INV-3 and INV-8, which can be checked on this service's database
//! alone.
//!
//! The service's audit worker and `lastro verify` share it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use inventory_core::reservation::Reservation;
use platform::audit::{Audit, Findings, Invariant, Progress, ReadBudget, Table, Walk, read_page};
use platform::failure::Failure;

use crate::store::{AuditStore, StockAudit, StockKey};

mod held;
mod ledger;
mod rejections;
mod stock_key;

use stock_key::{Remembered, StockKeyAudit};

pub const INV_1: Invariant = Invariant {
    name: "INV-1",
    says: "0 ≤ reserved ≤ on_hand after every movement",
    counted: "movements",
};
pub const INV_2: Invariant = Invariant {
    name: "INV-2",
    says: "stock is the sum of its movements, without gaps",
    counted: "stock rows",
};
pub const INV_3: Invariant = Invariant {
    name: "INV-3",
    says: "what is reserved is held by reservations",
    counted: "stock rows",
};
pub const INV_8: Invariant =
    Invariant { name: "INV-8", says: "every rejection was true", counted: "rejections" };

/// The most stock keys whose position in the ledger is remembered. The ledgers of others are read
/// from the beginning in every round.
const MAX_REMEMBERED: usize = 100_000;

/// Audits every stock key with its ledger and the reservations there, and then the rejections.
///
/// A round reads the rows of each ledger, and the reservations, that are new since the last round,
/// and a stretch of older ones, so that over several rounds every row is read again.
#[derive(Debug)]
pub struct InventoryAudit {
    store: Arc<dyn AuditStore>,
    budget: ReadBudget,
    next: Next,
    remembered: BTreeMap<StockKey, Remembered>,
    reservations: Walk<OrderId>,
}

/// Where the next step begins.
#[derive(Debug)]
enum Next {
    Stock {
        after: Option<StockKey>,
        /// The rows of the page that are not begun yet.
        rows: VecDeque<StockAudit>,
        begun: Option<Box<StockKeyAudit>>,
    },
    Reservations,
}

impl Next {
    fn beginning() -> Self {
        Self::Stock { after: None, rows: VecDeque::new(), begun: None }
    }
}

impl InventoryAudit {
    pub fn new(store: Arc<dyn AuditStore>, budget: ReadBudget) -> Self {
        let reservations = Walk::new(budget.round);
        Self { store, budget, next: Next::beginning(), remembered: BTreeMap::new(), reservations }
    }

    /// Audits as many stock keys as one step may read.
    async fn step_through_stock(&mut self, findings: &mut Findings) -> Result<(), Failure> {
        let Next::Stock { after, rows, begun } = &mut self.next else { return Ok(()) };
        if rows.is_empty() && begun.is_none() {
            let page = match self.store.stock_after(after.clone(), self.budget.page).await {
                // A stock key whose ids cannot be decoded cannot be skipped; go on with the
                // reservations.
                Err(failure @ Failure::Suspect(_)) => {
                    self.turn_to_reservations().await?;
                    return Err(failure);
                }
                page => page?,
            };
            findings.read(page.len());
            let Some(last) = page.last() else { return self.turn_to_reservations().await };
            *after = Some((last.product_id.clone(), last.location_id.clone()));
            *rows = page.into();
        }
        let mut left = self.budget.below;
        loop {
            if begun.is_none() {
                let Some(row) = rows.pop_front() else { return Ok(()) };
                let stock_key = (row.product_id.clone(), row.location_id.clone());
                *begun = Some(Box::new(StockKeyAudit::begin(
                    row,
                    self.remembered.remove(&stock_key),
                    self.budget,
                    findings,
                )));
            }
            let Some(audit) = begun else { return Ok(()) };
            let gone_on = audit.go_on(&*self.store, &mut left, findings).await;
            match findings.readable(INV_2, audit.name(), gone_on)? {
                Some(false) => return Ok(()),
                // Go on with the next stock key, and do not remember this one.
                None => *begun = None,
                Some(true) => {
                    if let Some((stock_key, remembered)) =
                        begun.take().and_then(|audit| audit.remembered())
                        && self.remembered.len() < MAX_REMEMBERED
                    {
                        self.remembered.insert(stock_key, remembered);
                    }
                }
            }
        }
    }

    async fn turn_to_reservations(&mut self) -> Result<(), Failure> {
        self.reservations.begin(self.store.last_order_id().await?);
        self.next = Next::Reservations;
        Ok(())
    }

    /// Audits the rejections of one page, or as many as one step may read.
    async fn step_through_reservations(
        &mut self,
        findings: &mut Findings,
    ) -> Result<Progress, Failure> {
        let Some(page) = self.reservations.page(self.budget.page) else {
            self.next = Next::beginning();
            return Ok(Progress::RoundOver);
        };
        let (mut found, mut to) = read_page(&*self.store, page, INV_8, findings).await?;
        let fit = within(&found, self.budget.below);
        if fit < found.len() {
            found.truncate(fit);
            to = found.last().map(|reservation| reservation.order_id);
        }
        rejections::check(&*self.store, &found, findings).await?;
        findings.read(found.len());
        self.reservations.went(to, found.len());
        Ok(Progress::UnderWay)
    }
}

#[async_trait]
impl Table for dyn AuditStore + '_ {
    type Key = OrderId;
    type Row = Reservation;

    fn key(reservation: &Reservation) -> OrderId {
        reservation.order_id
    }

    fn name(order_id: OrderId) -> String {
        format!("the reservation of order {order_id}")
    }

    async fn after(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<Reservation>, Failure> {
        self.reservations_after(after, limit).await
    }

    async fn keys_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        self.order_ids_after(after, limit).await
    }

    async fn of(&self, order_ids: Vec<OrderId>) -> Result<Vec<Reservation>, Failure> {
        self.reservations_by_id(order_ids).await
    }
}

/// Returns how many of the reservations, but at least one, cite no more than `limit` movements.
fn within(reservations: &[Reservation], limit: u32) -> usize {
    let mut points = 0;
    let fit = reservations.iter().take_while(|reservation| {
        points += reservation
            .state
            .shortfalls()
            .iter()
            .map(|shortfall| shortfall.seen.len() + 1)
            .sum::<usize>();
        points <= limit as usize
    });
    fit.count().max(1)
}

#[async_trait]
impl Audit for InventoryAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_1, INV_2, INV_3, INV_8]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        match self.next {
            Next::Stock { .. } => {
                self.step_through_stock(findings).await.map(|()| Progress::UnderWay)
            }
            Next::Reservations => self.step_through_reservations(findings).await,
        }
    }
}

#[cfg(test)]
mod tests;
