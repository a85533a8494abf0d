use inventory_core::decide::decide;
use platform::clock::ManualClock;

use super::*;
use crate::store::laws::{
    Fresh, START, a_return, cancel, place, put_location, stocked, store_laws, with_ids,
};

pub(crate) async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open(&path, clock.clone()).expect("a new file");
    let literal = |order_id: OrderId| format!("x'{}'", order_id.0.simple());
    let damage = move |sql: String| {
        testbed::write_past(&path, &with_ids(&sql, literal));
        Box::pin(std::future::ready(())) as _
    };
    let store = Arc::new(store);
    Fresh {
        audit: Arc::new(store.audit()),
        feed: store.clone(),
        journal: store.journal(),
        quarantine: store.quarantine_table(),
        admin_log: store.admin_log(),
        store,
        clock,
        damage: Box::new(damage),
        _home: Box::new(folder),
    }
}

store_laws!(fresh);

fn open(path: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open_inline(path, Arc::new(ManualClock::at(START)))
}

/// A shop with a receipt, an order that holds, one that was cancelled, and one that was rejected.
async fn shop(path: &Path) -> Connection {
    let store = open(path).expect("a new file");
    let orders = [
        place(1, &[("MUG", 2)]),
        place(2, &[("MUG", 9)]),
        place(3, &[("MUG", 1)]),
        cancel(3, &[("MUG", 1)]),
        put_location("SHOP", 1),
    ];
    let batch = [stocked("MUG", 5).to_vec(), orders.to_vec()].concat();
    store.run(batch.into(), decide).await.expect("done");
    drop(store);
    storage::sqlite::open_writer(path, MIGRATIONS).expect("opened by hand")
}

#[tokio::test]
async fn the_database_itself_refuses_to_oversell_and_keeps_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = shop(&folder.path().join("inventory.db")).await;
    let copy = |columns: &str| {
        format!(
            "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
             on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, request_id, request_digest)
             SELECT {columns}, request_digest FROM movements WHERE movement_no = 2"
        )
    };
    let forbidden = [
        "UPDATE stock SET reserved = on_hand + 1".to_owned(),
        "UPDATE stock SET reserved = -1".to_owned(),
        "UPDATE stock SET on_hand = 1".to_owned(),
        "UPDATE stock SET on_hand = 1000000000001".to_owned(),
        "DELETE FROM stock".to_owned(),
        "UPDATE journal SET no = no + 7".to_owned(),
        "UPDATE journal SET entries = zeroblob(12)".to_owned(),
        "DELETE FROM journal".to_owned(),
        "INSERT INTO journal (entries) VALUES (zeroblob(11))".to_owned(),
        "DELETE FROM products".to_owned(),
        "DELETE FROM locations".to_owned(),
        "UPDATE movements SET on_hand = 9".to_owned(),
        "UPDATE admin_log SET actor = 'nobody'".to_owned(),
        "DELETE FROM admin_log".to_owned(),
        "DELETE FROM movements".to_owned(),
        copy("2, 1, 1, 5, 4, 4, kind, 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, NULL, 4, kind, 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 1, 4, 4, kind, 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 3, kind, 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 9, kind, 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'ship', 0, 0, 5, 2, 0, NULL, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'count', 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'ship', 0, 0, 1, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'lost', 0, 0, 5, 2, 0, order_id, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'return', 0, 0, 5, 2, 0, NULL, NULL"),
        copy("9, 1, 1, 5, 4, 4, 'write_off', 0, 0, 5, 2, 0, order_id, NULL"),
        "UPDATE reservations SET revision = 1 WHERE revision = 2".to_owned(),
        "UPDATE reservations SET revision = 0".to_owned(),
        "DELETE FROM reservations".to_owned(),
    ];
    for sql in forbidden {
        assert!(raw.execute(&sql, []).is_err(), "{sql}");
    }
    let allowed = copy("9, 1, 1, 5, 4, 4, 'ship', 0, 0, 5, 2, 0, order_id, NULL");
    assert_eq!(raw.execute(&allowed, []).expect("nothing wrong with it"), 1);
}

/// NULL stands for 0, and for 0 alone.
#[tokio::test]
async fn the_database_itself_refuses_to_sell_what_is_quarantined() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = shop(&folder.path().join("inventory.db")).await;
    // A return after the last movement, with the change and the number of quarantined units.
    let quarantined = |units: &str| {
        format!(
            "INSERT INTO movements (movement_no, product_no, location_no, seq, previous, previous_of_product, kind,
             on_hand_delta, reserved_delta, on_hand, reserved, created_at, order_id, quarantined_delta, quarantined)
             SELECT 10, 1, 1, 5, 4, 4, 'return', 1, 0, 5, 2, 0, order_id, {units} FROM movements WHERE movement_no = 2"
        )
    };
    let forbidden = ["0, 1", "1, 0", "1, 4", "1, -1"].map(quarantined);
    let stock = ["UPDATE stock SET quarantined = 4", "UPDATE stock SET quarantined = -1"];
    for sql in forbidden.into_iter().chain(stock.map(str::to_owned)) {
        assert!(raw.execute(&sql, []).is_err(), "{sql}");
    }
    let allowed = quarantined("1, 3");
    assert_eq!(raw.execute(&allowed, []).expect("nothing wrong with it"), 1);
}

#[tokio::test]
async fn views_show_ids_and_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inventory.db");
    drop(shop(&path).await);
    let store = open(&path).expect("the file");
    store.run(a_return().into(), decide).await.expect("done");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    let text = |sql: &str| -> String {
        raw.query_row(sql, [], |row| row.get("text"))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    };
    let allocation = "SELECT concat_ws(' ', order_id, revision, product_id, location_id, promised, released, shipped,
        allocated, reserved, movements, updated_at) AS text FROM allocations WHERE revision = 2";
    assert_eq!(
        text(allocation),
        "00000000-0000-0000-0000-000000000003 2 MUG main 1 1 0 0 0 [3,4] 2026-11-27T18:30:00.000Z"
    );
    let shortage = "SELECT concat_ws(' ', order_id, revision, product_id, requested, available, reason) AS text
        FROM shortages";
    assert_eq!(text(shortage), "00000000-0000-0000-0000-000000000002 1 MUG 9 3 out_of_stock");
    let movement = "SELECT concat_ws(' ', movement_no, product_id, location_id, seq, kind, on_hand, reserved, available,
        previous, order_id, created_at) AS text FROM ledger WHERE movement_no = 2";
    assert_eq!(
        text(movement),
        "2 MUG main 2 reserve 5 2 3 1 00000000-0000-0000-0000-000000000001 2026-11-27T18:30:00.000Z"
    );
    let receipt = "SELECT coalesce(order_id, reason) AS text FROM ledger WHERE movement_no = 1";
    assert_eq!(text(receipt), "because");
    let back = "SELECT concat_ws(' ', order_id, product_id, returned_to, restocked, quarantined, written_off, booked_at,
        movements) AS text FROM returns";
    assert_eq!(text(back), "00000000-0000-0000-0000-000000000004 TEE NOWHERE 0 1 1 main [8]");
    let returned =
        "SELECT concat_ws(' ', kind, quarantined_delta, quarantined, available) AS text FROM ledger
        WHERE kind = 'return'";
    assert_eq!(text(returned), "return 1 1 1");
}

#[tokio::test]
async fn every_damage_is_found_and_named() {
    crate::audit::tests::every_damage_is_found_and_named(fresh).await;
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

/// The table itself is read for the products of the page alone, which are few.
#[tokio::test]
async fn a_search_looks_at_products_in_an_index_in_the_order_of_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = shop(&folder.path().join("inventory.db")).await;
    let page = ProductFilter { limit: 51, ..ProductFilter::default() };
    let text = || Some("mug".to_owned());
    for (filter, expected) in [
        (ProductFilter { text: text(), ..page.clone() }, "COVERING INDEX products_by_search"),
        (ProductFilter { low_stock: true, ..page.clone() }, "COVERING INDEX products_with_mark"),
        // It reads the names of those that have a mark.
        (ProductFilter { text: text(), low_stock: true, ..page }, "INDEX products_with_mark"),
    ] {
        let (sql, values) = query::product_page(&filter);
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
        let steps = plan.query_map(rusqlite::params_from_iter(values), |row| row.get("detail"));
        let steps: Vec<String> = steps.expect("steps").collect::<Result<_, _>>().expect("texts");
        let scan = steps.iter().find(|step| step.starts_with("SCAN")).expect("a scan");
        assert_eq!(scan, &format!("SCAN products USING {expected}"), "{steps:?}");
        let sorts = steps.iter().filter(|step| step.contains("TEMP B-TREE")).count();
        assert!(sorts <= 1, "only the page itself is sorted: {steps:?}");
    }
}
