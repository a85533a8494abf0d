//! Fills empty databases with orders, many times faster than the services could take them, so that
//! the cost of an order can be measured beside millions of stored ones.
//!
//! The rows are those that the services would have written, and `lastro verify` accepts them. Order
//! number `n` has one unit of two products, `n mod H` and that number + `H`, where `H` is half of
//! the products. So all about order `n` follows from `n`: the movements before its own are those of
//! order `n - H`.

use contract::{Digest, Intent, ProductId, Quantity, Wanted};
use platform::clock::{Clock, SystemClock};
use platform::config::DatabaseUrl;
use platform::process::ProgramError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bench::workload::product_id;
use crate::serve::Databases;

mod postgres;
mod sqlite;

/// The time between two orders.
const GAP_US: i64 = 200;
/// The time from an order to the decision about its stock, and from that to its outcome.
const STEP_US: i64 = 50;
/// How many orders one transaction writes.
const CHUNK: u64 = 20_000;
const PRICE_MINOR: u32 = 1_000;
/// The number of customers, which take turns.
const CUSTOMERS: u64 = 10_000;

/// What the orders have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Both products are reserved, and the order is confirmed.
    Confirmed,
    /// The Inventory Service has not heard of the order: a backlog.
    Received,
}

/// What databases are filled with.
#[derive(Clone, Debug)]
pub(super) struct Filling {
    pub(super) orders: u64,
    pub(super) reached: Reached,
    /// An even number of products, at most 9 998: their ids sort by number.
    pub(super) products: u32,
    /// Units of each product, received before the first order.
    pub(super) units: u32,
}

/// Writes the products and the orders into the databases, which were migrated, are empty, and have
/// no service running. Cancelling `stop` ends it early.
///
/// # Errors
///
/// A database refuses a row, or `stop` was cancelled.
pub(super) async fn fill(
    databases: &Databases,
    filling: Filling,
    stop: &CancellationToken,
) -> Result<(), ProgramError> {
    let plan = Plan::new(filling);
    match (&databases.orders, &databases.inventory) {
        (DatabaseUrl::Sqlite(orders), DatabaseUrl::Sqlite(inventory)) => {
            sqlite::fill(orders, inventory, plan, stop).await
        }
        (DatabaseUrl::Postgres(orders), DatabaseUrl::Postgres(inventory)) => {
            postgres::fill(orders, inventory, &plan, stop).await
        }
        _ => Err(ProgramError::failed("the loader fills two databases of one engine")),
    }
}

fn interrupted() -> ProgramError {
    ProgramError::failed("interrupted")
}

/// All that the rows of the orders are made of.
#[derive(Debug)]
struct Plan {
    filling: Filling,
    /// When the first order was placed.
    begin_us: i64,
    pairs: Vec<Pair>,
}

/// What all orders of the same two products have in common.
#[derive(Debug)]
struct Pair {
    digest: Digest,
    /// The columns `lines` of an order, and `allocated` in its history.
    lines: String,
    allocated: String,
}

impl Plan {
    fn new(filling: Filling) -> Self {
        let lasted = i64::try_from(filling.orders).unwrap_or(i64::MAX).saturating_mul(GAP_US);
        // The newest order is a second old.
        let begin_us = SystemClock.now().0 - lasted - 1_000_000;
        let half = filling.products / 2;
        let pairs = (0..half).map(|first| Pair::of([first, first + half])).collect();
        Self { filling, begin_us, pairs }
    }

    /// The number of pairs of products.
    fn half(&self) -> u64 {
        u64::from(self.filling.products / 2)
    }

    fn chunks(&self) -> impl Iterator<Item = std::ops::Range<u64>> + use<> {
        let orders = self.filling.orders;
        (0..orders)
            .step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX))
            .map(move |from| from..orders.min(from + CHUNK))
    }

    /// When the order was placed.
    fn placed_us(&self, order: u64) -> i64 {
        self.begin_us + i64::try_from(order).unwrap_or(i64::MAX) * GAP_US
    }

    fn order_id(&self, order: u64) -> Uuid {
        let ms = u128::try_from(self.placed_us(order) / 1000).unwrap_or(0);
        let version = 0x7000 | u128::from(order & 0xfff);
        Uuid::from_u128((ms << 80) | (version << 64) | (1 << 63) | u128::from(order))
    }

    fn pair(&self, order: u64) -> &Pair {
        &self.pairs[usize::try_from(order % self.half()).unwrap_or(0)]
    }

    /// The number of the movement of one of the two lines of an order. The first numbers are those
    /// of the received units.
    fn movement_no(&self, order: u64, line: u64) -> u64 {
        u64::from(self.filling.products) + 1 + 2 * order + line
    }

    /// The movement of the same product before [`movement_no`](Self::movement_no).
    fn movement_before(&self, order: u64, line: u64) -> u64 {
        match order.checked_sub(self.half()) {
            Some(earlier) => self.movement_no(earlier, line),
            None => self.product_no(order, line),
        }
    }

    /// The number of a product of an order. It is the number of the movement that received its
    /// units as well.
    fn product_no(&self, order: u64, line: u64) -> u64 {
        1 + order % self.half() + line * self.half()
    }

    /// How many units of its products are reserved, with this order.
    fn reserved(&self, order: u64) -> u64 {
        1 + order / self.half()
    }

    /// The number of orders of a product, which is how many of its units are reserved in the end.
    fn orders_of(&self, product: u32) -> u64 {
        let pair = u64::from(product) % self.half();
        match self.filling.reached {
            Reached::Confirmed => (self.filling.orders + self.half() - 1 - pair) / self.half(),
            Reached::Received => 0,
        }
    }

    /// The number of the last movement of a product.
    fn last_movement(&self, product: u32) -> u64 {
        let line = u64::from(product) / self.half();
        match self.orders_of(product) {
            0 => 1 + u64::from(product),
            orders => {
                let pair = u64::from(product) % self.half();
                self.movement_no((orders - 1) * self.half() + pair, line)
            }
        }
    }
}

impl Pair {
    fn of(products: [u32; 2]) -> Self {
        let ids = products.map(product_id);
        let wanted = ids.each_ref().map(|id| {
            let id: ProductId = id.parse().expect("ids of products are plain ASCII");
            (id, Quantity::new(1).expect("one unit is a quantity"))
        });
        let wanted = Wanted::sum(wanted).expect("two lines are an order");
        let [first, second] = ids;
        Self {
            digest: Intent::placed(wanted).digest(),
            lines: format!(r#"[["{first}",1,{PRICE_MINOR}],["{second}",1,{PRICE_MINOR}]]"#),
            allocated: format!(r#"[["{first}","main",1],["{second}","main",1]]"#),
        }
    }
}

#[cfg(test)]
mod tests;
