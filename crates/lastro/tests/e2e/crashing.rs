//! A program that dies at a named place, and is started again.

use std::sync::Arc;

use testbed::{PATIENCE, eventually};

use crate::load::{Load, Told, nothing_in_flight};
use crate::random::Random;
use crate::shop::Shop;

/// Expands `$with!` with every place at which a program can die (`platform::fault`), and a name for it.
macro_rules! with_crash_points {
    ($with:ident) => {
        $with! {
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
    };
}
pub(crate) use with_crash_points;

/// The shop after one of its programs was killed at `point` under load, at one of the first `max_passes` of it, and was
/// started again; and what clients were told.
pub(crate) async fn killed_at(point: &str, max_passes: u64, mut shop: Shop, random: &mut Random) -> (Shop, Told) {
    // Only what nobody answers is ever swept: its first pass is rare enough.
    let is_swept = point == "sweep.leased";
    let pass = if is_swept { 1 } else { 1 + random.below(max_passes) };
    if is_swept {
        // What an earlier crash left behind would be swept before the program has said that it is ready.
        nothing_in_flight(PATIENCE, &shop).await;
    }
    shop.setting.fault = Some(format!("kill {point} {pass}"));
    shop.reopen().await;
    let shop = Arc::new(shop);
    let held = if is_swept { Some(shop.hold_inventory().await) } else { None };
    let load = Load::on(&shop, random);
    eventually(PATIENCE, &format!("it dies at {point}, pass {pass}"), || async {
        shop.programs.one_has_ended().then_some(())
    })
    .await;
    drop(held);
    let reported = load.end().await;
    let mut shop = Arc::into_inner(shop).expect("no client is left");
    shop.setting.fault = None;
    shop.restart_ended().await;
    (shop, reported)
}
