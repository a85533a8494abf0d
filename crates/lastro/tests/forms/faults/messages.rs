//! Messages that are delivered five times, shuffled, a day late, or as garbage: nothing changes
//! twice, and the good messages go through.

use std::sync::Arc;

use serde_json::{Value, json};
use testbed::{
    ANSWERS, COMMANDS, Deployment, Form, Load, Operator, PATIENCE, Random, StormAtBroker,
    eventually, order, stocked,
};

tried_on!(forms with a broker:
    messages_that_come_five_times_in_any_order_change_nothing_twice
    yesterdays_messages_change_nothing
    poison_is_set_aside_and_good_messages_beside_it_go_through
    a_flood_of_garbage_fills_neither_the_quarantine_nor_the_log
);

tried_on!(forms of separate services:
    a_command_of_an_unknown_version_is_waited_for
);

/// The programs share their broker with a storm, which sends every message that they publish four
/// more times. The tests in `storm.rs` also delay messages, on the embedded bus as well.
async fn messages_that_come_five_times_in_any_order_change_nothing_twice(form: Form) {
    let mut random = Random::seeded("storm");
    let shop = Arc::new(stocked(Deployment::in_form(form).await, 300).await);
    let storm = StormAtBroker::on(shop.environment.broker(), &mut random).await;
    let load = Load::on(&shop, &mut random);
    load.has_accepted(400).await;
    load.end().await.check(&shop).await;
    storm.end().await;
    let audit = shop.verify_with(PATIENCE, &["--settled"]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
}

async fn yesterdays_messages_change_nothing(form: Form) {
    let shop = Deployment::in_form(form).await;
    let operator = Operator::of(shop.environment.broker()).await;
    let recording = operator.listen().await;
    shop.stock("MUG", 25).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        let (id, status) = shop.settle(&[("MUG", if n % 5 == 4 { 50 } else { 1 })]).await;
        match n % 3 {
            1 if status == "confirmed" => drop(shop.ask(&id, "cancel").await.ok()),
            2 if status == "confirmed" => drop(shop.ask(&id, "fulfill").await.ok()),
            _ => {}
        }
        ids.push(id);
    }
    let before = seen_of(&shop, &ids).await;
    let mut messages = recording.so_far();
    assert!(messages.len() >= 60, "{} messages were heard", messages.len());
    let mut random = Random::seeded("yesterday");
    for _ in 0..3 {
        random.shuffle(&mut messages);
        for (channel, payload) in messages.clone() {
            operator.publish(channel, payload).await;
        }
    }
    // The messages that were published before this order have been consumed when the order settles.
    let last = shop.confirmed(&[("MUG", 1)]).await;
    eventually(PATIENCE, "everything is consumed", async || {
        (operator.open_messages().await == 0).then_some(())
    })
    .await;
    assert_eq!(seen_of(&shop, &ids).await, before);
    assert_eq!(shop.order(&last).await["status"], "confirmed");
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
    shop.must_verify().await;
}

/// Everything that clients can see of these orders.
async fn seen_of(shop: &Deployment, ids: &[String]) -> Vec<Value> {
    let mut seen = Vec::new();
    for id in ids {
        seen.push(shop.order(id).await);
        seen.push(shop.get(&format!("/api/inventory/reservations/{id}")).await.ok());
    }
    seen
}

async fn poison_is_set_aside_and_good_messages_beside_it_go_through(form: Form) {
    let shop = Deployment::in_form(form).await;
    let operator = Operator::of(shop.environment.broker()).await;
    shop.stock("MUG", 100).await;
    let recording = operator.listen().await;
    let first = shop.confirmed(&[("MUG", 1)]).await;
    let good = eventually(PATIENCE, "a command is heard", async || {
        recording
            .so_far()
            .into_iter()
            .find(|(channel, _)| *channel == COMMANDS)
            .map(|(_, payload)| payload)
    })
    .await;
    let batch: Value = serde_json::from_slice(&good).expect("JSON");
    let altered = |change: fn(&mut Value)| {
        let mut message = batch[0].clone();
        change(&mut message);
        message
    };
    let wrong_digest = altered(|message| message["digest"] = json!("0".repeat(32)));
    let newer = altered(|message| message["schema"] = json!(99));
    let unreadable = altered(|message| message["wanted"] = json!("three mugs"));
    for (channel, kind) in [(COMMANDS, "command"), (ANSWERS, "answer")] {
        println!("poison beside every {kind}");
        operator.publish(channel, &b"garbage"[..]).await;
        operator.publish(channel, &good[..good.len() / 2]).await;
        operator.publish(channel, vec![0xff; 1_000_000]).await;
        operator.publish(channel, Vec::new()).await;
        operator.publish(channel, json!([unreadable, 7, null]).to_string()).await;
        operator.publish(channel, json!([newer]).to_string()).await;
    }
    operator.publish(COMMANDS, json!([wrong_digest, batch[0], unreadable]).to_string()).await;
    for _ in 0..20 {
        shop.confirmed(&[("MUG", 1)]).await;
    }
    eventually(PATIENCE, "everything is consumed", async || {
        (operator.open_messages().await == 0).then_some(())
    })
    .await;
    let [orders, inventory] = shop.quarantined().await;
    // Garbage, half a message, a megabyte, nothing at all, and the three malformed elements.
    assert_eq!(orders, ["malformed"; 7]);
    assert_eq!(inventory, [&["anomaly"][..], &["malformed"; 7]].concat());
    let metrics = shop.metrics().await;
    for reported in [
        r#"quarantine_messages_total{service="orders",kind="unknown_version"} 1"#,
        r#"quarantine_messages_total{service="inventory",kind="unknown_version"} 1"#,
        r#"anomalies_total{service="inventory",kind="command"} 1"#,
        r#"anomalies_total{service="orders",kind="answer"} 0"#,
    ] {
        assert!(metrics.lines().any(|line| line == reported), "{reported} is not in\n{metrics}");
    }
    assert_eq!(shop.order(&first).await["status"], "confirmed");
    assert_eq!(shop.levels("MUG").await, [100, 21, 79]);
    shop.must_verify().await;
}

/// A message of a megabyte was 150 000 entries of the quarantine and 31 MB of log.
async fn a_flood_of_garbage_fills_neither_the_quarantine_nor_the_log(form: Form) {
    let shop = Deployment::in_form(form).await;
    let operator = Operator::of(shop.environment.broker()).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let before = shop.programs.log().len();
    let elements = |from: usize, count: usize| json!((from..from + count).collect::<Vec<_>>());
    operator.publish(COMMANDS, elements(0, 150_000).to_string()).await;
    for batch in 1..10 {
        operator.publish(COMMANDS, elements(1_000_000 * batch, 200).to_string()).await;
    }
    shop.confirmed(&[("MUG", 1)]).await;
    eventually(PATIENCE, "everything is consumed", async || {
        (operator.open_messages().await == 0).then_some(())
    })
    .await;
    let [orders, inventory] = shop.quarantined().await;
    assert_eq!((orders.len(), inventory.len()), (0, 1000));
    let counted = |kind: &str, count: u32| {
        format!(r#"quarantine_messages_total{{service="inventory",kind="{kind}"}} {count}"#)
    };
    let metrics = shop.metrics().await;
    for line in [counted("malformed", 1801), counted("not_kept", 801)] {
        assert!(metrics.lines().any(|reported| reported == line), "{line} is not in\n{metrics}");
    }
    let logged = shop.programs.log().len() - before;
    assert!(logged < 20_000, "{logged} bytes of log");
    shop.must_verify().await;
}

/// An order whose command only a newer Inventory Service can read waits, and goes through once the
/// command is sent in a version that the Inventory Service knows. So it looks to the older side of
/// an upgrade.
async fn a_command_of_an_unknown_version_is_waited_for(form: Form) {
    let mut shop = Deployment::in_form_with_link(form).await;
    let operator = Operator::of(shop.environment.broker()).await;
    let recording = operator.listen().await;
    shop.stock("MUG", 5).await;
    assert!(shop.programs.kill_inventory());
    let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    let (_, payload) = eventually(PATIENCE, "the command is heard", async || {
        recording.so_far().into_iter().next()
    })
    .await;
    operator.purge().await;
    let mut newer: Value = serde_json::from_slice(&payload).expect("JSON");
    newer[0]["schema"] = json!(99);
    operator.publish(COMMANDS, newer.to_string()).await;
    shop.restart_ended().await;
    eventually(PATIENCE, "the Inventory Service has met it", async || {
        let line = r#"quarantine_messages_total{service="inventory",kind="unknown_version"} 1"#;
        shop.metrics().await.lines().any(|reported| reported == line).then_some(())
    })
    .await;
    shop.order_once(&id, "confirmed").await;
    let heard = recording.so_far().into_iter().filter(|(channel, _)| *channel == COMMANDS);
    let attempts = heard.map(|(_, payload)| {
        serde_json::from_slice::<Value>(&payload).expect("JSON")[0]["attempt"].as_u64()
    });
    assert!(
        attempts.max() > Some(newer[0]["attempt"].as_u64()),
        "nothing was sent once more after {newer}"
    );
    assert_eq!(shop.quarantined().await.concat(), [""; 0]);
    shop.must_verify().await;
}
