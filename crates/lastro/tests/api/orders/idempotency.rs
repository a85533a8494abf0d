//! A request that is repeated with the same key has one effect.

use serde_json::{Value, json};

use testbed::{Deployment, JSON, Response, WAIT, order};

async fn place_with_key(shop: &Deployment, key: &str, order: &Value) -> Response {
    shop.post_with("/api/orders", &[("idempotency-key", key)], order).await
}

#[tokio::test]
async fn a_repeated_order_is_answered_with_the_first_one_as_it_is_now() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let first = place_with_key(&shop, "K1", &order(&[("MUG", 1)])).await;
    assert_eq!(
        (first.text_at("/status").as_str(), first.header("idempotent-replayed")),
        ("received", None)
    );
    let id = first.text_at("/order_id");
    shop.order_once(&id, "confirmed").await;

    // The same order with another spelling.
    let again = r#"{"products":[{"price":10.0,"quantity":1,"product_id":"MUG"}],"currency":"BRL","customer_id":"C1"}"#;
    let answer = shop.send("POST", "/api/orders", &[JSON, ("idempotency-key", "K1")], again).await;
    let expected = json!({"order_id": id, "status": "confirmed", "message": "Order confirmed."});
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(answer.header("location"), Some(format!("/api/orders/{id}").as_str()));
    assert_eq!(shop.levels("MUG").await, [5, 1, 4]);
}

#[tokio::test]
async fn a_repeated_order_may_wait_and_lists_its_shortages() {
    let shop = Deployment::open().await;
    let first = place_with_key(&shop, "K1", &order(&[("MUG", 1)])).await.text_at("/order_id");
    let again = shop
        .post_with("/api/orders", &[("idempotency-key", "K1"), WAIT], &order(&[("MUG", 1)]))
        .await;
    assert_eq!(
        (again.text_at("/order_id"), again.text_at("/status")),
        (first, "rejected".to_owned())
    );
    assert_eq!(again.text_at("/shortages/0/reason"), "unknown_product");
    assert_eq!(again.header("preference-applied"), Some("wait=30"));
}

#[tokio::test]
async fn a_key_belongs_to_one_order() {
    let shop = Deployment::open().await;
    place_with_key(&shop, "K1", &order(&[("MUG", 1)])).await.ok();
    for other in [
        order(&[("MUG", 2)]),
        order(&[("TEE", 1)]),
        order(&[("MUG", 1), ("MUG", 1)]),
        json!({"customer_id": "C2", "products": [{"product_id": "MUG", "quantity": 1, "price": 10}]}),
        json!({"customer_id": "C1", "products": [{"product_id": "MUG", "quantity": 1, "price": 10.01}]}),
        json!({"customer_id": "C1", "currency": "EUR", "products": [{"product_id": "MUG", "quantity": 1, "price": 10}]}),
    ] {
        let answer = place_with_key(&shop, "K1", &other).await;
        assert_eq!(answer.verdict(), "422 idempotency_key_reused", "{other}");
    }
    assert_eq!(shop.column("/api/orders", "order_id").await.len(), 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let shop = Deployment::open().await;
    for (body, verdict) in [("{", "400 malformed_json"), ("{}", "422 invalid_request")] {
        let answer =
            shop.send("POST", "/api/orders", &[JSON, ("idempotency-key", "K1")], body).await;
        assert_eq!(answer.verdict(), verdict);
    }
    let answer = place_with_key(&shop, "K1", &order(&[("MUG", 1)])).await;
    assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, None));
}

#[tokio::test]
async fn without_a_key_or_with_another_one_it_is_another_order() {
    let shop = Deployment::open().await;
    let mug = order(&[("MUG", 1)]);
    for key in ["K1", "k1", "K2", &"k".repeat(255)] {
        place_with_key(&shop, key, &mug).await.ok();
    }
    shop.place(&mug).await.ok();
    shop.place(&mug).await.ok();
    assert_eq!(shop.column("/api/orders", "order_id").await.len(), 6);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let shop = Deployment::open().await;
    let too_long = "k".repeat(256);
    for headers in [
        &[("idempotency-key", "")][..],
        &[("idempotency-key", "two words")],
        &[("idempotency-key", &too_long)],
        &[("idempotency-key", "K1"), ("idempotency-key", "K2")],
    ] {
        let answer = shop.post_with("/api/orders", headers, &order(&[("MUG", 1)])).await;
        assert_eq!(answer.verdict(), "422 invalid_request", "{headers:?}");
        assert_eq!(answer.faults(), ["Idempotency-Key bad_format"]);
    }
    assert_eq!(shop.column("/api/orders", "order_id").await, [""; 0]);
}
