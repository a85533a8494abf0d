//! INV-5: every order against its reservation.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory::store::AuditStore as InventoryStore;
use inventory_core::reservation::{Before, Reservation, State, StateName};
use orders::store::{AuditStore as OrdersStore, OrderAudit};
use orders_core::order::Status;
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
    orders: Arc<dyn OrdersStore>,
    inventory: Arc<dyn InventoryStore>,
    budget: ReadBudget,
    under_way: bool,
    /// Where the next pages begin: of orders, and of reservations.
    through_orders: Walk<OrderId>,
    through_reservations: Walk<OrderId>,
}

impl Agreement {
    pub(crate) fn new(
        orders: Arc<dyn OrdersStore>,
        inventory: Arc<dyn InventoryStore>,
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

    /// Reads a page of orders, then their reservations, and then again the orders that do not
    /// match: such an order may have changed in between.
    async fn step_through_orders(
        &mut self,
        page: Page<OrderId>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let (before, to) = read_page(&*self.orders, page, INV_5, findings).await?;
        let ids = before.iter().map(|order| order.order_id).collect();
        let reservations = look_up(&*self.inventory, ids, INV_5, findings).await?;
        let reservations = by_id(reservations, |reservation| reservation.order_id);
        let state = |order: &OrderAudit| {
            reservations.get(&order.order_id).map(|reservation| reservation.state.name())
        };
        let doubtful = before.iter().filter(|order| !agrees(order.status, state(order)));
        let doubtful: Vec<_> = doubtful.map(|order| order.order_id).collect();
        let again = look_up(&*self.orders, doubtful.clone(), INV_5, findings).await?;
        let again = by_id(again, |order| order.order_id);
        findings.read(before.len() + reservations.len() + again.len());
        findings.checked(INV_5, before.len());
        for order in &before {
            let now = if doubtful.contains(&order.order_id) {
                again.get(&order.order_id)
            } else {
                Some(order)
            };
            match now {
                Some(now) => check_pair(order, now, reservations.get(&order.order_id), findings),
                None => findings.violated(INV_5, format!("order {} disappeared", order.order_id)),
            }
        }
        self.through_orders.went(to, before.len());
        Ok(())
    }

    /// Reads a page of reservations, then their orders. An order is committed before its
    /// reservation, so each must exist.
    async fn step_through_reservations(
        &mut self,
        page: Page<OrderId>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let (reservations, to) = read_page(&*self.inventory, page, INV_5, findings).await?;
        let ids = reservations.iter().map(|reservation| reservation.order_id).collect();
        let found = look_up(&*self.orders, ids, INV_5, findings).await?;
        let found = by_id(found, |order| order.order_id);
        findings.read(reservations.len() + found.len());
        findings.checked(INV_5, reservations.len());
        for reservation in &reservations {
            findings.demand(INV_5, found.contains_key(&reservation.order_id), || {
                format!("reservation {} has no order that can be read", reservation.order_id)
            });
        }
        self.through_reservations.went(to, reservations.len());
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

fn by_id<T>(items: Vec<T>, id: impl Fn(&T) -> OrderId) -> BTreeMap<OrderId, T> {
    items.into_iter().map(|item| (id(&item), item)).collect()
}

/// `before` was read before the reservation and `now` after it, so the reservation matches a status
/// that the order had in between.
fn check_pair(
    before: &OrderAudit,
    now: &OrderAudit,
    reservation: Option<&Reservation>,
    findings: &mut Findings,
) {
    let state = reservation.map(|reservation| reservation.state.name());
    findings.demand(
        INV_5,
        passed_through(before, now).into_iter().any(|status| agrees(status, state)),
        || {
            let state = state.map_or("absent", StateName::as_str);
            format!("order {} is {}, its reservation {state}", now.order_id, now.status.as_str())
        },
    );
    let Some(reservation) = reservation else { return };
    let stock_digest = before.terms.stock_lines().digest();
    let same_lines = reservation.digest == before.digest && stock_digest == before.digest;
    findings.demand(INV_5, same_lines, || {
        format!("order {} and its reservation differ in their lines", now.order_id)
    });
    findings.demand(INV_5, allocates_all_or_nothing(before, reservation), || {
        format!("order {}: its allocations do not add up to its lines", now.order_id)
    });
}

/// The statuses that the order had between the two reads.
fn passed_through(before: &OrderAudit, now: &OrderAudit) -> Vec<Status> {
    let moved = now.history.len() > before.history.len();
    let last_seen = before.history.len().saturating_sub(1);
    if moved {
        now.history[last_seen..].iter().map(|(_, status)| *status).collect()
    } else {
        vec![now.status]
    }
}

/// Whether a status of an order and a state of its reservation may exist together (INV-5).
fn agrees(order: Status, reservation: Option<StateName>) -> bool {
    use StateName::{Rejected, Released, Reserved, Shipped};
    match order {
        Status::Received => matches!(reservation, None | Some(Reserved | Rejected)),
        Status::Confirmed => reservation == Some(Reserved),
        Status::Rejected => reservation == Some(Rejected),
        Status::Cancelling => matches!(reservation, None | Some(Reserved | Rejected | Released)),
        Status::Cancelled => reservation == Some(Released),
        Status::Fulfilling => matches!(reservation, Some(Reserved | Shipped)),
        Status::Fulfilled => reservation == Some(Shipped),
    }
}

fn allocates_all_or_nothing(order: &OrderAudit, reservation: &Reservation) -> bool {
    let mut allocated = BTreeMap::<&ProductId, i64>::new();
    for allocation in reservation.state.allocations() {
        *allocated.entry(&allocation.product_id).or_default() += allocation.quantity.units();
    }
    let lines = order.terms.stock_lines();
    let wanted: BTreeMap<_, _> =
        lines.iter().map(|line| (&line.product_id, line.quantity.units())).collect();
    match &reservation.state {
        State::Reserved(_) | State::Shipped(_) | State::Released(Before::Reserved(_)) => {
            allocated == wanted
        }
        State::Rejected(_) | State::Released(Before::Absent | Before::Rejected(_)) => {
            allocated.is_empty()
        }
    }
}
