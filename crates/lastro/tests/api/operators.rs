//! What operators see and do: commands that wait, messages that were set aside, the audit, and who
//! holds a product.

use serde_json::{Value, json};
use testbed::{Deployment, PATIENCE, eventually, lastro, order, write_past};

const NO_BODY: &str = "";

/// The admin log of both services, an entry per line.
pub(crate) async fn admin_log(shop: &Deployment) -> Vec<Value> {
    let log = ["admin-log", "--data-dir", "data", "--json"];
    let log = lastro(shop.folder()).args(log).to_end().await;
    assert_eq!(log.code, Some(0), "{}", log.stderr);
    log.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_command_that_waits_is_listed_and_sent_again_when_an_operator_asks() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let settled = shop.confirmed(&[("MUG", 1)]).await;
    let held = shop.hold_inventory().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id"));
    }
    let page = shop.get("/api/orders/pending?limit=2").await.ok();
    assert_eq!(page["total"], 3);
    assert!(page["oldest_age_s"].as_f64().is_some_and(|age| age >= 0.0), "{page}");
    assert!(page["next_cursor"].is_string(), "{page}");
    assert_eq!(shop.column("/api/orders/pending?limit=2", "order_id").await, waiting);
    assert_eq!(shop.column("/api/orders/pending?older_than_s=3600", "order_id").await, [""; 0]);

    let retry = format!("/api/orders/pending/{}/retry", waiting[1]);
    let command = shop.send("POST", &retry, &[], NO_BODY).await.ok();
    assert_eq!((&command["order_id"], &command["revision"]), (&json!(waiting[1]), &json!(1)));
    let attempt = command["attempt"].as_i64().expect("a number");
    eventually(PATIENCE, "the command is sent again", async || {
        let page = shop.get("/api/orders/pending").await.ok();
        (page["data"][1]["attempt"].as_i64()? > attempt).then_some(())
    })
    .await;
    let acts: Vec<Value> = admin_log(&shop).await;
    let act = acts.iter().find(|act| act["action"] == "retry_command").expect("it is recorded");
    assert_eq!(act["subject"], waiting[1].as_str(), "{act}");

    drop(held);
    for id in &waiting {
        shop.order_once(id, "confirmed").await;
    }
    let page = shop.get("/api/orders/pending").await.ok();
    assert_eq!(page, json!({"total": 0, "oldest_age_s": null, "data": [], "next_cursor": null}));
    for id in [&settled, &waiting[1]] {
        let retry = format!("/api/orders/pending/{id}/retry");
        let refused = shop.send("POST", &retry, &[], NO_BODY).await;
        assert_eq!(refused.verdict(), "409 nothing_pending");
    }
}

/// Puts an entry into the quarantine of a service, past the service.
pub(crate) fn set_aside(
    shop: &Deployment,
    service: &str,
    key: &str,
    subject: Option<&str>,
    last_at: i64,
) {
    let subject = subject.map_or("NULL".to_owned(), |subject| format!("'{subject}'"));
    let insert = format!(
        "INSERT INTO quarantine (key, subject, kind, reason, length, count, first_at, last_at, bytes)
         VALUES (x'{}', {subject}, 'anomaly', 'StockAllocated: odd', 5, 2, 1, {last_at}, x'68656c6c6f')",
        key.repeat(64)
    );
    write_past(&shop.folder().join("data").join(format!("{service}.db")), &insert);
}

#[tokio::test]
async fn messages_that_were_set_aside_are_listed_and_discarded_and_stay() {
    let shop = Deployment::open().await;
    for service in ["orders", "inventory"] {
        set_aside(&shop, service, "a", None, 5);
        set_aside(&shop, service, "b", None, 7);
        set_aside(&shop, service, "c", None, 6);
        let list = format!("/api/{service}/quarantine");
        let ids = |names: &[&str]| names.iter().map(|name| name.repeat(64)).collect::<Vec<_>>();
        assert_eq!(shop.column(&format!("{list}?limit=1"), "id").await, ids(&["b", "c", "a"]));
        let entry = shop.get(&format!("{list}/{}", "a".repeat(64))).await.ok();
        assert_eq!((&entry["message"], &entry["truncated"]), (&json!("hello"), &json!(false)));
        assert_eq!((&entry["kind"], &entry["count"]), (&json!("anomaly"), &json!(2)));
        assert_eq!((&entry["order_id"], &entry["discarded_at"]), (&Value::Null, &Value::Null));

        let discard = format!("{list}/{}/discard", "c".repeat(64));
        let first = shop.send("POST", &discard, &[], NO_BODY).await.ok();
        assert!(first["discarded_at"].is_string(), "{first}");
        let again = shop.send("POST", &discard, &[], "").await.ok();
        assert_eq!(again, first, "without an effect");
        assert_eq!(shop.column(&format!("{list}?seen=false"), "id").await, ids(&["b", "a"]));
        assert_eq!(shop.column(&format!("{list}?seen=true"), "id").await, ids(&["c"]));
        assert_eq!(shop.column(&list, "id").await, ids(&["b", "c", "a"]));
        let missing = shop.get(&format!("{list}/{}", "d".repeat(64))).await;
        assert_eq!(missing.verdict(), "404 quarantine_entry_not_found");
    }
    let acts = admin_log(&shop).await;
    let discards = acts.iter().filter(|act| act["action"] == "discard_message");
    assert_eq!(discards.count(), 2, "one in each service: {acts:#?}");
}

#[tokio::test]
async fn the_command_behind_a_message_is_sent_again() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let held = shop.hold_inventory().await;
    let id = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    set_aside(&shop, "orders", "a", Some(&id), 5);
    set_aside(&shop, "orders", "b", None, 6);
    set_aside(&shop, "orders", "c", Some("0197a9c4-0000-7000-8000-000000000000"), 7);
    let retry = async |key: &str| {
        let path = format!("/api/orders/quarantine/{}/retry", key.repeat(64));
        shop.send("POST", &path, &[], NO_BODY).await
    };
    assert_eq!(retry("a").await.ok()["order_id"], id.as_str());
    for key in ["b", "c"] {
        assert_eq!(retry(key).await.verdict(), "409 nothing_pending", "{key}");
    }
    drop(held);
    shop.order_once(&id, "confirmed").await;
    assert_eq!(retry("a").await.verdict(), "409 nothing_pending");
}

#[tokio::test]
async fn the_state_of_the_audit_names_what_is_checked_and_what_breaks_it() {
    let shop = Deployment::open_with(testbed::with_busy_auditors).await;
    shop.stock("MUG", 9).await;
    let id = shop.confirmed(&[("MUG", 1)]).await;
    let names = async |service: &str| {
        let audit = shop.get(&format!("/api/{service}/audit")).await.ok();
        let invariants = audit["invariants"].as_array().expect("a list").iter();
        invariants.map(|it| it["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let of_orders = names("orders").await;
    for name in ["INV-4", "INV-5", "INV-7"] {
        assert!(of_orders.iter().any(|its| its == name), "{name}: {of_orders:?}");
    }
    let of_stock = names("inventory").await;
    assert!(of_stock.iter().any(|its| its == "INV-1"), "{of_stock:?}");
    for service in ["orders", "inventory"] {
        let audit = eventually(PATIENCE, "a round that checked something", async || {
            let audit = shop.get(&format!("/api/{service}/audit")).await.ok();
            let checked = audit["invariants"][0]["checked"].as_u64()?;
            (checked > 0 && audit["round"]["number"].as_u64()? > 0).then_some(audit)
        })
        .await;
        assert_eq!((&audit["running"], &audit["failing"]), (&json!(true), &json!(false)));
        assert!(audit["round"]["ended_at"].is_string(), "{audit}");
        assert_eq!(audit["offenders"], json!([]), "{service}");
    }
    let damage = "UPDATE orders SET total_minor = total_minor + 1";
    write_past(&shop.folder().join("data").join("orders.db"), damage);
    let offender = eventually(PATIENCE, "the order is found", async || {
        let audit = shop.get("/api/orders/audit").await.ok();
        audit["offenders"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(offender["invariant"], "INV-4");
    assert!(offender["offender"].as_str().is_some_and(|text| text.contains(&id)), "{offender}");
}

#[tokio::test]
async fn who_holds_a_product_and_what_an_order_did_to_the_stock() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let mut orders = Vec::new();
    for units in [1, 2, 3] {
        orders.push(shop.confirmed(&[("MUG", units)]).await);
    }
    shop.ask(&orders[1], "cancel").await.ok();
    let holders = "/api/inventory/products/MUG/holders";
    let page = shop.get(holders).await.ok();
    let held =
        |at: usize| (page["data"][at]["order_id"].clone(), page["data"][at]["quantity"].clone());
    assert_eq!(held(0), (json!(orders[2]), json!(3)));
    assert_eq!(held(1), (json!(orders[0]), json!(1)));
    assert_eq!(
        (page["data"].as_array().map(Vec::len), &page["next_cursor"]),
        (Some(2), &Value::Null)
    );
    let newest_first = [orders[2].clone(), orders[0].clone()];
    assert_eq!(shop.column(&format!("{holders}?limit=1"), "order_id").await, newest_first);
    assert_eq!(shop.column(&format!("{holders}?location_id=main"), "order_id").await, newest_first);

    let reservation = shop.get(&format!("/api/inventory/reservations/{}", orders[1])).await.ok();
    let moves = reservation["movements"].as_array().expect("a list").iter();
    let moves: Vec<_> =
        moves.map(|it| (it["kind"].clone(), it["reserved_delta"].clone())).collect();
    assert_eq!(moves, [(json!("reserve"), json!(2)), (json!("release"), json!(-2))]);
    assert_eq!(reservation["movements"][0]["product_id"], "MUG");
    assert_eq!(reservation["movements"][0]["order_id"], orders[1].as_str());
}

#[tokio::test]
async fn orders_are_listed_by_several_statuses_and_by_the_time_of_their_acceptance() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let mut orders = Vec::new();
    for product in ["MUG", "X", "MUG", "X", "MUG"] {
        orders.push(shop.settle(&[(product, 1)]).await.0);
    }
    shop.ask(&orders[4], "cancel").await.ok();
    let listed = async |query: &str| shop.column(&format!("/api/orders?{query}"), "order_id").await;
    let chosen = |at: &[usize]| at.iter().map(|at| orders[*at].clone()).collect::<Vec<_>>();
    assert_eq!(listed("status=confirmed,rejected").await, chosen(&[3, 2, 1, 0]));
    assert_eq!(listed("status=cancelled,received,confirmed&limit=1").await, chosen(&[4, 2, 0]));
    let at = shop.order(&orders[2]).await["created_at"].as_str().expect("a time").to_owned();
    assert_eq!(listed(&format!("from={at}")).await, chosen(&[4, 3, 2]));
    assert_eq!(listed(&format!("to={at}")).await, chosen(&[1, 0]));
    assert_eq!(listed(&format!("from={at}&status=rejected,confirmed")).await, chosen(&[3, 2]));
    assert_eq!(listed(&format!("from={at}&to={at}")).await, chosen(&[]));
}
