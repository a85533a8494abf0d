//! How often an order can be changed.

use serde_json::json;

use testbed::Deployment;

use super::units;

/// The most changes beside placing, paying, cancelling and fulfilling.
const MOST: u32 = 200;

#[tokio::test]
async fn an_order_that_was_changed_too_often_can_still_be_fulfilled() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.confirmed(&[("MUG", 3)]).await;
    shop.change(&id, "shipments", "K1", &units(&[("MUG", 1)])).await.ok();
    let track = format!("/api/orders/{id}/shipments/3/tracking");
    for n in 1..MOST {
        let tracked = shop.put(&track, &json!({"number": n.to_string()})).await;
        assert_eq!(tracked.status, 200, "{tracked:?}");
    }
    let refused = shop.put(&track, &json!({"number": "one more"})).await;
    assert_eq!(refused.verdict(), "409 too_many_changes");
    for what in ["shipments", "cancellations"] {
        let refused = shop.change(&id, what, "K2", &units(&[("MUG", 1)])).await;
        assert_eq!(refused.verdict(), "409 too_many_changes", "{what}");
    }
    // What was said before is still answered.
    let again = shop.change(&id, "shipments", "K1", &units(&[("MUG", 1)])).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(shop.ask(&id, "fulfill").await.text_at("/status"), "fulfilled");
    shop.must_verify().await;
}
