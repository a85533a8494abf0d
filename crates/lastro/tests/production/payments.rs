//! Payments against their deadlines, on two replicas of each service.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use testbed::{Deployment, Form, PATIENCE, Postgres, Random, WAIT, eventually, order, postgres};
use tokio::task::JoinSet;

use crate::environment_on;

/// As many payments as deadlines.
const ORDERS: usize = 1_000;
/// Clients that place orders, and that pay them.
const CLIENTS: usize = 16;
/// All deadlines pass within this time.
const WITHIN_MICROS: i64 = 1_500_000;
/// The price of one unit.
const PRICE: i64 = 10;

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

/// Lets the deadline of every order pass at a random moment of the next second and a half.
async fn let_deadlines_pass(shop: &Deployment, ids: usize) {
    let databases = shop.environment.databases.as_ref().expect("databases");
    let client = postgres(&databases.orders).await;
    let soon = format!(
        "UPDATE payment_deadlines SET pay_by = \
         (extract(epoch FROM now()) * 1000000 + random() * {WITHIN_MICROS})::bigint"
    );
    let changed = client.execute(&soon, &[]).await.expect("deadlines");
    assert_eq!(usize::try_from(changed), Ok(ids), "each reserved order has a deadline");
}

/// Pays each order once, and expects that the payment is recorded whatever has become of the order.
async fn pay(shop: Arc<Deployment>, ids: Vec<String>) {
    for id in ids {
        let payment = json!({"reference": id});
        let paid = shop.post(&format!("/api/orders/{id}/pay"), &payment).await.ok();
        assert_eq!(paid["payment"]["paid"].as_f64(), Some(10.0), "{paid}");
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

    let others = tokio::spawn(take_what_is_free(shop.clone()));
    let_deadlines_pass(&shop, ids.len()).await;
    let mut payers = JoinSet::new();
    for part in ids.chunks(ids.len().div_ceil(CLIENTS)) {
        payers.spawn(pay(shop.clone(), part.to_vec()));
    }
    payers.join_all().await;
    let taken = others.await.expect("no panic");
    eventually(PATIENCE, "nothing is in flight", async || {
        let pending = shop.get("/api/orders/pending?limit=1").await.ok();
        (pending["data"] == json!([])).then_some(())
    })
    .await;

    let mut outcomes = BTreeMap::<(String, i64), u64>::new();
    let mut expired_once = 0;
    for id in &ids {
        let order = shop.order(id).await;
        let owed = order["refund_due"].as_f64().expect("an amount");
        let status = order["status"].as_str().expect("a status").to_owned();
        #[expect(clippy::cast_possible_truncation, reason = "a whole amount")]
        let owed = owed as i64;
        *outcomes.entry((status, owed)).or_default() += 1;
        let entries = order["history"].as_array().expect("a history");
        // A payment is an entry of its own, and leaves the order expiring.
        let moves = || entries.iter().filter(|entry| entry["change"].is_null());
        let had = |status: &str| moves().filter(|entry| entry["status"] == status).count();
        expired_once += u64::from(had("expiring") > 0);
        assert!(had("expiring") <= 1 && had("reviving") <= 1, "{order}");
    }
    println!(
        "{} orders: {outcomes:?}; {expired_once} deadlines passed first; others took {taken} units",
        ids.len()
    );
    let allowed = [("confirmed".to_owned(), 0), ("expired".to_owned(), PRICE)];
    assert!(outcomes.keys().all(|outcome| allowed.contains(outcome)), "{outcomes:?}");
    let confirmed = outcomes.get(&allowed[0]).copied().unwrap_or_default();
    assert!(confirmed > 0 && expired_once > 0, "both happen: {outcomes:?}");
    let [_, reserved, _] = shop.levels("MUG").await;
    assert_eq!(u64::try_from(reserved), Ok(confirmed + taken), "each holds its unit");
    let owed = shop.pages("/api/orders?payment=refund_due&limit=200").await.0;
    let expired = outcomes.get(&allowed[1]).copied().unwrap_or_default();
    assert_eq!(u64::try_from(owed.len()), Ok(expired), "what is owed is listed");
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
