//! Orders that wait for their payment, and the money that came for them.

use serde_json::{Value, json};

use testbed::{Deployment, JSON, PATIENCE, WAIT, eventually, members, order, with_payment};

use crate::orders::story;

/// The ids of the orders that a list with this condition has.
async fn listed(shop: &Deployment, payment: &str) -> Vec<String> {
    shop.column(&format!("/api/orders?payment={payment}"), "order_id").await
}

#[tokio::test]
async fn an_order_is_reserved_until_it_is_paid() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let placed = shop.post_with("/api/orders", &[WAIT], &with_payment(&[("MUG", 2)])).await;
    let receipt = placed.json();
    assert_eq!(members(&receipt), ["order_id", "status", "message", "payment"]);
    assert_eq!(placed.text_at("/message"), "Order reserved: payment is due.");
    let payment = &receipt["payment"];
    let expected = ["state", "amount", "paid", "refunded", "refund_due", "pay_by"];
    assert_eq!(members(payment), expected);
    assert_eq!((&payment["state"], payment["amount"].to_string()), (&json!("due"), "20.0".into()));
    assert!(placed.text.contains(r#""amount":20.00,"paid":0.00,"refunded":0.00"#), "{placed:?}");
    let id = placed.text_at("/order_id");
    let order = shop.order(&id).await;
    assert_eq!(&order["payment"], payment);
    assert_eq!(shop.levels("MUG").await, [5, 2, 3]);
    assert_eq!(listed(&shop, "due").await, std::slice::from_ref(&id));

    let paid = shop.pay(&id, "ch_1").await;
    assert_eq!(paid.text_at("/message"), "Order confirmed.");
    assert_eq!(paid.header("idempotent-replayed"), None);
    let payment = &paid.json()["payment"];
    assert_eq!((&payment["state"], &payment["pay_by"]), (&json!("paid"), &Value::Null));
    let order = shop.order(&id).await;
    assert_eq!((&order["payment"], &order["refund_due"]), (payment, &json!(0.0)));
    assert_eq!(story(&order), ["1 received", "2 reserved", "3 confirmed paid"]);
    let change = &order["history"][2]["change"];
    assert_eq!(change, &json!({"type": "paid", "reference": "ch_1", "amount": 20.0}));
    assert!(listed(&shop, "due").await.is_empty() && listed(&shop, "refund_due").await.is_empty());
    // No deadline is left that could end the order.
    shop.must_verify().await;
}

#[tokio::test]
async fn a_plain_order_is_answered_with_three_members_and_takes_no_money() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let placed = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
    assert_eq!(members(&placed.json()), ["order_id", "status", "message"]);
    let id = placed.text_at("/order_id");
    let order = shop.order(&id).await;
    assert_eq!((&order["payment"], &order["refund_due"]), (&Value::Null, &json!(0.0)));
    assert_eq!(shop.pay(&id, "ch_1").await.verdict(), "409 payment_not_expected");
    let refund = json!({"reference": "re_1", "amount": 1});
    let refused = shop.post(&format!("/api/orders/{id}/refunds"), &refund).await;
    assert_eq!(refused.verdict(), "409 refund_exceeds_payment");
    let plain = shop.post_with("/api/orders", &[WAIT], &with_payment(&[("NONE", 1)])).await;
    assert_eq!(
        (plain.text_at("/status"), plain.text_at("/payment/state")),
        ("rejected".to_owned(), "not_due".to_owned())
    );
}

#[tokio::test]
async fn a_payment_is_recorded_once_and_never_in_part() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    let path = format!("/api/orders/{id}/pay");
    let pay = async |reference: &str, amount: f64| {
        shop.post(&path, &json!({"reference": reference, "amount": amount})).await
    };
    let refused = pay("ch_1", 19.99).await;
    assert_eq!(refused.verdict(), "409 underpaid");
    assert!(refused.text_at("/detail").contains("20.00 BRL is due"), "{refused:?}");
    assert_eq!(shop.order(&id).await["status"], "reserved");

    assert_eq!(pay("ch_1", 20.0).await.text_at("/status"), "confirmed");
    for repeat in [pay("ch_1", 20.0).await, shop.pay(&id, "ch_1").await] {
        assert_eq!((repeat.status, repeat.header("idempotent-replayed")), (200, Some("true")));
        assert_eq!(repeat.json()["payment"]["paid"], 20.0);
    }
    assert_eq!(pay("ch_1", 21.0).await.verdict(), "422 idempotency_key_reused");
    assert_eq!(shop.pay(&id, "ch_2").await.verdict(), "409 already_paid");
    assert_eq!(story(&shop.order(&id).await).len(), 3);
}

#[tokio::test]
async fn a_payment_above_what_is_due_is_owed() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 1)]).await;
    let payment = json!({"reference": "ch_1", "amount": 12.5});
    let paid = shop.post(&format!("/api/orders/{id}/pay"), &payment).await;
    assert_eq!(paid.text_at("/status"), "confirmed");
    assert_eq!(paid.text_at("/payment/state"), "refund_due");
    assert_eq!(paid.json()["payment"]["refund_due"], 2.5);
    assert_eq!(listed(&shop, "refund_due").await, std::slice::from_ref(&id));
    shop.must_verify().await;
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_expires_and_a_late_payment_brings_it_back() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    shop.let_deadlines_pass().await;
    let order = shop.order_once(&id, "expired").await;
    assert_eq!(shop.levels("MUG").await, [5, 0, 5]);
    let payment = &order["payment"];
    assert_eq!((&payment["state"], &payment["pay_by"]), (&json!("expired"), &Value::Null));
    assert_eq!(order["items"][0]["cancelled"], 2, "it keeps nothing");
    let actors: Vec<_> = [2, 3].map(|at| order["history"][at]["actor"].clone()).into();
    assert_eq!(actors, ["system", "system"]);

    let paid = shop.pay(&id, "ch_1").await;
    assert_eq!(
        (paid.text_at("/status"), paid.text_at("/payment/state")),
        ("confirmed".to_owned(), "paid".to_owned())
    );
    assert_eq!(shop.levels("MUG").await, [5, 2, 3]);
    let expected = [
        "1 received",
        "2 reserved",
        "3 expiring",
        "4 expired",
        "5 expired paid",
        "6 reviving",
        "7 confirmed",
    ];
    assert_eq!(story(&shop.order(&id).await), expected);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_late_payment_that_finds_no_stock_is_owed_and_the_order_gets_nothing() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 2).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    shop.let_deadlines_pass().await;
    shop.order_once(&id, "expired").await;
    shop.confirmed(&[("MUG", 1)]).await;

    let paid = shop.pay(&id, "ch_1").await;
    assert_eq!(paid.text_at("/message"), "Order expired.");
    assert_eq!(paid.text_at("/payment/state"), "refund_due");
    assert_eq!(paid.json()["shortages"][0]["available"], 1, "{paid:?}");
    let order = shop.order(&id).await;
    assert_eq!(
        (&order["refund_due"], &order["shortages"][0]["requested"]),
        (&json!(20.0), &json!(2))
    );
    assert_eq!(shop.levels("MUG").await, [2, 1, 1]);
    let rows = shop.get("/api/orders?payment=refund_due").await.ok();
    assert_eq!(
        (&rows["data"][0]["order_id"], &rows["data"][0]["refund_due"]),
        (&json!(id), &json!(20.0))
    );

    let refund = json!({"reference": "re_1", "amount": 20});
    let refunded = shop.post(&format!("/api/orders/{id}/refunds"), &refund).await;
    assert_eq!((refunded.status, &refunded.json()["refund"]), (201, &refund_view("re_1", 20.0)));
    assert_eq!(refunded.json()["payment"]["refund_due"], 0.0);
    assert!(listed(&shop, "refund_due").await.is_empty());
    // It is paid back, so the same payment does not bring it back.
    assert_eq!(shop.pay(&id, "ch_1").await.header("idempotent-replayed"), Some("true"));
    shop.must_verify().await;
}

fn refund_view(reference: &str, amount: f64) -> Value {
    json!({"reference": reference, "amount": amount})
}

#[tokio::test]
async fn money_for_an_order_that_is_over_is_recorded_and_owed_and_moves_no_stock() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let cancelled = shop.reserved(&[("MUG", 2)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    let body = with_payment(&[("MUG", 99)]);
    let rejected = shop.post_with("/api/orders", &[WAIT], &body).await.text_at("/order_id");
    for (id, status, amount) in [(&cancelled, "cancelled", 20.0), (&rejected, "rejected", 990.0)] {
        let before = shop.order(id).await;
        assert_eq!(before["payment"]["state"], "not_due", "{before}");
        // Nothing is due, so the amount must be said.
        let unsaid = shop.pay(id, "ch_1").await;
        assert_eq!(unsaid.verdict(), "422 invalid_request");
        let path = format!("/api/orders/{id}/pay");
        let paid = shop.post(&path, &json!({"reference": "ch_1", "amount": amount})).await;
        assert_eq!((paid.status, paid.text_at("/status").as_str()), (200, status));
        assert_eq!(paid.json()["payment"]["refund_due"], amount);
        assert_eq!(shop.order(id).await["refund_due"], amount);
        assert_eq!(shop.levels("MUG").await, [5, 0, 5]);
    }
    assert_eq!(listed(&shop, "refund_due").await, [rejected, cancelled]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_deadline_that_passes_beside_a_payment_ends_only_orders_that_are_not_paid() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let paid = shop.reserved(&[("MUG", 1)]).await;
    shop.pay(&paid, "ch_1").await.ok();
    let shipped = shop.reserved(&[("MUG", 1)]).await;
    shop.pay(&shipped, "ch_1").await.ok();
    shop.ask(&shipped, "fulfill").await.ok();
    let unpaid = shop.reserved(&[("MUG", 1)]).await;
    shop.let_deadlines_pass().await;
    shop.order_once(&unpaid, "expired").await;
    assert_eq!(shop.order(&paid).await["status"], "confirmed");
    assert_eq!(shop.order(&shipped).await["status"], "fulfilled");
    assert_eq!(shop.levels("MUG").await, [4, 1, 3]);
}

#[tokio::test]
async fn refunds_are_bookkeeping_and_never_more_than_was_paid() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 2)]).await;
    shop.pay(&id, "ch_1").await.ok();
    let path = format!("/api/orders/{id}/refunds");
    let refund = async |reference: &str, amount: f64| {
        shop.post(&path, &json!({"reference": reference, "amount": amount})).await
    };
    let refused = refund("re_1", 20.01).await;
    assert_eq!(refused.verdict(), "409 refund_exceeds_payment");
    assert!(refused.text_at("/detail").contains("at most 20.00 BRL"), "{refused:?}");
    for replayed in [None, Some("true")] {
        let refunded = refund("re_1", 5.0).await;
        assert_eq!((refunded.status, refunded.header("idempotent-replayed")), (201, replayed));
        let page = format!("/api/orders/{id}");
        assert_eq!(refunded.header("location"), Some(page.as_str()), "which shows the refund");
        assert_eq!(refunded.json()["payment"]["refunded"], 5.0);
    }
    assert_eq!(refund("re_1", 6.0).await.verdict(), "422 idempotency_key_reused");
    assert_eq!(refund("re_2", 15.01).await.verdict(), "409 refund_exceeds_payment");
    assert_eq!(refund("re_2", 15.0).await.status, 201);
    let order = shop.order(&id).await;
    assert_eq!((&order["status"], &order["refund_due"]), (&json!("confirmed"), &json!(0.0)));
    let told = ["4 confirmed refunded", "5 confirmed refunded"];
    assert_eq!(story(&order)[3..], told);
    shop.must_verify().await;
}

#[tokio::test]
async fn what_was_paid_for_units_that_are_cancelled_is_owed() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 3)]).await;
    shop.pay(&id, "ch_1").await.ok();
    let units = json!({"lines": [{"product_id": "MUG", "quantity": 1}]});
    let changed = shop.change(&id, "cancellations", "K1", &units).await;
    assert_eq!(changed.text_at("/payment/state"), "refund_due");
    let payment = &changed.json()["payment"];
    assert_eq!([&payment["amount"], &payment["refund_due"]], [&json!(20.0), &json!(10.0)]);
    let cancelled = shop.ask(&id, "cancel").await;
    assert_eq!(cancelled.text_at("/status"), "cancelled");
    assert_eq!(cancelled.json()["payment"]["refund_due"], 30.0);
    assert_eq!(shop.levels("MUG").await, [5, 0, 5]);
    shop.must_verify().await;
}

#[tokio::test]
async fn amounts_are_those_of_the_orders_own_currency() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let mut body = with_payment(&[("MUG", 1)]);
    body["currency"] = json!("JPY");
    let id = shop.post_with("/api/orders", &[WAIT], &body).await.text_at("/order_id");
    let path = format!("/api/orders/{id}/pay");
    for (amount, fault) in
        [("10.5", "too_many_decimals"), ("0", "out_of_range"), ("1e400", "out_of_range")]
    {
        let body = format!(r#"{{"reference": "ch_1", "amount": {amount}}}"#);
        let refused = shop.send("POST", &path, &[JSON], body).await;
        assert_eq!(refused.faults(), [format!("/amount {fault}")], "{amount}");
    }
    let body = r#"{"reference": "ch_1", "amount": 1.0e1}"#;
    let paid = shop.send("POST", &path, &[JSON], body).await;
    let money = r#""state":"paid","amount":10,"paid":10,"refunded":0,"refund_due":0,"#;
    assert!(paid.text.contains(money), "{paid:?}");
}

#[tokio::test]
async fn a_payment_needs_no_inventory() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let id = shop.reserved(&[("MUG", 1)]).await;
    let held = shop.hold_inventory().await;
    let paid = shop.post(&format!("/api/orders/{id}/pay"), &json!({"reference": "ch_1"})).await;
    assert_eq!(
        (paid.text_at("/status"), paid.text_at("/payment/state")),
        ("confirmed".to_owned(), "paid".to_owned())
    );
    drop(held);
}

#[tokio::test]
async fn a_payment_that_comes_before_inventory_has_answered_is_kept() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let held = shop.hold_inventory().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = shop.place(&with_payment(&[("MUG", 1)])).await.text_at("/order_id");
        let payment = json!({"reference": "ch_1"});
        let paid = shop.post(&format!("/api/orders/{id}/pay"), &payment).await;
        assert_eq!((paid.status, paid.text_at("/status")), (200, "received".to_owned()));
        assert_eq!(paid.text_at("/payment/state"), "paid");
        ids.push(id);
    }
    drop(held);
    let mut found = Vec::new();
    for id in &ids {
        let order = eventually(PATIENCE, "Inventory answers", async || {
            Some(shop.order(id).await).filter(|order| order["status"] != "received")
        })
        .await;
        let status = order["status"].as_str().expect("a status").to_owned();
        found.push((status, order["refund_due"].clone()));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("confirmed", 0.0), ("rejected", 10.0)];
    assert_eq!(found, expected.map(|(status, owed)| (status.to_owned(), json!(owed))));
    shop.must_verify().await;
}

/// The units of an order may be at several locations.
#[tokio::test]
async fn a_deadline_frees_what_is_held_at_every_location() {
    let shop = Deployment::open().await;
    shop.put("/api/inventory/locations/shop", &json!({"name": "Shop", "priority": 9})).await.ok();
    shop.stock("MUG", 2).await;
    shop.receive("MUG", "shop", 2).await;
    let id = shop.reserved(&[("MUG", 3)]).await;
    assert_eq!(shop.order(&id).await["allocations"].as_array().map(Vec::len), Some(2));
    shop.let_deadlines_pass().await;
    shop.order_once(&id, "expired").await;
    assert_eq!(shop.levels("MUG").await, [4, 0, 4]);
    shop.confirmed(&[("MUG", 4)]).await;
    shop.must_verify().await;
}

/// The payment comes while the order's units are being released.
#[tokio::test]
async fn a_payment_that_overtakes_the_release_brings_the_order_back() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let id = shop.reserved(&[("MUG", 1)]).await;
    let held = shop.hold_inventory().await;
    shop.let_deadlines_pass().await;
    shop.order_once(&id, "expiring").await;
    let paid = shop.post(&format!("/api/orders/{id}/pay"), &json!({"reference": "ch_1"})).await;
    assert_eq!(paid.text_at("/message"), "Payment received; reserving again.");
    drop(held);
    shop.order_once(&id, "confirmed").await;
    assert_eq!(shop.levels("MUG").await, [1, 1, 0]);
    eventually(PATIENCE, "nothing is pending", async || {
        let pending = shop.get("/api/orders/pending").await.ok();
        (pending["total"] == 0).then_some(())
    })
    .await;
    shop.must_verify().await;
}

#[tokio::test]
async fn a_list_says_when_each_payment_is_due() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let paid = shop.reserved(&[("MUG", 1)]).await;
    shop.pay(&paid, "ch_1").await.ok();
    let id = shop.reserved(&[("MUG", 1)]).await;
    let rows = shop.get("/api/orders").await.ok();
    let due = &rows["data"][0]["pay_by"];
    assert_eq!(
        (&rows["data"][0]["order_id"], &rows["data"][1]["order_id"]),
        (&json!(id), &json!(paid))
    );
    assert_eq!((&shop.order(&id).await["payment"]["pay_by"], due.is_string()), (due, true));
    assert_eq!(rows["data"][1]["pay_by"], Value::Null);
}

#[tokio::test]
async fn a_repeated_cancellation_and_a_repeated_fulfillment_say_that_they_are() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    for what in ["cancel", "fulfill"] {
        let receipt = shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await;
        let id = receipt.text_at("/order_id");
        for replayed in [None, Some("true")] {
            let answer = shop.ask(&id, what).await;
            assert_eq!((answer.status, answer.header("idempotent-replayed")), (200, replayed));
        }
    }
}
