//! Orders as a customer sees them: placed, settled, cancelled, fulfilled.

use serde_json::{Value, json};

use testbed::{Deployment, JSON, Response, WAIT, members, order};

mod idempotency;
mod lists;
mod money;

const EXAMPLE: &str = r#"{
  "customer_id": "123456",
  "products": [
    {"product_id": "789", "quantity": 2, "price": 19.99},
    {"product_id": "456", "quantity": 1, "price": 29.99}
  ]
}"#;

#[tokio::test]
async fn the_example_order_is_answered_to_the_letter() {
    let shop = Deployment::open().await;
    shop.stock("789", 10).await;
    shop.stock("456", 10).await;
    let answer = shop.send("POST", "/api/orders", &[JSON], EXAMPLE).await;
    let id = answer.text_at("/order_id");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("location"), Some(format!("/api/orders/{id}").as_str()));
    let expected = format!(
        r#"{{"order_id":"{id}","status":"received","message":"Order successfully placed."}}"#
    );
    assert_eq!(answer.text, expected);
    let order = shop.order_once(&id, "confirmed").await;
    assert_eq!(order["total"].to_string(), "69.97");
    assert_eq!((shop.levels("789").await, shop.levels("456").await), ([10, 2, 8], [10, 1, 9]));
}

#[tokio::test]
async fn an_order_shows_its_whole_history() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 10).await;
    let id = shop.confirmed(&[("MUG", 2), ("MUG", 1)]).await;
    let reason = json!({"reason": "changed my mind"});
    shop.post_with(&format!("/api/orders/{id}/cancel"), &[WAIT], &reason).await.ok();

    let order = shop.order(&id).await;
    let mut names = members(&order);
    names.sort_unstable();
    let expected = [
        &["allocations", "cancellations", "created_at", "currency", "customer_id"][..],
        &["fulfillment", "history", "items", "order_id", "payment", "products", "refund_due"],
        &["returns", "returns_status", "shipments", "shortages", "status", "total", "updated_at"],
    ];
    assert_eq!(names, expected.concat());
    assert_eq!(order["products"][1], json!({"product_id": "MUG", "quantity": 1, "price": 10.0}));
    assert_eq!(
        order["allocations"],
        json!([{"product_id": "MUG", "location_id": "main", "quantity": 3}])
    );
    assert_eq!(order["shortages"], json!([]));
    assert_eq!(
        story(&order),
        ["1 received", "2 confirmed", "3 cancelling: changed my mind", "4 cancelled"]
    );
    assert_eq!(order["updated_at"], order["history"][3]["at"]);
}

#[tokio::test]
async fn a_rejected_order_says_what_there_was_not_enough_of() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 3).await;
    shop.stock("TEE", 1).await;
    let wanted = order(&[("TEE", 1), ("MUG", 2), ("CUP", 1), ("MUG", 2)]);
    let answer = shop.post_with("/api/orders", &[WAIT], &wanted).await;
    let shortages = json!([
        {"product_id": "CUP", "requested": 1, "available": 0, "reason": "unknown_product"},
        {"product_id": "MUG", "requested": 4, "available": 3, "reason": "out_of_stock"},
    ]);
    assert_eq!((answer.status, &answer.json()["shortages"]), (200, &shortages));
    assert_eq!(answer.text_at("/message"), "Order rejected: not enough stock.");
    let order = shop.order(&answer.text_at("/order_id")).await;
    assert_eq!((&order["status"], &order["shortages"]), (&json!("rejected"), &shortages));
    assert_eq!(story(&order), ["1 received", "2 rejected"]);
    assert_eq!(
        (shop.levels("MUG").await, shop.levels("TEE").await),
        ([3, 0, 3], [1, 0, 1]),
        "nothing is reserved"
    );
}

#[tokio::test]
async fn a_cancelled_order_gives_its_stock_back() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    assert_eq!(shop.levels("MUG").await, [5, 2, 3]);
    for _ in 0..2 {
        let answer = shop.ask(&id, "cancel").await;
        assert_eq!(members(&answer.json()), ["order_id", "status", "message"]);
        assert_eq!(answer.header("preference-applied"), Some("wait=30"));
        assert_eq!(answer.text_at("/message"), "Order cancelled.");
    }
    assert_eq!(shop.levels("MUG").await, [5, 0, 5]);
    let reservation = shop.get(&format!("/api/inventory/reservations/{id}")).await.ok();
    assert_eq!(reservation["state"], "released");
}

#[tokio::test]
async fn a_fulfilled_order_takes_its_stock_with_it() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    for _ in 0..2 {
        assert_eq!(shop.ask(&id, "fulfill").await.text_at("/message"), "Order fulfilled.");
    }
    assert_eq!(shop.levels("MUG").await, [3, 0, 3]);
    let order = shop.order(&id).await;
    assert_eq!(
        story(&order),
        ["1 received", "2 confirmed", "3 fulfilling shipment.created", "4 fulfilled"]
    );
    assert_eq!(
        order["allocations"],
        json!([{"product_id": "MUG", "location_id": "main", "quantity": 2}])
    );
}

/// The answers of an order in each status to a cancellation and to a fulfillment.
const TRANSITIONS: [(&str, &str, &str); 7] = [
    ("received", "Cancellation requested.", "409 invalid_transition"),
    ("confirmed", "Cancellation requested.", "Fulfillment requested."),
    ("rejected", "409 invalid_transition", "409 invalid_transition"),
    ("cancelling", "Cancellation requested.", "409 invalid_transition"),
    ("cancelled", "Order cancelled.", "409 invalid_transition"),
    ("fulfilling", "409 invalid_transition", "Fulfillment requested."),
    ("fulfilled", "409 invalid_transition", "Order fulfilled."),
];

#[tokio::test]
async fn a_request_moves_an_order_as_its_status_allows() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 100).await;
    let mut asked = Vec::new();
    for (status, cancel, fulfill) in TRANSITIONS {
        for (action, expected) in [("cancel", cancel), ("fulfill", fulfill)] {
            asked.push((settled_before(&shop, status).await, status, action, expected));
        }
    }
    let held = shop.hold_inventory().await;
    for (id, status, action, expected) in &mut asked {
        *id = bring_to(&shop, id, status).await;
        assert_eq!(shop.order(id).await["status"], *status);
        let answer = shop.send("POST", &format!("/api/orders/{id}/{action}"), &[], "").await;
        assert_eq!(reported(&answer), *expected, "{action} of an order that is {status}");
    }
    drop(held);
    for (id, ..) in &asked {
        let settled = shop.ask(id, "cancel").await;
        assert!(
            ["200", "409 invalid_transition"].contains(&settled.verdict().as_str()),
            "{settled:?}"
        );
    }
    shop.must_verify().await;
}

/// An order in the last status before `status` in which no command is in flight.
async fn settled_before(shop: &Deployment, status: &str) -> String {
    match status {
        "received" => String::new(),
        "rejected" => shop.settle(&[("MUG", 1000)]).await.0,
        _ => {
            let id = shop.confirmed(&[("MUG", 1)]).await;
            match status {
                "cancelled" => drop(shop.ask(&id, "cancel").await),
                "fulfilled" => drop(shop.ask(&id, "fulfill").await),
                _ => {}
            }
            id
        }
    }
}

/// Brings the order to `status` while Inventory does not answer, and returns its id.
async fn bring_to(shop: &Deployment, id: &str, status: &str) -> String {
    match status {
        "received" => return shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"),
        "cancelling" => {
            drop(shop.send("POST", &format!("/api/orders/{id}/cancel"), &[], "").await.ok());
        }
        "fulfilling" => {
            drop(shop.send("POST", &format!("/api/orders/{id}/fulfill"), &[], "").await.ok());
        }
        _ => {}
    }
    id.to_owned()
}

/// The message of a receipt, or the kind of the refusal.
fn reported(answer: &Response) -> String {
    if answer.status == 200 { answer.text_at("/message") } else { answer.verdict() }
}

#[tokio::test]
async fn an_order_that_is_not_there_is_not_found() {
    let shop = Deployment::open().await;
    for id in [
        "0197a9c4-0000-7000-8000-000000000000",
        "0197A9C4-0000-7000-8000-00000000000",
        "nonsense",
        "..%2F",
    ] {
        for (method, path) in [("GET", ""), ("POST", "/cancel"), ("POST", "/fulfill")] {
            let answer = shop.send(method, &format!("/api/orders/{id}{path}"), &[], "").await;
            assert_eq!(answer.verdict(), "404 order_not_found", "{method} {id}{path}");
        }
    }
}

/// The history of an order, a line for each entry: its number, status, change and reason.
pub(crate) fn story(order: &Value) -> Vec<String> {
    let entries = order["history"].as_array().expect("a history");
    let line = |entry: &Value| {
        assert_eq!(members(entry), ["seq", "status", "actor", "reason", "change", "at"]);
        let change = entry["change"]["type"].as_str();
        let change = change.map(|change| format!(" {change}")).unwrap_or_default();
        let why = entry["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} {}{change}{why}", entry["seq"], entry["status"].as_str().expect("a status"))
    };
    entries.iter().map(line).collect()
}
