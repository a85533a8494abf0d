//! Many at once: nothing is sold twice, nobody waits for ever, and nobody is sent away without a reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use testbed::PATIENCE;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::shop::{Shop, WAIT, order};

/// Places all of these at the same time, each by a client of its own, and waits for every outcome.
async fn place_at_once(shop: &Arc<Shop>, orders: Vec<Value>) -> Vec<Answer> {
    let mut clients = JoinSet::new();
    for order in orders {
        let shop = shop.clone();
        clients.spawn(async move { shop.post_with("/api/orders", &[WAIT], &order).await });
    }
    tokio::time::timeout(3 * PATIENCE, clients.join_all()).await.expect("every client gets an answer")
}

/// How many of them have which status.
fn tally(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for answer in answers {
        *tally.entry(answer.text_at("/status")).or_default() += 1;
    }
    tally
}

/// So many orders of one unit each, for a hundred units: a hundred get one, the rest are told that there is none left.
async fn sell_a_hundred(orders: usize) {
    let shop = Arc::new(Shop::open().await);
    shop.stock("MUG", 100).await;
    let started = Instant::now();
    let answers = place_at_once(&shop, vec![order(&[("MUG", 1)]); orders]).await;
    let took = started.elapsed();
    let tally = tally(&answers);
    println!("{orders} orders for 100 units: {tally:?} in {took:?}");
    assert_eq!(tally, BTreeMap::from([("confirmed".to_owned(), 100), ("rejected".to_owned(), orders - 100)]));
    for rejected in answers.iter().filter(|answer| answer.text_at("/status") == "rejected") {
        let shortage = json!([{"product_id": "MUG", "requested": 1, "available": 0, "reason": "out_of_stock"}]);
        assert_eq!(rejected.json()["shortages"], shortage);
    }
    assert_eq!(shop.levels("MUG").await, [100, 100, 0]);
    shop.must_verify().await;
}

#[tokio::test]
async fn of_a_thousand_orders_at_once_for_a_hundred_units_a_hundred_are_confirmed() {
    sell_a_hundred(1_000).await;
}

#[tokio::test]
async fn a_flash_sale_sells_exactly_what_there_is() {
    sell_a_hundred(5_000).await;
}

#[tokio::test]
async fn two_lines_of_a_product_with_stock_for_one_are_rejected() {
    let shop = Shop::open().await;
    shop.stock("MUG", 1).await;
    let (id, status) = shop.settle(&[("MUG", 1), ("MUG", 1)]).await;
    assert_eq!(status, "rejected");
    let shortage = json!([{"product_id": "MUG", "requested": 2, "available": 1, "reason": "out_of_stock"}]);
    assert_eq!(shop.order(&id).await["shortages"], shortage);
    assert_eq!(shop.levels("MUG").await, [1, 0, 1]);
}

#[tokio::test]
async fn orders_of_the_same_products_in_crossed_order_all_settle() {
    let shop = Arc::new(Shop::open().await);
    for product in ["A", "B", "C"] {
        shop.stock(product, 200).await;
    }
    let crossed = [[("A", 1), ("B", 1)], [("B", 1), ("A", 1)], [("B", 1), ("C", 1)], [("C", 1), ("A", 1)]];
    let orders = (0..400).map(|number: usize| order(&crossed[number % 4])).collect();
    let answers = place_at_once(&shop, orders).await;
    let tally = tally(&answers);
    let confirmed = tally.get("confirmed").copied().unwrap_or(0);
    assert_eq!(confirmed + tally.get("rejected").copied().unwrap_or(0), 400, "{tally:?}");
    let mut held = 0;
    for product in ["A", "B", "C"] {
        held += shop.levels(product).await[1];
    }
    assert_eq!(usize::try_from(held).expect("a number of units"), 2 * confirmed, "each holds all it needs, or nothing");
    shop.must_verify().await;
}

#[tokio::test]
async fn a_hundred_requests_with_one_key_make_one_order() {
    let shop = Arc::new(Shop::open().await);
    shop.stock("MUG", 100).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let shop = shop.clone();
        clients.spawn(async move {
            shop.post_with("/api/orders", &[("idempotency-key", "K1"), WAIT], &order(&[("MUG", 1)])).await
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

#[tokio::test]
async fn a_hundred_movements_with_one_key_are_one_movement() {
    let shop = Arc::new(Shop::open().await);
    shop.stock("MUG", 0).await;
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let shop = shop.clone();
        let receive = json!({"kind": "receive", "quantity": 7});
        clients.spawn(async move {
            shop.post_with("/api/inventory/products/MUG/movements", &[("idempotency-key", "K1")], &receive).await
        });
    }
    let answers = clients.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.json() == answers[0].json()));
    assert_eq!(shop.levels("MUG").await, [7, 0, 7]);
}

#[tokio::test]
async fn orders_and_movements_of_one_product_do_not_get_in_each_others_way() {
    let shop = Arc::new(Shop::open().await);
    shop.stock("MUG", 50).await;
    let mut clients = JoinSet::new();
    for number in 0..150 {
        let shop = shop.clone();
        clients.spawn(async move {
            match number % 3 {
                0 => shop.receive("MUG", "main", 1).await,
                1 => drop(shop.move_stock("MUG", &json!({"kind": "adjust", "quantity": -1, "reason": "broken"})).await),
                _ => drop(shop.settle(&[("MUG", 2)]).await),
            }
        });
    }
    clients.join_all().await;
    let [on_hand, reserved, available] = shop.levels("MUG").await;
    assert!(0 <= reserved && reserved <= on_hand && available == on_hand - reserved);
    shop.must_verify().await;
}
