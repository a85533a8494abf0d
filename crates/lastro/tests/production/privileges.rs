//! What the roles of a service and of an audit may do with a database: what they need, and nothing
//! else.

use std::path::Path;

use testbed::{Ended, Postgres, as_role, lastro, postgres};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Every relation of the orders database, with what the role of the service may do. The name of a
/// column stands for the right to change it.
const ORDERS: &str = "
    admin_log: SELECT, INSERT
    admin_log_entry_no_seq:
    api_keys: SELECT, last_used_at, secret_last_used_at, previous_last_used_at
    api_keys_version: SELECT
    deployment: SELECT, peer
    deployment_channels: SELECT, INSERT, DELETE
    idempotency_keys: SELECT, INSERT
    journal: SELECT, INSERT, no
    journal_head: SELECT, last
    journal_id_seq:
    order_history:
    order_lines:
    order_list:
    order_states: SELECT, INSERT, status, revision, settled, last_seq, digest, updated_at, refund_due_minor, history
    orders: SELECT, INSERT, order_id (but a trigger forbids it)
    payment_deadlines: SELECT, INSERT, armed_at, pay_by, next_attempt_at, DELETE
    pending_commands: SELECT, INSERT, attempt, sent_at, next_attempt_at, DELETE
    quarantine: SELECT, INSERT, count, last_at, discarded_at, discarded_by, DELETE
    schema_migrations: SELECT";

/// The same of the inventory database.
const INVENTORY: &str = "
    admin_log: SELECT, INSERT
    admin_log_entry_no_seq:
    allocations:
    api_keys: SELECT, last_used_at, secret_last_used_at, previous_last_used_at
    api_keys_version: SELECT
    batch_numbers: nextval
    deployment: SELECT, peer
    deployment_channels: SELECT, INSERT, DELETE
    journal: SELECT, INSERT, no
    journal_head: SELECT, last
    journal_id_seq:
    ledger:
    locations: SELECT, INSERT, name, priority
    locations_location_no_seq:
    movements: SELECT, INSERT
    products: SELECT, INSERT, name, search_name, low_stock_at, updated_at
    products_product_no_seq:
    quarantine: SELECT, INSERT, count, last_at, discarded_at, discarded_by, DELETE
    reservations: SELECT, INSERT, digest, updated_at, revision, allocations, shortages, returns
    returns:
    schema_migrations: SELECT
    shortages:
    stock: SELECT, INSERT, on_hand, reserved, last_seq, last_movement, quarantined";

/// What `lastro verify` reads.
const ORDERS_OF_READER: &str = "
    admin_log: SELECT
    admin_log_entry_no_seq:
    api_keys:
    api_keys_version:
    deployment: SELECT
    deployment_channels:
    idempotency_keys:
    journal: SELECT
    journal_head:
    journal_id_seq:
    order_history:
    order_lines:
    order_list:
    order_states: SELECT
    orders: SELECT
    payment_deadlines: SELECT
    pending_commands: SELECT
    quarantine:
    schema_migrations: SELECT";

const INVENTORY_OF_READER: &str = "
    admin_log: SELECT
    admin_log_entry_no_seq:
    allocations:
    api_keys:
    api_keys_version:
    batch_numbers:
    deployment: SELECT
    deployment_channels:
    journal: SELECT
    journal_head:
    journal_id_seq:
    ledger:
    locations: SELECT
    locations_location_no_seq:
    movements: SELECT
    products: SELECT
    products_product_no_seq:
    quarantine:
    reservations: SELECT
    returns:
    schema_migrations: SELECT
    shortages:
    stock: SELECT";

/// The databases of both services on a server of the test's own, whose owner is no superuser.
struct Databases {
    server: Postgres,
    operator: Client,
    orders: String,
    inventory: String,
    folder: tempfile::TempDir,
}

impl Databases {
    async fn new() -> Self {
        let server = Postgres::start(&[]).await;
        let operator = postgres(&server.url("postgres")).await;
        let of_owner = async || {
            let url = server.fresh_database().await;
            let its_url = as_role(&url, "owner").await;
            let (_, name) = url.rsplit_once('/').expect("a database");
            let give = format!("ALTER DATABASE {name} OWNER TO owner");
            operator.batch_execute(&give).await.expect("an owner");
            its_url
        };
        let (orders, inventory) = (of_owner().await, of_owner().await);
        let folder = tempfile::tempdir().expect("a folder");
        Self { server, operator, orders, inventory, folder }
    }

    async fn migrate(&self, arguments: &[&str]) -> Ended {
        let databases =
            ["--orders-database-url", &self.orders, "--inventory-database-url", &self.inventory];
        let migrate = lastro(self.folder.path()).args(["migrate"]).args(databases);
        migrate.args(arguments.iter().copied()).to_end().await
    }

    async fn as_superuser(&self, url: &str) -> Client {
        postgres(&url.replace("//owner@", "//postgres@")).await
    }
}

fn of_role(url: &str, role: &str) -> String {
    url.replace("//owner@", &format!("//{role}@"))
}

/// Whether a statement is denied to a role. `Err` says that a trigger refused it.
async fn may(session: &Client, sql: &str) -> Result<bool, ()> {
    session.batch_execute("BEGIN").await.expect("a transaction");
    let done = session.batch_execute(sql).await;
    session.batch_execute("ROLLBACK").await.expect("nothing is kept");
    match done.map_err(|error| error.code().cloned()) {
        Err(Some(SqlState::INSUFFICIENT_PRIVILEGE)) => Ok(false),
        Err(Some(SqlState::RESTRICT_VIOLATION)) => Err(()),
        // A constraint is looked at later than a privilege.
        Ok(()) | Err(Some(SqlState::NOT_NULL_VIOLATION | SqlState::UNIQUE_VIOLATION)) => Ok(true),
        Err(other) => panic!("{sql}: {other:?}"),
    }
}

/// A line for each relation: what a role may do with it, found out by doing it.
async fn rights(url: &str, role: &str) -> String {
    let owner = postgres(url).await;
    let session = postgres(&of_role(url, role)).await;
    let relations = "SELECT relname::text, relkind::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
        ORDER BY relname";
    let mut lines = String::new();
    for relation in owner.query(relations, &[]).await.expect("relations") {
        let (name, kind): (&str, &str) = (relation.get("relname"), relation.get("relkind"));
        let columns = "SELECT attname::text FROM pg_attribute
            WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let columns = owner.query(columns, &[&name]).await.expect("columns");
        let columns: Vec<&str> = columns.iter().map(|row| row.get("attname")).collect();
        let mut tried = Vec::new();
        let update = |column: &str| format!("UPDATE {name} SET {column} = DEFAULT WHERE false");
        match kind {
            "S" => {
                tried.push(("nextval", format!("SELECT nextval('{name}')")));
                tried.push(("setval", format!("SELECT setval('{name}', 1)")));
            }
            "v" | "m" => tried.push(("SELECT", format!("SELECT * FROM {name}"))),
            _ => {
                tried.push(("SELECT", format!("SELECT * FROM {name}")));
                tried.push(("INSERT", format!("INSERT INTO {name} DEFAULT VALUES")));
                tried.extend(columns.iter().map(|column| (*column, update(column))));
                tried.push(("DELETE", format!("DELETE FROM {name} WHERE false")));
                tried.push(("TRUNCATE", format!("TRUNCATE {name}")));
                tried.push(("DROP", format!("DROP TABLE {name}")));
                tried.push(("ALTER", format!("ALTER TABLE {name} DISABLE TRIGGER ALL")));
            }
        }
        let mut rights = Vec::new();
        for (right, sql) in tried {
            match may(&session, &sql).await {
                Ok(true) => rights.push(right.to_owned()),
                Ok(false) => {}
                Err(()) => rights.push(format!("{right} (but a trigger forbids it)")),
            }
        }
        lines += format!("\n    {name}: {}", rights.join(", ")).trim_end();
    }
    lines
}

#[tokio::test]
async fn each_role_may_do_what_it_needs_and_nothing_else() {
    let databases = Databases::new().await;
    for url in [&databases.orders, &databases.inventory] {
        for role in ["app", "reader"] {
            as_role(&url.replace("//owner@", "//postgres@"), role).await;
            // Some owners have such default privileges.
            let generous = format!(
                "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role};
                 ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {role}"
            );
            postgres(url).await.batch_execute(&generous).await.expect("granted");
        }
    }
    for _ in 0..2 {
        let migrated = databases.migrate(&["--role", "app", "--reader", "reader"]).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
        // What was granted to a column before is taken away as well.
        let excess = "GRANT UPDATE (total_minor), SELECT ON orders TO app, reader";
        postgres(&databases.orders).await.batch_execute(excess).await.expect("granted");
        let migrated = databases.migrate(&["--role", "app", "--reader", "reader"]).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    }
    for (url, role, expected) in [
        (&databases.orders, "app", ORDERS),
        (&databases.inventory, "app", INVENTORY),
        (&databases.orders, "reader", ORDERS_OF_READER),
        (&databases.inventory, "reader", INVENTORY_OF_READER),
    ] {
        let found = rights(url, role).await;
        assert_eq!(found, expected, "{role}; a new table needs a line here and in TABLES");
        let session = postgres(&of_role(url, role)).await;
        assert_eq!(may(&session, "CREATE TABLE x ()").await, Ok(false), "{role}");
        assert_eq!(may(&session, "COPY deployment TO '/tmp/x'").await, Ok(false), "{role}");
        assert_eq!(may(&session, "SELECT rolpassword FROM pg_authid").await, Ok(false), "{role}");
    }
    let verify = verify_as(&databases, "reader", databases.folder.path()).await;
    assert_eq!(verify.code, Some(0), "{}{}", verify.stdout, verify.stderr);
}

/// The role of a service notes uses of keys, and can neither make itself a key nor make one stronger.
#[tokio::test]
async fn the_role_of_a_service_cannot_forge_a_key() {
    let databases = Databases::new().await;
    as_role(&databases.orders.replace("//owner@", "//postgres@"), "app").await;
    let migrated = databases.migrate(&["--role", "app"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    for url in [&databases.orders, &databases.inventory] {
        let insert = "INSERT INTO api_keys
             (id, name, scopes, mode, sha256, created_at, created_by, not_after)
             VALUES ('4fT9xQ2mLp0a', 'till', 'orders:read', 'live', sha256('x'), 1, 'me', 2)";
        let owner = postgres(url).await;
        owner.batch_execute(insert).await.expect("a key");
        let service = postgres(&of_role(url, "app")).await;
        for forgery in [
            &insert.replace("4fT9xQ2mLp0a", "4fT9xQ2mLp0b"),
            "UPDATE api_keys SET scopes = 'keys:admin'",
            "UPDATE api_keys SET sha256 = sha256('y')",
            "UPDATE api_keys SET previous_sha256 = sha256('y'), previous_replaced_at = 8,
             previous_not_after = 9",
            "UPDATE api_keys SET not_after = 9",
            "UPDATE api_keys SET revoked_at = NULL",
            "UPDATE api_keys SET customer_id = NULL",
            "UPDATE api_keys SET last_used_at = 9, rate = NULL",
            "DELETE FROM api_keys",
            "UPDATE api_keys_version SET version = 7",
            "ALTER TABLE api_keys DISABLE TRIGGER ALL",
        ] {
            assert_eq!(may(&service, forgery).await, Ok(false), "{forgery}");
        }
        let noted = "UPDATE api_keys SET last_used_at = 9";
        assert_eq!(may(&service, noted).await, Ok(true));
        let version = "SELECT version FROM api_keys_version";
        let before: i64 = owner.query_one(version, &[]).await.expect("a row").get(0);
        service.batch_execute(noted).await.expect("noted");
        let after: i64 = owner.query_one(version, &[]).await.expect("a row").get(0);
        assert_eq!(before, after, "a use is no change");
    }
    // Nor with the tool.
    let [orders, inventory] = [&databases.orders, &databases.inventory];
    let create = |orders: String| {
        let keys = lastro(databases.folder.path()).args(["keys", "create", "--name", "x"]);
        let keys = keys.args(["--scope", "keys:admin", "--orders-database-url", &orders]);
        keys.args(["--inventory-database-url", inventory]).to_end()
    };
    let refused = create(of_role(orders, "app")).await;
    refused.must_be_refused(1, &["the address of the tables' owner", "run the command again"]);
    let made = create(orders.clone()).await;
    assert_eq!((made.code, made.stdout.starts_with("lsk_live_")), (Some(0), true), "{made:?}");
}

async fn verify_as(databases: &Databases, role: &str, folder: &Path) -> Ended {
    let orders = of_role(&databases.orders, role);
    let inventory = of_role(&databases.inventory, role);
    let verify = lastro(folder).args(["verify", "--orders-database-url", &orders]);
    verify.args(["--inventory-database-url", &inventory]).to_end().await
}

#[tokio::test]
async fn a_role_that_could_do_more_is_refused_and_nothing_is_changed() {
    let databases = Databases::new().await;
    for sql in [
        "CREATE ROLE member LOGIN; GRANT owner TO member",
        "CREATE ROLE guest LOGIN NOINHERIT; GRANT member TO guest",
        "CREATE ROLE creator LOGIN CREATEROLE",
        "CREATE ROLE copier LOGIN REPLICATION",
        "CREATE ROLE runner LOGIN; GRANT pg_execute_server_program TO runner",
        "CREATE ROLE writer LOGIN; GRANT pg_write_all_data TO writer",
        "CREATE ROLE snoop LOGIN; GRANT pg_read_all_data TO snoop",
        "CREATE ROLE dba SUPERUSER; CREATE ROLE heir LOGIN; GRANT dba TO heir",
        "CREATE ROLE quiet LOGIN NOINHERIT; GRANT pg_write_all_data TO quiet",
        "CREATE ROLE app LOGIN",
        "CREATE ROLE \"a \"\"b\"\"\" LOGIN",
    ] {
        databases.operator.batch_execute(sql).await.expect(sql);
    }
    for (arguments, words) in [
        (["--role", "heir"], "is a member of \"dba\""),
        (["--role", "quiet"], "the role \"quiet\" may do more than it needs"),
        (["--role", "postgres"], "the role \"postgres\" has SUPERUSER"),
        (["--reader", "postgres"], "the role \"postgres\" has SUPERUSER"),
        (["--role", "owner"], "the role \"owner\" owns the tables"),
        (["--role", "member"], "the role \"member\" is a member of \"owner\""),
        (["--role", "guest"], "the role \"guest\" is a member of \"owner\""),
        (["--reader", "guest"], "the role \"guest\" is a member of \"owner\""),
        (["--role", "creator"], "has CREATEROLE"),
        (["--role", "copier"], "has REPLICATION"),
        (["--role", "runner"], "is a member of \"pg_execute_server_program\""),
        (["--role", "writer"], "DELETE on orders"),
        (["--reader", "snoop"], "SELECT on quarantine"),
        (["--role", "nobody"], "there is no role \"nobody\"; create it: CREATE ROLE \"nobody\""),
    ] {
        let refused = databases.migrate(&arguments).await;
        assert_eq!(refused.code, Some(1), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        let tables = "SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        let orders = databases.as_superuser(&databases.orders).await;
        assert!(orders.query(tables, &[]).await.expect("rows").is_empty(), "{arguments:?}");
    }
    let same = databases.migrate(&["--role", "app", "--reader", "app"]).await;
    same.must_be_a_usage_error(&["--role", "--reader"]);

    // What everybody may do counts, too.
    for role in ["app", "a \"b\""] {
        let migrated = databases.migrate(&["--role", role]).await;
        assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    }
    let orders = postgres(&databases.orders).await;
    for (grant, words) in [
        ("UPDATE (total_minor) ON orders", "may do more than it needs: UPDATE on orders;"),
        ("CREATE ON SCHEMA public", "may do more than it needs: CREATE on the schema public;"),
    ] {
        orders.batch_execute(&format!("GRANT {grant} TO PUBLIC")).await.expect("granted");
        let refused = databases.migrate(&["--role", "app"]).await;
        assert_eq!(refused.code, Some(1), "{grant}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{grant}: {}", refused.stderr);
        orders.batch_execute(&format!("REVOKE {grant} FROM PUBLIC")).await.expect("revoked");
    }
    let migrated = databases.migrate(&["--role", "app"]).await;
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    drop(databases.server);
}
