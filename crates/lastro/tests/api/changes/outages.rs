//! Changes of orders while Inventory is away, and after it is back.

use serde_json::json;

use testbed::{Deployment, PATIENCE, eventually};

use super::units;

/// Waits until Inventory has answered everything.
async fn settled(shop: &Deployment) {
    eventually(PATIENCE, "nothing is pending", async || {
        (shop.get("/api/orders/pending").await.ok()["total"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ten_changes_while_inventory_is_away_are_one_command() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 20).await;
    let id = shop.confirmed(&[("MUG", 10)]).await;
    let held = shop.hold_inventory().await;
    for n in 0..10 {
        let path = format!("/api/orders/{id}/shipments");
        let key = format!("K{n}");
        let one = units(&[("MUG", 1)]);
        let shipped = shop.post_with(&path, &[("idempotency-key", &key)], &one).await;
        assert_eq!(shipped.status, 201, "{shipped:?}");
        assert_eq!(shipped.text_at("/shipment/state"), "shipping");
    }
    let pending = shop.get("/api/orders/pending").await.ok();
    let [command] = pending["data"].as_array().expect("commands").as_slice() else {
        panic!("{pending}")
    };
    assert_eq!((&command["order_id"], &command["revision"]), (&json!(id), &json!(11)));
    assert_eq!(shop.order(&id).await["status"], "fulfilling");
    drop(held);

    let order = shop.order_once(&id, "fulfilled").await;
    let states = order["shipments"].as_array().expect("shipments").iter();
    assert!(states.clone().all(|shipment| shipment["state"] == "shipped"), "{order}");
    assert_eq!(states.count(), 10);
    assert_eq!(shop.levels("MUG").await, [10, 0, 10]);
    shop.must_verify().await;
}

#[tokio::test]
async fn an_order_whose_units_are_being_released_is_busy_for_a_moment() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 3)]).await;
    let held = shop.hold_inventory().await;
    let post = async |what: &str, key: &str| {
        let path = format!("/api/orders/{id}/{what}");
        shop.post_with(&path, &[("idempotency-key", key)], &units(&[("MUG", 1)])).await
    };
    assert_eq!(post("cancellations", "K1").await.text_at("/status"), "amending");
    let busy = post("shipments", "K2").await;
    assert_eq!(
        (busy.verdict().as_str(), busy.header("retry-after")),
        ("409 order_busy", Some("1"))
    );
    let fulfill = shop.send("POST", &format!("/api/orders/{id}/fulfill"), &[], "").await;
    assert_eq!(fulfill.verdict(), "409 order_busy");
    // More can be cancelled meanwhile.
    assert_eq!(post("cancellations", "K3").await.text_at("/status"), "amending");
    drop(held);
    settled(&shop).await;
    assert_eq!(post("shipments", "K2").await.status, 201, "the key was not used up");
    shop.order_once(&id, "fulfilled").await;
    assert_eq!(shop.levels("MUG").await, [4, 0, 4]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_shipment_that_is_cancelled_before_inventory_heard_of_it_moves_nothing() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 3).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    let held = shop.hold_inventory().await;
    let path = format!("/api/orders/{id}/shipments");
    shop.post_with(&path, &[("idempotency-key", "K1")], &json!({})).await.ok();
    let cancelled = shop.send("POST", &format!("{path}/3/cancel"), &[], "").await;
    assert_eq!(cancelled.text_at("/shipment/state"), "cancelling");
    drop(held);
    let order = shop.order_once(&id, "confirmed").await;
    assert_eq!(order["shipments"][0]["state"], "cancelled");
    assert_eq!(shop.levels("MUG").await, [3, 2, 1]);
    shop.must_verify().await;
}
