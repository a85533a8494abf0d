use inventory_core::decide::decide;
use platform::clock::ManualClock;
use platform::failure::Chain;

use super::*;
use crate::store::laws::{Fresh, START, reserve, stocked, store_laws};

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let store =
        Sqlite::open(&folder.path().join("inventory.db"), clock.clone()).expect("a new file");
    Fresh { audit: Arc::new(store.audit()), store: Arc::new(store), clock, _home: Box::new(folder) }
}

store_laws!(fresh);

fn open(path: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open_inline(path, Arc::new(ManualClock::at(START)))
}

#[tokio::test]
async fn the_database_itself_refuses_to_oversell_and_keeps_ledgers_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    let store = open(&path).expect("a new file");
    let batch =
        [stocked("MUG", 5).to_vec(), vec![reserve(1, &[("MUG", 2)]), reserve(2, &[("MUG", 9)])]]
            .concat();
    store.run(batch.into(), decide).await.expect("a reservation");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    let copy = |columns: &str| {
        format!(
        "INSERT INTO movements (product_id, location_id, seq, kind, on_hand_delta, reserved_delta, on_hand, reserved,
         order_id, request_id, request_digest, created_at) SELECT product_id, location_id, {columns}, created_at
         FROM movements"
    )
    };
    let forbidden = [
        "UPDATE stock SET reserved = on_hand + 1".to_owned(),
        "UPDATE stock SET reserved = -1".to_owned(),
        "UPDATE stock SET on_hand = 1".to_owned(),
        "UPDATE stock SET on_hand = 1000000000001".to_owned(),
        "DELETE FROM stock".to_owned(),
        "DELETE FROM products".to_owned(),
        "DELETE FROM locations".to_owned(),
        "UPDATE movements SET on_hand = 9".to_owned(),
        "DELETE FROM movements".to_owned(),
        copy("4, kind, 0, 0, on_hand, reserved, order_id, request_id, request_digest"),
        copy("3, kind, 0, 0, on_hand, reserved, order_id, request_id, request_digest")
            + " WHERE seq = 1",
        copy("3, 'ship', 0, 0, on_hand, reserved, NULL, NULL, NULL") + " WHERE seq = 2",
        copy("3, 'count', 0, 0, on_hand, reserved, order_id, NULL, NULL") + " WHERE seq = 2",
        copy("3, 'ship', 0, 0, 1, 2, order_id, NULL, NULL") + " WHERE seq = 2",
        "UPDATE reservations SET state = 'lost'".to_owned(),
        "UPDATE reservations SET shortages = NULL".to_owned(),
        "UPDATE allocations SET quantity = 0".to_owned(),
        "DELETE FROM reservations".to_owned(),
    ];
    for sql in forbidden {
        assert!(raw.execute(&sql, []).is_err(), "{sql}");
    }
    let allowed =
        copy("3, 'ship', 0, 0, on_hand, reserved, order_id, NULL, NULL") + " WHERE seq = 2";
    assert_eq!(raw.execute(&allowed, []).expect("nothing wrong with it"), 1);
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    let store = open(&path).expect("a new file");
    store.run(Arc::new([reserve(1, &[("MUG", 9)])]), decide).await.expect("a rejection");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    raw.execute("UPDATE reservations SET shortages = '[7]'", []).expect("damage");
    drop(raw);
    let store = open(&path).expect("the same file");
    let failure =
        store.run(Arc::new([reserve(1, &[("MUG", 9)])]), decide).await.expect_err("damaged");
    let message = Chain(&failure).to_string();
    assert!(
        message.contains("reservations 00000000-0000-0000-0000-000000000001: shortages is"),
        "{message}"
    );
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    drop(open(&path).expect("a new file"));
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    raw.execute("INSERT INTO schema_migrations (number, checksum) VALUES (99, x'00')", [])
        .expect("an upgrade");
    drop(raw);
    assert!(matches!(open(&path), Err(OpenError::Newer { found: 99, .. })));
    assert!(matches!(Sqlite::open_for_audit(&path), Err(OpenError::Newer { found: 99, .. })));
}

#[test]
fn an_audit_opens_beside_the_service_and_cannot_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    assert!(matches!(Sqlite::open_for_audit(&path), Err(OpenError::Unusable { .. })));
    let _service = open(&path).expect("a new file");
    assert!(matches!(open(&path), Err(OpenError::Locked(_))), "one service at a time");
    Sqlite::open_for_audit(&path).expect("beside it");
    let reader = storage::sqlite::open_existing_reader(&path, MIGRATIONS).expect("a reader");
    assert!(reader.execute("DELETE FROM quarantine", []).is_err());
}
