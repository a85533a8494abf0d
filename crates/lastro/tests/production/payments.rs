//! Payments against their deadlines, on two replicas of each service.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use testbed::{
    Deployment, Form, PATIENCE, Postgres, Random, WAIT, eventually, nothing_in_flight, order,
    postgres,
};
use tokio::task::JoinSet;

use crate::environment_on;

/// As many payments as deadlines.
const ORDERS: usize = 1_000;
/// Of these, as many are paid before their deadlines pass,
const EARLY: usize = 200;
/// as many after they have expired, when others have taken half of their units,
const LATE: usize = 200;
/// and the rest while their deadlines pass, which is within this time.
const WITHIN_MICROS: f64 = 1_500_000.0;
/// Clients that place orders, and that pay them.
const CLIENTS: usize = 16;
/// The price of one unit.
const PRICE: f64 = 10.0;

/// Places orders of one unit each until all are reserved, and returns their ids.
async fn reserved(shop: &Arc<Deployment>) -> Vec<String> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let shop = shop.clone();
        clients.spawn(async move {
            let mut body = order(&[("MUG", 1)]);
            body["payment"] = json!({"within_s": 600});
            let mut ids = Vec::new();
            for _ in 0..ORDERS.div_ceil(CLIENTS) {
                let receipt = shop.post_with("/api/orders", &[WAIT], &body).await;
                assert_eq!(receipt.text_at("/status"), "reserved", "{receipt:?}");
                ids.push(receipt.text_at("/order_id"));
            }
            ids
        });
    }
    clients.join_all().await.concat()
}

/// Lets the deadlines of these orders pass, each at a random moment within this time.
async fn let_deadlines_pass(shop: &Deployment, ids: &[String], within_micros: f64) {
    let databases = shop.environment.databases.as_ref().expect("databases");
    let client = postgres(&databases.orders).await;
    let soon = "UPDATE payment_deadlines SET next_attempt_at =
         (extract(epoch FROM now()) * 1000000 + random() * $2::double precision)::bigint
         WHERE order_id = ANY($1::text[]::uuid[])";
    let changed = client.execute(soon, &[&ids, &within_micros]).await.expect("deadlines");
    assert_eq!(usize::try_from(changed), Ok(ids.len()), "each reserved order has a deadline");
}

/// Pays each order once, and expects that the payment is recorded whatever has become of the order.
async fn pay(shop: &Arc<Deployment>, ids: &[String]) {
    let mut payers = JoinSet::new();
    for part in ids.chunks(ids.len().div_ceil(CLIENTS)) {
        let (shop, part) = (shop.clone(), part.to_vec());
        payers.spawn(async move {
            for id in part {
                let payment = json!({"reference": id});
                let paid = shop.post(&format!("/api/orders/{id}/pay"), &payment).await.ok();
                assert_eq!(paid["payment"]["paid"].as_f64(), Some(PRICE), "{paid}");
            }
        });
    }
    payers.join_all().await;
}

/// Orders single units without a payment.
async fn take(shop: &Deployment, units: usize) {
    for _ in 0..units {
        let receipt = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        assert_eq!(receipt.text_at("/status"), "confirmed", "{receipt:?}");
    }
}

/// Orders single units as they become free, without a payment, until told to stop.
async fn take_what_is_free(shop: Arc<Deployment>) -> u64 {
    let mut taken = 0;
    loop {
        let receipt = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        taken += u64::from(receipt.text_at("/status") == "confirmed");
        let left = shop.get("/api/orders?status=reserved,expiring,reviving&limit=1").await.ok();
        if left["data"] == json!([]) {
            return taken;
        }
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// It was paid while it was reserved.
    Paid,
    /// It was paid after it had expired, and got its unit back.
    Revived,
    /// It was paid after it had expired, and its unit was gone: its money is owed.
    Owed,
}

fn fate(order: &Value) -> Fate {
    let entries = order["history"].as_array().expect("a history");
    // A payment is an entry of its own, and leaves the order expiring.
    let moves = || entries.iter().filter(|entry| entry["change"].is_null());
    let had = |status: &str| moves().filter(|entry| entry["status"] == status).count();
    let owed = order["refund_due"].as_f64();
    match (order["status"].as_str(), owed, had("expiring"), had("reviving")) {
        (Some("confirmed"), Some(0.0), 0, 0) => Fate::Paid,
        (Some("confirmed"), Some(0.0), 1, 1) => Fate::Revived,
        (Some("expired"), Some(PRICE), 1, 1) => Fate::Owed,
        _ => panic!("{order}"),
    }
}

async fn fates(shop: &Deployment, ids: &[String]) -> BTreeMap<Fate, usize> {
    let mut fates = BTreeMap::new();
    for id in ids {
        *fates.entry(fate(&shop.order(id).await)).or_default() += 1;
    }
    fates
}

/// Either a payment finds its order reserved, or the deadline does. An order that expired comes back
/// if there is stock; if not, its money is owed. Others take the units meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_order_is_paid_in_time_or_expired_and_its_money_is_owed_never_both() {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let shop = Arc::new(Deployment::open_as(Form::Replicas, environment).await);
    let units = ORDERS.div_ceil(CLIENTS) * CLIENTS;
    shop.stock("MUG", u32::try_from(units).expect("few units")).await;
    let mut ids = reserved(&shop).await;
    assert_eq!(shop.available("MUG").await, 0, "every unit is reserved");
    Random::seeded("payments against deadlines").shuffle(&mut ids);
    let (early, ids) = ids.split_at(EARLY);
    let (late, racing) = ids.split_at(LATE);

    pay(&shop, early).await;
    let_deadlines_pass(&shop, late, 0.0).await;
    eventually(PATIENCE, "the late ones expire", async || {
        (shop.available("MUG").await == i64::try_from(LATE).expect("few")).then_some(())
    })
    .await;
    take(&shop, LATE / 2).await;
    pay(&shop, late).await;
    nothing_in_flight(PATIENCE, &shop).await;
    assert_eq!(fates(&shop, early).await, BTreeMap::from([(Fate::Paid, EARLY)]));
    let half_each = BTreeMap::from([(Fate::Revived, LATE / 2), (Fate::Owed, LATE / 2)]);
    assert_eq!(fates(&shop, late).await, half_each);

    let others = tokio::spawn(take_what_is_free(shop.clone()));
    let_deadlines_pass(&shop, racing, WITHIN_MICROS).await;
    pay(&shop, racing).await;
    let taken = others.await.expect("no panic");
    nothing_in_flight(PATIENCE, &shop).await;
    let raced = fates(&shop, racing).await;
    println!("{} orders: {raced:?}; others took {taken} units", racing.len());

    let mut all = fates(&shop, late).await;
    for (fate, orders) in raced {
        *all.entry(fate).or_default() += orders;
    }
    let of = |fate| all.get(&fate).copied().unwrap_or_default();
    let kept = EARLY + of(Fate::Paid) + of(Fate::Revived) + LATE / 2;
    let [_, reserved, _] = shop.levels("MUG").await;
    let taken = usize::try_from(taken).expect("few units");
    assert_eq!(usize::try_from(reserved), Ok(kept + taken), "each holds its unit");
    let owed = shop.pages("/api/orders?payment=refund_due&limit=200").await.0;
    assert_eq!(owed.len(), of(Fate::Owed), "what is owed is listed");
    assert!(owed.iter().all(|order| order["refund_due"].as_f64() == Some(PRICE)));
    shop.must_verify().await;
}

/// The services that know nothing of money are away; a payment needs them not.
#[tokio::test]
async fn a_payment_is_confirmed_while_inventory_and_the_broker_are_away() {
    let server = Postgres::start(&[]).await;
    let mut shop = Deployment::open_as(Form::Replicas, environment_on(&server).await).await;
    shop.stock("MUG", 1).await;
    let mut body = order(&[("MUG", 1)]);
    body["payment"] = json!({"within_s": 600});
    let receipt = shop.post_with("/api/orders", &[WAIT], &body).await;
    assert_eq!(receipt.text_at("/status"), "reserved", "{receipt:?}");
    let id = receipt.text_at("/order_id");
    assert!(shop.programs.kill_inventory(), "it is a process of its own");
    shop.environment.broker.as_mut().expect("a broker").kill().await;

    let paid = shop.post(&format!("/api/orders/{id}/pay"), &json!({"reference": "r"})).await.ok();
    assert_eq!(paid["status"], "confirmed", "{paid}");
    assert_eq!(paid["payment"]["state"], "paid", "{paid}");
    let order: Value = shop.order(&id).await;
    assert_eq!(order["status"], "confirmed", "{order}");
}
