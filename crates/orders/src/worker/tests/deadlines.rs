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
    assert!(world.metrics().contains("orders_expiry_delay_seconds_count 1\n"), "the expiry");
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
    assert_eq!(world.store.lease_deadlines(lost).await.expect("a lease").due.len(), 1);
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0, "it is leased");
    assert!(world.metrics().contains("orders_expiry_delay_seconds_count 0\n"), "no expiry");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 1);
    assert_eq!(world.status(1).await, Some(Status::Expiring));
    let sum = world.metrics();
    let sum = sum.lines().find_map(|line| line.strip_prefix("orders_expiry_delay_seconds_sum "));
    let sum: f64 = sum.and_then(|sum| sum.parse().ok()).expect("a sum");
    assert!((10.0..70.0).contains(&sum), "{sum} seconds since the deadline, not since the lease");
}

#[tokio::test]
async fn a_damaged_order_that_does_not_expire_is_set_aside_for_an_hour_and_keeps_no_other() {
    let world = world().await;
    world.run((1..=3).flat_map(|n| [place_to_pay(n, 60), reserved(n)]).collect()).await;
    testbed::write_past(
        &world.path(),
        "UPDATE order_states SET history = '[{}]' WHERE order_no = 2",
    );
    world.clock.advance(Duration::from_secs(60));
    let lease = DeadlineLease { limit: 10, push: Duration::from_secs(10) };
    let leased = world.store.lease_deadlines(lease).await.expect("a lease");
    let due: Vec<_> = leased.due.iter().map(|due| due.order_id).collect();
    assert_eq!((due, leased.set_aside), (vec![id(1), id(3)], 1), "no batch fails with it");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 2);
    for n in [1, 3] {
        assert_eq!(world.status(n).await, Some(Status::Expiring));
    }
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 1)]);
    let table = world.store.overdue().await.expect("a read");
    assert_eq!((table.deadlines, table.late), (1, Duration::from_secs(10)), "it is still late");
    world.clock.advance(Duration::from_secs(3589));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0);
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 1)], "it is left alone");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 0);
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 2)], "it is looked at again");
    assert!(
        world
            .metrics()
            .contains(r#"quarantine_messages_total{service="orders",kind="poisoned"} 1"#)
    );
    let connection = rusqlite::Connection::open(world.path()).expect("the file");
    let reason: String = connection
        .query_row("SELECT reason FROM quarantine", [], |row| row.get("reason"))
        .expect("one entry");
    let what = "the deadline of a payment: ";
    let cause = "order_states of order 00000000-0000-0000-0000-000000000002: history is missing";
    assert!(reason.starts_with(what) && reason.contains(cause), "{reason}");
}

/// A deadline that should not be there: its order is paid, or does not exist.
#[tokio::test]
async fn a_deadline_of_no_reserved_order_is_set_aside() {
    let world = world().await;
    world.run(vec![place_to_pay(1, 60), reserved(1), place(2), reserved(2)]).await;
    for order_no in [2, 77] {
        testbed::write_past(
            &world.path(),
            &format!(
                "INSERT INTO payment_deadlines SELECT {order_no}, armed_at, pay_by, pay_by FROM payment_deadlines WHERE order_no = 1"
            ),
        );
    }
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.deadlines.tick().await.expect("a lease"), 1);
    assert_eq!(world.quarantined(), [("poisoned".to_owned(), 2)]);
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
