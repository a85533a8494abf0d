//! Orders that change after they were confirmed: units are cancelled, and shipped in parts.

use futures_util::future::join_all;
use serde_json::{Value, json};

use testbed::{Deployment, JSON, PATIENCE, WAIT, eventually, order};

use crate::orders::story;

mod limits;
mod outages;

fn units(lines: &[(&str, u32)]) -> Value {
    let line = |(product_id, quantity): &(&str, u32)| json!({"product_id": product_id, "quantity": quantity});
    json!({"lines": lines.iter().map(line).collect::<Vec<_>>()})
}

#[tokio::test]
async fn an_order_is_shipped_in_parts_and_its_page_tells_all_of_it_in_order() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    shop.stock("TEE", 5).await;
    let id = shop.confirmed(&[("MUG", 2), ("TEE", 1)]).await;
    let mut first = units(&[("MUG", 1)]);
    first["tracking"] = json!({"carrier": "Correios", "number": "BR1"});
    let shipped = shop.change(&id, "shipments", "K1", &first).await;
    assert_eq!((shipped.status, shipped.text_at("/status")), (201, "confirmed".to_owned()));
    let shipment = json!({
        "shipment_id": 3, "state": "shipped",
        "lines": [{"product_id": "MUG", "location_id": "main", "quantity": 1}],
        "tracking": {"carrier": "Correios", "number": "BR1", "url": null},
        "created_at": shipped.json()["shipment"]["created_at"],
    });
    assert_eq!(shipped.json()["shipment"], shipment);
    let location = format!("/api/orders/{id}/shipments/3");
    assert_eq!(shipped.header("location"), Some(location.as_str()));
    assert_eq!(shop.get(&location).await.ok(), shipment);
    let order = shop.order(&id).await;
    assert_eq!(
        (&order["fulfillment"], &order["shipments"]),
        (&json!("partial"), &json!([shipment]))
    );

    let rest = shop.change(&id, "shipments", "K2", &json!({})).await;
    assert_eq!(rest.text_at("/message"), "Order fulfilled.");
    let followed = json!({"url": "https://example.com/BR2"});
    let track = format!("/api/orders/{id}/shipments/5/tracking");
    for replayed in [None, Some("true")] {
        let tracked = shop.put(&track, &followed).await;
        assert_eq!((tracked.status, tracked.header("idempotent-replayed")), (200, replayed));
        assert_eq!(tracked.text_at("/shipment/tracking/url"), "https://example.com/BR2");
    }
    let order = shop.order(&id).await;
    let item = |product: &str, ordered: u32| json!({"product_id": product, "ordered": ordered, "cancelled": 0, "allocated": ordered, "shipped": ordered, "returned": 0});
    assert_eq!(order["items"], json!([item("MUG", 2), item("TEE", 1)]));
    assert_eq!((&order["fulfillment"], &order["returns_status"]), (&json!("full"), &json!("none")));
    let expected = [
        "1 received",
        "2 confirmed",
        "3 amending shipment.created",
        "4 confirmed",
        "5 fulfilling shipment.created",
        "6 fulfilled",
        "7 fulfilled shipment.tracked",
    ];
    assert_eq!(story(&order), expected);
    let lines = json!([{"product_id": "MUG", "location_id": "main", "quantity": 1}, {"product_id": "TEE", "location_id": "main", "quantity": 1}]);
    let change = json!({"type": "shipment.created", "shipment_id": 5, "lines": lines});
    assert_eq!(order["history"][4]["change"], change);
    assert_eq!((shop.levels("MUG").await, shop.levels("TEE").await), ([3, 0, 3], [4, 0, 4]));
    shop.must_verify().await;
}

#[tokio::test]
async fn units_are_shipped_from_the_location_that_is_named() {
    let shop = Deployment::open().await;
    shop.put("/api/inventory/locations/shop", &json!({"name": "Shop", "priority": 9})).await.ok();
    shop.stock("MUG", 2).await;
    shop.receive("MUG", "shop", 2).await;
    let id = shop.confirmed(&[("MUG", 4)]).await;
    let at = |location: &str, quantity: u32| json!({"lines": [{"product_id": "MUG", "location_id": location, "quantity": quantity}]});
    let refused = shop.change(&id, "shipments", "K1", &at("shop", 3)).await;
    assert_eq!(refused.verdict(), "409 quantity_unavailable");
    assert_eq!(refused.faults(), ["/lines/0/quantity out_of_range"]);
    assert!(refused.text_at("/detail").contains("at most 2"), "{refused:?}");
    let shipped = shop.change(&id, "shipments", "K1", &at("shop", 1)).await;
    let lines = &shipped.json()["shipment"]["lines"];
    assert_eq!(lines, &json!([{"product_id": "MUG", "location_id": "shop", "quantity": 1}]));
    // Without a location, in the order of the allocations.
    let shipped = shop.change(&id, "shipments", "K2", &units(&[("MUG", 3)])).await;
    let at = |location: &str, quantity: u32| json!({"product_id": "MUG", "location_id": location, "quantity": quantity});
    assert_eq!(shipped.json()["shipment"]["lines"], json!([at("main", 2), at("shop", 1)]));
    let refused = shop.change(&id, "shipments", "K3", &json!({})).await;
    assert_eq!(
        (refused.verdict().as_str(), refused.faults().len()),
        ("409 quantity_unavailable", 0)
    );
    shop.must_verify().await;
}

/// A double click.
#[tokio::test]
async fn a_hundred_shipments_at_once_with_one_key_are_one_shipment() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 50).await;
    let id = shop.confirmed(&[("MUG", 50)]).await;
    let one = units(&[("MUG", 1)]);
    let answers = join_all((0..100).map(|_| shop.change(&id, "shipments", "K1", &one))).await;
    let made = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(made.count(), 1);
    for answer in &answers {
        assert_eq!((answer.status, &answer.json()["shipment"]["shipment_id"]), (201, &json!(3)));
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    assert_eq!(shop.order(&id).await["shipments"].as_array().map(Vec::len), Some(1));
    assert_eq!(shop.levels("MUG").await, [49, 49, 0]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_hundred_shipments_at_once_ship_as_many_units_as_there_are() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 50).await;
    let id = shop.confirmed(&[("MUG", 40)]).await;
    let one = units(&[("MUG", 1)]);
    let keys: Vec<_> = (0..100).map(|n| format!("K{n}")).collect();
    let answers = join_all(keys.iter().map(|key| shop.change(&id, "shipments", key, &one))).await;
    let with = |verdict: &str| answers.iter().filter(|answer| answer.verdict() == verdict).count();
    assert_eq!((with("201"), with("409 quantity_unavailable")), (40, 60));
    let order = shop.order_once(&id, "fulfilled").await;
    assert_eq!(order["shipments"].as_array().map(Vec::len), Some(40));
    assert_eq!(shop.levels("MUG").await, [10, 0, 10]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_key_carries_out_one_change_of_one_order() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 20).await;
    let id = shop.confirmed(&[("MUG", 9)]).await;
    let one = units(&[("MUG", 1)]);
    for (what, body) in [
        ("shipments", one.clone()),
        ("cancellations", one.clone()),
        (
            "returns",
            json!({"lines": [{"product_id": "MUG", "quantity": 1, "disposition": "restock"}]}),
        ),
    ] {
        let path = format!("/api/orders/{id}/{what}");
        let refused = shop.post(&path, &body).await;
        assert_eq!(refused.verdict(), "422 invalid_request", "{what}");
        assert_eq!(refused.faults(), ["Idempotency-Key required"]);
        let first = shop.change(&id, what, what, &body).await;
        let again = shop.change(&id, what, what, &body).await;
        assert_eq!([first.status, again.status], [first.status; 2], "{what}: {first:?}");
        assert_eq!(first.header("idempotent-replayed"), None);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(first.json(), again.json());
        let mut more = body.clone();
        more["lines"][0]["quantity"] = json!(2);
        let reused = shop.change(&id, what, what, &more).await;
        assert_eq!(reused.verdict(), "422 idempotency_key_reused", "{what}");
    }
    let reused = shop.change(&id, "cancellations", "shipments", &one).await;
    assert_eq!(reused.verdict(), "422 idempotency_key_reused", "of another kind of change");
    // The keys of another order are others.
    let other = shop.confirmed(&[("MUG", 1)]).await;
    assert_eq!(shop.change(&other, "shipments", "shipments", &one).await.status, 201);
    assert_eq!(shop.levels("MUG").await, [19, 7, 12]);
    shop.must_verify().await;
}

#[tokio::test]
async fn units_that_are_cancelled_are_free_and_what_is_shipped_stays() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 10).await;
    let id = shop.confirmed(&[("MUG", 4)]).await;
    shop.change(&id, "shipments", "K1", &units(&[("MUG", 1)])).await.ok();
    let mut one = units(&[("MUG", 1)]);
    one["reason"] = json!("too many");
    let changed = shop.change(&id, "cancellations", "K2", &one).await;
    assert_eq!((changed.status, changed.text_at("/status")), (200, "confirmed".to_owned()));
    let cancellation = &changed.json()["cancellation"];
    assert_eq!(
        (&cancellation["lines"], &cancellation["amount"], &cancellation["reason"]),
        (&json!([{"product_id": "MUG", "quantity": 1}]), &json!(10.0), &json!("too many"))
    );
    assert_eq!(shop.levels("MUG").await, [9, 2, 7]);
    let refused = shop.change(&id, "cancellations", "K3", &units(&[("TEE", 1), ("MUG", 3)])).await;
    assert_eq!(refused.verdict(), "409 quantity_unavailable");
    assert_eq!(
        refused.faults(),
        ["/lines/0/quantity out_of_range", "/lines/1/quantity out_of_range"]
    );
    assert_eq!(shop.ask(&id, "cancel").await.verdict(), "409 invalid_transition");

    let rest = shop.change(&id, "cancellations", "K3", &units(&[("MUG", 1), ("MUG", 1)])).await;
    assert_eq!(rest.text_at("/status"), "fulfilled", "all that it keeps is shipped");
    let order = shop.order(&id).await;
    let item = &order["items"][0];
    let numbers = ["ordered", "cancelled", "allocated", "shipped"].map(|name| item[name].clone());
    assert_eq!(numbers, [4, 3, 1, 1]);
    assert_eq!((&order["cancellations"][0], &order["fulfillment"]), (cancellation, &json!("full")));
    assert_eq!(story(&order)[4], "5 amending cancellation.created: too many");
    assert_eq!(shop.levels("MUG").await, [9, 0, 9]);
    shop.must_verify().await;
}

#[tokio::test]
async fn an_order_whose_units_are_all_cancelled_is_cancelled() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 3).await;
    let id = shop.confirmed(&[("MUG", 2), ("MUG", 1)]).await;
    let changed = shop.change(&id, "cancellations", "K1", &units(&[("MUG", 3)])).await;
    assert_eq!(changed.text_at("/message"), "Order cancelled.");
    assert_eq!(shop.levels("MUG").await, [3, 0, 3]);
    let ledger = shop.pages("/api/inventory/products/MUG/movements").await.0;
    let reserved: i64 = ledger.iter().filter_map(|row| row["reserved_delta"].as_i64()).sum();
    assert_eq!(reserved, 0, "{ledger:?}");
    shop.must_verify().await;
}

/// The same product stands on two lines.
#[tokio::test]
async fn the_units_of_a_cancelled_shipment_are_held_for_the_order_again() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 2), ("MUG", 2)]).await;
    shop.change(&id, "shipments", "K1", &units(&[("MUG", 3)])).await.ok();
    assert_eq!(shop.levels("MUG").await, [2, 1, 1]);
    let cancel = format!("/api/orders/{id}/shipments/3/cancel");
    let reason = json!({"reason": "the van broke down"});
    for replayed in [None, Some("true")] {
        let cancelled = shop.post_with(&cancel, &[WAIT], &reason).await;
        assert_eq!((cancelled.status, cancelled.header("idempotent-replayed")), (200, replayed));
        assert_eq!(cancelled.text_at("/shipment/state"), "cancelled");
    }
    assert_eq!(shop.levels("MUG").await, [5, 4, 1], "to the order, and not to the shelf");
    let back = json!({"lines": [{"product_id": "MUG", "quantity": 1, "disposition": "restock"}]});
    let refused = shop.change(&id, "returns", "K2", &back).await;
    assert_eq!(refused.verdict(), "409 quantity_unavailable", "nothing is out");
    let order = shop.order(&id).await;
    assert_eq!(story(&order)[4], "5 amending shipment.cancelled: the van broke down");
    assert_eq!((&order["fulfillment"], &order["items"][0]["shipped"]), (&json!("none"), &json!(0)));
    shop.change(&id, "shipments", "K3", &json!({})).await.ok();
    assert_eq!(shop.levels("MUG").await, [1, 0, 1]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_fulfilled_order_is_confirmed_again_if_its_shipment_is_cancelled() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 2).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    assert_eq!(shop.ask(&id, "fulfill").await.text_at("/status"), "fulfilled");
    let shipment = shop.order(&id).await["shipments"][0]["shipment_id"].clone();
    let cancel = format!("/api/orders/{id}/shipments/{shipment}/cancel");
    let cancelled = shop.send("POST", &cancel, &[WAIT], "").await;
    assert_eq!(cancelled.text_at("/status"), "confirmed");
    assert_eq!(shop.levels("MUG").await, [2, 2, 0]);
    assert_eq!(shop.ask(&id, "cancel").await.text_at("/status"), "cancelled");
    shop.must_verify().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_before_anything_else_is_decided() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let id = shop.confirmed(&[("MUG", 1)]).await;
    let changes = [
        ("POST", "pay"),
        ("POST", "refunds"),
        ("POST", "cancellations"),
        ("POST", "shipments"),
        ("POST", "returns"),
        ("GET", "shipments/3"),
        ("PUT", "shipments/3/tracking"),
        ("POST", "shipments/3/cancel"),
    ];
    for order in ["0197a9c4-0000-7000-8000-000000000000", "nonsense"] {
        for (method, path) in changes {
            let path = format!("/api/orders/{order}/{path}");
            let body = if method == "GET" { "" } else { r#"{"x": 1}"# };
            let answer = shop.send(method, &path, &[JSON], body).await;
            assert_eq!(answer.verdict(), "404 order_not_found", "{method} {path}");
        }
    }
    for shipment in ["2", "3", "0", "-1", "+3", "03", "4294967296", "x", "%20"] {
        for (method, path) in [("GET", ""), ("PUT", "/tracking"), ("POST", "/cancel")] {
            let path = format!("/api/orders/{id}/shipments/{shipment}{path}");
            let body = if method == "GET" { "" } else { r#"{"x": 1}"# };
            let answer = shop.send(method, &path, &[JSON], body).await;
            assert_eq!(answer.verdict(), "404 shipment_not_found", "{method} {path}");
        }
    }
}

/// The answers of an order to a shipment, a cancellation of units and a return, by its status.
const ALLOWED: [(&str, [&str; 3]); 5] = [
    ("received", ["409 invalid_transition"; 3]),
    ("reserved", ["409 invalid_transition"; 3]),
    ("rejected", ["409 invalid_transition"; 3]),
    ("cancelled", ["409 invalid_transition"; 3]),
    ("fulfilled", ["409 quantity_unavailable", "409 quantity_unavailable", "201"]),
];

#[tokio::test]
async fn an_order_changes_only_as_its_status_allows() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let cancelled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    let fulfilled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&fulfilled, "fulfill").await.ok();
    let rejected = shop.settle(&[("MUG", 99)]).await.0;
    let reserved = shop.reserved(&[("MUG", 1)]).await;
    let held = shop.hold_inventory().await;
    let received = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    let orders = [received, reserved, rejected, cancelled, fulfilled];
    for (id, (status, expected)) in orders.iter().zip(ALLOWED) {
        assert_eq!(shop.order(id).await["status"], status);
        let mut body = units(&[("MUG", 1)]);
        let mut found = Vec::new();
        for what in ["shipments", "cancellations", "returns"] {
            if what == "returns" {
                body["lines"][0]["disposition"] = json!("restock");
            }
            let path = format!("/api/orders/{id}/{what}");
            found.push(shop.post_with(&path, &[("idempotency-key", what)], &body).await.verdict());
        }
        assert_eq!(found, expected, "{status}");
    }
    drop(held);
    eventually(PATIENCE, "all is answered", async || {
        (shop.get("/api/orders/pending").await.ok()["total"] == 0).then_some(())
    })
    .await;
    shop.must_verify().await;
}
