use super::*;
use crate::store::laws::{
    Fresh, HISTORY_OF_CHANGES, START, cancel, changed_orders, fulfill, id, pairing, place,
    placement, reserved, store_laws,
};
use platform::clock::ManualClock;
use platform::quarantine::QuarantineFilter;

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open(&folder.path().join("orders.db"), clock.clone()).expect("a new file");
    let store = Arc::new(store);
    Fresh {
        audit: Arc::new(store.audit()),
        feed: store.clone(),
        journal: store.journal(),
        quarantine: store.quarantine_table(),
        admin_log: store.admin_log(),
        store,
        clock,
        _home: Box::new(folder),
    }
}

store_laws!(fresh);

#[tokio::test]
async fn a_database_keeps_its_peer_and_notices_that_it_was_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, copy] = ["orders.db", "copy.db"].map(|name| folder.path().join(name));
    let open = |path: &Path| Sqlite::open_inline(path, Arc::new(ManualClock::at(START)));
    let first = open(&path).expect("a new file");
    let known = first.pairing().await.expect("a read");
    pairing::a_database_keeps_its_peer(&known, &first.pairing().await.expect("a read")).await;
    assert!(known.use_on("a").await.expect("noted"));
    drop((first, known));
    std::fs::copy(&path, &copy).expect("a copy");
    let [original, copy] = [path, copy].map(|path| open(&path).expect("the file"));
    let [original, copy] = [original.pairing().await, copy.pairing().await];
    let (original, copy) = (original.expect("a read"), copy.expect("a read"));
    assert_eq!(copy.peer(), original.peer());
    pairing::a_copy_is_noticed_on_the_channel_of_its_original(&original, &copy).await;
}

/// What orders with a payment have costs a plain order no statement.
#[tokio::test]
async fn a_plain_order_needs_no_table_of_deadlines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    let raw = rusqlite::Connection::open(&path).expect("the file");
    raw.execute_batch(
        "DROP VIEW order_lines; DROP VIEW order_history; DROP VIEW order_list; DROP TABLE payment_deadlines",
    )
    .expect("no deadlines");
    for batch in [vec![place(1), place(2)], vec![reserved(1), reserved(2)], vec![fulfill(1)]] {
        store.run(batch.into(), orders_core::decide::decide).await.expect("a batch");
    }
}

#[tokio::test]
async fn the_database_itself_keeps_histories_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    let batch = Arc::new([place(1), reserved(1), cancel(1)]);
    store.run(batch, orders_core::decide::decide).await.expect("an order");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    for forbidden in [
        "UPDATE orders SET total_minor = 1",
        "UPDATE orders SET lines = '[[\"789\",1,1]]'",
        "DELETE FROM orders",
        "DELETE FROM order_states",
        "UPDATE journal SET entries = zeroblob(21)",
        "UPDATE journal SET no = 2",
        "DELETE FROM journal",
        "INSERT INTO journal (entries) VALUES (zeroblob(20))",
        "INSERT INTO journal (entries) VALUES (x'')",
        "UPDATE order_states SET status = 'lost', last_seq = 4, history = replace(history, ']', ',{}]')",
        "UPDATE order_states SET revision = 1, digest = NULL",
        "UPDATE order_states SET settled = 0",
        "UPDATE order_states SET last_seq = 3",
        "UPDATE order_states SET last_seq = 4, history = '[{}]'",
        "UPDATE order_states SET last_seq = 4, history = replace(history, '456', '457') || '{}]'",
        "INSERT INTO orders SELECT 7, x'07', 'c', 'BRL', 0, x'00000000000000000000000000000000', NULL, '[[]]', 0",
        "INSERT INTO orders SELECT 7, randomblob(16), 'c', 'BRL', 0, randomblob(16), NULL, '[]', 0",
    ] {
        assert!(raw.execute(forbidden, []).is_err(), "{forbidden}");
    }
    let grown = "UPDATE order_states SET last_seq = 4,
                     history = substr(history, 1, length(history) - 1) || ',{}]'";
    assert_eq!(raw.execute(grown, []).expect("a history may grow"), 1);
}

#[tokio::test]
async fn a_plain_order_leaves_the_columns_and_tables_of_changes_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    for batch in [vec![place(1), place(2)], vec![reserved(1), reserved(2)], vec![cancel(1)]] {
        store.run(batch.into(), orders_core::decide::decide).await.expect("committed");
    }
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    for empty in [
        "orders WHERE options IS NOT NULL",
        "order_states WHERE refund_due_minor IS NOT NULL",
        "payment_deadlines",
    ] {
        let count: i64 = raw
            .query_row(&format!("SELECT count(*) AS found FROM {empty}"), [], |row| {
                row.get("found")
            })
            .expect("a count");
        assert_eq!(count, 0, "{empty}");
    }
    let history: String = raw
        .query_row("SELECT history FROM order_states WHERE order_no = 2", [], |row| {
            row.get("history")
        })
        .expect("a history");
    let units = r#"[["456","main",1],["789","main",2]]"#;
    let entry =
        format!(r#"{{"status":"confirmed","at":{},"decided_at":5,"allocated":{units}}}"#, START.0);
    assert_eq!(history, format!("[{entry}]"));
}

/// The packed columns, with ids and words.
#[tokio::test]
async fn the_views_show_an_order_to_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    let batch = Arc::new([place(1), place(2), reserved(1), fulfill(1)]);
    store.run(batch, orders_core::decide::decide).await.expect("two orders");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    let shown = |sql: &str| -> Vec<String> {
        let mut statement = raw.prepare(sql).expect("a view");
        let rows = statement.query_map([], |row| row.get("shown")).expect("rows");
        rows.map(|row| row.expect("a text")).collect()
    };
    let list = "SELECT order_id || ' ' || status || ' ' || revision || ' ' || settled || ' ' || last_seq AS shown
                FROM order_list ORDER BY order_no";
    assert_eq!(
        shown(list),
        [
            "00000000-0000-0000-0000-000000000001 fulfilling 2 1 3",
            "00000000-0000-0000-0000-000000000002 received 1 0 1",
        ]
    );
    let lines =
        "SELECT line_no || ' ' || product_id || ' ' || quantity || ' ' || price_minor AS shown
                 FROM order_lines WHERE order_id LIKE '%1' ORDER BY line_no";
    assert_eq!(shown(lines), ["1 789 2 1999", "2 456 1 2999"]);
    let history = "SELECT seq || ' ' || status || ' ' || coalesce(allocated, shipped, '') AS shown
                   FROM order_history WHERE order_id LIKE '%1' ORDER BY seq";
    let units = r#"[["456","main",1],["789","main",2]]"#;
    let [confirmed, fulfilling] = [format!("2 confirmed {units}"), format!("3 fulfilling {units}")];
    assert_eq!(shown(history), ["1 received ".to_owned(), confirmed, fulfilling]);
}

#[tokio::test]
async fn the_views_show_payments_and_changes_to_people() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    let batch = changed_orders();
    store.run(batch, orders_core::decide::decide).await.expect("two orders");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    let shown = |sql: &str| -> Vec<String> {
        let mut statement = raw.prepare(sql).expect("a view");
        let rows = statement.query_map([], |row| row.get("shown")).expect("rows");
        rows.map(|row| row.expect("a text")).collect()
    };
    let list = "SELECT status || ' ' || options || ' ' || coalesce(pay_by, '-') || ' ' || refund_due_minor AS shown
                FROM order_list ORDER BY order_no";
    let payment = r#"{"payment":{"within_s":60}}"#;
    let [pay_by, owed] = [START.0 + 60_000_000, 2999];
    assert_eq!(
        shown(list),
        [format!("reserved {payment} {pay_by} 0"), format!("amending {payment} - {owed}")]
    );
    let history = "SELECT concat_ws(' ', seq, status, payment, key, wanted, shipped) AS shown
                   FROM order_history WHERE order_id LIKE '%2' ORDER BY seq";
    assert_eq!(shown(history), HISTORY_OF_CHANGES);
}

/// Batches on both sides of a border between two stretches of the index of customers.
#[tokio::test]
async fn a_customer_is_listed_over_all_stretches() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    let of_one_customer = |n: u128| {
        let mut placement = placement(n, None);
        let customer_id = if n.is_multiple_of(1000) { "often" } else { "other" };
        placement.terms.customer_id = customer_id.parse().expect("an id");
        OrderCommand::Place(Box::new(placement))
    };
    for first in (1..9000).step_by(1000) {
        let batch = (first..first + 1000).map(of_one_customer).collect();
        store.run(batch, orders_core::decide::decide).await.expect("orders");
    }
    let customer_id = Some("often".parse().expect("an id"));
    let filter = |before, limit| Filter {
        customer_id: customer_id.clone(),
        before,
        limit,
        ..Filter::default()
    };
    let list = async |before, limit| {
        let orders = store.orders(filter(before, limit)).await.expect("a page");
        orders.iter().map(|order| order.order_id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 100).await, [9000, 8000, 7000, 6000, 5000, 4000, 3000, 2000, 1000]);
    assert_eq!(list(Some(id(5000)), 2).await, [4000, 3000]);
}

#[test]
fn an_audit_opens_beside_the_service_and_cannot_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let missing = Sqlite::open_for_audit(&path, Arc::new(ManualClock::at(START)));
    assert!(matches!(missing, Err(OpenError::Unusable { .. })));
    let clock = Arc::new(ManualClock::at(START));
    let _service = Sqlite::open_inline(&path, clock.clone()).expect("a new file");
    assert!(
        matches!(Sqlite::open_inline(&path, clock.clone()), Err(OpenError::Locked(_))),
        "one service at a time"
    );
    Sqlite::open_for_audit(&path, clock).expect("beside it");
    let reader = storage::sqlite::open_existing_reader(&path, MIGRATIONS).expect("a reader");
    assert!(reader.execute("DELETE FROM quarantine", []).is_err());
}

#[tokio::test]
async fn a_row_that_makes_no_sense_does_not_stop_its_neighbours_from_being_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open_inline(&path, clock.clone()).expect("a new file");
    store
        .run(Arc::new([place(1), place(2)]), orders_core::decide::decide)
        .await
        .expect("two orders");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    let damage = "DROP TRIGGER an_order_is_not_updated; UPDATE orders SET lines = replace(lines, '456', 'no id') WHERE order_no = 1";
    raw.execute_batch(damage).expect("damaged");
    drop(raw);

    let store = Sqlite::open_inline(&path, clock.clone()).expect("the file");
    clock.advance(std::time::Duration::from_secs(2));
    let lease = Lease {
        limit: 10,
        pick: crate::store::Pick::Due { patience: std::time::Duration::ZERO },
        delay: orders_core::backoff::delay,
        random: u64::MAX / 2,
    };
    let sent: Vec<_> =
        store.lease(lease).await.expect("a lease").iter().map(|command| command.order_id).collect();
    assert_eq!(sent, [id(2)]);
    assert_eq!(testbed::quarantined(&path), [("poisoned".to_owned(), 1)]);
    let filter = QuarantineFilter { limit: 9, ..QuarantineFilter::default() };
    let entries = store.quarantine_table().list(filter).await.expect("a page");
    assert_eq!(entries[0].subject, Some(id(1).to_string()), "so an operator can look it up");
}
