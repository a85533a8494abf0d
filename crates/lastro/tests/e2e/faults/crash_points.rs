//! SIGKILL at each named place, under random load.

use std::sync::Arc;

use testbed::{PATIENCE, eventually};

use crate::load::{Load, PRODUCTS, Told};
use crate::random::Random;
use crate::shop::Shop;

/// A test for every place, named after it.
macro_rules! crash_points {
    ($($name:ident: $point:literal,)+) => {
        $(#[tokio::test]
        async fn $name() {
            check($point).await;
        })+
    };
}

crash_points! {
    orders_before_begin: "orders.before_begin",
    orders_before_commit: "orders.before_commit",
    orders_commit_sent: "orders.commit_sent",
    orders_committed: "orders.committed",
    orders_published: "orders.published",
    sweep_leased: "sweep.leased",
    inventory_locked: "inventory.locked",
    inventory_before_commit: "inventory.before_commit",
    inventory_commit_sent: "inventory.commit_sent",
    inventory_committed: "inventory.committed",
    inventory_published: "inventory.published",
    settle_commit_sent: "settle.commit_sent",
    settle_committed: "settle.committed",
}

/// Passes of the place before the one that kills, at most.
const MAX_PASSES: u64 = 30;

async fn check(point: &str) {
    let mut random = Random::seeded(point);
    let mut shop = Shop::open().await;
    for product in PRODUCTS {
        shop.stock(product, 500).await;
    }
    // Only what nobody answers is ever swept: its first pass is rare enough.
    let is_swept = point == "sweep.leased";
    let pass = if is_swept { 1 } else { 1 + random.below(MAX_PASSES) };
    shop.setting.fault = Some(format!("kill {point} {pass}"));
    shop.reopen().await;
    let shop = Arc::new(shop);
    let held = is_swept.then(|| shop.hold_inventory());
    let load = Load::on(&shop, &mut random);
    eventually(PATIENCE, &format!("it dies at {point}, pass {pass}"), || async {
        shop.programs.one_has_ended().then_some(())
    })
    .await;
    drop(held);
    let mut told: Told = load.end().await;
    let mut shop = Arc::into_inner(shop).expect("no client is left");
    shop.setting.fault = None;
    shop.restart_ended().await;
    told.check(&Arc::new(shop)).await;
}
