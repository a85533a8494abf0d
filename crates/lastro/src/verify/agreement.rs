//! INV-4, INV-5 and INV-7: every order by itself, and against its reservation.

use std::collections::BTreeMap;

use contract::{OrderId, ProductId};
use inventory::core::reservation::{Before, Reservation, State, StateName};
use inventory::store::Store as InventoryStore;
use orders::core::money;
use orders::core::order::Status;
use orders::store::{OrderAudit, Store as OrdersStore};
use platform::batcher::Failure;

use super::{Invariant, PAGE, Report, rejections};

/// Walks the orders; each page is read, then its reservations, then the same orders again.
pub(super) async fn check_orders(
    orders: &dyn OrdersStore,
    inventory: &dyn InventoryStore,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let before = orders.audit_after(after, PAGE).await?;
        let Some(last) = before.last() else { return Ok(()) };
        after = Some(last.order_id);
        let ids: Vec<OrderId> = before.iter().map(|order| order.order_id).collect();
        let reservations = by_id(inventory.audit_of(ids.clone()).await?, |reservation| reservation.order_id);
        let again = by_id(orders.audit_of(ids).await?, |order| order.order_id);
        for order in &before {
            check_order(order, report);
            match again.get(&order.order_id) {
                Some(now) => check_pair(order, now, reservations.get(&order.order_id), report),
                None => report.violated(Invariant::Inv4, format!("order {} disappeared", order.order_id)),
            }
        }
    }
}

/// Walks the reservations: read first, so the order of each must be there when it is looked up.
pub(super) async fn check_reservations(
    orders: &dyn OrdersStore,
    inventory: &dyn InventoryStore,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let reservations = inventory.audit_after(after, PAGE).await?;
        let Some(last) = reservations.last() else { return Ok(()) };
        after = Some(last.order_id);
        let ids = reservations.iter().map(|reservation| reservation.order_id).collect();
        let found = by_id(orders.audit_of(ids).await?, |order| order.order_id);
        report.checked(Invariant::Inv5, reservations.len());
        for reservation in &reservations {
            report.demand(Invariant::Inv5, found.contains_key(&reservation.order_id), || {
                format!("reservation {} has no order", reservation.order_id)
            });
        }
        rejections::check(inventory, &reservations, report).await?;
    }
}

fn by_id<T>(items: Vec<T>, id: impl Fn(&T) -> OrderId) -> BTreeMap<OrderId, T> {
    items.into_iter().map(|item| (id(&item), item)).collect()
}

/// What one snapshot of one order must satisfy by itself.
fn check_order(order: &OrderAudit, report: &mut Report) {
    let id = order.order_id;
    report.checked(Invariant::Inv4, 1);
    let path = order.history.iter().map(|(_, status)| status.as_str()).collect::<Vec<_>>().join(" → ");
    report.demand(Invariant::Inv4, is_legal(order), || {
        format!("order {id} is {} with the history {path}", order.status.as_str())
    });
    let lines = || order.terms.lines.iter();
    let total = money::total(lines().map(|line| (line.quantity.get(), line.price_minor)));
    report.demand(Invariant::Inv4, total == Ok(order.total_minor), || {
        format!("order {id}: its total is {} minor units, its lines come to {total:?}", order.total_minor)
    });
    report.checked(Invariant::Inv7, 1);
    report.demand(Invariant::Inv7, order.pending == order.status.in_flight(), || {
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

/// `now` was read after the reservation, `before` earlier: the reservation belongs to some moment in between.
fn check_pair(before: &OrderAudit, now: &OrderAudit, reservation: Option<&Reservation>, report: &mut Report) {
    report.checked(Invariant::Inv5, 1);
    let state = reservation.map(|reservation| reservation.state.name());
    report.demand(Invariant::Inv5, passed_through(before, now).into_iter().any(|status| agrees(status, state)), || {
        let state = state.map_or("absent", StateName::as_str);
        format!("order {} is {}, its reservation {state}", now.order_id, now.status.as_str())
    });
    let Some(reservation) = reservation else { return };
    let stock_digest = before.terms.stock_lines().digest();
    let same_lines = reservation.digest == before.digest && stock_digest == before.digest;
    report.demand(Invariant::Inv5, same_lines, || {
        format!("order {} and its reservation differ in their lines", now.order_id)
    });
    report.demand(Invariant::Inv5, allocates_all_or_nothing(before, reservation), || {
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
