//! PostgreSQL, with both databases on one server: what is restored to a point in time, and what is
//! left after a failover that lost commits, is of one moment.

use std::sync::Arc;

use testbed::{
    Databases, Deployment, Environment, Form, Nats, PATIENCE, Postgres, Record, eventually,
    postgres,
};

use crate::{Busy, environment_on};

/// The same databases on another server, with a broker that has none of the lost messages.
async fn moved(environment: &Environment, from: &Postgres, to: &Postgres) -> Environment {
    let there = |url: &str| url.replace(&format!(":{}/", from.port()), &format!(":{}/", to.port()));
    let Databases { orders, inventory } = environment.databases.as_ref().expect("databases");
    Environment {
        broker: Some(Nats::start().await),
        databases: Some(Databases { orders: there(orders), inventory: there(inventory) }),
        replaces_peer: true,
        ..Environment::default()
    }
}

/// Starts the shop in another place, and checks that it has what was answered.
async fn has(mut answered: Record, environment: Environment) {
    assert!(!answered.accepted.is_empty());
    let shop = Arc::new(Deployment::open_as(Form::Replicas, environment).await);
    answered.check(&shop).await;
}

#[tokio::test]
async fn a_server_that_is_restored_to_a_point_has_all_that_was_answered_before_it() {
    let server = Postgres::start_archiving().await;
    let busy = Busy::at(environment_on(&server).await, "point in time").await;
    let base = server.base_backup().await;
    busy.accepts_more().await;
    let answered = busy.load.so_far();
    let operator = postgres(&server.url("postgres")).await;
    let point = "SELECT pg_create_restore_point('before_upgrade')";
    operator.execute(point, &[]).await.expect("a restore point");
    busy.accepts_more().await;
    server.archived().await;
    let Busy { shop, load } = busy;
    shop.programs.kill();
    load.end().await;
    let restored = server.restored(base, "before_upgrade").await;
    let environment = moved(&shop.environment, &server, &restored).await;
    has(answered, environment).await;
}

#[tokio::test]
async fn a_failover_that_lost_commits_takes_both_databases_back_to_one_moment() {
    let mut primary = Postgres::start(&[]).await;
    let environment = environment_on(&primary).await;
    let standby = primary.standby(&[]).await;
    let busy = Busy::at(environment, "lost commits").await;
    let answered = busy.load.so_far();
    // What the standby gets from now on, it does not get: nobody waits for it.
    let (of_primary, of_standby) =
        (postgres(&primary.url("postgres")).await, postgres(&standby.url("postgres")).await);
    let place = "SELECT pg_current_wal_lsn()::text";
    let reached: String = of_primary.query_one(place, &[]).await.expect("a place").get(0);
    let follows = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    eventually(PATIENCE, "the standby has what was answered", async || {
        let row = of_standby.query_one(follows, &[&reached]).await.ok()?;
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    of_standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.expect("set");
    of_standby.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
    eventually(PATIENCE, "the standby has lost its primary", async || {
        let rows = of_primary.query("SELECT FROM pg_stat_replication", &[]).await.ok()?;
        rows.is_empty().then_some(())
    })
    .await;
    busy.accepts_more().await;
    let Busy { shop, load } = busy;
    shop.programs.kill();
    let all = load.end().await.accepted.len();
    primary.kill().await;
    of_standby.execute("SELECT pg_promote()", &[]).await.expect("promoted");
    standby.accepts_writes().await;
    assert!(all > answered.accepted.len());
    let environment = moved(&shop.environment, &primary, &standby).await;
    has(answered, environment).await;
}
