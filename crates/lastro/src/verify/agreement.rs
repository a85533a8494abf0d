//! INV-5: every order against its reservation.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use contract::{OrderId, ProductId};
use inventory::core::reservation::{Before, Reservation, State, StateName};
use inventory::store::Store as InventoryStore;
use orders::core::order::Status;
use orders::store::{OrderAudit, Store as OrdersStore};
use platform::audit::{Books, Findings, Invariant, Progress, Reach};
use platform::batcher::Failure;

pub(crate) const INV_5: Invariant =
    Invariant { name: "INV-5", says: "both services agree about every order", counted: "orders and reservations" };

/// The books of both services, held against each other page by page: orders first, then reservations without one.
#[derive(Debug)]
pub(crate) struct Agreement {
    orders: Arc<dyn OrdersStore>,
    inventory: Arc<dyn InventoryStore>,
    reach: Reach,
    /// Where the next page begins.
    next: Page,
}

#[derive(Clone, Copy, Debug)]
enum Page {
    Orders { after: Option<OrderId> },
    Reservations { after: Option<OrderId> },
}

impl Agreement {
    pub(crate) fn new(orders: Arc<dyn OrdersStore>, inventory: Arc<dyn InventoryStore>, reach: Reach) -> Self {
        Self { orders, inventory, reach, next: Page::Orders { after: None } }
    }

    /// A page of orders is read, then their reservations, and then once more the orders that do not fit theirs: they
    /// may have moved in between.
    async fn step_through_orders(&mut self, after: Option<OrderId>, findings: &mut Findings) -> Result<(), Failure> {
        let before = self.orders.audit_after(after, self.reach.page).await?;
        let ids = before.iter().map(|order| order.order_id).collect();
        let reservations = by_id(self.inventory.audit_of(ids).await?, |reservation| reservation.order_id);
        let state = |order: &OrderAudit| reservations.get(&order.order_id).map(|reservation| reservation.state.name());
        let doubtful = before.iter().filter(|order| !agrees(order.status, state(order)));
        let doubtful: Vec<_> = doubtful.map(|order| order.order_id).collect();
        let again = if doubtful.is_empty() { Vec::new() } else { self.orders.audit_of(doubtful.clone()).await? };
        let again = by_id(again, |order| order.order_id);
        findings.read(before.len() + reservations.len() + again.len());
        findings.checked(INV_5, before.len());
        for order in &before {
            let now = if doubtful.contains(&order.order_id) { again.get(&order.order_id) } else { Some(order) };
            match now {
                Some(now) => check_pair(order, now, reservations.get(&order.order_id), findings),
                None => findings.violated(INV_5, format!("order {} disappeared", order.order_id)),
            }
        }
        let last = before.last().map(|order| order.order_id);
        self.next = last.map_or(Page::Reservations { after: None }, |id| Page::Orders { after: Some(id) });
        Ok(())
    }

    /// Reservations are read first, so the order of each must be there when it is looked up.
    async fn step_through_reservations(
        &mut self,
        after: Option<OrderId>,
        findings: &mut Findings,
    ) -> Result<Progress, Failure> {
        let reservations = self.inventory.audit_after(after, self.reach.page).await?;
        let ids = reservations.iter().map(|reservation| reservation.order_id).collect();
        let found = by_id(self.orders.audit_of(ids).await?, |order| order.order_id);
        findings.read(reservations.len() + found.len());
        findings.checked(INV_5, reservations.len());
        for reservation in &reservations {
            findings.demand(INV_5, found.contains_key(&reservation.order_id), || {
                format!("reservation {} has no order", reservation.order_id)
            });
        }
        let last = reservations.last().map(|reservation| reservation.order_id);
        self.next = last.map_or(Page::Orders { after: None }, |id| Page::Reservations { after: Some(id) });
        Ok(if last.is_some() { Progress::UnderWay } else { Progress::RoundOver })
    }
}

#[async_trait]
impl Books for Agreement {
    fn invariants(&self) -> Vec<Invariant> {
        vec![INV_5]
    }

    async fn step(&mut self, findings: &mut Findings) -> Result<Progress, Failure> {
        match self.next {
            Page::Orders { after } => self.step_through_orders(after, findings).await.map(|()| Progress::UnderWay),
            Page::Reservations { after } => self.step_through_reservations(after, findings).await,
        }
    }
}

fn by_id<T>(items: Vec<T>, id: impl Fn(&T) -> OrderId) -> BTreeMap<OrderId, T> {
    items.into_iter().map(|item| (id(&item), item)).collect()
}

/// `now` was read after the reservation, `before` earlier: the reservation belongs to some moment in between.
fn check_pair(before: &OrderAudit, now: &OrderAudit, reservation: Option<&Reservation>, findings: &mut Findings) {
    let state = reservation.map(|reservation| reservation.state.name());
    findings.demand(INV_5, passed_through(before, now).into_iter().any(|status| agrees(status, state)), || {
        let state = state.map_or("absent", StateName::as_str);
        format!("order {} is {}, its reservation {state}", now.order_id, now.status.as_str())
    });
    let Some(reservation) = reservation else { return };
    let stock_digest = before.terms.stock_lines().digest();
    let same_lines = reservation.digest == before.digest && stock_digest == before.digest;
    findings.demand(INV_5, same_lines, || format!("order {} and its reservation differ in their lines", now.order_id));
    findings.demand(INV_5, allocates_all_or_nothing(before, reservation), || {
        format!("order {}: its allocations do not add up to its lines", now.order_id)
    });
}

/// Where the order stood between the two reads: where it stands, unless it moved.
fn passed_through(before: &OrderAudit, now: &OrderAudit) -> Vec<Status> {
    let moved = now.history.len() > before.history.len();
    let last_seen = before.history.len().saturating_sub(1);
    if moved { now.history[last_seen..].iter().map(|(_, status)| *status).collect() } else { vec![now.status] }
}

/// The table of INV-5.
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
    let wanted: BTreeMap<_, _> = lines.iter().map(|line| (&line.product_id, line.quantity.units())).collect();
    match &reservation.state {
        State::Reserved(_) | State::Shipped(_) | State::Released(Before::Reserved(_)) => allocated == wanted,
        State::Rejected(_) | State::Released(Before::Absent | Before::Rejected(_)) => allocated.is_empty(),
    }
}
