//! `lastro verify` finds nothing in an honest shop, and every kind of damage in a tampered one.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use testbed::{
    Deployment, Environment, Form, copy_of_data, data_in, lastro, launch, order, verify,
    with_busy_auditors, write_past,
};

/// A closed shop with orders in every state and other rows of every kind.
struct ClosedShop {
    folder: TempDir,
    confirmed: String,
    rejected: String,
    cancelled: String,
    /// An order that is accepted and not yet answered.
    received: String,
}

impl ClosedShop {
    async fn write() -> Self {
        let mut shop = Deployment::in_form(Form::Embedded).await;
        shop.stock("MUG", 10).await;
        shop.stock("TEE", 3).await;
        let confirmed = shop.confirmed(&[("MUG", 2), ("TEE", 1)]).await;
        let (rejected, _) = shop.settle(&[("TEE", 5)]).await;
        let cancelled = shop.confirmed(&[("MUG", 1)]).await;
        shop.ask(&cancelled, "cancel").await.ok();
        let fulfilled = shop.confirmed(&[("MUG", 1)]).await;
        shop.ask(&fulfilled, "fulfill").await.ok();
        let held = shop.hold_inventory().await;
        let received = shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
        // Killed before Inventory answers.
        shop.programs.kill();
        shop.programs.ended(testbed::PATIENCE).await;
        drop(held);
        Self { folder: shop.into_folder(), confirmed, rejected, cancelled, received }
    }

    /// SQL with the names of orders replaced by their ids, as the files store them.
    fn sql(&self, sql: &str) -> String {
        let names = [
            ("confirmed", &self.confirmed),
            ("rejected", &self.rejected),
            ("received", &self.received),
        ];
        let sql = names.into_iter().fold(sql.to_owned(), |sql, (name, id)| {
            let bytes = format!("x'{}'", id.replace('-', ""));
            let number = format!("(SELECT order_no FROM orders WHERE order_id = {bytes})");
            sql.replace(&format!("{{number of {name}}}"), &number)
                .replace(&format!("{{{name}}}"), &bytes)
        });
        ["MUG", "TEE"].into_iter().fold(sql, |sql, product| {
            let number =
                format!("(SELECT product_no FROM products WHERE product_id = '{product}')");
            sql.replace(&format!("{{{product}}}"), &number)
        })
    }

    /// The name of the offender in the report: the id of an order, or of a product.
    fn offender<'a>(&'a self, name: &'a str) -> &'a str {
        match name {
            "confirmed" => &self.confirmed,
            "rejected" => &self.rejected,
            "cancelled" => &self.cancelled,
            "received" => &self.received,
            product => product,
        }
    }

    fn copy(&self) -> TempDir {
        copy_of_data(self.folder.path())
    }
}

/// The database, the damage in SQL, the invariants that it breaks, and the offender that is
/// reported.
const TAMPERINGS: [(&str, &str, &[&str], &str); 22] = [
    (
        "inventory.db",
        "UPDATE stock SET on_hand = on_hand + 1 WHERE product_no = {MUG}",
        &["INV-2"],
        "MUG",
    ),
    (
        "inventory.db",
        "UPDATE stock SET reserved = reserved - 1 WHERE product_no = {TEE}",
        &["INV-2"],
        "TEE",
    ),
    (
        "inventory.db",
        "UPDATE stock SET last_seq = last_seq - 1 WHERE product_no = {TEE}",
        &["INV-2", "INV-13"],
        "TEE",
    ),
    (
        "inventory.db",
        "UPDATE stock SET last_movement = 1 WHERE product_no = {TEE}",
        &["INV-2"],
        "TEE",
    ),
    (
        "inventory.db",
        "UPDATE movements SET on_hand_delta = 11 WHERE product_no = {MUG} AND seq = 1",
        &["INV-2"],
        "MUG",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET allocations = '[]' WHERE order_id = {confirmed}",
        &["INV-3", "INV-5"],
        "confirmed",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET allocations = replace(allocations, ',2,0,0,', ',3,0,0,') WHERE order_id = {confirmed}",
        &["INV-3", "INV-5"],
        "confirmed",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET allocations = 'lost' WHERE order_id = {confirmed}",
        &["INV-3", "INV-5"],
        "confirmed",
    ),
    (
        "inventory.db",
        "UPDATE movements SET order_id = {rejected} WHERE order_id = {confirmed} AND product_no = {TEE}",
        &["INV-3"],
        "rejected",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET digest = zeroblob(16) WHERE order_id = {confirmed}",
        &["INV-5"],
        "confirmed",
    ),
    (
        "inventory.db",
        "DELETE FROM reservations WHERE order_id = {confirmed}",
        &["INV-3", "INV-5"],
        "confirmed",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET shortages = replace(shortages, ',5,2,', ',5,1,') WHERE order_id = {rejected}",
        &["INV-5", "INV-8"],
        "rejected",
    ),
    (
        "inventory.db",
        "UPDATE reservations SET shortages = replace(shortages, ',5,2,', ',2,2,') WHERE order_id = {rejected}",
        &["INV-5", "INV-8"],
        "rejected",
    ),
    (
        "orders.db",
        "UPDATE order_states SET status = 'confirmed' WHERE order_no = {number of rejected}",
        &["INV-4"],
        "rejected",
    ),
    (
        "orders.db",
        "UPDATE order_states SET history = replace(history, 'allocated', 'shipped') WHERE order_no = {number of confirmed}",
        &["INV-4", "INV-5"],
        "confirmed",
    ),
    (
        "orders.db",
        "UPDATE order_states SET history = replace(history, '\"main\"', '\"shop\"') WHERE order_no = {number of confirmed}",
        &["INV-5"],
        "confirmed",
    ),
    (
        "orders.db",
        "UPDATE orders SET total_minor = total_minor + 1 WHERE order_id = {rejected}",
        &["INV-4"],
        "rejected",
    ),
    (
        "orders.db",
        "UPDATE orders SET lines = '[]' WHERE order_id = {rejected}",
        &["INV-4", "INV-5"],
        "rejected",
    ),
    (
        "orders.db",
        "UPDATE order_states SET status = 'lost' WHERE order_no = {number of rejected}",
        &["INV-4", "INV-5"],
        "rejected",
    ),
    (
        "orders.db",
        "UPDATE order_states SET revision = -1 WHERE order_no = {number of rejected}",
        &["INV-4", "INV-5"],
        "rejected",
    ),
    ("orders.db", "DELETE FROM pending_commands", &["INV-7"], "received"),
    (
        "orders.db",
        "DELETE FROM orders WHERE order_id = {confirmed}",
        &["INV-5", "INV-13"],
        "confirmed",
    ),
];

/// The line that says which databases are audited.
fn names(folder: &Path) -> String {
    format!("databases: {}\n", Environment::default().database_urls(folder).join(" and "))
}

#[tokio::test]
async fn whatever_was_tampered_with_is_named() {
    let closed = ClosedShop::write().await;
    for (database, sql, broken, offender) in TAMPERINGS {
        let copy = closed.copy();
        write_past(&data_in(copy.path()).join(database), &closed.sql(sql));
        let ended = verify(copy.path(), &[]).await;
        assert_eq!(ended.code, Some(1), "{sql}\n{}", ended.stdout);
        assert_eq!(ended.stderr, names(copy.path()) + "error: an invariant is violated\n", "{sql}");
        let violated = ended.stdout.lines().filter(|line| line.contains("VIOLATED"));
        let violated: Vec<_> = violated.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(violated, broken, "{sql}\n{}", ended.stdout);
        let named = ended
            .stdout
            .lines()
            .any(|line| line.starts_with(' ') && line.contains(closed.offender(offender)));
        assert!(named, "{offender} is not named after {sql}\n{}", ended.stdout);
        check_watch(copy.path(), broken, closed.offender(offender)).await;
    }
}

/// `lastro verify --watch` finds the same in its first round.
async fn check_watch(folder: &Path, broken: &[&str], offender: &str) {
    let mut watch =
        with_busy_auditors(lastro(folder).args(["verify", "--watch", "--data-dir", "data"]))
            .talking();
    let said = watch.says_round(1).await;
    let (summary, offenders) = said.split_last().expect("a line");
    let named: BTreeSet<_> =
        offenders.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(named, broken.iter().copied().collect::<BTreeSet<_>>(), "{said:#?}");
    assert!(offenders.iter().any(|line| line.contains(offender)), "{said:#?}");
    assert!(broken.iter().all(|name| summary.contains(name)), "{said:#?}");
    let ended = watch.terminated().await;
    let stderr = names(folder) + "error: an invariant is violated\n";
    assert_eq!((ended.code, ended.stderr), (Some(1), stderr));
}

#[tokio::test]
async fn an_honest_shop_passes_with_a_line_for_each_invariant() {
    let closed = ClosedShop::write().await;
    let folder = closed.folder.path();
    let ended = verify(folder, &[]).await;
    assert_eq!((ended.code, ended.stderr), (Some(0), names(folder)));
    let (lines, last) = ended.stdout.trim_end().rsplit_once('\n').expect("several lines");
    let names: Vec<_> = lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let all = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13].map(|number| format!("INV-{number}"));
    assert_eq!(names, all);
    for (name, counted) in [
        ("INV-1", "(8 movements)"),
        ("INV-2", "(2 stock rows)"),
        ("INV-4", "(5 orders)"),
        ("INV-8", "(1 rejections)"),
    ] {
        let line = lines.lines().find(|line| line.starts_with(name)).expect("a line");
        assert!(line.contains(" ok ") && line.ends_with(counted), "{line}");
    }
    assert!(last.starts_with("pending commands: 1, oldest "), "{last}");
}

/// Two honest shops, of which somebody has mixed up the databases.
#[tokio::test]
async fn databases_that_do_not_belong_together_are_refused() {
    let shop = ClosedShop::write().await;
    let other = Deployment::in_form(Form::Embedded).await.close().await;
    let url = |of: &TempDir, file| format!("sqlite:{}", data_in(of.path()).join(file).display());
    let (orders, inventory) = (url(&shop.folder, "orders.db"), url(&other, "inventory.db"));
    let mixed = ["--orders-database-url", &orders, "--inventory-database-url", &inventory]
        .map(str::to_owned);
    for command in [&["verify"][..], &["--listen", "127.0.0.1:0"]] {
        let ended = lastro(other.path()).args(command.iter().copied()).args(mixed.clone()).to_end();
        ended.await.must_be_refused(1, &["belongs to the inventory database", "--replace-peer"]);
    }
    // No refusal has changed anything, also not in a database that has met nobody yet.
    for shop in [&shop.folder, &other] {
        assert_eq!(verify(shop.path(), &[]).await.code, Some(0));
    }
    let new = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(data_in(new.path())).expect("a folder");
    let inventory = data_in(new.path()).join("inventory.db");
    std::fs::copy(data_in(other.path()).join("inventory.db"), inventory).expect("a copy");
    let refused = launch(new.path()).to_end().await;
    refused.must_be_refused(1, &["the inventory database", "belongs to the orders database"]);
    let begun_anew = launch(new.path()).args(["--replace-peer"]).serving().await;
    drop(begun_anew);
    let paired = verify(new.path(), &[]).await;
    assert_eq!((paired.code, paired.stderr), (Some(0), names(new.path())));
}

#[tokio::test]
async fn the_audit_needs_databases_and_changes_nothing_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = verify(folder.path(), &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let line = ended.stderr.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n') && line.contains("there is no such file"), "{line}");
    assert!(!data_in(folder.path()).exists(), "it makes no folder");
}

#[tokio::test]
async fn the_database_itself_refuses_an_oversell_in_raw_sql() {
    let shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 3).await;
    shop.confirmed(&[("MUG", 3)]).await;
    let folder = shop.close().await;
    let connection =
        Connection::open(data_in(folder.path()).join("inventory.db")).expect("the database");
    for sql in [
        "UPDATE stock SET reserved = reserved + 1",
        "UPDATE stock SET on_hand = on_hand - 1",
        "UPDATE stock SET reserved = -1",
        "UPDATE movements SET on_hand = 100",
        "DELETE FROM movements",
        "UPDATE movements SET movement_no = 7",
        "DELETE FROM reservations",
    ] {
        let refused = connection.execute(sql, []).expect_err(sql).to_string();
        let refusals = ["CHECK constraint failed", "append-only", "never deleted"];
        assert!(refusals.iter().any(|refusal| refused.contains(refusal)), "{sql}: {refused}");
    }
}
