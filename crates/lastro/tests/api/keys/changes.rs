//! Keys of clients that change orders.

use serde_json::{Value, json};
use testbed::WAIT;

use super::{Client, Keys, text};

#[tokio::test]
async fn the_key_of_one_customer_cancels_units_of_own_orders_and_does_nothing_else_to_them() {
    let keys = Keys::new();
    let all = "orders:write,orders:read,orders:cancel";
    let (own, id) = keys.create(all, &["--customer", "C1"]).await;
    let staff = "orders:write,orders:read,orders:fulfill,orders:pay";
    let (staff, _) = keys.create(staff, &[]).await;
    let shop = keys.shop_with_mugs(9).await;
    let (own, staff) = (Client::new(&shop, &own), Client::new(&shop, &staff));
    let units = |quantity: u32| json!({"lines": [{"product_id": "MUG", "quantity": quantity}]});
    let with_key = [("idempotency-key", "K"), WAIT];
    let body = json!({"customer_id": "C1", "products": [{"product_id": "MUG", "quantity": 3, "price": 10}]});
    let mine = text(&own.send("POST", "/api/orders", &[WAIT], &body).await, "order_id");
    let others = text(&staff.place("C2", &[WAIT]).await, "order_id");

    let cancellations = format!("/api/orders/{mine}/cancellations");
    let cancelled = own.send("POST", &cancellations, &with_key, &units(1)).await;
    assert_eq!((cancelled.status, text(&cancelled, "status")), (200, "confirmed".to_owned()));
    let shipments = format!("/api/orders/{mine}/shipments");
    let shipped = staff.send("POST", &shipments, &with_key, &units(1)).await;
    assert_eq!(shipped.status, 201, "{shipped:?}");
    let location = shipped.header("location").expect("a path").to_owned();
    assert_eq!(own.get(&location).await.status, 200);
    for (what, body) in [
        ("shipments", units(1)),
        ("returns", units(1)),
        ("pay", json!({"reference": "ch_1"})),
        ("refunds", json!({"reference": "re_1", "amount": 1})),
    ] {
        let path = format!("/api/orders/{mine}/{what}");
        let refused = own.send("POST", &path, &with_key, &body).await;
        assert_eq!(refused.verdict(), "403 forbidden", "{what}");
    }
    let path = format!("/api/orders/{others}/cancellations");
    let refused = own.send("POST", &path, &with_key, &units(1)).await;
    assert_eq!(refused.verdict(), "404 order_not_found");
    let path = format!("/api/orders/{others}/shipments/3");
    assert_eq!(own.get(&path).await.verdict(), "404 order_not_found");

    let order = own.get(&format!("/api/orders/{mine}")).await.ok();
    let changes = order["history"].as_array().expect("a history").iter();
    let by = changes.filter(|entry| entry["change"]["type"] == "cancellation.created");
    let by: Vec<_> = by.map(|entry| entry["actor"].clone()).collect();
    assert_eq!(by, [format!("key:{id}")]);
}

#[tokio::test]
async fn the_key_of_a_change_belongs_to_the_client_that_sent_it() {
    let keys = Keys::new();
    let scopes = "orders:write,orders:read,orders:fulfill";
    let (one, _) = keys.create(scopes, &[]).await;
    let (two, _) = keys.create(scopes, &[]).await;
    let shop = keys.shop_with_mugs(9).await;
    let (one, two) = (Client::new(&shop, &one), Client::new(&shop, &two));
    let body = json!({"customer_id": "C1", "products": [{"product_id": "MUG", "quantity": 3, "price": 10}]});
    let id = text(&one.send("POST", "/api/orders", &[WAIT], &body).await, "order_id");
    let path = format!("/api/orders/{id}/shipments");
    let unit = json!({"lines": [{"product_id": "MUG", "quantity": 1}]});
    let ship = async |client: &Client<'_>| {
        let headers = [("idempotency-key", "K"), WAIT];
        let shipped = client.send("POST", &path, &headers, &unit).await;
        let replayed = shipped.header("idempotent-replayed").is_some();
        (shipped.json()["shipment"]["shipment_id"].clone(), replayed)
    };
    let (first, of_another, again) = (ship(&one).await, ship(&two).await, ship(&one).await);
    assert_eq!([first.1, of_another.1, again.1], [false, false, true]);
    assert_ne!(first.0, of_another.0);
    assert_eq!(first.0, again.0);
    let order = one.get(&format!("/api/orders/{id}")).await.ok();
    // The order never shows the keys.
    assert!(!order.to_string().contains("\"K\""), "{order}");
    assert_eq!(order["shipments"].as_array().map(Vec::len), Some(2));
    assert_eq!(order["payment"], Value::Null);
}
