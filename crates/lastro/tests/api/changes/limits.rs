//! How often an order can be changed.

use serde_json::json;

use testbed::Deployment;

use super::units;

/// The most changes beside placing, paying, cancelling and fulfilling.
const MOST: u32 = 200;

#[tokio::test]
async fn an_order_that_was_changed_too_often_can_still_be_fulfilled() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 300).await;
    let id = shop.confirmed(&[("MUG", 300)]).await;
    for n in 1..=MOST {
        let key = format!("K{n}");
        shop.change(&id, "shipments", &key, &units(&[("MUG", 1)])).await.ok();
    }
    for what in ["shipments", "cancellations"] {
        let refused = shop.change(&id, what, "more", &units(&[("MUG", 1)])).await;
        assert_eq!(refused.verdict(), "409 too_many_changes", "{what}");
    }
    // How to follow a shipment is no such change.
    let track = format!("/api/orders/{id}/shipments/3/tracking");
    assert_eq!(shop.put(&track, &json!({"number": "1"})).await.status, 200);
    // What was said before is still answered.
    let again = shop.change(&id, "shipments", "K1", &units(&[("MUG", 1)])).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(shop.ask(&id, "fulfill").await.text_at("/status"), "fulfilled");
    shop.must_verify().await;
}
