//! Orders that are not paid in time.

use std::sync::atomic::{AtomicU64, Ordering};

use contract::Revision;

use super::*;
use crate::store::laws::{pay, place_to_pay};

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_expires_and_its_units_are_released() {
    let mut world = world().await;
    world.run(vec![place_to_pay(1, 60), reserved(1), place_to_pay(2, 61), reserved(2)]).await;
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0);
    world.published().await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 1);
    assert_eq!(world.status(1).await, Some(Status::Expiring));
    assert_eq!(world.status(2).await, Some(Status::Reserved), "it has a second more");
    let published = world.published().await;
    let [command] = &published[..] else { panic!("{published:?}") };
    assert_eq!((command.order_id, command.intent.revision), (id(1), Revision::FIRST.next()));
    assert_eq!(command.intent.wanted.total(), 0, "0 of each product");
    world.run(vec![released(1)]).await;
    assert_eq!(world.status(1).await, Some(Status::Expired));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0, "once");
}

#[tokio::test]
async fn a_payment_that_finds_the_order_reserved_wins_however_late_it_is() {
    let world = world().await;
    world.run(vec![place_to_pay(1, 60), reserved(1)]).await;
    world.clock.advance(DAY);
    world.run(vec![pay(1, "ch_1")]).await;
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0);
    assert_eq!(world.status(1).await, Some(Status::Confirmed));
}

/// As after a crash between the lease and the commit of its commands.
#[tokio::test]
async fn a_lease_that_was_lost_is_repeated() {
    let world = world().await;
    world.run(vec![place_to_pay(1, 60), reserved(1)]).await;
    world.clock.advance(Duration::from_secs(60));
    let lost = DeadlineLease { limit: 10, push: Duration::from_secs(10) };
    assert_eq!(world.store.lease_deadlines(lost).await.expect("a lease").len(), 1);
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0, "it is leased");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 1);
    assert_eq!(world.status(1).await, Some(Status::Expiring));
}

#[tokio::test]
async fn a_damaged_order_that_does_not_expire_is_set_aside_and_keeps_no_other() {
    let world = world().await;
    world.run((1..=3).flat_map(|n| [place_to_pay(n, 60), reserved(n)]).collect()).await;
    testbed::write_past(
        &world.path(),
        "UPDATE order_states SET history = '[{}]' WHERE order_no = 2",
    );
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 2);
    for n in [1, 3] {
        assert_eq!(world.status(n).await, Some(Status::Expiring));
    }
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 1)]);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0);
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 2)], "it is asked again");
}

/// Several leases of the running worker, while orders go on.
#[tokio::test]
async fn thousands_of_deadlines_expire_while_orders_are_placed() {
    const DUE: u128 = 3_000;
    let world = world().await;
    for first in (1..=DUE).step_by(500) {
        let batch = (first..first + 500).flat_map(|n| [place_to_pay(n, 60), reserved(n)]);
        world.run(batch.collect()).await;
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.store.overdue().await.expect("a read").deadlines, 3_000);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(world.deadlines.clone().run(shutdown.clone()));
    let filter = Filter { statuses: vec![Status::Reserved], limit: 1, ..Filter::default() };
    let placed = AtomicU64::new(10_000);
    testbed::eventually(testbed::PATIENCE, "all orders expire", async || {
        world.run(vec![place(placed.fetch_add(1, Ordering::Relaxed).into())]).await;
        let reserved = world.store.orders(filter.clone()).await.expect("a page");
        reserved.is_empty().then_some(())
    })
    .await;
    assert_eq!(world.store.overdue().await.expect("a read").deadlines, 0);
    assert_eq!(world.status(10_000).await, Some(Status::Received));
    shutdown.cancel();
    running.await.expect("no panic").expect("it ends");
}
