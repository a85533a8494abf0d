//! What every engine owes the keys of a service: one named test per law, engine and service.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use platform::admin::AdminEntry;
use platform::clock::{ManualClock, Timestamp};
use platform::config::DatabaseUrl;
use platform::failure::Failure;
use platform::keys::{KeyChange, KeyMode, KeyRecord, KeyTable, NewKey, Scope};
use testbed::{fresh_database, postgres};

use super::*;
use crate::admin_log;
use crate::postgres::{Server, Table, Time};
use crate::sqlite;

use uses::{
    each_secret_of_a_key_has_its_own_last_use, replicas_that_note_uses_at_once_lose_none,
    the_last_use_never_goes_back_and_is_no_change,
};

mod uses;

const START: Timestamp = Timestamp(1_795_804_200_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const BY: &str = "operator:ana";

/// The steps of both services, as they have them.
const SQLITE: [&[Migration]; 2] = [
    &[Migration {
        number: 1,
        sql: include_str!("../../../orders/migrations/sqlite/0001_orders.sql"),
    }],
    &[Migration {
        number: 1,
        sql: include_str!("../../../inventory/migrations/sqlite/0001_stock.sql"),
    }],
];
const POSTGRES: [Schema; 2] = [
    schema(&[Migration {
        number: 1,
        sql: include_str!("../../../orders/migrations/postgres/0001_orders.sql"),
    }]),
    schema(&[Migration {
        number: 1,
        sql: include_str!("../../../inventory/migrations/postgres/0001_stock.sql"),
    }]),
];
const ORDERS: usize = 0;
const INVENTORY: usize = 1;

const TABLES: &[Table] = &[Table::read("api_keys")];

const fn schema(migrations: &'static [Migration]) -> Schema {
    Schema { migrations, tables: TABLES, sequences: &[], statements: &[] }
}

/// An empty database of a service that is running, and the tool beside it.
struct Fresh {
    service: Arc<dyn KeyTable>,
    tool: KeyDatabase,
    url: DatabaseUrl,
    which: usize,
    raw: Raw,
}

/// Statements past both of them.
enum Raw {
    Sqlite(PathBuf, #[expect(dead_code, reason = "it is deleted at the end")] tempfile::TempDir),
    Postgres(tokio_postgres::Client),
}

impl Fresh {
    async fn sqlite(which: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let clock = Arc::new(ManualClock::at(START));
        let service = sqlite::Database::open(&path, SQLITE[which], clock).expect("a new file");
        let url = DatabaseUrl::Sqlite(path.clone());
        Self::beside(Arc::new(service), url, which, Raw::Sqlite(path, folder)).await
    }

    async fn postgres(which: usize) -> Self {
        let text = fresh_database().await;
        let url: DatabaseUrl = text.parse().expect("a URL");
        let server = Server::at(&text, "the database", "test").expect("a URL");
        let service = crate::postgres::Database::open(server, &POSTGRES[which], Time::Server);
        let service = Arc::new(service.await.expect("a new database"));
        Self::beside(service, url, which, Raw::Postgres(postgres(&text).await)).await
    }

    async fn beside(service: Arc<dyn KeyTable>, url: DatabaseUrl, which: usize, raw: Raw) -> Self {
        let tool = KeyDatabase::open(&url, &POSTGRES[which], SQLITE[which]);
        Self { service, tool: tool.await.expect("the same database"), url, which, raw }
    }

    async fn execute(&self, sql: &str) -> Result<(), String> {
        match &self.raw {
            Raw::Sqlite(path, _) => {
                let connection = rusqlite::Connection::open(path).expect("the file");
                connection.busy_timeout(testbed::PATIENCE).expect("a timeout");
                connection.execute_batch(sql).map_err(|error| error.to_string())
            }
            Raw::Postgres(client) => {
                client.batch_execute(sql).await.map_err(|error| Chain(&error).to_string())
            }
        }
    }

    async fn change(&self, change: &KeyChange, now: Timestamp) -> Result<KeyRecord, ChangeError> {
        self.tool.change(change, BY, now).await?;
        let keys = self.keys().await.into_iter().map(|key| key.record);
        Ok(keys.into_iter().find(|key| key.id == *change.id()).expect("the changed key"))
    }

    async fn keys(&self) -> Vec<StoredKey> {
        let rows = self.tool.keys().await.expect("keys");
        rows.into_iter().collect::<Result<_, _>>().expect("rows that are keys")
    }

    async fn create(&self) -> KeyRecord {
        let record = record(&new_key());
        self.change(&KeyChange::Create(record.clone()), START).await.expect("a new key")
    }

    async fn read(&self) -> (i64, Vec<KeyRecord>) {
        let found = self.service.read_if_changed(None).await.expect("a read").expect("keys");
        (found.version, found.keys)
    }

    async fn stored(&self) -> StoredKey {
        let keys = self.keys().await;
        let [key] = &keys[..] else { panic!("{keys:?}") };
        key.clone()
    }

    async fn log(&self) -> Vec<AdminEntry> {
        let (schema, migrations) = (&POSTGRES[self.which], SQLITE[self.which]);
        admin_log::newest(&self.url, schema, migrations, 100).await.expect("a log")
    }
}

fn new_key() -> NewKey {
    NewKey::generate(KeyMode::Live).expect("random numbers")
}

fn rotation(found: &KeyRecord, new: &NewKey) -> KeyChange {
    let (id, expects) = (new.id.clone(), found.sha256);
    KeyChange::Rotate { id, expects, sha256: new.hash, overlap: HOUR }
}

fn record(key: &NewKey) -> KeyRecord {
    KeyRecord {
        id: key.id.clone(),
        name: "till 3 ✓".to_owned(),
        scopes: vec![Scope::OrdersWrite, Scope::OrdersRead],
        mode: KeyMode::Live,
        customer_id: Some("C1".to_owned()),
        rate: Some(20),
        burst: Some(40),
        sha256: key.hash,
        created_at: START,
        not_after: START.after(24 * HOUR),
        previous: None,
        revoked_at: None,
    }
}

async fn a_key_is_read_as_it_was_made(fresh: Fresh) {
    let (before, none) = fresh.read().await;
    assert_eq!(none, []);
    let made = fresh.create().await;
    let plain = KeyRecord { customer_id: None, rate: None, burst: None, ..record(&new_key()) };
    fresh.change(&KeyChange::Create(plain.clone()), START).await.expect("a second key");
    let (after, keys) = fresh.read().await;
    assert_eq!(keys.len(), 2);
    assert!(keys.contains(&made) && keys.contains(&plain), "{keys:?}");
    assert!(after > before, "{after} after {before}");
    let twice = fresh.change(&KeyChange::Create(made), START).await;
    assert!(matches!(twice, Err(ChangeError::Refused(_))), "{twice:?}");
    let stored = fresh.keys().await;
    assert!(stored.iter().all(|key| key.created_by == BY && key.last_used_at.is_none()));
}

async fn a_table_of_the_same_version_is_not_read(fresh: Fresh) {
    fresh.create().await;
    let (version, _) = fresh.read().await;
    fresh.execute("ALTER TABLE api_keys RENAME TO api_keys_away").await.expect("renamed");
    let looked = fresh.service.read_if_changed(Some(version)).await;
    assert!(looked.expect("it needs the version alone").is_none());
    assert!(fresh.service.read_if_changed(None).await.is_err(), "there is nothing to read");
    fresh.execute("ALTER TABLE api_keys_away RENAME TO api_keys").await.expect("renamed");
    assert_eq!(fresh.read().await.0, version);
}

async fn every_change_is_seen_by_its_version(fresh: Fresh) {
    let made = fresh.create().await;
    let (mut known, _) = fresh.read().await;
    let mut changed = async || {
        let found = fresh.service.read_if_changed(Some(known)).await.expect("a read")?;
        known = found.version;
        let [key] = &found.keys[..] else { panic!("{:?}", found.keys) };
        Some(key.clone())
    };
    assert_eq!(changed().await, None);
    let new = NewKey::for_id(made.id.clone(), KeyMode::Live).expect("random numbers");
    let rotate = rotation(&made, &new);
    let rotated = fresh.change(&rotate, START).await.expect("rotated");
    assert_eq!(rotated.previous.as_ref().map(|old| old.sha256), Some(made.sha256));
    assert_ne!(rotated.sha256, made.sha256);
    assert_eq!(changed().await, Some(rotated.clone()));
    let again = fresh.change(&rotation(&rotated, &new), START).await;
    assert!(matches!(again, Err(ChangeError::Refused(_))), "two secrets: {again:?}");
    assert_eq!(changed().await, None);

    let restore = KeyChange::Restore { record: made.clone(), expects: new.hash };
    let restored = fresh.change(&restore, START).await.expect("restored");
    assert_eq!((changed().await, &restored), (Some(made.clone()), &made));

    let revoke = KeyChange::Revoke(made.id.clone());
    let revoked = fresh.change(&revoke, START.after(HOUR)).await.expect("revoked");
    assert_eq!(revoked.revoked_at, Some(START.after(HOUR)));
    assert_eq!(changed().await, Some(revoked.clone()));
    // The first time counts, and nothing changes.
    let again = fresh.change(&revoke, START.after(2 * HOUR)).await.expect("revoked");
    assert_eq!((again, changed().await), (revoked, None));

    // A change by hand counts as well.
    fresh.execute("UPDATE api_keys SET name = 'by hand'").await.expect("changed");
    assert_eq!(changed().await.map(|key| key.name).as_deref(), Some("by hand"));
    let nobody = KeyChange::Revoke(new_key().id);
    let unknown = fresh.change(&nobody, START).await.expect_err("no such key").to_string();
    assert!(unknown.contains("no key has the id"), "{unknown}");
}

async fn of_two_rotations_at_once_the_second_is_refused(fresh: Fresh) {
    let made = fresh.create().await;
    let [first, second] =
        [(), ()].map(|()| NewKey::for_id(made.id.clone(), KeyMode::Live).expect("random numbers"));
    let at_once = |new: &NewKey| KeyChange::Rotate {
        id: made.id.clone(),
        expects: made.sha256,
        sha256: new.hash,
        overlap: Duration::ZERO,
    };
    let rotated = fresh.change(&at_once(&first), START).await.expect("rotated");
    let late = fresh.change(&at_once(&second), START).await.expect_err("it is late").to_string();
    assert!(late.contains("has another secret by now"), "{late}");
    // Nor does the second one undo the first.
    let undo = KeyChange::Restore { record: made, expects: second.hash };
    let undone = fresh.change(&undo, START).await;
    assert!(matches!(undone, Err(ChangeError::Refused(_))), "{undone:?}");
    assert_eq!(fresh.stored().await.record, rotated);
}

async fn a_revoked_key_stays_revoked(fresh: Fresh) {
    let made = fresh.create().await;
    let new = NewKey::for_id(made.id.clone(), KeyMode::Live).expect("random numbers");
    fresh.change(&rotation(&made, &new), START).await.expect("rotated");
    let revoke = KeyChange::Revoke(made.id.clone());
    let revoked = fresh.change(&revoke, START.after(HOUR)).await.expect("revoked");
    // Whoever rotated it undoes that, and knows nothing of the revocation.
    let undo = KeyChange::Restore { record: made.clone(), expects: new.hash };
    let undone = fresh.change(&undo, START.after(HOUR)).await.expect("restored");
    assert_eq!(undone, KeyRecord { revoked_at: revoked.revoked_at, ..made });
    for value in ["NULL", "7"] {
        let change = format!("UPDATE api_keys SET revoked_at = {value}");
        let refused = fresh.execute(&change).await.expect_err("it stays revoked");
        assert!(["forbidden", "stays revoked"].iter().any(|word| refused.contains(word)));
    }
    fresh.execute("UPDATE api_keys SET name = 'x', revoked_at = revoked_at").await.expect("named");
    assert_eq!(fresh.stored().await.record.revoked_at, revoked.revoked_at);
}

async fn each_change_of_a_key_is_in_the_admin_log_without_its_hashes(fresh: Fresh) {
    let made = fresh.create().await;
    let new = NewKey::for_id(made.id.clone(), KeyMode::Live).expect("random numbers");
    let rotate = rotation(&made, &new);
    let rotated = fresh.change(&rotate, START.after(HOUR)).await.expect("rotated");
    let revoke = KeyChange::Revoke(made.id.clone());
    for _ in 0..2 {
        fresh.change(&revoke, START.after(2 * HOUR)).await.expect("revoked");
    }
    let mut log = fresh.log().await;
    log.reverse();
    let seen: Vec<_> = log.iter().map(|entry| (entry.action.as_str(), entry.at)).collect();
    let at = |hours: u32| START.after(hours * HOUR);
    assert_eq!(seen, [("key_created", at(0)), ("key_rotated", at(1)), ("key_revoked", at(2))]);
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert!(log.iter().all(|entry| entry.subject == made.id.as_str()));
    assert!(log.iter().all(|entry| entry.actor.as_deref() == Some(BY)));
    assert_eq!(log[0].before, None);
    let created = json(&log[0].after);
    assert_eq!(created["name"], made.name.as_str());
    assert_eq!(created["scopes"], serde_json::json!(["orders:write", "orders:read"]));
    assert_eq!(log[1].before.as_deref().map(json), Some(created));
    assert_eq!(json(&log[1].after)["old_secret_not_after"], at(2).to_rfc3339());
    assert_eq!(json(&log[2].after)["revoked_at"], at(2).to_rfc3339());
    let text = format!("{log:?}");
    for hash in [made.sha256, rotated.sha256] {
        let hex: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&hex), "{text}");
    }
}

async fn without_its_entry_in_the_admin_log_a_key_is_not_changed(fresh: Fresh) {
    let made = fresh.create().await;
    let (version, _) = fresh.read().await;
    let refuse = match fresh.raw {
        Raw::Sqlite(..) => {
            "CREATE TRIGGER no_log BEFORE INSERT ON admin_log BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        Raw::Postgres(_) => {
            "CREATE TRIGGER no_log BEFORE INSERT ON admin_log EXECUTE FUNCTION refuse()"
        }
    };
    fresh.execute(refuse).await.expect("a trigger");
    let changes = [KeyChange::Revoke(made.id.clone()), KeyChange::Create(record(&new_key()))];
    for change in changes {
        let failed = fresh.change(&change, START).await;
        assert!(matches!(failed, Err(ChangeError::Failed(Failure::Suspect(_)))), "{failed:?}");
    }
    assert_eq!(fresh.read().await, (version, vec![made]));
}

async fn a_row_that_is_no_key_is_named_and_takes_no_other_key_with_it(fresh: Fresh) {
    let (made, other) = (fresh.create().await, fresh.create().await);
    for (column, value) in [
        ("scopes", "'orders:everything'"),
        ("scopes", "''"),
        ("name", "' '"),
        ("customer_id", "'a b'"),
        ("rate", "-1"),
        ("rate", "99999999999"),
    ] {
        let id = &made.id;
        fresh.execute(&format!("UPDATE api_keys SET name = 'x', scopes = 'orders:read', customer_id = NULL, rate = 9, burst = NULL WHERE id = '{id}'")).await.expect("a row");
        let change = format!("UPDATE api_keys SET {column} = {value} WHERE id = '{id}'");
        fresh.execute(&change).await.expect(value);
        let found = fresh.service.read_if_changed(None).await.expect(value).expect("keys");
        assert_eq!(found.keys, std::slice::from_ref(&other), "{value}");
        let [line] = &found.faults[..] else { panic!("{:?}", found.faults) };
        assert!(line.contains(&format!("api_keys {}: ", made.id)), "{line}");
        let rows = fresh.tool.keys().await.expect("rows");
        let misfits: Vec<_> = rows.iter().filter_map(|row| row.as_ref().err()).collect();
        assert!(rows.len() == 2 && misfits[0].row() == made.id.as_str(), "{rows:?}");
    }
}

async fn a_row_that_is_no_key_can_be_revoked_and_is_in_the_admin_log(fresh: Fresh) {
    let made = fresh.create().await;
    fresh.execute("UPDATE api_keys SET scopes = 'orders:everything'").await.expect("changed");
    let new = NewKey::for_id(made.id.clone(), KeyMode::Live).expect("random numbers");
    let failed = fresh.tool.change(&rotation(&made, &new), BY, START).await;
    assert!(matches!(failed, Err(ChangeError::Failed(Failure::Suspect(_)))), "{failed:?}");
    let revoke = KeyChange::Revoke(made.id.clone());
    for hours in [1, 2] {
        fresh.tool.change(&revoke, BY, START.after(hours * HOUR)).await.expect("revoked");
    }
    let log = fresh.log().await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!((log[0].action.as_str(), log[0].at), ("key_revoked", START.after(HOUR)));
    assert!(log[0].after.contains("orders:everything"), "{log:?}");
    fresh.execute("UPDATE api_keys SET scopes = 'orders:read'").await.expect("mended");
    assert_eq!(fresh.stored().await.record.revoked_at, Some(START.after(HOUR)));
}

async fn keys_and_their_log_are_not_deleted_and_hashes_have_their_length(fresh: Fresh) {
    fresh.create().await;
    let (version, keys) = fresh.read().await;
    for (sql, words) in [
        ("DELETE FROM api_keys", ["forbidden", "never deleted"]),
        ("DELETE FROM api_keys_version", ["forbidden", "never deleted"]),
        ("DELETE FROM admin_log", ["forbidden", "append-only"]),
        ("UPDATE admin_log SET actor = 'nobody'", ["forbidden", "append-only"]),
        ("UPDATE api_keys SET sha256 = 'abc'", ["check constraint", "cannot store TEXT"]),
        ("UPDATE api_keys SET mode = 'all'", ["check constraint", "CHECK constraint"]),
        ("UPDATE api_keys SET previous_not_after = 7", ["check constraint", "CHECK constraint"]),
        ("UPDATE api_keys SET previous_replaced_at = 7", ["check constraint", "CHECK constraint"]),
    ] {
        let refused = fresh.execute(sql).await.expect_err(sql);
        assert!(words.iter().any(|word| refused.contains(word)), "{sql}: {refused}");
    }
    assert_eq!(fresh.read().await, (version, keys));
}

/// Runs every law on both engines, and on the schemas of both services.
macro_rules! laws {
    ($($law:ident)+) => {
        laws!(sqlite_of_orders: sqlite ORDERS $($law)+);
        laws!(sqlite_of_inventory: sqlite INVENTORY $($law)+);
        laws!(postgres_of_orders: postgres ORDERS $($law)+);
        laws!(postgres_of_inventory: postgres INVENTORY $($law)+);
    };
    ($module:ident: $engine:ident $service:ident $($law:ident)+) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::$law(super::Fresh::$engine(super::$service).await).await;
            })+
        }
    };
}

laws!(
    a_key_is_read_as_it_was_made
    a_table_of_the_same_version_is_not_read
    every_change_is_seen_by_its_version
    of_two_rotations_at_once_the_second_is_refused
    a_revoked_key_stays_revoked
    the_last_use_never_goes_back_and_is_no_change
    each_secret_of_a_key_has_its_own_last_use
    replicas_that_note_uses_at_once_lose_none
    each_change_of_a_key_is_in_the_admin_log_without_its_hashes
    without_its_entry_in_the_admin_log_a_key_is_not_changed
    a_row_that_is_no_key_is_named_and_takes_no_other_key_with_it
    a_row_that_is_no_key_can_be_revoked_and_is_in_the_admin_log
    keys_and_their_log_are_not_deleted_and_hashes_have_their_length
);

#[tokio::test(start_paused = true)]
async fn a_change_is_tried_again_while_the_database_is_busy_and_not_for_ever() {
    let busy = || Err(Failure::Busy(Arc::new(std::fmt::Error)).into());
    let tries = AtomicU32::new(0);
    let tried = || tries.fetch_add(1, Ordering::SeqCst);
    unless_busy(async || if tried() < 3 { busy() } else { Ok(()) }).await.expect("the fourth");
    assert_eq!(tries.swap(0, Ordering::SeqCst), 4);

    let begun = Instant::now();
    let failed = unless_busy(async || {
        tried();
        busy()
    });
    assert!(matches!(failed.await, Err(ChangeError::Failed(Failure::Busy(_)))));
    assert!(tries.swap(0, Ordering::SeqCst) > 4 && begun.elapsed() <= BUSY_FOR);

    // Nobody knows whether this one was made.
    let unknown = unless_busy(async || {
        tried();
        Err(Failure::Unknown(Arc::new(std::fmt::Error)).into())
    });
    unknown.await.expect_err("its fate is unknown");
    assert_eq!(tries.into_inner(), 1);
}

/// The tool holds the lock of a service that does not run, and finds its file as it was left.
#[tokio::test]
async fn a_file_is_changed_also_while_its_service_does_not_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    let open = async || KeyDatabase::open(&url, &POSTGRES[ORDERS], SQLITE[ORDERS]).await;
    let none = open().await.expect_err("no file").to_string();
    assert!(none.contains("a.db") && none.contains("no such file"), "{none}");
    assert!(!path.exists());
    let clock = Arc::new(ManualClock::at(START));
    let serve = || sqlite::Database::open(&path, SQLITE[ORDERS], clock.clone()).expect("a file");
    let stopped = tokio_util::sync::CancellationToken::new();
    stopped.cancel();
    serve().keeper().run(drop, stopped).await.expect("closed");

    let tool = open().await.expect("the file");
    let made = record(&new_key());
    tool.change(&KeyChange::Create(made.clone()), BY, START).await.expect("a key");
    let service = serve();
    let found = service.read_if_changed(None).await.expect("a read").expect("keys");
    assert_eq!(found.keys, [made]);
}
