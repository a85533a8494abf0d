//! Replicas share the work, and the others take over the work of a lost one.

use testbed::{Deployment, Environment, Form, Nats, PATIENCE, Postgres, WAIT, eventually, order};

use crate::{Busy, environment_on};

#[tokio::test]
async fn a_replica_that_is_killed_costs_no_order() {
    let server = Postgres::start(&[]).await;
    let busy = Busy::at(environment_on(&server).await, "replica killed").await;
    busy.shop.programs.orders[0].kill();
    busy.accepts_more().await;
    busy.check().await;
}

/// Places orders at both replicas in turn, each with a wait for its outcome.
async fn place_and_wait(shop: &Deployment) {
    for _ in 0..2 {
        let answer = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        assert_eq!(answer.text_at("/status"), "confirmed");
    }
    // The broker, too, alternates between the replicas. A request without a message breaks the
    // rhythm: otherwise each replica would always settle the orders that it has taken itself.
    shop.get("/api/orders?limit=1").await;
}

/// A metric of each replica of the Order Service.
async fn of_each(shop: &Deployment, name: &str) -> Vec<u64> {
    let answers = shop.get_each("/metrics").await;
    let lines =
        answers.iter().filter_map(|answer| answer.text.lines().find(|line| line.starts_with(name)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// A client gets the outcome whichever replica takes its order and whichever records the outcome,
/// by a hint from one replica to the other and not by polling.
#[tokio::test]
async fn a_waiting_client_gets_the_outcome_that_another_replica_has_settled() {
    let server = Postgres::start(&[]).await;
    let shop = Deployment::open_as(Form::Replicas, environment_on(&server).await).await;
    shop.stock("MUG", 10_000).await;
    eventually(PATIENCE, "a hint of the other has ended a wait at each", async || {
        place_and_wait(&shop).await;
        let by_hint = of_each(&shop, r#"order_waits_ended_total{by="hint"}"#).await;
        assert_eq!(by_hint.len(), 2);
        by_hint.iter().all(|waits| *waits > 0).then_some(())
    })
    .await;
    let settled = of_each(&shop, r#"orders_settled_total{outcome="confirmed"}"#).await;
    assert!(settled.iter().all(|settled| *settled > 0), "one of them did nothing: {settled:?}");
}

/// All hints may be lost: then the waiting replica polls.
#[tokio::test]
async fn a_waiting_client_gets_its_outcome_without_any_hint() {
    let server = Postgres::start(&[]).await;
    let mute = Nats::start_without("lastro.orders.answered").await;
    let shop = Deployment::open_as(
        Form::Replicas,
        Environment { broker: Some(mute), ..environment_on(&server).await },
    )
    .await;
    shop.stock("MUG", 10_000).await;
    eventually(PATIENCE, "a wait has ended by a look", async || {
        place_and_wait(&shop).await;
        let by_timer = of_each(&shop, r#"order_waits_ended_total{by="timer"}"#).await;
        by_timer.iter().any(|waits| *waits > 0).then_some(())
    })
    .await;
    assert_eq!(of_each(&shop, r#"order_waits_ended_total{by="hint"}"#).await, [0, 0]);
    shop.must_verify().await;
}
