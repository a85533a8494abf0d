//! The auditors inside the services and `lastro verify --watch`: silent while the data is sound,
//! however busy the shop is, and loud when a row is changed past the services.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::json;
use testbed::{Deployment, Form, PATIENCE, Random, eventually, order};

tried_on!(every form:
    what_is_written_past_the_services_is_reported_by_them_and_by_verify_watch
    a_busy_shop_raises_no_alarm
);

fn violations(service: &str, invariant: &str) -> String {
    format!(r#"audit_violations_total{{service="{service}",invariant="{invariant}"}}"#)
}

/// How an audit ends that has found something.
const VIOLATED: (Option<i32>, &str) = (Some(1), "error: an invariant is violated\n");

/// A breach of every invariant but for INV-10. A breach of one may break others, too.
const BREACHES: [(&str, &str); 8] = [
    (
        "inventory",
        "UPDATE movements SET reserved = 99, kind = 'release'
         WHERE seq = 2 AND product_no = (SELECT product_no FROM products WHERE product_id = 'MUG')",
    ),
    (
        "inventory",
        "UPDATE stock SET on_hand = on_hand + 1
         WHERE product_no = (SELECT product_no FROM products WHERE product_id = 'TEE')",
    ),
    (
        "inventory",
        "UPDATE stock SET last_seq = last_seq - 1
         WHERE product_no = (SELECT product_no FROM products WHERE product_id = 'CAP')",
    ),
    ("inventory", "UPDATE reservations SET allocations = '[]' WHERE order_id = {held}"),
    (
        "inventory",
        r#"UPDATE reservations
           SET shortages = '{"revision":1,"short":[["TEE",5,1,"out_of_stock",[]]]}'
           WHERE order_id = {rejected}"#,
    ),
    ("orders", "UPDATE orders SET total_minor = total_minor + 1 WHERE order_id = {confirmed}"),
    ("orders", "UPDATE order_states SET refund_due_minor = 99 WHERE status = 'reserved'"),
    ("orders", "DELETE FROM order_states WHERE status = 'confirmed' OR status = 'rejected'"),
];

/// A breach of INV-10 in each database: more came back of an order than was shipped. The columns are
/// JSON on PostgreSQL, and text on SQLite.
fn returned_too_much(shop: &Deployment) -> [(&'static str, String); 2] {
    let spoiled = |column: &str| {
        let (was, is) = (r#"'"main",1,0,0'"#, r#"'"main",9,0,0'"#);
        match shop.environment.databases {
            Some(_) => format!("replace({column}::text, {was}, {is})::json"),
            None => format!("replace({column}, {was}, {is})"),
        }
    };
    let history = spoiled("history");
    let returns = spoiled("returns");
    [
        (
            "orders",
            format!("UPDATE order_states SET history = {history} WHERE status = 'fulfilled'"),
        ),
        (
            "inventory",
            format!("UPDATE reservations SET returns = {returns} WHERE returns IS NOT NULL"),
        ),
    ]
}

/// An order that waits for its payment, and one of which a unit came back.
async fn reserve_and_return(shop: &Deployment) {
    shop.reserved(&[("MUG", 1)]).await;
    let returned = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&returned, "fulfill").await.ok();
    let back = json!([{"product_id": "MUG", "quantity": 1, "disposition": "restock"}]);
    let answer = shop.change(&returned, "returns", "K", &json!({"lines": back})).await;
    assert_eq!(answer.text_at("/status"), "fulfilled", "{answer:?}");
}

async fn what_is_written_past_the_services_is_reported_by_them_and_by_verify_watch(form: Form) {
    let shop = Deployment::in_form_with_busy_auditors(form).await;
    shop.stock("MUG", 10).await;
    shop.stock("TEE", 3).await;
    shop.stock("CAP", 1).await;
    shop.move_stock("CAP", &json!({"kind": "receive", "quantity": 1})).await.ok();
    let confirmed = shop.confirmed(&[("MUG", 2), ("TEE", 1)]).await;
    let held = shop.confirmed(&[("MUG", 1)]).await;
    let (rejected, status) = shop.settle(&[("TEE", 5)]).await;
    assert_eq!(status, "rejected");
    reserve_and_return(&shop).await;
    let names = [("confirmed", confirmed.as_str()), ("held", &held), ("rejected", &rejected)];

    let mut watch = shop.watch(&["--metrics-listen", "127.0.0.1:0"]);
    let said = watch.says_until("where its numbers are", |said| !said.is_empty()).await;
    let url = said[0].strip_prefix("metrics at ").expect("a URL");
    let said = watch.says_round(1).await;
    assert!(said.len() == 1 && said[0].contains(" rows, 0 violations, "), "{said:#?}");
    shop.audited().await;
    for (service, invariant) in shop.audited_invariants() {
        assert_eq!(shop.counted(&violations(service, invariant)).await, 0, "{invariant}");
    }

    // The auditors have read all rows before, and read them again.
    for (database, sql) in BREACHES {
        shop.write_past(database, sql, &names).await;
    }
    for (database, sql) in returned_too_much(&shop) {
        shop.write_past(database, &sql, &names).await;
    }
    for (service, invariant) in shop.audited_invariants() {
        let name = violations(service, invariant);
        let of_it = format!(r#""invariant":"{invariant}""#);
        eventually(PATIENCE, &name, || async {
            let log = shop.programs.log();
            let reported = log
                .lines()
                .any(|line| line.contains(r#""level":"ERROR""#) && line.contains(&of_it));
            (reported && shop.counted(&name).await > 0).then_some(())
        })
        .await;
    }
    let invariants = [
        "INV-1  ", "INV-2  ", "INV-3  ", "INV-4  ", "INV-5  ", "INV-7  ", "INV-8  ", "INV-9  ",
        "INV-10 ", "INV-11 ", "INV-13 ",
    ];
    let orders = [&confirmed, &held, &rejected].map(String::as_str);
    let all = invariants.iter().chain(&orders);
    let reported =
        |said: &[String]| all.clone().all(|word| said.iter().any(|line| line.contains(word)));
    watch.says_until("everything", reported).await;
    let numbers = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
    for name in invariants {
        let start = format!("{} ", violations("verify", name.trim_end()));
        let count = numbers
            .lines()
            .find_map(|line| line.strip_prefix(&start))
            .expect("a number for each invariant");
        assert_ne!(count, "0", "{name}");
    }
    let ended = watch.terminated().await;
    assert_eq!((ended.code, ended.said_after_databases()), VIOLATED);
}

/// A random request of a client: order, cancel, fulfill, or receive stock.
async fn act(shop: &Deployment, mut random: Random, orders: &Mutex<Vec<String>>) {
    const PRODUCTS: [&str; 3] = ["MUG", "TEE", "CAP"];
    let mut pick = |bound: usize| usize::try_from(random.below(bound as u64)).expect("small");
    let (product, units) = (PRODUCTS[pick(3)], 1 + u32::try_from(pick(4)).expect("small"));
    let known = orders.lock().expect("nothing panics under this lock").clone();
    match pick(8) {
        action @ 1..=3 if !known.is_empty() => {
            let action = if action == 1 { "fulfill" } else { "cancel" };
            // The order may not be in a status that allows it.
            shop.post(&format!("/api/orders/{}/{action}", known[pick(known.len())]), &json!({}))
                .await;
        }
        4..=7 => {
            let lines = [(product, units), ("ODD", 1)];
            let placed = shop.place(&order(&lines[..1 + usize::from(units == 4)])).await;
            let id = placed.text_at("/order_id");
            orders.lock().expect("nothing panics under this lock").push(id);
        }
        _ => {
            shop.move_stock(product, &json!({"kind": "receive", "quantity": units})).await.ok();
        }
    }
}

/// Clients that all act at once, again and again, as often as the slowest auditor takes a step, so
/// that they meet each auditor at every point of its walk.
async fn keep_busy(
    shop: &Deployment,
    random: &mut Random,
    orders: &Mutex<Vec<String>>,
    over: &AtomicBool,
) {
    let read = async || shop.counted(r#"audit_rows_total{service="inventory"}"#).await;
    while !over.load(Ordering::Relaxed) {
        let before = read().await;
        join_all((0..8).map(|_| act(shop, random.fork(), orders))).await;
        eventually(PATIENCE, "the auditor reads on", || async {
            (over.load(Ordering::Relaxed) || read().await > before).then_some(())
        })
        .await;
    }
}

async fn a_busy_shop_raises_no_alarm(form: Form) {
    let mut random = Random::seeded("a_busy_shop_raises_no_alarm");
    let shop = Arc::new(Deployment::in_form_with_busy_auditors(form).await);
    for product in ["MUG", "TEE", "CAP"] {
        shop.stock(product, 50).await;
    }
    let (orders, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let clients = tokio::spawn({
        let (shop, orders, over) = (shop.clone(), orders.clone(), over.clone());
        async move { keep_busy(&shop, &mut random, &orders, &over).await }
    });
    let mut watch = shop.watch(&[]);
    let mut said = watch.says_round(2).await;
    shop.audited().await;
    let placed = || orders.lock().expect("nothing panics under this lock").len();
    eventually(PATIENCE, "it is busy", || async { (placed() > 20).then_some(()) }).await;
    over.store(true, Ordering::Relaxed);
    clients.await.expect("no client fails");
    said.extend(watch.says_until("another round", |_| true).await);
    println!("{} orders; {said:#?}", placed());
    assert!(
        said.iter().all(|line| line.starts_with("round ") && line.contains(" 0 violations, ")),
        "{said:#?}"
    );
    for (service, invariant) in shop.audited_invariants() {
        assert_eq!(shop.counted(&violations(service, invariant)).await, 0, "{invariant}");
    }
    for service in shop.auditors() {
        assert_eq!(
            shop.counted(&format!(r#"audit_failures_total{{service="{service}"}}"#)).await,
            0
        );
        let at = format!(r#"audit_last_round_timestamp_seconds{{service="{service}"}} 1"#);
        assert!(shop.metrics().await.contains(&at), "a time of this century");
    }
    let ended = watch.terminated().await;
    assert_eq!((ended.code, ended.said_after_databases()), (Some(0), ""), "{}", ended.stdout);
}
