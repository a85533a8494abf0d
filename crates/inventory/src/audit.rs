//! The audit of stock: INV-1 to INV-3, INV-8, INV-10 and INV-11, which can be checked on this
//! service's database alone.
//!
//! The service's audit worker and `lastro verify` share it.

use std::sync::Arc;

use async_trait::async_trait;
use contract::OrderId;
use inventory_core::reservation::Reservation;
use platform::audit::{
    Audit, Findings, Invariant, Page, Progress, ReadBudget, Table, Walk, read_page,
};
use platform::failure::Failure;

use crate::store::{StockAuditStore, StockPosition};

mod ledger;
mod reservations;
mod shortages;
mod stock_rows;

use ledger::LedgerWalk;

pub const INV_1: Invariant = Invariant {
    name: "INV-1",
    says: "reserved and quarantined units are on hand after every movement",
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
    counted: "reservations",
};
pub const INV_8: Invariant =
    Invariant { name: "INV-8", says: "every rejection was true", counted: "rejections" };
/// As far as this service knows the numbers of an order.
pub const INV_10: Invariant = Invariant {
    name: "INV-10",
    says: "the units of every line add up: ordered, wanted, allocated, shipped, returned",
    counted: "reservations",
};
pub const INV_11: Invariant = Invariant {
    name: "INV-11",
    says: "every movement does what its kind says",
    counted: "movements",
};

/// Audits the ledger, then the stock rows, and then the reservations.
///
/// A round reads the rows of each table that are new since the last round, and a stretch of older
/// ones, so that over several rounds every row is read again. No check adds up the orders of a
/// stock key, so a round costs a few look-ups per row, however many orders there are.
///
/// No alarm is false while the service runs. A movement never changes, and a reservation's lists of
/// movements only grow. The transaction that writes a movement of an order also lists it. So a
/// movement that was read is listed in the reservation that is read after it, and a movement that a
/// reservation lists exists when it is looked up later. A stock row and the movement that it names
/// come from one snapshot.
#[derive(Debug)]
pub struct InventoryAudit {
    store: Arc<dyn StockAuditStore>,
    budget: ReadBudget,
    under_way: bool,
    ledger: LedgerWalk,
    stock: Walk<StockPosition>,
    reservations: Walk<OrderId>,
}

impl InventoryAudit {
    pub fn new(store: Arc<dyn StockAuditStore>, budget: ReadBudget) -> Self {
        Self {
            store,
            budget,
            under_way: false,
            ledger: LedgerWalk::new(budget.round),
            stock: Walk::new(budget.round),
            reservations: Walk::new(budget.round),
        }
    }

    async fn begin_round(&mut self) -> Result<(), Failure> {
        let last_movement = self.store.last_movement().await?;
        let last_stock = self.store.last_stock().await?;
        let last_order_id = self.store.last_order_id().await?;
        self.ledger.begin(last_movement);
        self.stock.begin(last_stock);
        self.reservations.begin(last_order_id);
        self.under_way = true;
        Ok(())
    }

    /// Audits a page of movements, and then the reservations of their orders.
    async fn step_through_ledger(
        &mut self,
        page: Page<i64>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let rows = self.store.movements_after(page.after, page.limit).await?;
        let rows = page.of(rows, |row| row.key);
        findings.read(rows.len());
        let last = rows.last().map(|row| row.key);
        let count = rows.len();
        let movements = self.ledger.check(page, rows, findings)?;
        reservations::check_listed(&*self.store, &movements, findings).await?;
        self.ledger.went(page, last, count);
        Ok(())
    }

    async fn step_through_stock(
        &mut self,
        page: Page<StockPosition>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let rows = self.store.stock_after(page.after, page.limit).await?;
        let rows = page.of(rows, |row| row.key);
        findings.read(rows.len());
        self.stock.went(rows.last().map(|row| row.key), rows.len());
        stock_rows::check(rows, findings)
    }

    /// Audits the reservations of one page, or as many as one step may read, and then the movements
    /// that they name.
    async fn step_through_reservations(
        &mut self,
        page: Page<OrderId>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let (mut found, mut to) = read_page(&*self.store, page, INV_3, findings).await?;
        let fit = within(&found, self.budget.below);
        if fit < found.len() {
            found.truncate(fit);
            to = found.last().map(|reservation| reservation.order_id);
        }
        findings.read(found.len());
        let movements = reservations::movements_of(&*self.store, &found, findings).await?;
        reservations::check_sums(&found, &movements, findings);
        reservations::check_arithmetic(&found, findings);
        shortages::check(&*self.store, &found, &movements, findings).await?;
        self.reservations.went(to, found.len());
        Ok(())
    }
}

/// Returns how many of the reservations, but at least one, name no more than `limit` movements and
/// short products.
fn within(reservations: &[Reservation], limit: u32) -> usize {
    let mut named = 0;
    let fit = reservations.iter().take_while(|reservation| {
        named += reservations::named_by(reservation).count() + reservation.shortfalls().len();
        named <= limit as usize
    });
    fit.count().max(1)
}

#[async_trait]
impl Audit for InventoryAudit {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_1, INV_2, INV_3, INV_8, INV_10, INV_11]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if !self.under_way {
            self.begin_round().await?;
        }
        if let Some(page) = self.ledger.page(self.budget.page) {
            self.step_through_ledger(page, findings).await?;
        } else if let Some(page) = self.stock.page(self.budget.page) {
            self.step_through_stock(page, findings).await?;
        } else if let Some(page) = self.reservations.page(self.budget.page) {
            self.step_through_reservations(page, findings).await?;
        } else {
            self.under_way = false;
            return Ok(Progress::RoundOver);
        }
        Ok(Progress::UnderWay)
    }
}

#[async_trait]
impl Table for dyn StockAuditStore + '_ {
    type Key = OrderId;
    type Row = Reservation;

    fn key(reservation: &Reservation) -> OrderId {
        reservation.order_id
    }

    fn name(order_id: OrderId) -> String {
        format!("the reservation of order {order_id}")
    }

    async fn after(&self, after: Option<OrderId>, limit: u32) -> Result<Vec<Reservation>, Failure> {
        let rows = self.reservations_after(after, limit).await?;
        rows.into_iter().map(|stored| stored.row).collect()
    }

    async fn keys_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, Failure> {
        let rows = self.reservations_after(after, limit).await?;
        Ok(rows.into_iter().map(|stored| stored.key).collect())
    }

    async fn of(&self, order_ids: Vec<OrderId>) -> Result<Vec<Reservation>, Failure> {
        let rows = self.reservations_by_id(order_ids).await?;
        rows.into_iter().map(|stored| stored.row).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
