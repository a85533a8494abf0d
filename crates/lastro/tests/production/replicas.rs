//! Replicas share the work, and one that is gone is not missed.

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

/// Orders that are placed in turn at both replicas, each with a wait for its outcome.
async fn place_and_wait(shop: &Deployment) {
    for _ in 0..2 {
        let answer = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        assert_eq!(answer.text_at("/status"), "confirmed");
    }
    // The broker, too, gives its messages to both in turn. A request without a message, and they do
    // not keep step: else each would settle what it has taken itself, for ever.
    shop.get("/api/orders?limit=1").await;
}

/// The numbers of each replica of the Order Service under a name.
async fn of_each(shop: &Deployment, name: &str) -> Vec<u64> {
    let answers = shop.get_each("/metrics").await;
    let lines =
        answers.iter().filter_map(|answer| answer.text.lines().find(|line| line.starts_with(name)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// Whichever replica takes an order, and whichever records its outcome: the client hears of it, by
/// word from the one to the other and not because somebody looks now and then.
#[tokio::test]
async fn a_waiting_client_gets_the_outcome_that_another_replica_has_settled() {
    let server = Postgres::start(&[]).await;
    let shop = Deployment::open_as(Form::Replicas, environment_on(&server).await).await;
    shop.stock("MUG", 10_000).await;
    eventually(PATIENCE, "word of the other has ended a wait at each", async || {
        place_and_wait(&shop).await;
        let by_hint = of_each(&shop, r#"order_waits_ended_total{by="hint"}"#).await;
        assert_eq!(by_hint.len(), 2);
        by_hint.iter().all(|waits| *waits > 0).then_some(())
    })
    .await;
    let settled = of_each(&shop, r#"orders_settled_total{outcome="confirmed"}"#).await;
    assert!(settled.iter().all(|settled| *settled > 0), "one of them did nothing: {settled:?}");
}

/// Words may be lost, all of them: then whoever waits looks for itself.
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
