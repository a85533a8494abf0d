//! Clients that wait for the outcome of their order, whichever replica records it.

use testbed::{Deployment, Form, order};
use tokio::time::Instant;

tried_on!(every form:
    a_client_that_waits_gets_the_outcome_in_the_same_call
    a_client_that_waits_in_vain_gets_the_receipt
);

async fn a_client_that_waits_gets_the_outcome_in_the_same_call(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    let mug = order(&[("MUG", 1)]);
    for (preferred, applied, status) in [
        ("wait=20", Some("wait=20"), "confirmed"),
        ("respond-async, wait=99", Some("wait=30"), "rejected"),
        ("wait=soon", None, "received"),
    ] {
        let answer = shop.post_with("/api/orders", &[("prefer", preferred)], &mug).await;
        assert_eq!(
            (answer.status, answer.text_at("/status").as_str()),
            (200, status),
            "{preferred}"
        );
        assert_eq!(answer.header("preference-applied"), applied, "{preferred}");
        assert!(
            answer.header("location").is_some_and(|location| location.starts_with("/api/orders/"))
        );
    }
}

async fn a_client_that_waits_in_vain_gets_the_receipt(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 1).await;
    let held = shop.hold_inventory().await;
    let started = Instant::now();
    let answer =
        shop.post_with("/api/orders", &[("prefer", "wait=1")], &order(&[("MUG", 1)])).await;
    assert!(started.elapsed().as_millis() >= 990, "it waited for {:?}", started.elapsed());
    assert_eq!((answer.status, answer.text_at("/status").as_str()), (200, "received"));
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    drop(held);
    shop.order_once(&answer.text_at("/order_id"), "confirmed").await;
}
