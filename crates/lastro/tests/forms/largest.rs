//! The largest orders: each reaches an outcome, and every message of it fits through the broker.

use futures_util::stream::{self, StreamExt};
use serde_json::json;
use testbed::{Deployment, Form, order};

tried_on!(each engine with a broker: the_largest_orders_reach_an_outcome);

/// More than an order of 100 lines may take one unit from each.
const LOCATIONS: usize = 65;
/// So many lines from so many locations are just under 4000 allocations.
const SERVED: u32 = 39;

async fn the_largest_orders_reach_an_outcome(form: Form) {
    let shop = Deployment::in_form(form).await;
    let product = |line: usize| format!("{line:0>60}.P");
    let location = |number: usize| format!("{number:0>60}.L");
    let pairs = (0..LOCATIONS).flat_map(|at| (0..100).map(move |line| (line, at)));
    for at in 0..LOCATIONS {
        let path = format!("/api/inventory/locations/{}", location(at));
        assert_eq!(shop.put(&path, &json!({"name": "L", "priority": 1})).await.status, 201);
    }
    for line in 0..100 {
        let path = format!("/api/inventory/products/{}", product(line));
        assert_eq!(shop.put(&path, &json!({"name": "P"})).await.status, 201);
    }
    stream::iter(pairs)
        .for_each_concurrent(64, async |(line, at)| {
            shop.receive(&product(line), &location(at), 1).await;
        })
        .await;

    let of_each = |units: u32| {
        let names: Vec<_> = (0..100).map(product).collect();
        let lines: Vec<_> = names.iter().map(|name| (name.as_str(), units)).collect();
        order(&lines)
    };
    let everywhere = u32::try_from(LOCATIONS).expect("few");
    let too_large = shop.place(&of_each(everywhere)).await.text_at("/order_id");
    let rejected = shop.order_once(&too_large, "rejected").await;
    assert_eq!(rejected["shortages"].as_array().map(Vec::len), Some(100));
    assert_eq!(rejected["shortages"][0]["reason"], "too_many_allocations");

    let largest = shop.place(&of_each(SERVED)).await.text_at("/order_id");
    let confirmed = shop.order_once(&largest, "confirmed").await;
    assert_eq!(confirmed["allocations"].as_array().map(Vec::len), Some(3900));
    shop.ask(&largest, "fulfill").await.ok();
    shop.order_once(&largest, "fulfilled").await;
    shop.must_verify().await;
}
