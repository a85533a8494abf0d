//! One damaged row of either database: the order that it belongs to gets 500, `verify` names it, and
//! everything else goes on (R17).

use testbed::{Deployment, Form, PATIENCE, eventually, order};

tried_on!(each engine:
    a_damaged_order_gets_500_and_stops_no_other
    damaged_stock_stops_only_the_orders_that_need_it
);

/// What can be wrong with an order, by its status. `{id}` stands for the order.
const DAMAGED_ORDERS: [(&str, &str); 5] = [
    ("received", "UPDATE orders SET lines = '[]' WHERE order_id = {id}"),
    ("received", "UPDATE orders SET currency = 'XXX' WHERE order_id = {id}"),
    ("confirmed", "UPDATE orders SET lines = '[[\"MUG\",0,1]]' WHERE order_id = {id}"),
    ("confirmed", "UPDATE order_states SET history = '[{}]' WHERE {key}"),
    ("confirmed", "UPDATE order_states SET revision = -7 WHERE {key}"),
];

/// `order_states` has the key of the engine.
fn key(form: Form) -> &'static str {
    match form {
        Form::Postgres | Form::Replicas => "order_id = {id}",
        _ => "order_no = (SELECT order_no FROM orders WHERE order_id = {id})",
    }
}

async fn a_damaged_order_gets_500_and_stops_no_other(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 100).await;
    let mut damaged = Vec::new();
    for _ in 0..3 {
        damaged.push(shop.confirmed(&[("MUG", 1)]).await);
    }
    let untouched = shop.confirmed(&[("MUG", 1)]).await;
    let held = shop.hold_inventory().await;
    for _ in 0..2 {
        damaged.insert(0, shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
    let waiting = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    for (id, (_, sql)) in damaged.iter().zip(DAMAGED_ORDERS) {
        let sql = sql.replace("{key}", key(form));
        shop.write_past("orders", &sql, &[("id", id)]).await;
    }
    drop(held);

    // The sweeper sends what it can send, and the others reach their outcomes.
    shop.order_once(&waiting, "confirmed").await;
    for (id, (status, sql)) in damaged.iter().zip(DAMAGED_ORDERS) {
        let path = format!("/api/orders/{id}");
        assert_eq!(shop.get(&path).await.verdict(), "500 internal", "{status}: {sql}");
        let cancelled = shop.post(&format!("{path}/cancel"), &serde_json::json!({})).await;
        assert_eq!(cancelled.verdict(), "500 internal", "{status}: {sql}");
    }
    shop.ask(&untouched, "cancel").await.ok();
    shop.order_once(&untouched, "cancelled").await;
    shop.confirmed(&[("MUG", 1)]).await;
    assert!(!shop.programs.one_has_ended(), "no program was restarted");

    let ended = shop.verify().await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    for id in &damaged {
        assert!(ended.stdout.contains(id.as_str()), "{id} is not named: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains(&untouched), "{}", ended.stdout);
}

async fn damaged_stock_stops_only_the_orders_that_need_it(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 100).await;
    shop.stock("TEE", 100).await;
    let unreadable = shop.confirmed(&[("TEE", 1)]).await;
    let sql = "UPDATE reservations SET allocations = '[[1]]' WHERE order_id = {id}";
    shop.write_past("inventory", sql, &[("id", &unreadable)]).await;
    let sql = "UPDATE stock SET on_hand = -5
               WHERE product_no = (SELECT product_no FROM products WHERE product_id = 'MUG')";
    shop.write_past("inventory", sql, &[]).await;

    let stuck = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    let path = format!("/api/inventory/reservations/{unreadable}");
    assert_eq!(shop.get(&path).await.verdict(), "500 internal");
    let cancel = format!("/api/orders/{unreadable}/cancel");
    let asked = shop.post(&cancel, &serde_json::json!({})).await;
    assert_eq!(asked.text_at("/status"), "cancelling");
    for _ in 0..3 {
        shop.confirmed(&[("TEE", 1)]).await;
    }
    eventually(PATIENCE, "both commands are set aside", || async {
        let [_, inventory] = shop.quarantined().await;
        (!inventory.is_empty()).then_some(())
    })
    .await;
    let settled = shop.order(&stuck).await["status"].clone();
    assert!(settled == "received" || settled == "rejected", "{settled}");
    assert!(!shop.programs.one_has_ended(), "no program was restarted");
    let ended = shop.verify().await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(&unreadable) && ended.stdout.contains("MUG"), "{}", ended.stdout);
}
