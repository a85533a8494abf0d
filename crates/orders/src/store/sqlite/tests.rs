use super::*;
use crate::store::laws::{Fresh, START, place, store_laws};
use platform::clock::ManualClock;

async fn fresh() -> Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open(&folder.path().join("orders.db"), clock.clone()).expect("a new file");
    Fresh { audit: Arc::new(store.audit()), store: Arc::new(store), clock, _home: Box::new(folder) }
}

store_laws!(fresh);

#[tokio::test]
async fn the_database_itself_keeps_histories_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.db");
    let store = Sqlite::open_inline(&path, Arc::new(ManualClock::at(START))).expect("a new file");
    store.run(Arc::new([place(1)]), orders_core::decide::decide).await.expect("an order");
    drop(store);
    let raw = storage::sqlite::open_writer(&path, MIGRATIONS).expect("opened by hand");
    for forbidden in [
        "UPDATE order_history SET status = 'fulfilled'",
        "DELETE FROM order_history",
        "INSERT INTO order_history (order_id, seq, status, at) SELECT order_id, 3, 'confirmed', 0 FROM orders",
        "UPDATE orders SET status = 'lost'",
        "UPDATE orders SET total_minor = -1",
        "UPDATE order_lines SET quantity = 0",
        "DELETE FROM orders",
    ] {
        assert!(raw.execute(forbidden, []).is_err(), "{forbidden}");
    }
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
    let damage = "UPDATE order_lines SET product_id = 'no id' WHERE order_id = x'00000000000000000000000000000001'";
    assert!(raw.execute(damage, []).expect("damaged") > 0);
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
    assert_eq!(sent, [crate::store::laws::id(2)]);
    assert_eq!(testbed::quarantined(&path), [("poisoned".to_owned(), 1)]);
}
