//! Replicas share the work, and one that is gone is not missed.

use std::time::Duration;

use testbed::{PATIENCE, Postgres, eventually};
use tokio::time::Instant;

use crate::form::Form;
use crate::shop::{Shop, WAIT, order};
use crate::{Busy, setting_on};

#[tokio::test]
async fn a_replica_that_is_killed_costs_no_order() {
    let server = Postgres::start(&[]).await;
    let busy = Busy::at(setting_on(&server).await, "replica killed").await;
    busy.shop.programs.orders[0].kill();
    busy.accepts_more().await;
    busy.check().await;
}

/// Whichever replica takes an order, and whichever records its outcome: the client hears of it.
#[tokio::test]
async fn whoever_waits_hears_of_what_another_replica_has_settled() {
    let server = Postgres::start(&[]).await;
    let shop = Shop::open_as(Form::Replicas, setting_on(&server).await).await;
    shop.stock("MUG", 1_000).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        let answer = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        assert_eq!(answer.text_at("/status"), "confirmed");
        slowest = slowest.max(begun.elapsed());
    }
    println!("the slowest of 20 took {slowest:?}");
    let settled = async || {
        let mut of_each = Vec::new();
        for answer in shop.get_each("/metrics").await {
            let line =
                answer.text.lines().find(|line| line.starts_with(r#"orders_settled_total{outcome="confirmed"}"#));
            of_each.extend(line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()));
        }
        of_each
    };
    let of_each = eventually(PATIENCE, "all are counted", async || {
        Some(settled().await).filter(|of_each| of_each.iter().sum::<u64>() == 20)
    });
    let of_each = of_each.await;
    println!("orders settled by each replica: {of_each:?}");
    assert!(of_each.iter().all(|settled| *settled > 0), "one of them did nothing: {of_each:?}");
}
