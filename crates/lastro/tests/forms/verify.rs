//! `lastro verify` beside a busy deployment, on each engine.

use testbed::{Deployment, Form, PATIENCE, order};

tried_on!(each engine:
    commands_in_flight_are_no_violation_but_not_settled_either
);

async fn commands_in_flight_are_no_violation_but_not_settled_either(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    let settled = || shop.verify_with(PATIENCE, &["--settled"]);
    assert_eq!(settled().await.code, Some(0));
    let held = shop.hold_inventory().await;
    let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    shop.must_verify().await;
    let ended = settled().await;
    assert_eq!(
        (ended.code, ended.said_after_databases()),
        (Some(1), "error: commands are still in flight\n")
    );
    drop(held);
    shop.order_once(&id, "confirmed").await;
    assert_eq!(settled().await.code, Some(0));
}
