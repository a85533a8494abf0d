//! Many clients at once: no unit is sold twice, no client waits for ever, and none is refused
//! without a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Deployment, Form, JSON, Response, WAIT, eventually, order};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

tried_on!(every form:
    of_a_thousand_orders_at_once_for_a_hundred_units_a_hundred_are_confirmed
    a_flash_sale_sells_exactly_what_there_is
    a_flash_sale_of_several_units_each_sells_exactly_what_there_is
    two_lines_of_a_product_with_stock_for_one_are_rejected
    orders_of_the_same_products_in_crossed_order_all_settle
    a_hundred_requests_with_one_key_make_one_order
    a_hundred_movements_with_one_key_are_one_movement
    orders_and_movements_of_one_product_do_not_get_in_each_others_way
);

/// The number of clients that order at the same time.
const CLIENTS: usize = 250;
/// Longer than 5000 orders take on a busy machine.
const LONG: Duration = Duration::from_secs(900);

/// Places all orders at once with this many clients, and waits for every outcome. Like real
/// clients, a client repeats an order with its key if it gets no answer, a 503 or no outcome yet,
/// which happens on a busy machine.
async fn place_at_once(shop: &Arc<Deployment>, orders: Vec<Value>) -> Vec<Response> {
    let (mut clients, free) = (JoinSet::new(), Arc::new(Semaphore::new(CLIENTS)));
    for (number, order) in orders.into_iter().enumerate() {
        let (shop, free) = (shop.clone(), free.clone());
        clients.spawn(async move {
            let _client = free.acquire().await.expect("it is never closed");
            let (key, body) = (format!("sale-{number}"), order.to_string());
            let headers = [JSON, ("idempotency-key", &*key), WAIT];
            eventually(LONG, "an order has its outcome", || async {
                let answer =
                    shop.try_send("POST", "/api/orders", &headers, body.clone()).await.ok()?;
                let is_open = answer.status == 503
                    || answer.status == 200 && answer.text_at("/status") == "received";
                (!is_open).then_some(answer)
            })
            .await
        });
    }
    tokio::time::timeout(LONG, clients.join_all()).await.expect("every client gets an answer")
}

/// The number of orders in each status.
fn tally(answers: &[Response]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(answer.text_at("/status")).or_default() += 1;
    }
    tally
}

/// The number of units of an order.
fn units(number: usize, most: usize) -> u32 {
    u32::try_from(1 + number % most).expect("a few")
}

/// Places this many orders of one to `most` units each for a hundred units: no more units are
/// reserved than there are, as many as possible, and no order is rejected that could have been
/// served.
async fn sell_a_hundred(form: Form, orders: usize, most: usize) {
    let shop = Arc::new(Deployment::in_form(form).await);
    shop.stock("MUG", 100).await;
    let started = Instant::now();
    let placed = (0..orders).map(|number| order(&[("MUG", units(number, most))])).collect();
    let answers = place_at_once(&shop, placed).await;
    let took = started.elapsed();
    let tally = tally(&answers);
    println!("{orders} orders of up to {most} for 100 units: {tally:?} in {took:?}");
    assert_eq!(tally.values().sum::<usize>(), orders);
    assert!(
        tally.keys().all(|status| status == "confirmed" || status == "rejected"),
        "no order is left waiting"
    );
    let [on_hand, reserved, available] = shop.levels("MUG").await;
    // As long as a unit is left, an order for one unit is confirmed.
    assert_eq!([on_hand, reserved, available], [100, 100, 0]);

    let (mut promised, mut reported) = (0, BTreeMap::new());
    for answer in &answers {
        let (id, status) = (answer.text_at("/order_id"), answer.text_at("/status"));
        if status == "rejected" {
            let shortages = answer.json()["shortages"].clone();
            let [requested, available] =
                ["requested", "available"].map(|name| shortages[0][name].as_i64());
            let [requested, available] =
                [requested, available].map(|units| units.expect("a number of units"));
            assert!(
                available < requested && shortages.as_array().is_some_and(|all| all.len() == 1),
                "{answer:?}"
            );
            assert_eq!(
                (&shortages[0]["product_id"], &shortages[0]["reason"]),
                (&json!("MUG"), &json!("out_of_stock"))
            );
        } else {
            promised += shop.order(&id).await["products"][0]["quantity"]
                .as_i64()
                .expect("a number of units");
        }
        assert_eq!(reported.insert(id, status), None, "every order is one of its own");
    }
    assert_eq!(promised, 100);
    for status in ["confirmed", "rejected"] {
        let mut stored =
            shop.column(&format!("/api/orders?limit=200&status={status}"), "order_id").await;
        stored.sort_unstable();
        let reported: Vec<_> =
            reported.iter().filter(|(_, its)| *its == status).map(|(id, _)| id.clone()).collect();
        assert_eq!(
            stored, reported,
            "the clients' answers differ from the stored orders: {status}"
        );
    }
    let audit = shop.verify_with(LONG, &["--settled"]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}

async fn of_a_thousand_orders_at_once_for_a_hundred_units_a_hundred_are_confirmed(form: Form) {
    sell_a_hundred(form, 1_000, 1).await;
}

async fn a_flash_sale_sells_exactly_what_there_is(form: Form) {
    sell_a_hundred(form, 5_000, 1).await;
}

async fn a_flash_sale_of_several_units_each_sells_exactly_what_there_is(form: Form) {
    sell_a_hundred(form, 2_000, 3).await;
}

async fn two_lines_of_a_product_with_stock_for_one_are_rejected(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    let (id, status) = shop.settle(&[("MUG", 1), ("MUG", 1)]).await;
    assert_eq!(status, "rejected");
    let shortage =
        json!([{"product_id": "MUG", "requested": 2, "available": 1, "reason": "out_of_stock"}]);
    assert_eq!(shop.order(&id).await["shortages"], shortage);
    assert_eq!(shop.levels("MUG").await, [1, 0, 1]);
}

async fn orders_of_the_same_products_in_crossed_order_all_settle(form: Form) {
    let shop = Arc::new(Deployment::in_form(form).await);
    for product in ["A", "B", "C"] {
        shop.stock(product, 200).await;
    }
    let crossed =
        [[("A", 1), ("B", 1)], [("B", 1), ("A", 1)], [("B", 1), ("C", 1)], [("C", 1), ("A", 1)]];
    let orders = (0..400).map(|number: usize| order(&crossed[number % 4])).collect();
    let answers = place_at_once(&shop, orders).await;
    let tally = tally(&answers);
    let confirmed = tally.get("confirmed").copied().unwrap_or(0);
    assert_eq!(confirmed + tally.get("rejected").copied().unwrap_or(0), 400, "{tally:?}");
    let mut held = 0;
    for product in ["A", "B", "C"] {
        held += shop.levels(product).await[1];
    }
    assert_eq!(
        usize::try_from(held).expect("a number of units"),
        2 * confirmed,
        "each holds all it needs, or nothing"
    );
    shop.must_verify().await;
}

async fn a_hundred_requests_with_one_key_make_one_order(form: Form) {
    let shop = Arc::new(Deployment::in_form(form).await);
    shop.stock("MUG", 100).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let shop = shop.clone();
        clients.spawn(async move {
            shop.post_with("/api/orders", &[("idempotency-key", "K1"), WAIT], &order(&[("MUG", 1)]))
                .await
        });
    }
    let answers = clients.join_all().await;
    let first = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1, "one of them placed the order, the others found it");
    assert_eq!(tally(&answers), BTreeMap::from([("confirmed".to_owned(), 100)]));
    let ids = shop.column("/api/orders", "order_id").await;
    assert_eq!(ids.len(), 1);
    assert!(answers.iter().all(|answer| answer.text_at("/order_id") == ids[0]));
    assert_eq!(shop.levels("MUG").await, [100, 1, 99]);
}

async fn a_hundred_movements_with_one_key_are_one_movement(form: Form) {
    let shop = Arc::new(Deployment::in_form(form).await);
    shop.stock("MUG", 0).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let shop = shop.clone();
        let receive = json!({"kind": "receive", "quantity": 7});
        clients.spawn(async move {
            shop.post_with(
                "/api/inventory/products/MUG/movements",
                &[("idempotency-key", "K1")],
                &receive,
            )
            .await
        });
    }
    let answers = clients.join_all().await;
    assert!(
        answers.iter().all(|answer| answer.status == 201 && answer.json() == answers[0].json())
    );
    assert_eq!(shop.levels("MUG").await, [7, 0, 7]);
}

async fn orders_and_movements_of_one_product_do_not_get_in_each_others_way(form: Form) {
    let shop = Arc::new(Deployment::in_form(form).await);
    shop.stock("MUG", 50).await;
    let mut clients = JoinSet::new();
    for number in 0..150 {
        let shop = shop.clone();
        clients.spawn(async move {
            match number % 3 {
                0 => shop.receive("MUG", "main", 1).await,
                1 => drop(
                    shop.move_stock(
                        "MUG",
                        &json!({"kind": "adjust", "quantity": -1, "reason": "broken"}),
                    )
                    .await,
                ),
                _ => drop(shop.settle(&[("MUG", 2)]).await),
            }
        });
    }
    clients.join_all().await;
    let [on_hand, reserved, available] = shop.levels("MUG").await;
    assert!(0 <= reserved && reserved <= on_hand && available == on_hand - reserved);
    shop.must_verify().await;
}
