//! A database that was restored from an old backup: what `lastro verify` reports, what heals by
//! itself, and what helps. docs/reliability.md promises no more than this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{
    Deployment, Ended, Environment, Form, PATIENCE, copy_of_data, data_in, eventually, lastro,
    order, verify,
};

tried_on!(forms with files:
    orders_that_were_restored_contradict_the_stock_as_documented
    stock_that_was_restored_contradicts_the_orders_as_documented
);

/// How many violations of an invariant the audit names. It counts all.
const MOST_NAMED: usize = 10;

/// An order that one database knows from an earlier time than the other.
struct Row {
    name: &'static str,
    /// The statuses that the audit reports, such as `confirmed, released`: the order's and the
    /// reservation's. Empty if no audit can object.
    said: &'static str,
    /// The reported statuses after the services have done what they do by themselves.
    said_later: &'static str,
    /// The order's final status; empty if the order is unknown.
    comes_to: &'static str,
    /// The request that helps then (see [`help`]), and the status that it leads to.
    helps: Option<(&'static str, &'static str)>,
}

const fn heals(name: &'static str, comes_to: &'static str) -> Row {
    Row { name, said: "", said_later: "", comes_to, helps: None }
}

/// An order that stays as it is until a client sends a request, if that helps.
const fn stays(
    name: &'static str,
    said: &'static str,
    comes_to: &'static str,
    helps: Option<(&'static str, &'static str)>,
) -> Row {
    Row { name, said, said_later: said, comes_to, helps }
}

const ORDERS_WENT_BACK: [Row; 17] = [
    heals("early", "confirmed"),
    heals("early_rejected", "rejected"),
    stays("early_released", "received, released", "received", Some(("cancel", "cancelled"))),
    stays("early_shipped", "received, shipped", "received", None),
    stays("released", "confirmed, released", "confirmed", Some(("cancel", "cancelled"))),
    stays("shipped", "confirmed, shipped", "confirmed", Some(("fulfill", "fulfilled"))),
    heals("being_released", "cancelled"),
    heals("being_shipped", "fulfilled"),
    // The request is forgotten.
    heals("to_release", "confirmed"),
    heals("to_ship", "confirmed"),
    stays("late_rejected", "none, rejected", "", None),
    stays("late_to_release", "none, reserved", "", None),
    stays("late_to_ship", "none, reserved", "", None),
    // The order is lost without a trace.
    heals("late_received", ""),
    // The payment is forgotten.
    heals("to_pay", "reserved"),
    // The same request again makes the revision that Inventory has.
    stays("sent_in_part", "confirmed, reserved", "confirmed", Some(("ship one", "confirmed"))),
    stays("came_back", "fulfilled, shipped", "fulfilled", Some(("return one", "fulfilled"))),
];

const STOCK_WENT_BACK: [Row; 17] = [
    stays("early", "confirmed, absent", "confirmed", Some(("cancel", "cancelled"))),
    stays("early_rejected", "rejected, absent", "rejected", None),
    stays("early_released", "cancelled, absent", "cancelled", None),
    stays("early_shipped", "fulfilled, absent", "fulfilled", None),
    stays("released", "cancelled, reserved", "cancelled", None),
    stays("shipped", "fulfilled, reserved", "fulfilled", None),
    stays("being_released", "cancelled, reserved", "cancelled", None),
    stays("being_shipped", "fulfilled, reserved", "fulfilled", None),
    heals("to_release", "cancelled"),
    heals("to_ship", "fulfilled"),
    stays("late_rejected", "rejected, absent", "rejected", None),
    Row {
        name: "late_to_release",
        said: "cancelling, absent",
        said_later: "",
        comes_to: "cancelled",
        helps: None,
    },
    stays("late_to_ship", "fulfilling, absent", "fulfilling", None),
    heals("late_received", "confirmed"),
    heals("to_pay", "confirmed"),
    // The next revision says all that has left and all that came back.
    stays("sent_in_part", "confirmed, reserved", "confirmed", Some(("fulfill", "fulfilled"))),
    stays("came_back", "fulfilled, shipped", "fulfilled", Some(("return one", "fulfilled"))),
];

/// The key of `late_received`.
const KEY: (&str, &str) = ("idempotency-key", "K1");

/// A shop's files, those of an earlier backup, and the orders by name.
struct History {
    form: Form,
    then: TempDir,
    now: TempDir,
    ids: BTreeMap<&'static str, String>,
}

impl History {
    async fn write(form: Form) -> Self {
        let mut shop = Deployment::in_form(form).await;
        let mut ids = BTreeMap::new();
        begin(&mut shop, &mut ids).await;
        let then = copy_of_data(shop.folder());
        shop.reopen().await;
        go_on(&mut shop, &mut ids).await;
        let form = shop.form;
        Self { form, then, now: shop.into_folder(), ids }
    }

    /// The present files with this database restored from the backup.
    fn restored(&self, database: &str) -> TempDir {
        let folder = copy_of_data(self.now.path());
        let files = |of: &Path| {
            let files = std::fs::read_dir(data_in(of))
                .expect("the files")
                .map(|file| file.expect("a file"));
            files
                .filter(|file| file.file_name().to_string_lossy().starts_with(database))
                .collect::<Vec<_>>()
        };
        for file in files(folder.path()) {
            std::fs::remove_file(file.path()).expect("a file");
        }
        for file in files(self.then.path()) {
            std::fs::copy(file.path(), data_in(folder.path()).join(file.file_name()))
                .expect("a copy");
        }
        folder
    }

    /// Checks that the audit reports exactly what is expected of each order.
    fn check_said(
        &self,
        ended: &Ended,
        expected: impl Iterator<Item = (&'static str, &'static str)>,
    ) {
        let lines: BTreeSet<_> = expected
            .filter_map(|(name, said)| Some(line(&self.ids[name], said.split_once(", ")?)))
            .collect();
        // What is wrong follows after a colon.
        let said = ended.stdout.lines().filter_map(|line| line.strip_prefix("         "));
        let said: BTreeSet<_> =
            said.map(|line| line.split(": ").next().unwrap_or(line).to_owned()).collect();
        assert!(said.is_subset(&lines), "{said:#?} {lines:#?}");
        assert_eq!(said.len(), lines.len().min(MOST_NAMED), "{}", ended.stdout);
        let violated: Vec<_> =
            ended.stdout.lines().filter(|line| line.contains("VIOLATED")).collect();
        assert!(violated.len() == 1 && violated[0].starts_with("INV-5"), "{}", ended.stdout);
        assert!(
            violated[0].ends_with(&format!(", {} violations)", lines.len())),
            "{}",
            ended.stdout
        );
        assert_eq!(
            (ended.code, ended.said_after_databases()),
            (Some(1), "error: an invariant is violated\n")
        );
    }

    /// Checks what is reported after the restore, what happens after the start, and what helps.
    /// Returns the shop.
    async fn check(&self, database: &str, rows: &[Row]) -> Deployment {
        let folder = self.restored(database);
        self.check_said(
            &verify(folder.path(), &[]).await,
            rows.iter().map(|row| (row.name, row.said)),
        );
        // The broker is new: an old one would still deliver messages of the lost time.
        // A broker would otherwise be kept from a copy.
        let environment = Environment { replaces_peer: true, ..Environment::of(self.form).await };
        let shop = Deployment::open_in(folder, self.form, environment).await;
        for row in rows {
            let id = &self.ids[row.name];
            match row.comes_to {
                "" => assert_eq!(
                    shop.get(&format!("/api/orders/{id}")).await.status,
                    404,
                    "{}",
                    row.name
                ),
                status => comes_to(&shop, id, status).await,
            }
        }
        // Some orders send their commands again and again and get no answer that they could apply.
        eventually(4 * PATIENCE, "a message that no healthy history explains", || async {
            shop.quarantined().await.concat().iter().any(|kind| kind == "anomaly").then_some(())
        })
        .await;
        self.check_said(&shop.verify().await, rows.iter().map(|row| (row.name, row.said_later)));
        for (row, (action, status)) in rows.iter().filter_map(|row| Some((row, row.helps?))) {
            help(&shop, &self.ids[row.name], action, "after-the-restore").await;
            comes_to(&shop, &self.ids[row.name], status).await;
        }
        let beyond_help = rows.iter().filter(|row| row.helps.is_none());
        self.check_said(&shop.verify().await, beyond_help.map(|row| (row.name, row.said_later)));
        shop
    }
}

/// The line of the audit for an order and a reservation with these states.
fn line(id: &str, (order, reservation): (&str, &str)) -> String {
    match order {
        "none" => format!("reservation {id} has no order that can be read"),
        status => format!("order {id} is {status}, its reservation {reservation}"),
    }
}

/// The orders before the backup: settled ones, and some that wait for an answer when all programs
/// are killed.
async fn begin(shop: &mut Deployment, ids: &mut BTreeMap<&'static str, String>) {
    shop.stock("MUG", 100).await;
    shop.stock("CAP", 5).await;
    for name in ["released", "shipped", "being_released", "being_shipped", "to_release", "to_ship"]
    {
        ids.insert(name, shop.confirmed(&[("MUG", 1)]).await);
    }
    let payment = json!({"payment": {"within_s": 86400}, "customer_id": "123456", "products": [
        {"product_id": "MUG", "quantity": 1, "price": 5},
    ]});
    let placed = shop.post("/api/orders", &payment).await;
    ids.insert("to_pay", placed.text_at("/order_id"));
    comes_to(shop, &ids["to_pay"], "reserved").await;
    for name in ["sent_in_part", "came_back"] {
        ids.insert(name, shop.confirmed(&[("MUG", 2)]).await);
    }
    ask(shop, &ids["came_back"], "fulfill").await;
    comes_to(shop, &ids["came_back"], "fulfilled").await;
    let held = shop.hold_inventory().await;
    for (name, units) in
        [("early", 1), ("early_rejected", 1000), ("early_released", 1), ("early_shipped", 1)]
    {
        ids.insert(name, shop.place(&order(&[("MUG", units)])).await.text_at("/order_id"));
    }
    ask(shop, &ids["being_released"], "cancel").await;
    ask(shop, &ids["being_shipped"], "fulfill").await;
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    drop(held);
}

/// The orders between the backup and the second kill.
async fn go_on(shop: &mut Deployment, ids: &mut BTreeMap<&'static str, String>) {
    for movement in [
        json!({"kind": "receive", "quantity": 7}),
        json!({"kind": "adjust", "quantity": -2, "reason": "broken"}),
        json!({"kind": "count", "quantity": 20, "reason": "stocktaking"}),
    ] {
        shop.move_stock("CAP", &movement).await.ok();
    }
    for name in ["early", "early_released", "early_shipped"] {
        comes_to(shop, &ids[name], "confirmed").await;
    }
    comes_to(shop, &ids["early_rejected"], "rejected").await;
    for name in ["released", "early_released"] {
        ask(shop, &ids[name], "cancel").await;
    }
    for name in ["shipped", "early_shipped"] {
        ask(shop, &ids[name], "fulfill").await;
    }
    for name in ["released", "early_released", "being_released"] {
        comes_to(shop, &ids[name], "cancelled").await;
    }
    for name in ["shipped", "early_shipped", "being_shipped"] {
        comes_to(shop, &ids[name], "fulfilled").await;
    }
    let paid = json!({"reference": "charge 1"});
    shop.post(&format!("/api/orders/{}/pay", ids["to_pay"]), &paid).await.ok();
    help(shop, &ids["sent_in_part"], "ship one", "before").await;
    help(shop, &ids["came_back"], "return one", "before").await;
    for name in ["late_to_release", "late_to_ship"] {
        ids.insert(name, shop.confirmed(&[("MUG", 1)]).await);
    }
    ids.insert("late_rejected", shop.settle(&[("MUG", 1000)]).await.0);
    comes_to(shop, &ids["late_rejected"], "rejected").await;
    let held = shop.hold_inventory().await;
    for name in ["to_release", "late_to_release"] {
        ask(shop, &ids[name], "cancel").await;
    }
    for name in ["to_ship", "late_to_ship"] {
        ask(shop, &ids[name], "fulfill").await;
    }
    let placed = shop.post_with("/api/orders", &[KEY], &order(&[("MUG", 1)])).await;
    ids.insert("late_received", placed.text_at("/order_id"));
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    drop(held);
}

/// Sends the request that helps an order, and waits until Inventory has answered it.
async fn help(shop: &Deployment, id: &str, action: &str, key: &str) {
    let keyed = async |path: &str, line: Value| {
        let headers = [("idempotency-key", key), ("prefer", "wait=30")];
        let path = format!("/api/orders/{id}/{path}");
        let answer = shop.post_with(&path, &headers, &json!({"lines": [line]})).await;
        assert_eq!(answer.status, 201, "{action}: {answer:?}");
        assert_ne!(answer.text_at("/status"), "amending", "{action}: {answer:?}");
    };
    match action {
        "ship one" => keyed("shipments", json!({"product_id": "MUG", "quantity": 1})).await,
        "return one" => {
            let line = json!({"product_id": "MUG", "quantity": 1, "disposition": "restock"});
            keyed("returns", line).await;
        }
        action => {
            shop.ask(id, action).await.ok();
        }
    }
}

/// Requests an action that needs Inventory, and does not wait for the outcome.
async fn ask(shop: &Deployment, id: &str, action: &str) {
    let begun = if action == "cancel" { "cancelling" } else { "fulfilling" };
    let answer = shop.post(&format!("/api/orders/{id}/{action}"), &json!({})).await;
    assert_eq!(answer.text_at("/status"), begun);
}

async fn comes_to(shop: &Deployment, id: &str, status: &str) {
    eventually(4 * PATIENCE, &format!("order {id} is {status}"), || async {
        (shop.order(id).await["status"] == status).then_some(())
    })
    .await;
}

/// Stops the shop, repairs these orders, and starts it again.
async fn repaired<'a>(
    mut shop: Deployment,
    orders: impl IntoIterator<Item = (&'a str, &str)>,
) -> Deployment {
    let (orders, said): (Vec<_>, Vec<_>) = orders.into_iter().unzip();
    let repair = lastro(shop.folder()).args(["repair", "--data-dir", "data"]);
    let repair = repair.args(orders.iter().flat_map(|id| ["--order", *id]));
    let running = repair.clone().to_end().await;
    running.must_be_refused(1, &["inventory.db is in use by another process"]);
    shop.programs.kill();
    shop.programs.ended(PATIENCE).await;
    let ended = repair.clone().to_end().await;
    let expected: Vec<_> =
        orders.iter().zip(said).map(|(id, said)| format!("{id}: {said}")).collect();
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((ended.code, lines), (Some(0), expected.iter().map(String::as_str).collect()));
    // A repetition finds nothing to do.
    let again = repair.to_end().await.stdout;
    assert!(!again.contains("released") && !again.contains("the stock does"), "{again}");
    let log = lastro(shop.folder()).args(["admin-log", "--data-dir", "data", "--json"]);
    let log = log.to_end().await.stdout;
    let entries = log.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let mut repaired: Vec<Value> =
        entries.filter(|entry: &Value| entry["action"] == "repair_order").collect();
    repaired.reverse();
    let subjects: Vec<_> = repaired.iter().map(|entry| entry["subject"].as_str()).collect();
    assert_eq!(subjects, orders.iter().map(|id| Some(*id)).collect::<Vec<_>>(), "{log}");
    assert!(repaired.iter().all(|entry| {
        let actor = entry["actor"].as_str();
        entry["service"] == "inventory" && actor.is_some_and(|it| it.starts_with("operator:"))
    }));
    shop.reopen().await;
    shop
}

async fn orders_that_were_restored_contradict_the_stock_as_documented(form: Form) {
    let history = History::write(form).await;
    let shop = history.check("orders.db", &ORDERS_WENT_BACK).await;
    // Two of the lost orders held a unit each.
    let [on_hand, reserved, _] = shop.levels("MUG").await;
    let lost = [("late_to_release", "released 1 units"), ("late_to_ship", "released 1 units")];
    let shop = repaired(shop, lost.map(|(name, said)| (&*history.ids[name], said))).await;
    assert_eq!(shop.levels("MUG").await[..2], [on_hand, reserved - 2]);
    // The key of a lost order is free again.
    let placed = shop.post_with("/api/orders", &[KEY], &order(&[("CAP", 1)])).await;
    assert_eq!(placed.status, 200, "{placed:?}");
    assert_ne!(placed.text_at("/order_id"), history.ids["late_received"]);

    // If both databases go back to the same moment, they cannot contradict each other.
    let audit = verify(history.then.path(), &[]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}

async fn stock_that_was_restored_contradicts_the_orders_as_documented(form: Form) {
    let history = History::write(form).await;
    let shop = history.check("inventory.db", &STOCK_WENT_BACK).await;
    let forgotten = ["released", "shipped", "being_released", "being_shipped"];
    let said = "the stock does what revision 2 says";
    let shop = repaired(shop, forgotten.map(|name| (&*history.ids[name], said))).await;
    let left =
        STOCK_WENT_BACK.iter().filter(|row| row.helps.is_none() && !forgotten.contains(&row.name));
    history.check_said(&shop.verify().await, left.map(|row| (row.name, row.said_later)));
    // Movements since the backup are lost without a report.
    assert_eq!(shop.levels("CAP").await, [5, 0, 5]);
}
