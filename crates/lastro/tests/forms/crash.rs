//! The process is killed or terminated while orders come in: every accepted order is there
//! afterwards.

use std::sync::Arc;
use std::time::Duration;

use testbed::{
    Deployment, Form, Load, PATIENCE, PRODUCTS, Random, Record, WAIT, eventually, order, stocked,
};

tried_on!(every form:
    no_accepted_order_is_lost_when_the_process_is_killed_again_and_again
    a_shop_that_is_terminated_under_load_keeps_every_accepted_order
    a_client_that_waits_for_an_outcome_is_released_when_the_shop_closes
);

const ROUNDS: u32 = 20;
/// How long a program may take to end after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(30);

async fn no_accepted_order_is_lost_when_the_process_is_killed_again_and_again(form: Form) {
    let mut random = Random::seeded("kills");
    let mut shop = Arc::new(stocked(Deployment::in_form(form).await, 1).await);
    let mut everything = Record::default();
    for round in 1..=ROUNDS {
        for product in PRODUCTS {
            shop.receive(product, "main", 300).await;
        }
        let load = Load::on(&shop, &mut random);
        load.has_accepted(1 + random.below(600)).await;
        // Not only at the end of a commit, but also in the middle of the next: a random number of
        // turns of the clients later.
        for _ in 0..random.below(500) {
            tokio::task::yield_now().await;
        }
        shop.programs.kill();
        let mut record = load.end().await;
        reopen(&mut shop).await;
        let verified = shop.verify().await;
        record.ask_again(&shop).await;
        let (settled, lost) = (record.settle(&shop).await, record.lost(&shop).await);
        let verdict = if verified.code == Some(0) { "ok" } else { verified.stdout.as_str() };
        println!(
            "round {round} accepted={} settled={settled} lost={} verify={verdict}",
            record.accepted.len(),
            lost.len()
        );
        assert_eq!((lost, verdict), (Vec::new(), "ok"));
        assert_eq!(settled, record.accepted.len());
        everything.append(record);
    }
    assert_eq!(everything.lost(&shop).await, [""; 0], "not even in a later round");
    let settled = shop.verify_with(PATIENCE, &["--settled"]).await;
    assert_eq!(settled.code, Some(0), "{}{}", settled.stdout, settled.stderr);
}

/// Starts the shop again on the same data.
async fn reopen(shop: &mut Arc<Deployment>) {
    Arc::get_mut(shop).expect("no client is left").reopen().await;
}

async fn a_shop_that_is_terminated_under_load_keeps_every_accepted_order(form: Form) {
    let mut random = Random::seeded("closing");
    let mut shop = Arc::new(stocked(Deployment::in_form(form).await, 200).await);
    let load = Load::on(&shop, &mut random);
    load.has_accepted(300).await;
    shop.programs.terminate();
    let mut record = load.end().await;
    let owned = Arc::get_mut(&mut shop).expect("no client is left");
    assert_eq!(owned.programs.ended(SHUTDOWN).await, Some(0), "{}", owned.programs.log());
    owned.reopen().await;
    record.ask_again(&shop).await;
    assert_eq!(record.settle(&shop).await, record.accepted.len());
    assert_eq!(record.lost(&shop).await, [""; 0]);
    shop.must_verify().await;
}

async fn a_client_that_waits_for_an_outcome_is_released_when_the_shop_closes(form: Form) {
    let mut shop = Arc::new(Deployment::in_form(form).await);
    shop.stock("MUG", 1).await;
    let held = shop.hold_inventory().await;
    let waiting = tokio::spawn({
        let shop = shop.clone();
        async move { shop.post_with("/api/orders", &[WAIT], &order(&[("MUG", 1)])).await }
    });
    eventually(PATIENCE, "the order is accepted", || async {
        (!shop.column("/api/orders", "order_id").await.is_empty()).then_some(())
    })
    .await;
    shop.programs.terminate();
    let answer = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("long before its time")
        .expect("an answer");
    assert_eq!((answer.status, answer.text_at("/status").as_str()), (200, "received"));
    drop(held);
    let owned = Arc::get_mut(&mut shop).expect("no client is left");
    assert_eq!(owned.programs.ended(SHUTDOWN).await, Some(0), "{}", owned.programs.log());
    owned.reopen().await;
    shop.order_once(&answer.text_at("/order_id"), "confirmed").await;
}
