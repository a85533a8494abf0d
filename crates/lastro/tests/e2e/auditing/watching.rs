//! The auditors inside the services and `lastro verify --watch`: silent while a shop is honest, however busy it is, and
//! loud when somebody writes into its databases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::json;
use testbed::{PATIENCE, Tool, eventually, postgres, write_past};

use crate::random::Random;
use crate::shop::{Shop, data_in, order};

impl Shop {
    /// A whole number that the programs tell, added up.
    async fn counted(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is no number in\n{metrics}"))
    }

    /// Waits until every auditor has been through a whole round that began after this.
    async fn audited(&self) {
        let mut expected = Vec::new();
        for service in self.auditors() {
            let name = format!(r#"audit_rounds_total{{service="{service}"}}"#);
            // One is under way, and each replica has an auditor of its own.
            let rounds = self.counted(&name).await + 2 * self.programs.addresses().0.len() as u64;
            expected.push((name, rounds));
        }
        for (name, rounds) in expected {
            eventually(4 * PATIENCE, &name, || async { (self.counted(&name).await >= rounds).then_some(()) }).await;
        }
    }

    /// Whose auditors tell their numbers.
    fn auditors(&self) -> &'static [&'static str] {
        if self.form.is_apart() { &["orders", "inventory"] } else { &["orders", "inventory", "lastro"] }
    }

    /// Which auditor looks after each invariant.
    fn audited_invariants(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("inventory", "INV-1"),
            ("inventory", "INV-2"),
            ("inventory", "INV-3"),
            ("orders", "INV-4"),
            ("lastro", "INV-5"),
            ("orders", "INV-7"),
            ("inventory", "INV-8"),
        ];
        all.into_iter().filter(|(service, _)| self.auditors().contains(service)).collect()
    }

    /// Writes into a database past everything that protects it, while its service runs. `{name}` is the id of an order.
    async fn write_past(&self, database: &str, sql: &str, names: &[(&str, &str)]) {
        let id = |id: &str| match self.setting.databases {
            Some(_) => format!("'{id}'"),
            None => format!("x'{}'", id.replace('-', "")),
        };
        let sql = names.iter().fold(sql.to_owned(), |sql, (name, its)| sql.replace(&format!("{{{name}}}"), &id(its)));
        match &self.setting.databases {
            None => write_past(&data_in(self.folder()).join(format!("{database}.db")), &sql),
            Some(databases) => {
                let url = if database == "orders" { &databases.orders } else { &databases.inventory };
                let client = postgres(url).await;
                client.batch_execute("SET session_replication_role = replica").await.expect("no triggers");
                let changed = client.execute(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
                assert!(changed > 0, "{sql} changes nothing");
            }
        }
    }
}

fn violations(service: &str, invariant: &str) -> String {
    format!(r#"audit_violations_total{{service="{service}",invariant="{invariant}"}}"#)
}

/// Something for every invariant. What is a breach of one may well be a breach of others.
const BREACHES: [(&str, &str); 6] = [
    ("inventory", "UPDATE movements SET reserved_delta = 99 WHERE product_id = 'MUG' AND seq = 2"),
    ("inventory", "UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = 'TEE'"),
    ("inventory", "UPDATE allocations SET quantity = 3 WHERE order_id = {held}"),
    (
        "inventory",
        "UPDATE reservations SET shortages = replace(shortages, '\"available\":2', '\"available\":1')
         WHERE order_id = {rejected}",
    ),
    ("orders", "UPDATE orders SET status = 'received' WHERE order_id = {confirmed}"),
    ("orders", "DELETE FROM order_history WHERE order_id = {held} AND seq = 1"),
];

#[tokio::test]
async fn what_is_written_past_the_services_is_told_by_them_and_by_whoever_watches() {
    let shop = Shop::open_to_auditors().await;
    shop.stock("MUG", 10).await;
    shop.stock("TEE", 3).await;
    let confirmed = shop.confirmed(&[("MUG", 2), ("TEE", 1)]).await;
    let held = shop.confirmed(&[("MUG", 1)]).await;
    let (rejected, status) = shop.settle(&[("TEE", 5)]).await;
    assert_eq!(status, "rejected");
    let names = [("confirmed", confirmed.as_str()), ("held", &held), ("rejected", &rejected)];

    let mut watch = shop.watch(&["--metrics-listen", "127.0.0.1:0"]);
    let said = watch.says_until("where its numbers are", |said| !said.is_empty()).await;
    let url = said[0].strip_prefix("metrics at ").expect("a URL");
    let said = hear_round(&mut watch, 1).await;
    assert!(said.len() == 1 && said[0].contains(" rows, 0 violations, "), "{said:#?}");
    shop.audited().await;
    for (service, invariant) in shop.audited_invariants() {
        assert_eq!(shop.counted(&violations(service, invariant)).await, 0, "{invariant}");
    }

    // It was all read before, and is read again.
    for (database, sql) in BREACHES {
        shop.write_past(database, sql, &names).await;
    }
    for (service, invariant) in shop.audited_invariants() {
        let name = violations(service, invariant);
        let of_it = format!(r#""invariant":"{invariant}""#);
        eventually(PATIENCE, &name, || async {
            let log = shop.programs.log();
            let reported = log.lines().any(|line| line.contains(r#""level":"ERROR""#) && line.contains(&of_it));
            (reported && shop.counted(&name).await > 0).then_some(())
        })
        .await;
    }
    let invariants = ["INV-1  ", "INV-2  ", "INV-3  ", "INV-4  ", "INV-5  ", "INV-7  ", "INV-8  "];
    let orders = [&confirmed, &held, &rejected].map(String::as_str);
    let all = invariants.iter().chain(&orders);
    let reported = |said: &[String]| all.clone().all(|word| said.iter().any(|line| line.contains(word)));
    watch.says_until("everything", reported).await;
    let numbers = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
    for name in invariants {
        let start = format!("{} ", violations("verify", name.trim_end()));
        let count = numbers.lines().find_map(|line| line.strip_prefix(&start)).expect("a number for each invariant");
        assert_ne!(count, "0", "{name}");
    }
    let ended = watch.terminated().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "error: an invariant does not hold\n"));
}

/// Listens to the end of a round.
pub(super) async fn hear_round(watch: &mut Tool, number: u32) -> Vec<String> {
    let end = format!("round {number}: ");
    watch.says_until(&end, |said| said.last().is_some_and(|line| line.starts_with(&end))).await
}

/// What a client does at random: order, cancel, fulfill, or put into stock.
async fn act(shop: &Shop, mut random: Random, orders: &Mutex<Vec<String>>) {
    const PRODUCTS: [&str; 3] = ["MUG", "TEE", "CAP"];
    let mut pick = |bound: usize| usize::try_from(random.below(bound as u64)).expect("small");
    let (product, units) = (PRODUCTS[pick(3)], 1 + u32::try_from(pick(4)).expect("small"));
    let known = orders.lock().expect("nothing panics under this lock").clone();
    match pick(8) {
        action @ 1..=3 if !known.is_empty() => {
            let action = if action == 1 { "fulfill" } else { "cancel" };
            // It may be too late for it.
            shop.post(&format!("/api/orders/{}/{action}", known[pick(known.len())]), &json!({})).await;
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

/// Clients that all act at once, again and again: as often as the slowest auditor takes a step, so that they meet every
/// one at every point of its walk.
async fn keep_busy(shop: &Shop, random: &mut Random, orders: &Mutex<Vec<String>>, over: &AtomicBool) {
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

#[tokio::test]
async fn a_busy_shop_raises_no_alarm() {
    let mut random = Random::seeded("a_busy_shop_raises_no_alarm");
    let shop = Arc::new(Shop::open_to_auditors().await);
    for product in ["MUG", "TEE", "CAP"] {
        shop.stock(product, 50).await;
    }
    let (orders, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let clients = tokio::spawn({
        let (shop, orders, over) = (shop.clone(), orders.clone(), over.clone());
        async move { keep_busy(&shop, &mut random, &orders, &over).await }
    });
    let mut watch = shop.watch(&[]);
    let mut said = hear_round(&mut watch, 2).await;
    shop.audited().await;
    let placed = || orders.lock().expect("nothing panics under this lock").len();
    eventually(PATIENCE, "it is busy", || async { (placed() > 20).then_some(()) }).await;
    over.store(true, Ordering::Relaxed);
    clients.await.expect("no client fails");
    said.extend(watch.says_until("another round", |_| true).await);
    println!("{} orders; {said:#?}", placed());
    assert!(said.iter().all(|line| line.starts_with("round ") && line.contains(" 0 violations, ")), "{said:#?}");
    for (service, invariant) in shop.audited_invariants() {
        assert_eq!(shop.counted(&violations(service, invariant)).await, 0, "{invariant}");
    }
    for service in shop.auditors() {
        assert_eq!(shop.counted(&format!(r#"audit_failures_total{{service="{service}"}}"#)).await, 0);
        let at = format!(r#"audit_last_round_timestamp_seconds{{service="{service}"}} 1"#);
        assert!(shop.metrics().await.contains(&at), "a time of this century");
    }
    let ended = watch.terminated().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
}
