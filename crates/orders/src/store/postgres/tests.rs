use orders_core::decide::decide;
use platform::clock::ManualClock;
use platform::failure::Chain;
use storage::admin_log;
use storage::postgres::{Roles, migrate};
use testbed::{PATIENCE, as_role, copy_of_database, eventually, fresh_database, postgres};

use super::*;
use crate::store::laws::{
    Fresh, HISTORY_OF_CHANGES, START, cancel, changed_orders, id, pairing, place, reserved,
    store_laws,
};
use crate::store::{OrderAuditStore, Pick};

mod interleavings;
mod journal;

async fn fresh() -> Fresh {
    let (store, clock, url) = opened().await;
    let audit = audit_of(&url).await;
    let store = Arc::new(store);
    // On a busy machine, a first connection may take longer than a read waits for one.
    eventually(PATIENCE, "the store can be read", async || store.order(id(1)).await.ok()).await;
    Fresh {
        audit: Arc::new(audit),
        feed: store.clone(),
        journal: store.journal(),
        quarantine: store.quarantine_table(),
        admin_log: store.admin_log(),
        store,
        clock,
        _home: Box::new(()),
    }
}

store_laws!(fresh);

/// A store in a database of its own, as the role of the service, and the database's URL as its
/// owner.
async fn opened() -> (Postgres, Arc<ManualClock>, String) {
    let url = fresh_database().await;
    let clock = Arc::new(ManualClock::at(START));
    let its_url = as_role(&url, "service").await;
    as_role(&url, "reader").await;
    let roles = Roles { service: Some("service"), reader: Some("reader") };
    migrate(&server(&url), &SCHEMA, roles).await.expect("a new database");
    let store = Postgres::open(server(&its_url), Time::Given(clock.clone())).await;
    (store.expect("the database"), clock, url)
}

/// What the role of an audit reads.
async fn audit_of(url: &str) -> PostgresAudit {
    let its_url = as_role(url, "reader").await;
    Postgres::open_for_audit(server(&its_url)).await.expect("the database")
}

fn server(url: &str) -> Server {
    Server::at(url, "the database", "test").expect("a URL")
}

#[tokio::test]
async fn a_database_keeps_its_peer_and_notices_that_it_was_copied() {
    let (first, clock, url) = opened().await;
    let known = first.pairing().await.expect("a read");
    pairing::a_database_keeps_its_peer(&known, &first.pairing().await.expect("a read")).await;
    assert!(known.use_on("a").await.expect("noted"));
    drop((first, known));
    let copy = copy_of_database(&url).await;
    let open = async |url: &str| {
        let opened = Postgres::open(server(url), Time::Given(clock.clone())).await;
        opened.expect("the database").pairing().await.expect("a read")
    };
    let (original, copy) = (open(&url).await, open(&copy).await);
    assert_eq!(copy.peer(), original.peer());
    pairing::a_copy_is_noticed_on_the_channel_of_its_original(&original, &copy).await;
}

/// As a replica sees a database that was restored under the same name.
#[tokio::test]
async fn a_connection_to_another_database_than_before_is_refused() {
    let (store, _, url) = opened().await;
    let id_before = store.pairing().await.expect("a read").id();
    let operator = postgres(&url).await;
    let replace = "UPDATE deployment SET id = gen_random_uuid();
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    operator.batch_execute(replace).await.expect("replaced");
    let refused = eventually(PATIENCE, "a new connection is refused", async || {
        let run = store.run(Arc::new([place(1)]), decide).await.err()?;
        let why = Chain(&run).to_string();
        why.contains("it is another database").then_some(why)
    })
    .await;
    assert!(refused.contains(&id_before.to_string()), "{refused}");
    assert!(store.order(id(1)).await.is_err());
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let (_store, _, url) = opened().await;
    let operator = postgres(&url).await;
    let pages = (0..32).map(|form| {
        let [times, statuses, received, customer, refunds] =
            [1, 2, 4, 8, 16].map(|bit| form & bit > 0);
        let received = statuses && received;
        query::Page { times, statuses, received, refunds, customer }.sql()
    });
    let fixed = SCHEMA.statements.iter().chain(&query::STATEMENTS);
    let fixed = fixed
        .chain(&quarantine::STATEMENTS_POSTGRES)
        .chain(&[admin_log::INSERT_POSTGRES, admin_log::PAGE_POSTGRES])
        .chain(&pending::STATEMENTS)
        .chain(&deadlines::STATEMENTS)
        .chain(&audit::STATEMENTS)
        .chain(&journal_audit::STATEMENTS);
    for sql in fixed.map(|sql| (*sql).to_owned()).chain(pages) {
        operator.prepare(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

/// It runs every few seconds, beside any number of orders that owe nothing.
#[tokio::test]
async fn orders_that_owe_money_are_counted_by_their_index() {
    let (store, _, url) = opened().await;
    store.run(Arc::new([place(1), place(2)]), decide).await.expect("orders");
    let operator = postgres(&url).await;
    operator.batch_execute("SET enable_seqscan = off").await.expect("as a session of a service");
    let explain = format!("EXPLAIN {}", query::REFUNDS_DUE.replace("$1", "1000"));
    let plan = operator.query(&explain, &[]).await.expect("a plan");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("orders_by_refund_due")), "{plan:#?}");
}

#[tokio::test]
async fn the_database_itself_keeps_histories_whole() {
    let (store, _, url) = opened().await;
    let batch = Arc::new([place(1), reserved(1), cancel(1)]);
    store.run(batch, decide).await.expect("an order");
    let operator = postgres(&url).await;
    for forbidden in [
        "UPDATE orders SET total_minor = 1",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "DELETE FROM order_states",
        "UPDATE journal SET entries = repeat('x', 21)::bytea, no = 1",
        "UPDATE journal SET no = NULL",
        "DELETE FROM journal",
        "TRUNCATE journal",
        "INSERT INTO journal (entries) VALUES (repeat('x', 20)::bytea)",
        "INSERT INTO journal (entries) VALUES ('')",
        "DELETE FROM journal_head",
        "UPDATE journal_head SET last = -1",
        "INSERT INTO journal_head (last) VALUES (0)",
        "TRUNCATE order_states",
        "UPDATE order_states SET revision = 1, digest = NULL",
        "UPDATE order_states SET settled = 0",
        "UPDATE order_states SET last_seq = 3",
        "UPDATE order_states SET last_seq = 4, history = '[{}, {}, {}]'",
        "UPDATE order_states SET last_seq = 5, history = (left(history::text, -1) || ',{}]')::json",
        "UPDATE idempotency_keys SET order_id = gen_random_uuid()",
        "INSERT INTO orders SELECT gen_random_uuid(), 'c', 'BRL', 0, gen_random_uuid(), '[]', 0",
    ] {
        assert!(operator.execute(forbidden, &[]).await.is_err(), "{forbidden}");
    }
    let numbered = "UPDATE journal SET no = 1";
    assert_eq!(operator.execute(numbered, &[]).await.expect("a row is numbered"), 1);
    assert!(operator.execute("UPDATE journal SET no = 2", &[]).await.is_err(), "once");
    let grown =
        "UPDATE order_states SET last_seq = 4, history = (left(history::text, -1) || ',{}]')::json";
    assert_eq!(operator.execute(grown, &[]).await.expect("a history may grow"), 1);
}

#[tokio::test]
async fn a_plain_order_leaves_the_columns_and_tables_of_changes_empty() {
    let (store, _, url) = opened().await;
    for batch in [vec![place(1), place(2)], vec![reserved(1), reserved(2)], vec![cancel(1)]] {
        store.run(batch.into(), decide).await.expect("committed");
    }
    let operator = postgres(&url).await;
    for empty in [
        "orders WHERE options IS NOT NULL",
        "order_states WHERE refund_due_minor IS NOT NULL",
        "payment_deadlines",
    ] {
        let count = format!("SELECT count(*) AS found FROM {empty}");
        let count: i64 = operator.query_one(&count, &[]).await.expect("a count").get("found");
        assert_eq!(count, 0, "{empty}");
    }
}

/// The packed columns, with ids and words.
#[tokio::test]
async fn the_views_show_an_order_to_people() {
    let (store, _, url) = opened().await;
    store.run(Arc::new([place(1), reserved(1), cancel(1)]), decide).await.expect("an order");
    let operator = postgres(&url).await;
    let shown = async |sql: &str| {
        let rows = operator.query(sql, &[]).await.expect("a view");
        rows.iter().map(|row| row.get("shown")).collect::<Vec<String>>()
    };
    let list =
        "SELECT concat_ws(' ', status, revision, settled, last_seq) AS shown FROM order_list";
    assert_eq!(shown(list).await, ["cancelling 2 1 3"]);
    let lines = "SELECT concat_ws(' ', line_no, product_id, quantity, price_minor) AS shown
                 FROM order_lines ORDER BY line_no";
    assert_eq!(shown(lines).await, ["1 789 2 1999", "2 456 1 2999"]);
    let history = "SELECT concat_ws(' ', seq, status, allocated, wanted) AS shown
                   FROM order_history ORDER BY seq";
    let units = r#"[["456","main",1],["789","main",2]]"#;
    let confirmed = format!("2 confirmed {units}");
    let cancelling = r#"3 cancelling [["456",0],["789",0]]"#.to_owned();
    assert_eq!(shown(history).await, ["1 received".to_owned(), confirmed, cancelling]);
}

#[tokio::test]
async fn the_views_show_payments_and_changes_to_people() {
    let (store, _, url) = opened().await;
    store.run(changed_orders(), decide).await.expect("two orders");
    let operator = postgres(&url).await;
    let shown = async |sql: &str| {
        let rows = operator.query(sql, &[]).await.expect("a view");
        rows.iter().map(|row| row.get("shown")).collect::<Vec<String>>()
    };
    let list = "SELECT concat_ws(' ', status, options, coalesce(pay_by::text, '-'), refund_due_minor) AS shown
                FROM order_list ORDER BY order_id";
    let payment = r#"{"payment":{"within_s":60}}"#;
    let [pay_by, owed] = [START.0 + 60_000_000, 2999];
    assert_eq!(
        shown(list).await,
        [format!("reserved {payment} {pay_by} 0"), format!("amending {payment} - {owed}")]
    );
    let history = "SELECT concat_ws(' ', seq, status, payment, key, wanted, shipped) AS shown
                   FROM order_history WHERE order_id = '00000000-0000-0000-0000-000000000002' ORDER BY seq";
    assert_eq!(shown(history).await, HISTORY_OF_CHANGES);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_does_not_stop_its_neighbours_from_being_sent_again() {
    let (store, clock, url) = opened().await;
    store.run(Arc::new([place(1), place(2)]), decide).await.expect("two orders");
    let operator = postgres(&url).await;
    let damage = "ALTER TABLE orders DISABLE TRIGGER ALL;
         UPDATE orders SET lines = replace(lines::text, '456', 'no id')::json
         WHERE order_id = '00000000-0000-0000-0000-000000000001'";
    operator.batch_execute(damage).await.expect("damaged");
    clock.advance(Duration::from_secs(2));
    let pick = Pick::Due { patience: Duration::ZERO };
    let lease = Lease { limit: 10, pick, delay: orders_core::backoff::delay, random: u64::MAX / 2 };
    let sent: Vec<_> =
        store.lease(lease).await.expect("a lease").iter().map(|command| command.order_id).collect();
    assert_eq!(sent, [id(2)]);
    let row =
        operator.query_one("SELECT kind, count FROM quarantine", &[]).await.expect("one entry");
    assert_eq!((row.get("kind"), row.get("count")), ("poisoned", 1_i64));
}

/// It waits for the lock of the pending row, and sees what is left of it then.
#[tokio::test]
async fn a_command_that_is_answered_meanwhile_is_not_made_due() {
    let (store, _, url) = opened().await;
    let store = Arc::new(store);
    store.run(Arc::new([place(1)]), decide).await.expect("an order");
    let (answer, observer) = (postgres(&url).await, postgres(&url).await);
    answer.batch_execute("BEGIN; DELETE FROM pending_commands").await.expect("the lock");
    let making_due = {
        let store = store.clone();
        tokio::spawn(async move { store.make_due(id(1), Requester::default()).await })
    };
    eventually(PATIENCE, "it waits for the row", async || {
        let waiting = "SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        observer.query_opt(waiting, &[]).await.expect("rows").map(drop)
    })
    .await;
    answer.batch_execute("COMMIT").await.expect("answered");
    let made_due = making_due.await.expect("no panic").expect("a commit");
    assert_eq!(made_due, MadeDue::NothingPending);
}
