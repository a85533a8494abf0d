//! What operators set for a role or a database: a session overrides it, or the server is refused.

use std::fmt::Write;

use platform::failure::{Chain, Failure};
use platform::readiness::{Health, Readiness};
use testbed::{PATIENCE, eventually, fresh_database, postgres};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::postgres::connection::Connection;

/// What a service makes of a setting.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// This is in effect instead.
    Overridden(&'static str),
    /// The service writes nothing until it is reset, and says this.
    Refused(&'static str),
}
use Then::{Overridden, Refused};

const SETTINGS: &[(&str, &str, Then)] = &[
    ("client_min_messages", "error", Overridden("warning")),
    ("statement_timeout", "'500ms'", Overridden("0")),
    ("lock_timeout", "'1ms'", Overridden("2s")),
    ("idle_in_transaction_session_timeout", "'500ms'", Overridden("20s")),
    ("idle_session_timeout", "'500ms'", Overridden("0")),
    ("default_transaction_isolation", "serializable", Overridden("read committed")),
    ("default_transaction_deferrable", "on", Overridden("off")),
    ("jit", "on", Overridden("off")),
    ("search_path", "elsewhere", Overridden("public, pg_temp")),
    ("standard_conforming_strings", "off", Overridden("on")),
    ("transform_null_equals", "on", Overridden("off")),
    ("TimeZone", "'America/Sao_Paulo'", Overridden("UTC")),
    ("DateStyle", "'SQL, DMY'", Overridden("ISO, YMD")),
    ("IntervalStyle", "sql_standard", Overridden("postgres")),
    ("bytea_output", "escape", Overridden("hex")),
    ("extra_float_digits", "-15", Overridden("1")),
    ("synchronous_commit", "off", Refused("synchronous_commit=off")),
    ("synchronous_commit", "local", Refused("synchronous_commit=local")),
    ("default_transaction_read_only", "on", Refused("does not allow writes")),
    // As a session looks that a pooler has given to another client before.
    ("lastro.session", "used", Refused("pool_mode = session")),
    ("session_replication_role", "replica", Refused("session_replication_role=replica")),
];

/// Makes the insertion of 1 fail, and that of a negative number succeed with a warning, both at the
/// commit.
const COMPLAIN: &str = "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.x = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END IF;
         IF NEW.x < 0 THEN RAISE WARNING 'hm'; END IF;
         RETURN NULL; END $$;
     CREATE CONSTRAINT TRIGGER late AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION complain()";

/// Ends all other sessions of the database, so that the next ones are new.
async fn disconnect_all(operator: &Client) {
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    operator.execute(others, &[]).await.expect("ended");
}

/// The settings that are in effect in a transaction that writes.
async fn in_effect(database: &Database, setting: &str) -> (String, String) {
    let sql = "SELECT current_setting($1) AS value, current_setting('transaction_isolation') AS isolation";
    let read = async |transaction: &Transaction<'_>| transaction.query(sql, [&setting]).await;
    let rows = database.write(read).await.expect("settings");
    (rows[0].get("value"), rows[0].get("isolation"))
}

/// What the readiness probe says about writing.
async fn readiness(database: &Database) -> Health {
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let checking = database.write_check().run("writes", readiness.clone(), stop);
    let first = eventually(PATIENCE, "a check", async || {
        readiness.snapshot().checks.first().map(|(_, health)| health.clone())
    });
    tokio::select! {
        health = first => health,
        ended = checking => panic!("{ended:?}"),
    }
}

async fn must_work(database: &Database, x: &mut i64, what: &str) {
    *x += 1;
    insert(database, *x).await.expect(what);
    let refused = insert(database, 1).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{what}: {refused:?}");
    let unknown = insert(database, -*x).await;
    assert!(matches!(unknown, Err(Failure::Unknown(_))), "{what}: {unknown:?}");
    assert!(count(database).await.expect(what) >= 1, "{what}: all rows are seen");
    assert_eq!(readiness(database).await, Health::Up, "{what}");
}

async fn must_refuse(database: &Database, url: &str, reason: &str, what: &str) {
    let starting = server(url).connect(Access::Write, &[]).await.expect_err(what).to_string();
    let refused = insert(database, 2).await.expect_err(what);
    assert!(matches!(refused, Failure::Unavailable(_)), "{what}: {refused:?}");
    let Health::Down(detail) = readiness(database).await else { panic!("{what}: ready") };
    for line in [starting, Chain(&refused).to_string(), detail] {
        assert!(line.contains(reason) && !line.contains('\n'), "{what}: {line}");
    }
}

#[tokio::test]
async fn a_setting_of_the_role_or_the_database_is_overridden_or_refused() {
    let (database, url) = database().await;
    let operator = postgres(&url).await;
    operator.batch_execute("CREATE SCHEMA elsewhere").await.expect("a schema");
    operator.batch_execute(COMPLAIN).await.expect("a trigger");
    let (_, name) = url.rsplit_once('/').expect("a database");
    let mut x = 10;
    for whose in [format!("DATABASE {name}"), format!("ROLE postgres IN DATABASE {name}")] {
        for (setting, value, then) in SETTINGS {
            let what = format!("{whose}: {setting} = {value}");
            let set = format!("ALTER {whose} SET {setting} = {value}");
            operator.batch_execute(&set).await.expect(&what);
            disconnect_all(&operator).await;
            match then {
                Overridden(instead) => {
                    must_work(&database, &mut x, &what).await;
                    let expected = ((*instead).to_owned(), "read committed".to_owned());
                    assert_eq!(in_effect(&database, setting).await, expected, "{what}");
                    if *setting != "search_path" {
                        let again = Database::open(server(&url), &SCHEMA, Time::Server).await;
                        must_work(&again.expect(&what), &mut x, &what).await;
                    }
                }
                Refused(reason) => must_refuse(&database, &url, reason, &what).await,
            }
            let reset = format!("ALTER {whose} RESET {setting}");
            operator.batch_execute(&reset).await.expect(&what);
            disconnect_all(&operator).await;
            must_work(&database, &mut x, &format!("{what}, reset")).await;
        }
    }
}

/// A replica that starts with another search path than the others makes no empty tables.
#[tokio::test]
async fn a_search_path_that_leads_past_the_tables_is_refused() {
    let (database, url) = database().await;
    insert(&database, 1).await.expect("a row");
    let operator = postgres(&url).await;
    let (_, name) = url.rsplit_once('/').expect("a database");
    for (schema, search_path) in [("\"Other\"", "\"Other\""), ("postgres", "\"$user\", nothing")] {
        let set = format!(
            "CREATE SCHEMA {schema}; ALTER DATABASE {name} SET search_path = {search_path}"
        );
        operator.batch_execute(&set).await.expect("another schema");
        let refused = Database::open(server(&url), &SCHEMA, Time::Server).await;
        let line = refused.expect_err("no tables there").to_string();
        for word in ["schema \"public\"", "search_path=", "ALTER ROLE"] {
            assert!(line.contains(word), "{word} is not in {line}");
        }
        let audit = Readers::for_audit(server(&url), &SCHEMA).await;
        assert!(matches!(audit, Err(OpenError::Elsewhere { .. })), "{audit:?}");
        let sql = "SELECT count(*) AS tables FROM pg_class WHERE relname = 'schema_migrations'";
        let tables = operator.query_one(sql, &[]).await.expect("a count");
        assert_eq!(tables.get::<_, i64>("tables"), 1, "nothing is made");
    }
    // A path of several schemas leads to the tables wherever they are.
    let set = format!("ALTER DATABASE {name} SET search_path = \"Other\", public");
    operator.batch_execute(&set).await.expect("another path");
    let again = Database::open(server(&url), &SCHEMA, Time::Server).await.expect("the tables");
    assert!(matches!(count(&again).await, Ok(1)));

    let url = fresh_database().await;
    let (_, name) = url.rsplit_once('/').expect("a database");
    let set = format!("ALTER DATABASE {name} SET search_path = nowhere");
    postgres(&url).await.batch_execute(&set).await.expect("a path");
    let refused = Database::open(server(&url), &SCHEMA, Time::Server).await;
    let line = refused.expect_err("no schema").to_string();
    assert!(line.contains("search_path=nowhere leads to no schema"), "{line}");
}

/// A connection that leads to another database than before shows none of its rows.
#[tokio::test]
async fn tables_that_are_gone_are_not_made_again_while_the_service_runs() {
    let (database, url) = database().await;
    insert(&database, 1).await.expect("a row");
    let operator = postgres(&url).await;
    operator.batch_execute("ALTER SCHEMA public RENAME TO away").await.expect("renamed");
    disconnect_all(&operator).await;
    for failure in [insert(&database, 2).await.err(), count(&database).await.err()] {
        let failure = failure.expect("no tables");
        let line = Chain(&failure).to_string();
        assert!(line.contains("not in the schema \"public\" any more"), "{line}");
    }
    operator.batch_execute("ALTER SCHEMA away RENAME TO public").await.expect("renamed");
    insert(&database, 2).await.expect("they are back");
    assert!(matches!(count(&database).await, Ok(2)));
}

#[tokio::test]
async fn a_database_that_cannot_store_every_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let url = fresh_database().await;
        let (host, name) = url.rsplit_once('/').expect("a database");
        let operator = postgres(&format!("{host}/postgres")).await;
        operator.batch_execute(&format!("DROP DATABASE {name}")).await.expect("dropped");
        let create = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        operator.batch_execute(&create).await.expect("a database");
        let refused = Database::open(server(&url), &SCHEMA, Time::Server).await;
        let line = refused.expect_err("another encoding").to_string();
        assert!(line.contains(encoding) && line.contains("ENCODING 'UTF8'"), "{line}");
    }
}

/// The server reports a commit although the wait for its standby was cancelled, and says so in a
/// warning that a role may have switched off.
#[tokio::test]
async fn a_cancelled_wait_for_the_standby_is_unknown_whatever_messages_the_role_wants() {
    let (primary, standby, url) = pair().await;
    let operator = postgres(&primary.url("postgres")).await;
    let (_, name) = url.rsplit_once('/').expect("a database");
    let set = format!("ALTER DATABASE {name} SET client_min_messages = error");
    operator.batch_execute(&set).await.expect("set");
    let database =
        Database::open(server(&url), &SCHEMA, Time::Server).await.expect("a new database");
    standby.pause();
    let cancelling = eventually(PATIENCE, "a wait is cancelled", async || {
        let waiting =
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        (operator.execute(waiting, &[]).await.ok()? > 0).then_some(())
    });
    let (written, ()) = tokio::join!(insert(&database, 1), cancelling);
    assert!(matches!(written, Err(Failure::Unknown(_))), "{written:?}");
    standby.go_on();
}

/// A pooler that pools transactions gives a client the server's session of another one.
#[tokio::test]
async fn a_session_that_somebody_else_has_used_is_refused_with_what_to_do() {
    let url = fresh_database().await;
    let config = url.parse().expect("a URL");
    let server = server(&url);
    let connection = Connection::open(&config, server.tls()).await.expect("a connection");
    // The client counts the names of its statements up.
    let mut taken = String::new();
    for number in 0..2_000 {
        write!(taken, "PREPARE s{number} AS SELECT 1;").expect("a string takes everything");
    }
    connection.batch(&taken).await.expect("statements");
    let error = connection.prepare(&["SELECT 2"]).await.expect_err("its name is taken");
    let refused = server.unusable(&error).to_string();
    for word in ["already exists", "pool_mode = session", "the server itself"] {
        assert!(refused.contains(word), "{word} is not in {refused}");
    }
}
