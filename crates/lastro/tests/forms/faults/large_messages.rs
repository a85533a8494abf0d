//! A broker that takes only small messages: what fits goes through, what does not is named, and
//! everything goes through once the broker takes 1 MiB.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::{Deployment, Environment, Form, Nats, PATIENCE, eventually, order};

tried_on!(forms with a broker:
    a_backlog_of_large_orders_drains_as_far_as_its_messages_fit
);

/// How many orders wait for the broker.
const BACKLOG: usize = 160;
/// The most lines of an order.
const LINES: usize = 100;
/// How many locations have a part of each product of the order whose answer does not fit.
const LOCATIONS: usize = 5;

async fn a_backlog_of_large_orders_drains_as_far_as_its_messages_fit(form: Form) {
    let broker = Nats::start_with_settings("max_payload: 65536").await;
    let environment = Environment { broker: Some(broker), ..Environment::of_databases(form).await };
    let mut shop = Deployment::open_as(form, environment).await;
    stock(&shop).await;

    shop.environment.broker.as_mut().expect("a broker").kill().await;
    let large = order_of("large", 1);
    let placed = (0..BACKLOG).map(async |_| shop.place(&large).await.text_at("/order_id"));
    let mut backlog = join_all(placed).await;
    shop.environment.broker.as_mut().expect("a broker").restart().await;
    // Its answer names every location of every product.
    let too_large = shop.place(&order_of("split", LOCATIONS)).await.text_at("/order_id");
    backlog.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    for id in &backlog {
        shop.order_once(id, "confirmed").await;
    }

    let reported = degraded(&shop, &too_large).await;
    let too_low =
        "the broker takes messages of at most 65536 bytes; raise its max_payload to 1 MiB";
    for text in [too_low, &format!("order {too_large} ("), "larger than the 65280 bytes"] {
        assert!(reported.contains(text), "{text} is not in {reported}");
    }
    assert_eq!(shop.order(&too_large).await["status"], "received");
    let log = shop.programs.log();
    let named = log.lines().filter(|line| line.contains(&too_large)).count();
    assert!((1..=form.replicas()).contains(&named), "logged once, not {named} times");
    shop.order_once(&shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"), "confirmed")
        .await;

    let broker = shop.environment.broker.as_mut().expect("a broker");
    broker.change_settings("max_payload: 1048576");
    broker.restart().await;
    shop.order_once(&too_large, "confirmed").await;
    eventually(PATIENCE, "nothing is degraded", async || {
        let ready = shop.get_each("/readyz").await;
        ready.into_iter().all(|ready| ready.ok()["status"] == "ready").then_some(())
    })
    .await;
    shop.must_verify().await;
}

/// The product of a line, as long as an id may be.
fn product(kind: &str, line: usize) -> String {
    format!("{kind}{line:0>width$}", width = 64 - kind.len())
}

/// An order of as many lines as there may be.
fn order_of(kind: &str, units: usize) -> Value {
    let line = |line| json!({"product_id": product(kind, line), "quantity": units, "price": 1.5});
    json!({"customer_id": "c", "products": (0..LINES).map(line).collect::<Vec<_>>()})
}

async fn stock(shop: &Deployment) {
    shop.stock("MUG", 10).await;
    join_all((0..LINES).map(async |line| shop.stock(&product("large", line), 1000).await)).await;
    for number in 0..LOCATIONS {
        let location = product("shelf", number);
        let path = format!("/api/inventory/locations/{location}");
        shop.put(&path, &json!({"name": "Shelf", "priority": number + 1})).await;
    }
    let splits = (0..LINES).map(async |line| {
        let split = product("split", line);
        shop.put(&format!("/api/inventory/products/{split}"), &json!({"name": "Split"})).await;
        for number in 0..LOCATIONS {
            shop.receive(&split, &product("shelf", number), 1).await;
        }
    });
    join_all(splits).await;
}

/// What the programs report once one of them names this order.
async fn degraded(shop: &Deployment, id: &str) -> String {
    eventually(PATIENCE, "the order is named", async || {
        let ready = shop.get_each("/readyz").await;
        let reported: Vec<Value> = ready
            .into_iter()
            .map(|ready| ready.ok())
            .inspect(|ready| assert_eq!(ready["status"], "degraded"))
            .collect();
        let reported = Value::from(reported).to_string();
        reported.contains(id).then_some(reported)
    })
    .await
}
