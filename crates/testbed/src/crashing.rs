//! A program that is killed at a crash point under load and started again.

use std::sync::Arc;

use crate::{Deployment, Load, PATIENCE, Random, Record, eventually, nothing_in_flight};

/// Expands the macro `$with` with every crash point of the services and an identifier for each.
#[macro_export]
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

/// Kills a program of the deployment at `point` under load, in one of the first `max_passes`
/// passes, and starts it again. Returns the deployment and what the clients recorded.
pub async fn killed_at(
    point: &str,
    max_passes: u64,
    mut shop: Deployment,
    random: &mut Random,
) -> (Deployment, Record) {
    // The sweeper sends only commands without an answer, so even one pass is rare.
    let is_swept = point == "sweep.leased";
    let pass = if is_swept { 1 } else { 1 + random.below(max_passes) };
    if is_swept {
        // Without open orders, the sweeper has nothing to send before the program is ready.
        nothing_in_flight(PATIENCE, &shop).await;
    }
    shop.environment.fault = Some(format!("kill {point} {pass}"));
    shop.reopen().await;
    let shop = Arc::new(shop);
    let held = if is_swept { Some(shop.hold_inventory().await) } else { None };
    let load = Load::on(&shop, random);
    eventually(PATIENCE, &format!("a program ends at {point}, pass {pass}"), || async {
        shop.programs.one_has_ended().then_some(())
    })
    .await;
    drop(held);
    let record = load.end().await;
    let mut shop = Arc::into_inner(shop).expect("no client is left");
    shop.environment.fault = None;
    shop.restart_ended().await;
    (shop, record)
}
