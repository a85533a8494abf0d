//! The schema's owner migrates, the service runs as a role that may only append to the ledgers, and
//! versions that differ by one run side by side.

use std::path::Path;

use testbed::{Databases, Deployment, Environment, Form, Postgres, lastro, postgres};
use tokio_postgres::error::SqlState;

use crate::environment_on;

#[tokio::test]
async fn a_role_that_may_not_change_the_schema_runs_the_service_and_keeps_its_hands_off_the_ledgers()
 {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let owner = environment.databases.clone().expect("databases");
    let operator = postgres(&server.url("postgres")).await;
    let roles = "CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN";
    operator.batch_execute(roles).await.expect("roles");
    // Some owners have such default privileges; they must not apply to the ledgers.
    let generous = "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app";
    for url in [&owner.orders, &owner.inventory] {
        postgres(url).await.batch_execute(generous).await.expect("granted");
    }
    let as_app = |url: &str| url.replace("//postgres@", "//app@");
    let databases =
        Databases { orders: as_app(&owner.orders), inventory: as_app(&owner.inventory) };
    let folder = tempfile::tempdir().expect("a folder");

    let early = lastro(folder.path()).args(["order-service", "--listen", "127.0.0.1:0"]);
    let early = early
        .args(["--database-url", &databases.orders, "--bus-url", &environment.broker().url()])
        .to_end()
        .await;
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    assert!(early.stderr.contains("run `migrate` as its owner"), "{}", early.stderr);

    for _ in 0..2 {
        must_migrate(folder.path(), &owner).await;
    }
    let shop = Deployment::open_as(
        Form::Postgres,
        Environment { databases: Some(databases.clone()), ..environment },
    )
    .await;
    shop.stock("MUG", 10).await;
    let cancelled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    shop.settle(&[("MUG", 100)]).await;
    shop.must_verify().await;

    let as_reader = |url: &str| url.replace("//postgres@", "//reader@");
    let verify =
        lastro(folder.path()).args(["verify", "--orders-database-url", &as_reader(&owner.orders)]);
    let verified =
        verify.args(["--inventory-database-url", &as_reader(&owner.inventory)]).to_end().await;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);

    must_be_append_only(&databases).await;
}

/// Migrates both databases as their owner, for the roles `app` and `reader`.
async fn must_migrate(folder: &Path, owner: &Databases) {
    let migrate = lastro(folder).args(["migrate", "--orders-database-url", &owner.orders]);
    let migrated = migrate
        .args(["--inventory-database-url", &owner.inventory])
        .args(["--role", "app", "--reader", "reader"])
        .to_end()
        .await;
    let lines = migrated.stdout.lines().count();
    assert_eq!((migrated.code, lines), (Some(0), 2), "{}", migrated.stderr);
}

/// The role may add to the ledgers, and neither change nor remove what is there.
async fn must_be_append_only(databases: &Databases) {
    let orders = postgres(&databases.orders).await;
    let inventory = postgres(&databases.inventory).await;
    for (client, forbidden) in [
        (&orders, "UPDATE idempotency_keys SET key = 'another'"),
        (&orders, "DELETE FROM order_states"),
        (&orders, "DELETE FROM orders"),
        (&orders, "DROP TABLE orders"),
        (&orders, "UPDATE orders SET total_minor = 0"),
        (&orders, "UPDATE schema_migrations SET number = 2"),
        (&inventory, "UPDATE movements SET on_hand = 100"),
        (&inventory, "DELETE FROM movements"),
        (&inventory, "TRUNCATE movements"),
        (&inventory, "DELETE FROM reservations"),
        (&inventory, "DELETE FROM stock"),
    ] {
        let refused = client.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{forbidden}");
    }
}

/// A rolling upgrade: the schema is one step ahead, and programs of the previous version run on and
/// can be restarted.
#[tokio::test]
async fn a_program_runs_on_a_schema_that_is_one_step_ahead_and_on_none_that_is_further() {
    let server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let databases = environment.databases.clone().expect("databases");
    let mut shop = Deployment::open_as(Form::Replicas, environment).await;
    shop.stock("MUG", 10).await;
    let orders = postgres(&databases.orders).await;
    let step = "ALTER TABLE orders ADD COLUMN note text; INSERT INTO schema_migrations VALUES (2, '\\x00')";
    orders.batch_execute(step).await.expect("a later version's step");
    shop.confirmed(&[("MUG", 1)]).await;
    shop.reopen().await;
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;

    orders
        .batch_execute("INSERT INTO schema_migrations VALUES (3, '\\x00')")
        .await
        .expect("one more");
    let folder = tempfile::tempdir().expect("a folder");
    let late = lastro(folder.path()).args(["order-service", "--listen", "127.0.0.1:0"]);
    let late = late.args([
        "--database-url",
        &databases.orders,
        "--bus-url",
        &shop.environment.broker().url(),
    ]);
    let late = late.to_end().await;
    assert_eq!(late.code, Some(1), "{}", late.stderr);
    assert!(
        late.stderr.contains("newer version of Lastro (schema 3, this program knows 1)"),
        "{}",
        late.stderr
    );
}
