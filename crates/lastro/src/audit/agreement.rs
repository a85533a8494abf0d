//! INV-5: every order against its reservation.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{Allocations, OrderId, Returned, Revision};
use inventory::store::{StockAuditStore, Stored};
use inventory_core::reservation::{Holding, Reservation};
use orders::audit::folded;
use orders::store::{OrderAudit, OrderAuditStore};
use orders_core::order::Order;
use orders_core::registers::Reading;
use platform::audit::{
    Audit, Findings, Invariant, Page, Progress, ReadBudget, Walk, look_up, read_page,
};
use platform::failure::Failure;

pub(crate) const INV_5: Invariant = Invariant {
    name: "INV-5",
    says: "both services agree about every order",
    counted: "orders and reservations",
};

/// Compares the databases of both services page by page: first every order with its reservation,
/// then every reservation with its order.
///
/// A round reads the rows that are new since the last round and a range of older ones.
#[derive(Debug)]
pub(crate) struct Agreement {
    orders: Arc<dyn OrderAuditStore>,
    inventory: Arc<dyn StockAuditStore>,
    budget: ReadBudget,
    under_way: bool,
    /// Where the next pages begin: of orders, and of reservations.
    through_orders: Walk<OrderId>,
    through_reservations: Walk<OrderId>,
}

impl Agreement {
    pub(crate) fn new(
        orders: Arc<dyn OrderAuditStore>,
        inventory: Arc<dyn StockAuditStore>,
        budget: ReadBudget,
    ) -> Self {
        let walk = Walk::new(budget.round);
        Self {
            orders,
            inventory,
            budget,
            under_way: false,
            through_orders: walk,
            through_reservations: walk,
        }
    }

    /// Reads a page of orders, then their reservations, and then again the orders whose reservation
    /// does not match: such an order may have changed in between.
    ///
    /// The three revisions only rise, so that no common snapshot is needed: what an order had
    /// settled before is at most Inventory's revision, which is at most the order's revision after.
    async fn step_through_orders(
        &mut self,
        page: Page<OrderId>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let (page_before, to) = read_page(&*self.orders, page, INV_5, findings).await?;
        let ids: Vec<_> = page_before.iter().map(|order| order.order_id).collect();
        let before = fold_all(&page_before, findings);
        let stored = self.inventory.reservations_by_id(ids).await?;
        let reservations = readable(stored, findings)?;
        let doubtful = |order: &&Order| {
            disagreement(order, order, reservations.get(&order.order_id)).is_some()
        };
        let doubtful: Vec<_> =
            before.values().filter(doubtful).map(|order| order.order_id).collect();
        let again = look_up(&*self.orders, doubtful.clone(), INV_5, findings).await?;
        findings.read(before.len() + reservations.len() + again.len());
        findings.checked(INV_5, page_before.len());
        let after = fold_all(&again, findings);
        for order_id in doubtful {
            let reservation = reservations.get(&order_id);
            let Some(after) = after.get(&order_id) else {
                findings.violated(INV_5, format!("order {order_id} disappeared"));
                continue;
            };
            if let Some(why) = disagreement(&before[&order_id], after, reservation) {
                let status = after.status().as_str();
                let state = reservation.map_or("absent", |found| found.state().as_str());
                let found = format!("order {order_id} is {status}, its reservation {state}: {why}");
                findings.violated(INV_5, found);
            }
        }
        self.through_orders.went(to, page_before.len());
        Ok(())
    }

    /// Reads a page of reservations, then their orders. An order is committed before its
    /// reservation, so each must exist.
    async fn step_through_reservations(
        &mut self,
        page: Page<OrderId>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let stored = self.inventory.reservations_after(page.after, page.limit).await?;
        let stored = page.of(stored, |stored| stored.key);
        let ids: Vec<_> = stored.iter().map(|stored| stored.key).collect();
        let found = look_up(&*self.orders, ids.clone(), INV_5, findings).await?;
        let found: BTreeMap<_, _> = found.iter().map(|order| (order.order_id, ())).collect();
        findings.read(ids.len() + found.len());
        findings.checked(INV_5, ids.len());
        for Stored { key: order_id, row } in &stored {
            findings.demand(INV_5, found.contains_key(order_id), || {
                let held = row.as_ref().map_or_else(
                    |_| "it cannot be read".to_owned(),
                    |row| {
                        format!(
                            "it holds {} units",
                            row.holdings.iter().map(Holding::held).sum::<i64>()
                        )
                    },
                );
                format!("reservation {order_id} has no order that can be read: {held}")
            });
        }
        self.through_reservations.went(ids.last().copied(), ids.len());
        Ok(())
    }
}

#[async_trait]
impl Audit for Agreement {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_5]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        if !self.under_way {
            self.through_orders.begin(self.orders.last_order_id().await?);
            self.through_reservations.begin(self.inventory.last_order_id().await?);
            self.under_way = true;
        }
        if let Some(page) = self.through_orders.page(self.budget.page) {
            self.step_through_orders(page, findings).await?;
        } else if let Some(page) = self.through_reservations.page(self.budget.page) {
            self.step_through_reservations(page, findings).await?;
        } else {
            self.under_way = false;
            return Ok(Progress::RoundOver);
        }
        Ok(Progress::UnderWay)
    }
}

/// The orders that the histories add up to. A history that is broken is a violation.
fn fold_all(page: &[OrderAudit], findings: &mut Findings) -> BTreeMap<OrderId, Order> {
    let mut orders = BTreeMap::new();
    for audit in page {
        match folded(audit) {
            Ok(order) => {
                orders.insert(audit.order_id, order);
            }
            Err(broken) => findings.violated(INV_5, format!("order {}: {broken}", audit.order_id)),
        }
    }
    orders
}

/// The reservations that can be decoded. The others are violations.
fn readable(
    stored: Vec<Stored<OrderId, Reservation>>,
    findings: &mut Findings,
) -> Result<BTreeMap<OrderId, Reservation>, Failure> {
    let mut reservations = BTreeMap::new();
    for Stored { key, row } in stored {
        let name = format_args!("the reservation of order {key}");
        if let Some(reservation) = findings.readable(INV_5, name, row)? {
            reservations.insert(key, reservation);
        }
    }
    Ok(reservations)
}

/// How an order and its reservation disagree, if they do (INV-5). `before` was read before the
/// reservation, and `after` after it.
fn disagreement(
    before: &Order,
    after: &Order,
    reservation: Option<&Reservation>,
) -> Option<String> {
    let settled = before.registers.settled();
    let revision = reservation.map(|reservation| reservation.revision);
    if revision < settled {
        let settled = settled.map_or(0, Revision::get);
        let revision = revision.map_or(0, Revision::get);
        return Some(format!("the order settled revision {settled}, Inventory is at {revision}"));
    }
    let reservation = reservation?;
    let facts = reservation.facts();
    if settled == revision && before.registers.facts.as_ref() != Some(&facts) {
        let known = before.registers.facts.as_ref();
        return Some(format!("the order settled with {known:?}, Inventory has {facts:?}"));
    }
    // The order must be able to take Inventory's facts, as if they came now.
    if let Reading::Anomaly(why) = after.registers.read(&facts, reservation.digest, after.digest) {
        return Some(format!("at revision {}, {why}", facts.revision));
    }
    let intent = &after.registers.intent;
    let shipped = shipped(reservation);
    if intent.revision == facts.revision && intent.shipped != shipped {
        let wanted = &intent.shipped;
        return Some(format!("{wanted:?} shall be shipped, Inventory shipped {shipped:?}"));
    }
    let returned = returned(reservation);
    if intent.revision == facts.revision && intent.returned != returned {
        let wanted = &intent.returned;
        return Some(format!("{wanted:?} came back, Inventory booked {returned:?}"));
    }
    None
}

/// The units that came back, as Inventory booked them.
fn returned(reservation: &Reservation) -> Returned {
    let entries = reservation.returns.iter().map(|found| found.units.clone()).collect();
    Returned::sorted(entries).unwrap_or_default()
}

/// The units that have left the stock, by stock key.
fn shipped(reservation: &Reservation) -> Allocations {
    let shipped = reservation.holdings.iter().filter_map(|holding| {
        let units = u32::try_from(holding.shipped).ok()?;
        Some(contract::Allocation {
            product_id: holding.product_id.clone(),
            location_id: holding.location_id.clone(),
            quantity: contract::Quantity::new(units).ok()?,
        })
    });
    Allocations::sorted(shipped.collect()).unwrap_or_default()
}
