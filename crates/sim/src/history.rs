//! The clients' requests and answers. Both databases must agree with them (INV-6).

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use orders_core::status::Status;

use crate::databases::{Databases, MovementRow, OrderRow};
use crate::fold::Tracking;
use crate::states::{Violation, broken};

mod changes;

/// What a client knows after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Heard {
    /// A 2xx: it is done for good.
    Done,
    /// A 4xx: it is not done, and will not be.
    Refused,
    /// It is not done; a repeat may do it.
    NotDone,
    /// It may or may not be done.
    Unknown,
}

/// An order that a client wants. Its customer id is unique.
#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) customer_id: String,
    pub(crate) key: Option<String>,
    /// For how many seconds the order waits for its payment, if it does.
    pub(crate) pays_within_s: Option<i64>,
    /// Product, units and price in minor units.
    pub(crate) lines: Vec<(String, i64, i64)>,
    pub(crate) body: String,
    pub(crate) heard: Vec<Heard>,
    pub(crate) order_ids: BTreeSet<OrderId>,
}

/// A movement of stock that the warehouse wants. Its reference is unique.
#[derive(Clone, Debug)]
pub(crate) struct Stocking {
    pub(crate) reference: String,
    pub(crate) product_id: String,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    pub(crate) heard: Vec<Heard>,
}

/// A request about an order that exists.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) order_id: OrderId,
    pub(crate) method: &'static str,
    /// The path behind the order.
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) mark: Mark,
    pub(crate) heard: Vec<Heard>,
}

/// How a change is found in the history of its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// By its idempotency key. A client may use it for something else, too.
    Key(String),
    /// By the reference of the payment or the refund. Several requests may have the same. The amount
    /// is in minor units; a payment without one is of what is due.
    Payment(String, Option<i64>),
    /// The shipment with this number is cancelled.
    Unship(i64),
    /// The shipment with this number is followed so.
    Track(i64, Tracking),
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) purchases: Vec<Purchase>,
    pub(crate) stockings: Vec<Stocking>,
    pub(crate) changes: Vec<Change>,
    /// Customers who will pay, or not, some time after they have placed an order.
    pub(crate) payers: usize,
    /// Every status that clients got in an answer, by order.
    acknowledged: BTreeMap<OrderId, BTreeSet<Status>>,
}

impl History {
    pub(crate) fn begin_purchase(&mut self, purchase: Purchase) -> usize {
        self.purchases.push(purchase);
        self.purchases.len() - 1
    }

    pub(crate) fn begin_stocking(&mut self, stocking: Stocking) -> usize {
        self.stockings.push(stocking);
        self.stockings.len() - 1
    }

    pub(crate) fn begin_change(&mut self, change: Change) -> usize {
        self.changes.push(change);
        self.changes.len() - 1
    }

    /// The changes of an order that were asked for under this path.
    pub(crate) fn changes_of(&self, order_id: OrderId, path: &str) -> Vec<usize> {
        let is_its = |change: &Change| change.order_id == order_id && change.path == path;
        (0..self.changes.len()).filter(|at| is_its(&self.changes[*at])).collect()
    }

    /// Whether several changes have the key.
    pub(crate) fn shares_key(&self, change: usize) -> bool {
        let mark = &self.changes[change].mark;
        self.changes.iter().filter(|other| other.mark == *mark).count() > 1
    }

    pub(crate) fn open_changes(&self) -> Vec<usize> {
        (0..self.changes.len()).filter(|at| is_open(&self.changes[*at].heard)).collect()
    }

    pub(crate) fn acknowledge(&mut self, order_id: OrderId, status: Status) {
        self.acknowledged.entry(order_id).or_default().insert(status);
    }

    pub(crate) fn known_orders(&self) -> Vec<OrderId> {
        self.acknowledged.keys().copied().collect()
    }

    /// Purchases with a key whose outcome their clients do not know yet.
    pub(crate) fn open_purchases(&self) -> Vec<usize> {
        let is_open = |purchase: &Purchase| purchase.key.is_some() && is_open(&purchase.heard);
        (0..self.purchases.len()).filter(|at| is_open(&self.purchases[*at])).collect()
    }

    pub(crate) fn open_stockings(&self) -> Vec<usize> {
        let is_open = |stocking: &Stocking| stocking.key.is_some() && is_open(&stocking.heard);
        (0..self.stockings.len()).filter(|at| is_open(&self.stockings[*at])).collect()
    }

    /// INV-6, for all orders and movements in the databases.
    pub(crate) fn check(&self, databases: &Databases) -> Result<(), Violation> {
        let rows = databases.orders();
        for (order_id, statuses) in &self.acknowledged {
            let row = rows.iter().find(|row| row.order_id == *order_id);
            let went_through = |status: &Status| row.is_some_and(|row| row.was(*status));
            if let Some(status) = statuses.iter().find(|status| !went_through(status)) {
                return broken(
                    "INV-6",
                    format!("order {order_id} was said to be {status:?}, and is {row:?}"),
                );
            }
        }
        rows.iter().try_for_each(|row| self.check_content(row))?;
        let mut by_key: BTreeMap<&str, Vec<&Purchase>> = BTreeMap::new();
        for purchase in &self.purchases {
            match &purchase.key {
                Some(key) => by_key.entry(key).or_default().push(purchase),
                None => check_without_key(purchase, &rows)?,
            }
        }
        for (key, purchases) in by_key {
            check_key(key, &purchases, &rows)?;
        }
        self.changes.iter().try_for_each(|change| changes::check(change, &self.changes, &rows))?;
        let movements = databases.movements();
        self.stockings.iter().try_for_each(|stocking| check_stocking(stocking, &movements))
    }

    fn check_content(&self, row: &OrderRow) -> Result<(), Violation> {
        let wanted = self.purchases.iter().find(|purchase| purchase.customer_id == row.customer_id);
        let prices = row.content.lines.iter().map(|(_, units, price_minor)| units * price_minor);
        let total_minor: i64 = prices.sum();
        let is_its = |wanted: &Purchase| {
            wanted.lines == row.content.lines && wanted.pays_within_s == row.content.pays_within_s
        };
        if wanted.is_some_and(is_its) && row.total_minor == total_minor {
            return Ok(());
        }
        broken("INV-6", format!("{row:?} is not what was asked for: {wanted:?}"))
    }
}

fn is_open(heard: &[Heard]) -> bool {
    !heard.iter().any(|heard| matches!(heard, Heard::Done | Heard::Refused))
}

fn count(heard: &[Heard], what: Heard) -> usize {
    heard.iter().filter(|heard| **heard == what).count()
}

fn check_key(key: &str, purchases: &[&Purchase], rows: &[OrderRow]) -> Result<(), Violation> {
    let rows: Vec<_> = rows.iter().filter(|row| row.key.as_deref() == Some(key)).collect();
    if rows.len() > 1 {
        return broken("INV-6", format!("the key {key} has {} orders", rows.len()));
    }
    for purchase in purchases {
        let its = rows.first().filter(|row| row.customer_id == purchase.customer_id);
        if count(&purchase.heard, Heard::Done) > 0 {
            let right = its.is_some_and(|row| purchase.order_ids.iter().eq([&row.order_id]));
            if !right {
                return broken(
                    "INV-6",
                    format!("{purchase:?} was confirmed, and there is {rows:?}"),
                );
            }
        } else if let Some(row) = its
            && (count(&purchase.heard, Heard::Refused) > 0
                || count(&purchase.heard, Heard::Unknown) == 0)
        {
            return broken("INV-6", format!("{purchase:?} was never done, and there is {row:?}"));
        }
    }
    Ok(())
}

fn check_without_key(purchase: &Purchase, rows: &[OrderRow]) -> Result<(), Violation> {
    let ids: BTreeSet<_> = rows
        .iter()
        .filter(|row| row.customer_id == purchase.customer_id)
        .map(|row| row.order_id)
        .collect();
    let done = count(&purchase.heard, Heard::Done);
    let unknown = count(&purchase.heard, Heard::Unknown);
    let right = (done..=done + unknown).contains(&ids.len()) && purchase.order_ids.is_subset(&ids);
    if right { Ok(()) } else { broken("INV-6", format!("{purchase:?} has the orders {ids:?}")) }
}

fn check_stocking(stocking: &Stocking, movements: &[MovementRow]) -> Result<(), Violation> {
    let made = movements
        .iter()
        .filter(|movement| movement.reference.as_ref() == Some(&stocking.reference))
        .count();
    let done = count(&stocking.heard, Heard::Done);
    let unknown = count(&stocking.heard, Heard::Unknown);
    let most = if stocking.key.is_some() { (done + unknown).min(1) } else { done + unknown };
    let least = if stocking.key.is_some() { done.min(1) } else { done };
    let right = (least..=most).contains(&made);
    if right { Ok(()) } else { broken("INV-6", format!("{stocking:?} made {made} movements")) }
}
