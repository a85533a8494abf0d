use orders_core::decide::decide;
use platform::clock::ManualClock;
use testbed::{fresh_database, postgres};

use super::*;
use crate::store::laws::{Fresh, START, id, place, store_laws};
use crate::store::{AuditStore, Pick};

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
    let switch = [false, true];
    let pages = switch
        .into_iter()
        .flat_map(|a| switch.into_iter().flat_map(move |b| switch.map(|c| query::page(a, b, c))));
    let fixed = SCHEMA.statements.iter().chain(&query::STATEMENTS).chain(&audit::STATEMENTS);
    for sql in fixed.map(|sql| (*sql).to_owned()).chain(pages) {
        operator.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

#[tokio::test]
async fn the_database_itself_keeps_histories_whole() {
    let (store, _, url) = opened().await;
    store.run(Arc::new([place(1)]), decide).await.expect("an order");
    let operator = postgres(&url).await;
    for forbidden in [
        "UPDATE order_history SET status = 'fulfilled'",
        "DELETE FROM order_history",
        "TRUNCATE order_history",
        "INSERT INTO order_history (order_id, seq, status, at) SELECT order_id, 3, 'confirmed', 0 FROM orders",
        "UPDATE orders SET status = 'lost'",
        "UPDATE orders SET total_minor = -1",
        "UPDATE order_lines SET quantity = 0",
        "UPDATE idempotency_keys SET order_id = gen_random_uuid()",
        "DELETE FROM orders",
    ] {
        assert!(operator.execute(forbidden, &[]).await.is_err(), "{forbidden}");
    }
    let allowed = "INSERT INTO order_history (order_id, seq, status, at) SELECT order_id, 2, 'confirmed', 0 FROM orders";
    assert_eq!(operator.execute(allowed, &[]).await.expect("nothing wrong with it"), 1);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_does_not_stop_its_neighbours_from_being_sent_again() {
    let (store, clock, url) = opened().await;
    store.run(Arc::new([place(1), place(2)]), decide).await.expect("two orders");
    let operator = postgres(&url).await;
    let damage = "ALTER TABLE order_lines DISABLE TRIGGER ALL;
         UPDATE order_lines SET product_id = 'no id' WHERE order_id = '00000000-0000-0000-0000-000000000001'";
    operator.batch_execute(damage).await.expect("damaged");
    clock.advance(std::time::Duration::from_secs(2));
    let pick = Pick::Due { patience: std::time::Duration::ZERO };
    let lease = Lease { limit: 10, pick, delay: orders_core::backoff::delay, random: u64::MAX / 2 };
    let sent: Vec<_> =
        store.lease(lease).await.expect("a lease").iter().map(|command| command.order_id).collect();
    assert_eq!(sent, [id(2)]);
    let row =
        operator.query_one("SELECT kind, count FROM quarantine", &[]).await.expect("one entry");
    assert_eq!((row.get("kind"), row.get("count")), ("poisoned", 1_i64));
}
