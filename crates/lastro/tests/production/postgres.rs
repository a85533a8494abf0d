//! Faults of PostgreSQL under load. No accepted order is lost, and nothing is done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testbed::{
    Commits, Cut, Deployment, Environment, Form, JSON, PATIENCE, Postgres, Proxy, WAIT, eventually,
    order, postgres,
};
use tokio::time::Instant;

use crate::{Busy, environment_on, through};

/// How long a request may take: its deadline of 10 s, a second for the answer, and a margin for a
/// busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest wait of a request in the queue, after which it is refused and nothing was done.
const QUEUE_WAIT: Duration = Duration::from_secs(8);
/// The number of concurrent requests while a database does not proceed.
const CROWD: usize = 300;
/// The connections that two replicas of each service may have, and those of the operators.
const MOST_CONNECTIONS: usize = 4 * 16 + 2;

/// Many clients order while the database of orders does not proceed: each is refused at the
/// deadline.
async fn refused_at_the_deadline(busy: &Busy) {
    let crowd = (0..CROWD).map(|_| async {
        let begun = Instant::now();
        (busy.shop.place(&order(&[("MUG", 1)])).await, begun.elapsed())
    });
    let mut reported = BTreeMap::<_, usize>::new();
    for (refused, waited) in futures_util::future::join_all(crowd).await {
        assert!(waited < DEADLINE, "{waited:?}");
        // The request was queued and given up, and not refused for lack of room.
        assert!(refused.verdict() != "503 overloaded" || waited >= QUEUE_WAIT, "{waited:?}");
        *reported.entry(refused.verdict()).or_default() += 1;
    }
    println!("{reported:?}");
    assert!(reported.keys().all(|verdict| verdict.starts_with("503 ")), "{reported:?}");
}

/// An environment with a proxy before the database of orders.
async fn behind_a_link(server: &Postgres) -> (Proxy, Environment) {
    let (link, mut environment) = (Proxy::to(server.port()).await, environment_on(server).await);
    let databases = environment.databases.as_mut().expect("databases");
    databases.orders = through(&databases.orders, server, link.port());
    (link, environment)
}

#[tokio::test]
async fn a_postgres_that_is_restarted_under_load_costs_no_order() {
    let mut server = Postgres::start(&[]).await;
    let busy = Busy::at(environment_on(&server).await, "postgres restarted").await;
    server.restart_fast().await;
    busy.accepts_more().await;
    server.restart_immediate().await;
    busy.accepts_more().await;
    busy.check().await;
}

#[tokio::test]
async fn backends_that_are_terminated_again_and_again_cost_no_order() {
    let server = Postgres::start(&[]).await;
    let busy = Busy::at(environment_on(&server).await, "backends terminated").await;
    let operator = postgres(&server.url("postgres")).await;
    for _ in 0..20 {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        operator.execute(others, &[]).await.expect("terminated");
        busy.load.has_accepted(busy.load.accepted() + 20).await;
    }
    busy.check().await;
}

#[tokio::test]
async fn connections_cut_around_their_commits_do_nothing_twice() {
    let server = Postgres::start(&[]).await;
    let (commits, mut environment) =
        (Commits::to(server.port()).await, environment_on(&server).await);
    let databases = environment.databases.as_mut().expect("databases");
    for url in [&mut databases.orders, &mut databases.inventory] {
        *url = through(url, &server, commits.port());
    }
    let busy = Busy::at(environment, "commits cut").await;
    commits.cut(5);
    eventually(PATIENCE, "many commits are cut", async || (commits.cuts() >= 60).then_some(()))
        .await;
    commits.cut(0);
    busy.check().await;
}

/// Each cut once, without other load: the client's request is done once, and the client gets the
/// right answer.
#[tokio::test]
async fn a_commit_of_unknown_fate_is_found_out() {
    let server = Postgres::start(&[]).await;
    let (commits, mut environment) =
        (Commits::to(server.port()).await, environment_on(&server).await);
    let databases = environment.databases.as_mut().expect("databases");
    let raw = databases.clone();
    for url in [&mut databases.orders, &mut databases.inventory] {
        *url = through(url, &server, commits.port());
    }
    let shop = Deployment::open_as(Form::Postgres, environment).await;
    shop.stock("MUG", 0).await;
    let (orders, inventory) = (postgres(&raw.orders).await, postgres(&raw.inventory).await);
    let count = async |client: &tokio_postgres::Client, table: &str| {
        let row =
            client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.expect("a count");
        row.get::<_, i64>(0)
    };
    for (round, cut) in (1..).zip([Cut::After, Cut::Before, Cut::After, Cut::Before]) {
        let body = order(&[("MUG", 1)]).to_string();
        let headers = [JSON, ("idempotency-key", &*format!("round-{round}")), WAIT];
        commits.cut_next(cut);
        let answer = shop.send("POST", "/api/orders", &headers, body.clone()).await;
        assert_eq!(answer.verdict(), "200", "{cut:?}");
        let again = shop.send("POST", "/api/orders", &headers, body).await;
        assert_eq!(again.text_at("/order_id"), answer.text_at("/order_id"));
        assert_eq!(count(&orders, "orders").await, round);

        commits.cut_next(cut);
        let movement = json!({"kind": "receive", "quantity": 7, "location_id": "main"});
        shop.move_stock("MUG", &movement).await.ok();
        assert_eq!(count(&inventory, "movements WHERE kind = 'receive'").await, round, "{cut:?}");
        assert_eq!(shop.levels("MUG").await[0], 7 * round);
        assert_eq!(commits.cuts(), u32::try_from(2 * round).expect("a few"));
    }
    shop.must_verify().await;
}

#[tokio::test]
async fn a_demoted_primary_is_left_at_once() {
    let server = Postgres::start(&[]).await;
    let busy = Busy::at(environment_on(&server).await, "demoted").await;
    let operator = postgres(&server.url("postgres")).await;
    let set = async |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        operator.batch_execute(&sql).await.expect("set");
        operator.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
    };
    set("on").await;
    let refused = eventually(PATIENCE, "orders are refused", async || {
        (busy.shop.place(&order(&[("MUG", 1)])).await.verdict() == "503 storage_unavailable")
            .then_some(())
    });
    refused.await;
    operator.batch_execute("SET default_transaction_read_only = off").await.expect("for itself");
    set("off").await;
    busy.check().await;
}

/// Connections that exist go on as they were made; new ones are refused, and the probe tells it.
#[tokio::test]
async fn the_probe_tells_of_a_database_that_would_not_keep_what_it_confirms() {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let databases = environment.databases.clone().expect("databases");
    let shop = Deployment::open_as(Form::Postgres, environment).await;
    shop.stock("MUG", 10).await;
    let operator = postgres(&server.url("postgres")).await;
    for (url, check) in [
        (&databases.orders, "orders database writes"),
        (&databases.inventory, "inventory database writes"),
    ] {
        let (_, name) = url.rsplit_once('/').expect("a database");
        let change = async |change: &str| {
            let sql = format!("ALTER DATABASE {name} {change}");
            operator.batch_execute(&sql).await.expect("changed");
            let sessions =
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            operator.execute(sessions, &[&name]).await.expect("terminated");
        };
        change("SET synchronous_commit = off").await;
        let told = eventually(PATIENCE, "the probe tells it", async || {
            let answers = shop.get_each("/readyz").await;
            answers.into_iter().find(|answer| answer.verdict() == "503 storage_unavailable")
        });
        let detail = told.await.text_at("/detail");
        assert!(detail.contains(check) && detail.contains("synchronous_commit=off"), "{detail}");
        change("RESET synchronous_commit").await;
        eventually(PATIENCE, "all are ready again", async || {
            let mut answers = shop.get_each("/readyz").await.into_iter();
            answers.all(|answer| answer.status == 200).then_some(())
        })
        .await;
        shop.confirmed(&[("MUG", 1)]).await;
    }
    shop.must_verify().await;
}

#[tokio::test]
async fn a_postgres_that_does_not_answer_costs_a_refusal_at_the_deadline() {
    let server = Postgres::start(&[]).await;
    let (link, environment) = behind_a_link(&server).await;
    let busy = Busy::at(environment, "postgres held up").await;
    link.hold_up();
    refused_at_the_deadline(&busy).await;
    link.mend();
    busy.check().await;
}

#[tokio::test]
async fn a_postgres_that_is_slow_costs_time_and_no_order() {
    let server = Postgres::start(&[]).await;
    let (link, environment) = behind_a_link(&server).await;
    let busy = Busy::at(environment, "postgres slow").await;
    // The delay of each direction.
    link.slow_down(Duration::from_millis(100));
    busy.accepts_more().await;
    link.slow_down(Duration::from_secs(30));
    refused_at_the_deadline(&busy).await;
    link.mend();
    busy.check().await;
}

#[tokio::test]
async fn a_locked_table_costs_a_refusal_at_the_deadline() {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let operator = postgres(&environment.databases.as_ref().expect("databases").orders).await;
    let busy = Busy::at(environment, "table locked").await;
    operator.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.expect("the lock");
    refused_at_the_deadline(&busy).await;
    let connections = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let connections = operator.query(connections, &[]).await.expect("rows").len();
    assert!(connections <= MOST_CONNECTIONS, "{connections} connections");
    operator.batch_execute("ROLLBACK").await.expect("the lock is let go");
    busy.check().await;
}

/// Many orders of the same products in different sequences, by two replicas of each service.
#[tokio::test]
async fn no_transaction_ever_deadlocks() {
    let server = Postgres::start(&["log_lock_waits=on"]).await;
    let busy = Busy::at(environment_on(&server).await, "deadlocks").await;
    for _ in 0..5 {
        busy.accepts_more().await;
    }
    busy.check().await;
    assert!(!server.log().contains("deadlock detected"), "{}", server.log());
}

/// A client that hangs up at any moment leaves no transaction open, and takes no order with it.
#[tokio::test]
async fn clients_that_hang_up_leave_nothing_open() {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let shop = Deployment::open_as(Form::Postgres, environment).await;
    shop.stock("MUG", 1_000).await;
    let paths = [
        "/api/orders",
        "/api/orders?limit=5",
        "/api/inventory/products",
        "/api/inventory/products/MUG",
    ];
    for turns in 0..60_u32 {
        let placing =
            shop.try_send("POST", "/api/orders", &[JSON], order(&[("MUG", 1)]).to_string());
        drop_after(turns, placing).await;
        for path in paths {
            drop_after(turns, shop.try_send("GET", path, &[], "")).await;
        }
    }
    let operator = postgres(&server.url("postgres")).await;
    // Long before the server itself would end the transaction.
    eventually(Duration::from_secs(15), "no transaction is open", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        (operator.query_one(open, &[]).await.expect("a count").get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;
}

/// Lets a request run for this many turns of a third of a millisecond, and then drops it.
async fn drop_after<T>(turns: u32, request: impl Future<Output = T>) {
    let _ = tokio::time::timeout(Duration::from_micros(333) * turns, request).await;
}
