//! Units that come back from the customer.

use futures_util::future::join_all;
use serde_json::{Value, json};

use testbed::{Deployment, WAIT};

use crate::orders::story;

fn back(quantity: u32, disposition: &str) -> Value {
    json!({"lines": [{"product_id": "MUG", "quantity": quantity, "disposition": disposition}]})
}

/// A shop with an order of mugs, all of them shipped.
async fn shipped(units: u32) -> (Deployment, String) {
    let shop = Deployment::open().await;
    shop.stock("MUG", 10).await;
    let id = shop.confirmed(&[("MUG", units)]).await;
    assert_eq!(shop.ask(&id, "fulfill").await.text_at("/status"), "fulfilled");
    (shop, id)
}

#[tokio::test]
async fn units_that_come_back_are_sold_again_kept_apart_or_written_off() {
    let (shop, id) = shipped(4).await;
    let mut body = json!({"reason": "damaged", "lines": [
        {"product_id": "MUG", "quantity": 1, "disposition": "restock"},
        {"product_id": "MUG", "quantity": 1, "disposition": "quarantine"},
        {"product_id": "MUG", "quantity": 1, "disposition": "write_off"},
    ]});
    let taken = shop.change(&id, "returns", "K1", &body).await;
    assert_eq!(taken.header("location"), Some(format!("/api/orders/{id}").as_str()));
    assert_eq!((taken.status, taken.text_at("/status")), (201, "fulfilled".to_owned()));
    let line = |disposition: &str| json!({"product_id": "MUG", "quantity": 1, "location_id": "main", "disposition": disposition, "booked_at": null});
    let expected = ["restock", "quarantine", "write_off"].map(line);
    let r#return = &taken.json()["return"];
    assert_eq!((&r#return["return_id"], &r#return["lines"]), (&json!(5), &json!(expected)));
    assert_eq!(shop.levels("MUG").await, [8, 0, 7], "one of two cannot be sold yet");
    let order = shop.order(&id).await;
    assert_eq!((&order["returns"][0], &order["returns_status"]), (r#return, &json!("partial")));
    assert_eq!(
        (&order["items"][0]["returned"], &order["fulfillment"]),
        (&json!(3), &json!("full"))
    );
    let told = ["5 amending return.created: damaged", "6 fulfilled"];
    assert_eq!(story(&order)[4..], told);
    assert_eq!(order["history"][4]["change"]["lines"][2]["disposition"], "write_off");

    body["lines"][0]["quantity"] = json!(2);
    let refused = shop.change(&id, "returns", "K2", &body).await;
    assert_eq!(refused.verdict(), "409 quantity_unavailable");
    shop.change(&id, "returns", "K2", &back(1, "restock")).await.ok();
    let order = shop.order(&id).await;
    assert_eq!((&order["status"], &order["returns_status"]), (&json!("fulfilled"), &json!("full")));
    shop.must_verify().await;
}

#[tokio::test]
async fn the_last_unit_comes_back_once_however_often_that_is_said() {
    let (shop, id) = shipped(2).await;
    shop.change(&id, "returns", "K0", &back(1, "restock")).await.ok();
    let last = back(1, "restock");
    let keys = ["K1", "K1", "K2", "K3"];
    let answers = join_all(keys.iter().map(|key| shop.change(&id, "returns", key, &last))).await;
    let verdicts: Vec<_> = answers.iter().map(|answer| answer.verdict()).collect();
    let booked = verdicts.iter().filter(|verdict| *verdict == "201").count();
    let by_one_key = if verdicts[0] == "201" { 2 } else { 1 };
    assert_eq!(booked, by_one_key, "{verdicts:?}");
    assert!(verdicts.iter().all(|its| ["201", "409 quantity_unavailable"].contains(&its.as_str())));
    let order = shop.order(&id).await;
    assert_eq!(
        (&order["items"][0]["returned"], shop.levels("MUG").await),
        (&json!(2), [10, 0, 10])
    );
    shop.must_verify().await;
}

#[tokio::test]
async fn a_shipment_of_which_units_came_back_stays_shipped() {
    let (shop, id) = shipped(2).await;
    shop.change(&id, "returns", "K1", &back(1, "restock")).await.ok();
    let cancel = format!("/api/orders/{id}/shipments/3/cancel");
    let refused = shop.send("POST", &cancel, &[WAIT], "").await;
    assert_eq!(refused.verdict(), "409 quantity_unavailable");
    assert!(refused.text_at("/detail").contains("came back"), "{refused:?}");
    assert_eq!(shop.levels("MUG").await, [9, 0, 9]);
    shop.must_verify().await;
}

#[tokio::test]
async fn units_come_back_to_any_location_and_to_one_that_does_not_exist() {
    let (shop, id) = shipped(3).await;
    shop.put("/api/inventory/locations/shop", &json!({"name": "Shop", "priority": 200})).await.ok();
    for (key, location, booked_at) in [("K1", "shop", Value::Null), ("K2", "attic", json!("main"))]
    {
        let mut body = back(1, "restock");
        body["lines"][0]["location_id"] = json!(location);
        let taken = shop.change(&id, "returns", key, &body).await;
        let line = &taken.json()["return"]["lines"][0];
        assert_eq!((&line["location_id"], &line["booked_at"]), (&json!(location), &booked_at));
    }
    let product = shop.get("/api/inventory/products/MUG").await.ok();
    let at = |location: &str| {
        let mut rows = product["locations"].as_array().expect("locations").iter();
        rows.find(|row| row["location_id"] == location).map(|row| row["on_hand"].clone())
    };
    assert_eq!((at("main"), at("shop")), (Some(json!(8)), Some(json!(1))), "{product}");
    shop.must_verify().await;
}

/// Money is given back by a refund: what came back does not change what the order costs.
#[tokio::test]
async fn a_return_gives_no_money_back_by_itself() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 2).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    shop.pay(&id, "ch_1").await.ok();
    shop.ask(&id, "fulfill").await.ok();
    let taken = shop.change(&id, "returns", "K1", &back(2, "restock")).await;
    assert_eq!(taken.text_at("/payment/state"), "paid");
    let refund = json!({"reference": "re_1", "amount": 20});
    let refunded = shop.post(&format!("/api/orders/{id}/refunds"), &refund).await;
    assert_eq!(refunded.json()["payment"]["refunded"], 20.0);
    assert_eq!(shop.order(&id).await["refund_due"], 0.0);
    shop.must_verify().await;
}
