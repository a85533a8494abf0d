//! A database on PostgreSQL that is away, locked or slow.

use testbed::{Form, PATIENCE, Postgres, eventually, order};

use super::Watched;
use crate::environment_on;

/// Both services on this server, one replica each.
async fn watched(server: &Postgres) -> Watched {
    Watched::open(Form::Postgres, environment_on(server).await).await
}

/// Every request is refused, and the audit stands still, until the server is back.
#[tokio::test]
async fn a_database_that_is_away() {
    let mut server = Postgres::start(&[]).await;
    let watched = watched(&server).await;
    server.kill().await;
    watched.fires("LastroDatabaseAway").await;
    watched.fires("LastroNotReady").await;
    watched.fires("LastroAuditStalled").await;
    server.resume().await;
    watched.clears("LastroDatabaseAway").await;
    watched.clears("LastroNotReady").await;
    watched.clears("LastroAuditStalled").await;
    watched.shop.confirmed(&[("MUG", 1)]).await;
}

/// Somebody holds a lock on the table of orders, until their session is ended.
#[tokio::test]
async fn a_table_that_is_locked() {
    let server = Postgres::start(&[]).await;
    let watched = watched(&server).await;
    let databases = watched.shop.environment.databases.as_ref().expect("databases");
    let operator = testbed::postgres(&databases.orders).await;
    operator.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.expect("a lock");
    // Requests keep coming: those that come while the committers wait for the lock stay in the queue
    // until it is too late.
    tokio::select! {
        () = watched.fires("LastroRequestsShed") => {}
        () = watched.keep_placing() => {}
    }
    watched.fires("LastroCommitsSlow").await;
    operator.batch_execute("ROLLBACK").await.expect("the end of the lock");
    watched.clears("LastroRequestsShed").await;
    watched.clears("LastroCommitsSlow").await;
    watched.shop.confirmed(&[("MUG", 1)]).await;
}

/// The Inventory Service cannot decide for some seconds; when it can, orders settle at once again.
#[tokio::test]
async fn orders_that_wait_for_inventory() {
    let server = Postgres::start(&[]).await;
    let watched = watched(&server).await;
    let held = watched.shop.hold_inventory().await;
    let id = watched.shop.place(&order(&[("MUG", 1)])).await.text_at("/order_id");
    eventually(PATIENCE, "the order has waited for 6 s", async || {
        let age = watched.prometheus.values("commands_oldest_age_seconds > 6").await?;
        (!age.is_empty()).then_some(())
    })
    .await;
    drop(held);
    watched.fires("LastroOrdersSettleSlowly").await;
    watched.shop.order_once(&id, "confirmed").await;
    watched.clears("LastroOrdersSettleSlowly").await;
}

/// A trigger keeps the service from letting orders expire, until it is dropped.
#[tokio::test]
async fn a_deadline_that_nobody_acts_on() {
    let server = Postgres::start(&[]).await;
    let watched = watched(&server).await;
    let id = watched.shop.reserved(&[("MUG", 1)]).await;
    let databases = watched.shop.environment.databases.as_ref().expect("databases");
    let operator = testbed::postgres(&databases.orders).await;
    let stop = "BEGIN;
        UPDATE payment_deadlines SET pay_by = 0, next_attempt_at = 0;
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER stop BEFORE UPDATE OR DELETE ON payment_deadlines
            FOR EACH ROW EXECUTE FUNCTION nothing();
        COMMIT";
    operator.batch_execute(stop).await.expect("a trigger");
    watched.fires("LastroDeadlinesLate").await;
    let go_on = "DROP TRIGGER stop ON payment_deadlines";
    operator.batch_execute(go_on).await.expect("no trigger");
    watched.clears("LastroDeadlinesLate").await;
    watched.shop.order_once(&id, "expired").await;
}
