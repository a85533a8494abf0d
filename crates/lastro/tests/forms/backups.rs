//! `lastro backup` beside a busy shop, and `lastro restore`: a backup is of one moment and complete,
//! or there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use testbed::{
    Deployment, Disk, Ended, Environment, Form, Launch, Load, PATIENCE, Random, Record, data_in,
    eventually, lastro, launch, launches, order, stocked, verify,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

tried_on!(one process and two with files:
    backups_under_load_miss_nothing_that_was_answered
    a_backup_that_is_killed_at_any_stage_leaves_no_backup_and_a_shop_that_goes_on
);

const STOCK: u32 = 1_000_000;
const BACKUPS: usize = 6;
/// Each of so many backups is restored and started, too.
const TRIED: usize = 3;
/// The key of an order that is placed after a backup.
const KEY: (&str, &str) = ("idempotency-key", "K-after-the-backup");

/// How a backup of the shop is made.
fn backup(shop: &Deployment, to: &Path) -> Launch {
    let backup = lastro(shop.folder()).args(["backup".as_ref(), "--to".as_ref(), to.as_os_str()]);
    backup.args(shop.environment.data_arguments())
}

fn restore(from: &Path, folder: &Path) -> Launch {
    let restore = lastro(folder).args(["restore".as_ref(), "--from".as_ref(), from.as_os_str()]);
    restore.args(["--data-dir", "data"])
}

async fn must_succeed(tool: Launch) -> Ended {
    let ended = tool.to_end().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended
}

/// Lets the orders' database take so many MiB more.
fn enlarge(shop: &Deployment, mib: u32) {
    let file = Connection::open(data_in(shop.folder()).join("orders.db")).expect("the file");
    file.busy_timeout(PATIENCE).expect("a timeout");
    let ballast = "CREATE TABLE ballast (x BLOB) STRICT; INSERT INTO ballast
        WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT zeroblob(1048576) FROM n";
    file.execute_batch(&format!("{ballast} LIMIT {mib}")).expect("ballast");
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("a file").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A client that pays for one order after the other.
struct Payer {
    paid: JoinHandle<Vec<String>>,
    stopping: Arc<AtomicBool>,
}

impl Payer {
    fn on(shop: &Arc<Deployment>) -> Self {
        let (shop, stopping) = (shop.clone(), Arc::new(AtomicBool::new(false)));
        let stop = stopping.clone();
        let paying = async move {
            let mut paid = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let id = shop.reserved(&[("MUG", 1)]).await;
                shop.pay(&id, "bank transfer").await.ok();
                paid.push(id);
            }
            paid
        };
        Self { paid: tokio::spawn(paying), stopping }
    }

    async fn end(self) -> Vec<String> {
        self.stopping.store(true, Ordering::Relaxed);
        self.paid.await.expect("a client does not panic")
    }
}

/// The orders that were answered and that the backup does not have.
fn missing(answered: &Record, backup: &Path) -> Vec<String> {
    let orders = Connection::open(backup.join("orders.db")).expect("the file");
    let mut find = orders.prepare("SELECT 1 FROM orders WHERE order_id = ?1").expect("a statement");
    let ids = answered.accepted.keys();
    let is_missing = |id: &&String| {
        let id: Uuid = id.parse().expect("an id");
        !find.exists([id.as_bytes()]).expect("a read")
    };
    ids.filter(is_missing).cloned().collect()
}

/// Restores a backup into a folder of its own, and starts the shop there, at a broker of its own.
async fn restored(form: Form, backup: &Path) -> Arc<Deployment> {
    let folder = tempfile::tempdir().expect("a folder");
    must_succeed(restore(backup, folder.path())).await;
    let environment = Environment { replaces_peer: true, ..Environment::of(form).await };
    Arc::new(Deployment::open_in(folder, form, environment).await)
}

async fn backups_under_load_miss_nothing_that_was_answered(form: Form) {
    let shop = Arc::new(stocked(Deployment::in_form(form).await, STOCK).await);
    let mut random = Random::seeded("backups");
    let (mut record, mut paid, mut paid_before) = (Record::default(), Vec::new(), Vec::new());
    let backups = tempfile::tempdir().expect("a folder");
    let mut last = PathBuf::new();
    for number in 1..=BACKUPS {
        let load = Load::on(&shop, &mut random);
        let payer = Payer::on(&shop);
        paid_before.clone_from(&paid);
        load.has_accepted(20).await;
        let mut answered = load.so_far();
        answered.append(record.clone());
        last = backups.path().join(number.to_string());
        let ended = must_succeed(backup(&shop, &last).args(["--json"])).await;
        record.append(load.end_with_nothing_refused().await);
        paid.extend(payer.end().await);
        let said: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert!(said["order_count"].as_u64() >= Some(answered.accepted.len() as u64), "{said}");
        assert_eq!(missing(&answered, &last), [""; 0]);
        if number % TRIED == 0 {
            answered.check(&restored(form, &last).await).await;
        }
    }
    record.check(&shop).await;
    let restored = restored(form, &last).await;
    assert!(!paid_before.is_empty());
    for id in &paid_before {
        assert_eq!(restored.order(id).await["status"], "confirmed");
    }
    assert_eq!(names_in(backups.path()).len(), BACKUPS);
}

async fn a_backup_that_is_killed_at_any_stage_leaves_no_backup_and_a_shop_that_goes_on(form: Form) {
    let shop = Deployment::in_form(form).await;
    shop.stock("MUG", 100).await;
    let parent = tempfile::tempdir().expect("a folder");
    let to = parent.path().join("monday");
    for stage in ["copied_one 1", "copied_one 2", "copied 1", "checked 1", "named 1"] {
        let killed = backup(&shop, &to).env("LASTRO_FAULT", format!("kill backup.{stage}"));
        assert_eq!(killed.to_end().await.code, None, "{stage}");
        assert!(!to.exists(), "{stage}");
        shop.confirmed(&[("MUG", 1)]).await;
    }
    assert_eq!(names_in(parent.path()), ["monday.unfinished"]);
    must_succeed(backup(&shop, &to)).await;
    assert_eq!(names_in(parent.path()), ["monday"]);
    assert_eq!(names_in(&to), ["backup.json", "inventory.db", "orders.db"]);
    shop.must_verify().await;
}

#[tokio::test]
async fn a_restore_that_is_killed_is_repeated_or_leaves_files_that_no_service_takes_for_new() {
    let shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 100).await;
    let id = shop.confirmed(&[("MUG", 1)]).await;
    let from = shop.folder().join("backup");
    must_succeed(backup(&shop, &from)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let killed_at = async |stage: &str| {
        let fault = format!("kill restore.{stage}");
        let killed = restore(&from, folder.path()).env("LASTRO_FAULT", fault).to_end().await;
        assert_eq!(killed.code, None, "{stage}");
    };
    for stage in ["copied_one 1", "copied_one 2"] {
        killed_at(stage).await;
    }
    killed_at("filled_one 1").await;
    let half = launch(folder.path()).to_refusal().await;
    half.must_be_refused(1, &["inventory.db is missing or empty", "inventory.db.lock"]);
    let again = restore(&from, folder.path()).to_end().await;
    again.must_be_refused(1, &["orders.db", "a restore overwrites nothing"]);
    std::fs::remove_file(data_in(folder.path()).join("orders.db")).expect("as the line says");
    must_succeed(restore(&from, folder.path())).await;
    let shop = Deployment::open_in(folder, Form::Embedded, Environment::default()).await;
    assert_eq!(shop.order(&id).await["status"], "confirmed");
}

#[tokio::test]
async fn a_backup_that_is_terminated_or_whose_disk_fills_up_leaves_nothing() {
    let shop = Deployment::in_form(Form::Embedded).await;
    enlarge(&shop, 8);
    let parent = tempfile::tempdir().expect("a folder");
    let disk = Disk::at(parent.path(), "size=64m").await;
    let to = parent.path().join("monday");
    let on_disk = || names_in(&disk.seen_from_outside(""));
    let copied = || {
        let file = disk.seen_from_outside("monday.unfinished/orders.db.unfinished");
        std::fs::metadata(file).map_or(0, |file| file.len())
    };
    let begun = async || {
        let slow = backup(&shop, &to).on(&disk).args(["--rate", "1"]).talking();
        eventually(PATIENCE, "a part is copied", async || (copied() > 1 << 20).then_some(())).await;
        slow
    };
    let ended = begun().await.terminated().await;
    ended.must_be_refused(1, &["interrupted; nothing was kept"]);
    assert_eq!(on_disk(), [""; 0]);
    let mut slow = begun().await;
    disk.fill();
    assert_eq!(slow.said_nothing().await, Some(1));
    assert_eq!(on_disk(), ["ballast"]);
    // Now it is known before anything is copied.
    let full = backup(&shop, &to).on(&disk).to_end().await;
    full.must_be_refused(1, &["has room for", "the backup takes 9 MiB"]);
    disk.free();
    must_succeed(backup(&shop, &to).on(&disk)).await;
    assert_eq!(on_disk(), ["monday"]);
}

#[tokio::test]
async fn a_backup_is_refused_where_it_cannot_be_made() {
    let shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 1).await;
    let folder = shop.folder();
    let refused = async |launch: Launch, words: &[&str]| {
        launch.to_end().await.must_be_refused(1, words);
    };
    refused(backup(&shop, &data_in(folder)), &["data", "each backup takes a new folder"]).await;
    let closed = folder.join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    std::fs::set_permissions(&closed, mode).expect("permissions");
    let denied = backup(&shop, &closed.join("monday")).unprivileged();
    refused(denied, &["cannot write the backup", "ermission denied"]).await;
    enlarge(&shop, 4);
    let long = backup(&shop, &folder.join("monday")).args(["--max-log", "1"]);
    refused(long, &["the log of a database has grown to", "--max-log"]).await;
    let url = "postgres://127.0.0.1/orders";
    let elsewhere = lastro(folder).args(["backup", "--to", "x", "--orders-database-url", url]);
    let ended = elsewhere.to_end().await;
    ended.must_be_a_usage_error(&["--orders-database-url", url]);
    assert!(ended.stderr.contains("with its own tools"), "{}", ended.stderr);
    assert_eq!(names_in(folder), ["closed", "data"]);
}

#[tokio::test]
async fn a_damaged_database_or_a_violation_makes_no_backup() {
    let mut shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let to = shop.folder().join("monday");
    shop.write_past("inventory", "UPDATE stock SET on_hand = on_hand + 1", &[]).await;
    let ended = backup(&shop, &to).to_end().await;
    assert!(ended.stderr.contains("INV-2  VIOLATED"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--accept-violations"), "{}", ended.stderr);
    assert!(ended.code == Some(1) && !to.exists());
    let kept = must_succeed(backup(&shop, &to).args(["--accept-violations"])).await;
    assert!(kept.stdout.contains("1 violations of invariants"), "{}", kept.stdout);
    shop.programs.terminate();
    assert_eq!(shop.programs.ended(PATIENCE).await, Some(0));
    let path = data_in(shop.folder()).join("orders.db");
    // The first page of a table that opening the file does not read.
    let page = {
        let file = Connection::open(&path).expect("the file");
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'orders'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a page")
    };
    let start = 4096 * (usize::try_from(page).expect("a page") - 1);
    let mut bytes = std::fs::read(&path).expect("the file");
    bytes[start..start + 4096].fill(0xff);
    std::fs::write(&path, bytes).expect("damaged");
    let ended = backup(&shop, &shop.folder().join("tuesday")).to_end().await;
    ended.must_be_refused(1, &["the copy", "is damaged, and so may be the database"]);
    assert!(!shop.folder().join("tuesday").exists());
}

#[tokio::test]
async fn a_restore_overwrites_nothing_and_takes_only_what_was_backed_up() {
    let shop = Deployment::in_form(Form::Embedded).await;
    shop.stock("MUG", 10).await;
    let from = shop.folder().join("monday");
    must_succeed(backup(&shop, &from)).await;
    let placed = shop.post_with("/api/orders", &[KEY], &order(&[("MUG", 1)])).await;
    let running = restore(&from, shop.folder()).to_end().await;
    running.must_be_refused(1, &["orders.db is in use by another process"]);
    let folder = tempfile::tempdir().expect("a folder");
    let data = data_in(folder.path());
    std::fs::create_dir(&data).expect("a folder");
    let log = data.join("inventory.db-wal");
    std::fs::write(&log, "of the lost database").expect("a file");
    let stale = restore(&from, folder.path()).to_end().await;
    stale.must_be_refused(1, &["inventory.db-wal", "a restore overwrites nothing"]);
    std::fs::remove_file(log).expect("the file");
    let file = from.join("inventory.db");
    let whole = std::fs::read(&file).expect("the file");
    let mut changed = whole.clone();
    changed[5000] ^= 1;
    std::fs::write(&file, changed).expect("changed");
    let ended = restore(&from, folder.path()).to_end().await;
    ended.must_be_refused(1, &["inventory.db is not what backup.json says"]);
    std::fs::write(&file, whole).expect("as it was");
    assert_eq!(names_in(&data), ["inventory.db.lock", "orders.db.lock"]);
    must_succeed(restore(&from, folder.path())).await;
    let audit = verify(folder.path(), &["--settled"]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
    // What came after the backup is lost, and so is its key.
    let restored = Deployment::open_in(folder, Form::Embedded, Environment::default()).await;
    let id = placed.text_at("/order_id");
    assert_eq!(restored.get(&format!("/api/orders/{id}")).await.status, 404);
    let again = restored.post_with("/api/orders", &[KEY], &order(&[("MUG", 1)])).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_ne!(again.text_at("/order_id"), id);
}

/// R31: at the same broker, what was restored is a copy until an operator says otherwise.
#[tokio::test]
async fn a_restored_shop_does_not_join_its_running_original() {
    let shop = Deployment::in_form(Form::Processes).await;
    shop.stock("MUG", 10).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let backups = tempfile::tempdir().expect("a folder");
    let from = backups.path().join("monday");
    must_succeed(backup(&shop, &from)).await;
    let copy: TempDir = tempfile::tempdir().expect("a folder");
    must_succeed(restore(&from, copy.path())).await;
    let same_broker =
        || Environment { bus_url: Some(shop.environment.bus_url()), ..Environment::default() };
    for service in launches(Form::Processes, copy.path(), &same_broker()) {
        let ended = service.to_refusal().await;
        ended.must_be_refused(1, &["--replace-peer"]);
    }
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;
}
