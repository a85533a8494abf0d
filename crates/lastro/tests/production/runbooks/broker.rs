//! The broker is away, or keeps what replicas tell one another.

use futures_util::future::join_all;
use testbed::{Deployment, Environment, Form, Nats, Postgres, Prometheus, WAIT, order};

use super::Watched;
use crate::environment_on;

/// Without the broker, orders are accepted and wait. When it is back, they settle by themselves.
#[tokio::test]
async fn a_broker_that_is_away() {
    let mut watched = Watched::with_files().await;
    watched.shop.environment.broker.as_mut().expect("a broker").kill().await;
    watched.fires("LastroBusDegraded").await;
    let accepted = watched.shop.place(&order(&[("MUG", 1)])).await;
    assert_eq!(accepted.text_at("/status"), "received");
    // As if that was ten minutes ago.
    let earlier = "UPDATE pending_commands SET since = since - 600000000";
    watched.shop.write_past("orders", earlier, &[]).await;
    watched.fires("LastroCommandsStuck").await;
    watched.shop.environment.broker.as_mut().expect("a broker").restart().await;
    watched.clears("LastroBusDegraded").await;
    watched.clears("LastroCommandsStuck").await;
    watched.shop.order_once(&accepted.text_at("/order_id"), "confirmed").await;
}

/// Places orders at both replicas in turn, and waits for their outcomes.
async fn place_and_wait(shop: &Deployment) {
    let mug = order(&[("MUG", 1)]);
    join_all((0..30).map(|_| shop.post_with("/api/orders", &[WAIT], &mug))).await;
    // See `replicas.rs`: the broker alternates, too.
    shop.get("/api/orders?limit=1").await;
}

/// A broker that lets no replica publish hints, until its permissions are put right.
#[tokio::test]
async fn hints_that_do_not_arrive() {
    let server = Postgres::start(&[]).await;
    let mute = Nats::start_without("lastro.orders.answered").await;
    let environment = Environment { broker: Some(mute), ..environment_on(&server).await };
    let mut shop = Deployment::open_as(Form::Replicas, environment).await;
    shop.stock("MUG", 10_000).await;
    let (orders, inventory) = shop.programs.addresses();
    let targets: Vec<_> = orders
        .into_iter()
        .map(|address| ("order-service", address))
        .chain(inventory.into_iter().map(|address| ("inventory-service", address)))
        .collect();
    let watched = Prometheus::of(&targets).await;
    under_load(&shop, watched.fires("LastroHintsLost")).await;
    let broker = shop.environment.broker.as_mut().expect("a broker");
    broker.change_settings(
        "no_auth_user: all\nauthorization: { users: [ { user: all, password: all } ] }\n",
    );
    broker.restart().await;
    under_load(&shop, watched.clears("LastroHintsLost")).await;
}

/// Waits while clients place orders.
async fn under_load<R>(shop: &Deployment, waiting: impl Future<Output = R>) {
    let load = async {
        loop {
            place_and_wait(shop).await;
        }
    };
    tokio::select! {
        () = load => {}
        _ = waiting => {}
    }
}
