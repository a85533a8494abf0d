use inventory_core::decide::decide;
use platform::clock::ManualClock;
use platform::failure::Chain;
use testbed::{fresh_database, postgres};

use super::*;
use crate::store::laws::{Fresh, START, reserve, stocked, store_laws};

mod interleavings;

async fn fresh() -> Fresh {
    let (store, clock, _) = opened().await;
    Fresh { audit: Arc::new(store.audit()), store: Arc::new(store), clock, _home: Box::new(()) }
}

store_laws!(fresh);

/// A store in a database of its own, and that database's URL.
async fn opened() -> (Postgres, Arc<ManualClock>, String) {
    let (url, clock) = (fresh_database().await, Arc::new(ManualClock::at(START)));
    let store =
        Postgres::open(server(&url), Time::Given(clock.clone())).await.expect("a new database");
    (store, clock, url)
}

fn server(url: &str) -> Server {
    Server::at(url, "the database", "test").expect("a URL")
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let (_store, _, url) = opened().await;
    let operator = postgres(&url).await;
    let bits = |number: u32| [1, 2, 4, 8].map(|bit| number & bit != 0);
    let products = (0..16).map(|number| {
        let [after, sought, ids, low_stock] = bits(number);
        query::product_page(after, sought, ids, low_stock)
    });
    let movements = (0..4).map(|number| query::movement_page(bits(number)[0], bits(number)[1]));
    let fixed = SCHEMA
        .statements
        .iter()
        .chain(&query::STATEMENTS)
        .chain(&audit::STATEMENTS)
        .map(|sql| (*sql).to_owned());
    for sql in fixed.chain(products).chain(movements) {
        operator.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

#[tokio::test]
async fn the_database_itself_refuses_to_oversell_and_keeps_ledgers_whole() {
    let (store, _, url) = opened().await;
    let batch =
        [stocked("MUG", 5).to_vec(), vec![reserve(1, &[("MUG", 2)]), reserve(2, &[("MUG", 9)])]]
            .concat();
    store.run(batch.into(), decide).await.expect("a reservation");
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
        "TRUNCATE movements".to_owned(),
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
        "TRUNCATE reservations".to_owned(),
    ];
    let operator = postgres(&url).await;
    for sql in forbidden {
        assert!(operator.execute(&sql, &[]).await.is_err(), "{sql}");
    }
    let allowed =
        copy("3, 'ship', 0, 0, on_hand, reserved, order_id, NULL, NULL") + " WHERE seq = 2";
    assert_eq!(operator.execute(&allowed, &[]).await.expect("nothing wrong with it"), 1);
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_named() {
    let (store, _, url) = opened().await;
    store.run(Arc::new([reserve(1, &[("MUG", 9)])]), decide).await.expect("a rejection");
    let damage = "UPDATE reservations SET shortages = '[7]'";
    postgres(&url).await.execute(damage, &[]).await.expect("damage");
    let failure =
        store.run(Arc::new([reserve(1, &[("MUG", 9)])]), decide).await.expect_err("damaged");
    let message = Chain(&failure).to_string();
    assert!(
        message.contains("reservations 00000000-0000-0000-0000-000000000001: shortages is"),
        "{message}"
    );
}

#[tokio::test]
async fn an_anomaly_makes_no_reservation() {
    let (store, _, url) = opened().await;
    let InventoryCommand::Stock(mut command) = reserve(1, &[("MUG", 1)]) else {
        panic!("a command")
    };
    command.digest = contract::Digest([7; 16]);
    let decided =
        store.run(Arc::new([InventoryCommand::Stock(command)]), decide).await.expect("an anomaly");
    assert!(
        matches!(decided[0].outcome, inventory_core::decide::InventoryOutcome::Anomaly(_)),
        "{decided:?}"
    );
    let row = postgres(&url)
        .await
        .query_one("SELECT count(*) FROM reservations", &[])
        .await
        .expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// Deciders that the database asks to run again would get through all the same: it counts whether
/// it ever had to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_deciders_never_deadlock() {
    let (store, clock, url) = opened().await;
    let fresh = Fresh {
        audit: Arc::new(store.audit()),
        store: Arc::new(store),
        clock,
        _home: Box::new(()),
    };
    crate::store::laws::deciding::sixteen_deciders_with_crossed_products_neither_oversell_nor_deadlock(fresh).await;
    let counted =
        "SELECT deadlocks, xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let operator = postgres(&url).await;
    let deadlocks =
        testbed::eventually(testbed::PATIENCE, "the transactions are counted", async || {
            let row = operator.query_one(counted, &[]).await.expect("a row");
            (row.get::<_, i64>("xact_commit") > 192).then(|| row.get::<_, i64>("deadlocks"))
        });
    assert_eq!(deadlocks.await, 0);
}
