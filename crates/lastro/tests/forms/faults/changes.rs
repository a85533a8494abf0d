//! SIGKILL right after the commit of a payment, a change or a deadline: the client has no answer,
//! and what was committed is there once.

use serde_json::{Value, json};
use testbed::{Deployment, Form, PATIENCE, WAIT, eventually};

tried_on!(each engine:
    a_payment_whose_answer_was_lost_with_the_process_is_recorded_once
    a_shipment_whose_answer_was_lost_with_the_process_ships_once
    a_deadline_that_was_committed_before_a_death_releases_the_units_once
);

/// A shop with one reserved order of two mugs, in which a program dies at this point.
async fn shop_with_order(form: Form, point: &str) -> (Deployment, String) {
    let mut shop = Deployment::in_form(form).await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    shop.environment.fault = Some(format!("kill {point} 1"));
    shop.reopen().await;
    (shop, id)
}

/// Sends the request, at which the program dies, and starts it again.
async fn dies_at(shop: &mut Deployment, path: &str, headers: &[(&str, &str)], body: &Value) {
    let headers: Vec<_> =
        [("content-type", "application/json")].iter().chain(headers).copied().collect();
    let killed = shop.try_send("POST", path, &headers, body.to_string()).await;
    assert!(killed.is_err(), "the program is killed: {killed:?}");
    shop.environment.fault = None;
    shop.restart_ended().await;
}

async fn a_payment_whose_answer_was_lost_with_the_process_is_recorded_once(form: Form) {
    let (mut shop, id) = shop_with_order(form, "pay.committed").await;
    let path = format!("/api/orders/{id}/pay");
    dies_at(&mut shop, &path, &[], &json!({"reference": "r"})).await;

    let paid = shop.pay(&id, "r").await;
    assert_eq!(paid.header("idempotent-replayed"), Some("true"), "{paid:?}");
    let order = shop.order(&id).await;
    assert_eq!((&order["status"], &order["payment"]["paid"]), (&"confirmed".into(), &20.0.into()));
    shop.must_verify().await;
}

async fn a_shipment_whose_answer_was_lost_with_the_process_ships_once(form: Form) {
    let (mut shop, id) = shop_with_order(form, "change.committed").await;
    shop.pay(&id, "r").await.ok();
    let path = format!("/api/orders/{id}/shipments");
    let lines = json!({"lines": [{"product_id": "MUG", "quantity": 1}]});
    dies_at(&mut shop, &path, &[("idempotency-key", "K"), WAIT], &lines).await;

    let shipped = shop.change(&id, "shipments", "K", &lines).await;
    assert_eq!(shipped.header("idempotent-replayed"), Some("true"), "{shipped:?}");
    assert_eq!(shipped.json()["shipment"]["state"], "shipped", "{shipped:?}");
    assert_eq!(shop.order(&id).await["shipments"].as_array().map(Vec::len), Some(1));
    assert_eq!(shop.levels("MUG").await, [4, 1, 3]);
    shop.must_verify().await;
}

async fn a_deadline_that_was_committed_before_a_death_releases_the_units_once(form: Form) {
    let (mut shop, id) = shop_with_order(form, "expire.committed").await;
    shop.let_deadlines_pass().await;
    eventually(PATIENCE, "a program ends at the deadline", async || {
        shop.programs.one_has_ended().then_some(())
    })
    .await;
    shop.environment.fault = None;
    shop.restart_ended().await;

    shop.order_once(&id, "expired").await;
    assert_eq!(shop.levels("MUG").await, [5, 0, 5]);
    shop.must_verify().await;
}
