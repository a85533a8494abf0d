//! A hundred thousand deadlines of payments that pass in one moment, while orders go on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testbed::{Deployment, WAIT, eventually, nothing_in_flight, order, stocked};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{AFTERMATH, STOCK, tell};

/// Each client places as many.
const ORDERS_OF_CLIENT: usize = 1_563;
const CLIENTS: usize = 64;
/// All orders: a hundred thousand and a few.
const ORDERS: usize = ORDERS_OF_CLIENT * CLIENTS;
/// The longest that an order may wait for its outcome meanwhile.
const SLOWEST: Duration = Duration::from_secs(10);
/// The fewest orders that are confirmed meanwhile.
const FEWEST: u64 = 20;

/// Places the share of one client.
async fn place(shop: Arc<Deployment>) {
    let mut body = order(&[("MUG", 1)]);
    body["payment"] = json!({"within_s": 604_800});
    for _ in 0..ORDERS_OF_CLIENT {
        let receipt = shop.place(&body).await;
        assert_eq!(receipt.text_at("/status"), "received", "{receipt:?}");
    }
}

/// Places orders without a payment, one after the other, until no deadline is left. Returns how
/// many, and the longest time until an outcome.
async fn orders_go_on(shop: &Deployment) -> (u64, Duration) {
    let mut orders = 0;
    let mut longest = Duration::ZERO;
    loop {
        let began = Instant::now();
        let receipt = shop.post_with("/api/orders", &[WAIT], &order(&[("TEE", 1)])).await;
        assert_eq!(receipt.text_at("/status"), "confirmed", "{receipt:?}");
        longest = longest.max(began.elapsed());
        orders += 1;
        let left = shop.get("/api/orders?status=reserved,expiring&limit=1").await.ok();
        if left["data"] == json!([]) {
            return (orders, longest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_deadlines_in_one_moment_drain_while_orders_go_on() {
    let shop = Arc::new(stocked(Deployment::open().await, STOCK).await);
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(place(shop.clone()));
    }
    clients.join_all().await;
    nothing_in_flight(AFTERMATH, &shop).await;
    let placed = began.elapsed();

    let pass = "UPDATE payment_deadlines SET next_attempt_at = 0";
    assert_eq!(shop.write_past("orders", pass, &[]).await, ORDERS as u64, "all wait for payment");
    let began = Instant::now();
    let (orders, longest) = orders_go_on(&shop).await;
    let took = began.elapsed();
    nothing_in_flight(AFTERMATH, &shop).await;
    eventually(AFTERMATH, "every unit is free", async || {
        let [_, reserved, _] = shop.levels("MUG").await;
        (reserved == 0).then_some(())
    })
    .await;
    let rate = ORDERS as u128 * 1000 / took.as_millis().max(1);
    let line = format!(
        "deadlines={ORDERS} placed_in={:.1}s expired_in={:.1}s per_s={rate} orders_meanwhile={orders} \
         slowest_outcome={:.2}s",
        placed.as_secs_f32(),
        took.as_secs_f32(),
        longest.as_secs_f32(),
    );
    tell("100 000 deadlines in one moment", &shop, &line);
    let expired = shop.column("/api/orders?status=expired&limit=200", "order_id").await;
    assert_eq!(expired.len(), ORDERS, "each has expired");
    assert!(orders >= FEWEST && longest <= SLOWEST, "{line}");
    let verified = shop.verify_with(AFTERMATH, &[]).await;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}
