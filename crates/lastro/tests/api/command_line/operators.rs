//! `lastro pending`, `lastro quarantine`, and `lastro orders show` of an order that is stuck.

use serde_json::json;
use testbed::{Deployment, PATIENCE, eventually, order};

use super::{document, lines, must_contain, printed, run};
use crate::operators::{admin_log, set_aside};

/// Lets an order's command have been pending for this long.
async fn let_wait(shop: &Deployment, seconds: u32) {
    let sql = format!("UPDATE pending_commands SET since = since - {seconds} * 1000000");
    shop.write_past("orders", &sql, &[]).await;
}

#[tokio::test]
async fn a_stuck_order_shows_its_command_and_what_to_do() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let held = shop.hold_inventory().await;
    let place = ["orders", "place", "--customer", "C1", "--line", "MUG:1:10", "--wait", "0s"];
    let receipt = document(&shop, &place).await;
    assert_eq!(receipt["status"], "received");
    let id = receipt["order_id"].as_str().expect("an id");
    let shown = printed(&shop, &["orders", "show", id]).await;
    must_contain(&shown, &["inventory     has not seen the order", "In flight: "]);

    let_wait(&shop, 180).await;
    let shown = printed(&shop, &["orders", "show", id]).await;
    let words = ["pending for 3m", "Stuck for 3m", &format!("`lastro pending retry {id}`")];
    must_contain(&shown, &words);
    let shown = document(&shop, &["orders", "show", id]).await;
    assert_eq!(shown["command"]["revision"], 1, "{shown}");

    let listed = run(&shop, &["pending"]).await;
    must_contain(&listed.stdout, &["ORDER", "PENDING FOR", "ATTEMPT", id]);
    must_contain(&listed.stderr, &["1 in all", "hint: "]);
    assert_eq!(lines(&shop, &["pending"]).await[0]["order_id"], id);
    let old = run(&shop, &["pending", "--older-than", "1h"]).await;
    assert_eq!(old.code, Some(0));
    assert_eq!(old.stderr, "no commands that have been pending for so long\n");
    let retried = printed(&shop, &["pending", "retry", id, "--wait", "0s"]).await;
    must_contain(
        &retried,
        &["order", id, "revision      1", "\nsent          ", "\nnext          20"],
    );

    drop(held);
    shop.order_once(id, "confirmed").await;
    let nothing = run(&shop, &["pending", "retry", id]).await;
    assert_eq!(nothing.code, Some(1));
    must_contain(&nothing.stderr, &["409 nothing_pending", "hint: "]);
    let unknown = "0197a9c4-0000-7000-8000-000000000000";
    assert_eq!(run(&shop, &["pending", "retry", unknown]).await.code, Some(3));
}

#[tokio::test]
async fn a_command_that_is_sent_again_says_its_outcome() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let held = shop.hold_inventory().await;
    let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    let retry = ["pending", "retry", &id, "--wait", "30s"];
    let let_go = async {
        eventually(PATIENCE, "an operator has asked for it", async || {
            let log = admin_log(&shop).await;
            log.iter().any(|act| act["action"] == "retry_command").then_some(())
        })
        .await;
        drop(held);
    };
    let (retried, ()) = tokio::join!(run(&shop, &retry), let_go);
    assert_eq!(retried.code, Some(0), "{retried:?}");
    must_contain(&retried.stdout, &["sent before", "answered      the order is confirmed"]);
}

#[tokio::test]
async fn all_commands_that_are_listed_are_sent_again_at_once() {
    let shop = Deployment::open().await;
    let held = shop.hold_inventory().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
    let_wait(&shop, 180).await;
    let young = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    let all = ["pending", "retry", "--all", "--older-than", "2m"];
    let retried = run(&shop, &all).await;
    assert_eq!(retried.stdout, "12 commands are due now, 0 were answered meanwhile\n");
    must_contain(&retried.stderr, &["`lastro pending` lists those"]);
    let log = admin_log(&shop).await;
    let acts = log.iter().filter(|act| act["action"] == "retry_command");
    let mut asked: Vec<_> = acts.map(|act| act["subject"].as_str().expect("an order")).collect();
    asked.sort_unstable();
    ids.sort_unstable();
    assert_eq!(asked, ids, "the young one is left alone");

    let every = lines(&shop, &["pending", "retry", "--all"]).await;
    assert!(every.iter().any(|command| command["order_id"] == young.as_str()), "{every:?}");
    assert_eq!(every.len(), 13);
    for wrong in [
        &["pending", "retry"][..],
        &["pending", "retry", &young, "--all"],
        &["pending", "retry", &young, "--older-than", "2m"],
        &["pending", "--limit", "5", "retry", "--all"],
        &["pending", "--all", "retry", &young],
        &["pending", "retry", "--all", "--wait", "1s"],
        &["pending", "retry", &young, "--wait", "1s", "--json"],
        &["pending", "retry", &young, "--wait", "18446744073709551615s"],
        &["quarantine", "retry", "aa", "--wait", "1s", "--json"],
    ] {
        run(&shop, wrong).await.must_be_a_usage_error(wrong);
    }
    drop(held);
    for id in ids.iter().chain([&young]) {
        shop.order_once(id, "rejected").await;
    }
    let none = run(&shop, &["pending", "--older-than", "2m", "retry", "--all"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""), "{none:?}");
}

#[tokio::test]
async fn messages_that_were_set_aside_are_listed_shown_retried_and_discarded() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let held = shop.hold_inventory().await;
    let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    drop(held);
    set_aside(&shop, "inventory", "a", Some(&id), 7);
    set_aside(&shop, "orders", "b", None, 6);
    let listed = printed(&shop, &["quarantine", "list"]).await;
    must_contain(&listed, &["SERVICE", "aaaaaaaaaaaa  inventory", "bbbbbbbbbbbb  orders", &id]);
    let entries = lines(&shop, &["quarantine", "list", "--service", "inventory"]).await;
    assert_eq!((entries.len(), &entries[0]["service"]), (1, &json!("inventory")));

    let shown = printed(&shop, &["quarantine", "show", "aaaa"]).await;
    let orders = format!("`lastro orders show {id}`");
    must_contain(&shown, &["kind          anomaly", "the message:\nhello", &orders]);
    assert_eq!(document(&shop, &["quarantine", "show", "bb"]).await["message"], "hello");
    let discarded = printed(&shop, &["quarantine", "discard", "bb"]).await;
    must_contain(&discarded, &["discarded"]);
    let left = lines(&shop, &["quarantine", "list"]).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(lines(&shop, &["quarantine", "list", "--seen"]).await.len(), 2);
    let all = printed(&shop, &["quarantine", "list", "--seen"]).await;
    let state = |id: &str| {
        let line = all.lines().find(|line| line.starts_with(id));
        line.unwrap_or_else(|| panic!("{id} is not in {all}"))
    };
    assert!(all.lines().next().is_some_and(|line| line.contains("  STATE")), "{all}");
    assert!(state("aaaa").contains("  unseen  "), "{all}");
    assert!(state("bbbb").contains("  discarded 20"), "{all}");
    let shown = printed(&shop, &["quarantine", "show", "bb"]).await;
    must_contain(&shown, &["state         discarded 20"]);

    let missing = run(&shop, &["quarantine", "show", "cc"]).await;
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert_eq!(run(&shop, &["quarantine", "show", "xyz"]).await.code, Some(2));
    set_aside(&shop, "orders", "a", None, 5);
    let two = run(&shop, &["quarantine", "show", "aa"]).await;
    assert_eq!(two.code, Some(2), "{two:?}");
    must_contain(&two.stderr, &["2 messages have an id that begins with aa"]);
}

#[tokio::test]
async fn the_command_of_a_message_is_sent_again_from_the_order_whoever_set_it_aside() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let held = shop.hold_inventory().await;
    let place = ["orders", "place", "--customer", "C1", "--line", "MUG:1:10", "--wait", "0s"];
    let receipt = document(&shop, &place).await;
    let id = receipt["order_id"].as_str().expect("an id");
    set_aside(&shop, "orders", "a", Some(id), 7);
    let retry = |key: &'static str, service: &'static str| {
        ["quarantine", "retry", key, "--service", service]
    };
    let shown = printed(&shop, &["orders", "show", id]).await;
    must_contain(
        &shown,
        &["set aside     aaaaaaaaaaaa at orders, anomaly", "quarantine show aaaa"],
    );
    let retried = document(&shop, &retry("aa", "orders")).await;
    assert_eq!(retried["order_id"], id);
    drop(held);
    shop.order_once(id, "confirmed").await;

    set_aside(&shop, "inventory", "b", Some(id), 7);
    set_aside(&shop, "inventory", "c", None, 7);
    let settled = run(&shop, &retry("bb", "inventory")).await;
    must_contain(&settled.stderr, &["409 nothing_pending"]);
    set_aside(&shop, "orders", "d", None, 7);
    for (key, service) in [("cc", "inventory"), ("dd", "orders")] {
        let nameless = run(&shop, &retry(key, service)).await;
        assert_eq!(nameless.code, Some(1));
        must_contain(&nameless.stderr, &["names no order", "hint: "]);
    }
}

#[tokio::test]
async fn while_one_service_is_away_the_messages_of_the_other_are_shown() {
    let shop = Deployment::open().await;
    set_aside(&shop, "orders", "a", None, 7);
    let away = ["--inventory-url", "http://127.0.0.1:1"];
    let listed = run(&shop, &[&["quarantine", "list"][..], &away].concat()).await;
    assert_eq!(listed.code, Some(1), "{listed:?}");
    must_contain(&listed.stdout, &["aaaaaaaaaaaa  orders"]);
    let words = ["the messages of inventory could not be read: no answer from", "--service orders"];
    must_contain(&listed.stderr, &words);
    let shown = printed(&shop, &[&["quarantine", "show", "aa"][..], &away].concat()).await;
    must_contain(&shown, &["service       orders"]);
    let missing = run(&shop, &[&["quarantine", "show", "bb"][..], &away].concat()).await;
    must_contain(&missing.stderr, &["the messages of inventory could not be read"]);
}
