//! A PostgreSQL with a synchronous standby: the primary dies, the standby takes over, and nothing
//! that was answered with 2xx is missing.

use testbed::{Databases, Environment, PATIENCE, Postgres, eventually, postgres};

use crate::{Busy, environment_on};

#[tokio::test]
async fn a_standby_that_takes_over_has_everything_that_was_confirmed() {
    let mut primary = Postgres::start(&[]).await;
    let environment = environment_on(&primary).await;
    let standby = primary.standby(&["synchronous_standby_names="]).await;
    let operator = postgres(&primary.url("postgres")).await;
    operator.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.expect("set");
    operator.batch_execute("SELECT pg_reload_conf()").await.expect("reloaded");
    eventually(PATIENCE, "the standby is synchronous", async || {
        let rows = operator
            .query("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'", &[])
            .await
            .ok()?;
        (!rows.is_empty()).then_some(())
    })
    .await;
    // The URL names both servers; a client connects to the one that accepts writes.
    let both = |url: &str| {
        let one = format!("127.0.0.1:{}", primary.port());
        url.replace(&one, &format!("{one},127.0.0.1:{}", standby.port()))
    };
    let databases = environment.databases.as_ref().expect("databases");
    let databases =
        Databases { orders: both(&databases.orders), inventory: both(&databases.inventory) };
    let busy =
        Busy::at(Environment { databases: Some(databases), ..environment }, "failover").await;
    primary.kill().await;
    postgres(&standby.url("postgres"))
        .await
        .execute("SELECT pg_promote()", &[])
        .await
        .expect("promoted");
    busy.accepts_more().await;
    busy.check().await;
}
