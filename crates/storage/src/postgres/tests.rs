use std::pin::pin;
use std::time::Duration;

use platform::failure::Failure;
use testbed::{PATIENCE, Postgres, eventually, fresh_database, postgres};
use uuid::Uuid;

use super::server::Access;
use super::*;
use crate::migration::Migration;

mod settings;

const SCHEMA: Schema = Schema {
    migrations: &[Migration { number: 1, sql: "CREATE TABLE a (x bigint PRIMARY KEY)" }],
    tables: &[Table::appended("a")],
    sequences: &[],
    statements: &[INSERT],
};
const INSERT: &str = "INSERT INTO a VALUES ($1)";

fn server(url: &str) -> Server {
    Server::at(url, "the database", "test").expect("a URL")
}

async fn database() -> (Database, String) {
    let url = fresh_database().await;
    (Database::open(server(&url), &SCHEMA, Time::Server).await.expect("a new database"), url)
}

async fn insert(database: &Database, x: i64) -> Result<(), Failure> {
    database.write(async |transaction| transaction.write(1, INSERT, [&x]).await).await
}

async fn count(database: &Database) -> Result<i64, Failure> {
    database
        .read(async |snapshot| Ok(snapshot.query("SELECT count(*) FROM a", []).await?[0].get(0)))
        .await
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_given_up_and_hinders_no_other() {
    let (database, _) = database().await;
    let sleep = async |limit, seconds: f64| {
        let sleeping = async |snapshot: &Transaction<'_>| {
            snapshot.query("SELECT pg_sleep($1)", [&seconds]).await
        };
        database.read_within(limit, sleeping).await
    };
    let given_up = sleep(Duration::from_millis(1), 600.0).await;
    assert!(matches!(given_up, Err(Failure::Unavailable(_))), "{given_up:?}");
    assert!(sleep(PATIENCE, 0.0).await.is_ok());
    // The connection, which is used again, has no limit any more.
    let shown = database.read(async |snapshot| {
        Ok(snapshot.query("SHOW statement_timeout", []).await?[0].get::<_, String>(0))
    });
    assert_eq!(shown.await.expect("a read"), "0");
}

/// Polls a call so often, and then drops it. Whether it was done by then.
async fn drop_after<T>(polls: u32, call: impl Future<Output = T>) -> bool {
    let (mut call, mut left) = (pin!(call), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        call.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_await_leaves_no_transaction_open() {
    let (database, url) = database().await;
    let operator = postgres(&url).await;
    let (mut polls, mut x, mut both_done) = (0, 0, false);
    while !both_done {
        x += 1;
        let written = drop_after(polls, insert(&database, x)).await;
        let read = drop_after(polls, count(&database)).await;
        both_done = written && read;
        polls += 1;
    }
    assert!(polls > 5, "{polls}");
    // Long before the server itself would end it.
    eventually(Duration::from_secs(15), "no transaction is open", async || {
        let open = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND state NOT IN ('idle', 'disabled')";
        operator.query(open, &[]).await.expect("rows").is_empty().then_some(())
    })
    .await;
    insert(&database, -1).await.expect("a row");
    assert!(count(&database).await.expect("a count") >= 2);
}

#[tokio::test]
async fn what_a_server_says_decides_whether_it_is_asked_again() {
    let (database, _) = database().await;
    insert(&database, 1).await.expect("a row");
    let asked = async |sql: &'static str| {
        let result =
            database.write(async |transaction| transaction.query(sql, []).await.map(drop)).await;
        result.expect_err(sql)
    };
    assert!(matches!(asked("INSERT INTO a VALUES (1)").await, Failure::Suspect(_)));
    assert!(matches!(asked("SELECT 1 / 0").await, Failure::Suspect(_)));
    assert!(matches!(asked("SELECT nothing").await, Failure::Unavailable(_)));
    assert!(matches!(
        asked("SELECT pg_terminate_backend(pg_backend_pid())").await,
        Failure::Unavailable(_)
    ));
    assert!(matches!(
        asked("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(9)").await,
        Failure::Unavailable(_)
    ));
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'deadlock_detected'; END $$";
    assert!(matches!(asked(raise).await, Failure::Busy(_)));
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$";
    assert!(matches!(asked(raise).await, Failure::Full(_)));
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'damaged' USING ERRCODE = 'data_corrupted'; END $$";
    assert!(matches!(asked(raise).await, Failure::Fatal(_)));
    insert(&database, 2).await.expect("it goes on");
}

/// Errors about the server or its sessions do not make a batch suspect, so no command is set aside.
#[tokio::test]
async fn what_says_nothing_about_the_batch_is_asked_again() {
    let (database, _) = database().await;
    for (state, about_the_server) in [
        ("08006", true),
        ("0A000", true),
        ("25006", true),
        ("25P03", true),
        ("25P04", true),
        ("26000", true),
        ("34000", true),
        ("42501", true),
        ("53300", true),
        ("55000", true),
        ("57P01", true),
        ("58000", true),
        ("72000", true),
        ("F0000", true),
        ("XX000", true),
        ("22003", false),
        ("23505", false),
        ("54000", false),
        ("P0001", false),
    ] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$");
        let failed =
            database.write(async |transaction| transaction.query(&raise, []).await.map(drop)).await;
        match failed.expect_err(state) {
            Failure::Unavailable(_) => assert!(about_the_server, "{state}"),
            Failure::Suspect(_) => assert!(!about_the_server, "{state}"),
            other => panic!("{state}: {other:?}"),
        }
    }
}

/// A session that forgot its statements, and a plan that no longer fits its table: the next
/// connection is as good as new.
#[tokio::test]
async fn a_session_that_no_longer_knows_its_statements_costs_no_batch() {
    let (database, url) = database().await;
    insert(&database, 1).await.expect("a row");
    database
        .write(async |transaction| transaction.query("DEALLOCATE ALL", []).await.map(drop))
        .await
        .expect("forgotten");
    assert!(matches!(insert(&database, 2).await, Err(Failure::Unavailable(_))));
    insert(&database, 2).await.expect("on a new connection");

    let rows = async || {
        let read = async |transaction: &Transaction<'_>| {
            transaction.query("SELECT x FROM a", []).await.map(|rows| rows.len())
        };
        database.write(read).await
    };
    assert!(matches!(rows().await, Ok(2)));
    postgres(&url)
        .await
        .batch_execute("ALTER TABLE a ALTER x TYPE numeric")
        .await
        .expect("another type");
    assert!(
        matches!(rows().await, Err(Failure::Unavailable(_))),
        "cached plan must not change result type"
    );
    assert!(matches!(rows().await, Ok(2)));
}

/// A constraint that COMMIT itself checks means that nothing was done; a warning means that the
/// outcome is unknown.
#[tokio::test]
async fn what_a_commit_says_decides_whether_it_was_done() {
    let (database, url) = database().await;
    let operator = postgres(&url).await;
    operator
        .batch_execute(
            "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.x = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = 'check_violation'; END IF;
                 IF NEW.x = 2 THEN RAISE WARNING 'hm'; END IF;
                 RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION complain()",
        )
        .await
        .expect("a trigger");
    assert!(matches!(insert(&database, 1).await, Err(Failure::Suspect(_))));
    assert!(matches!(insert(&database, 2).await, Err(Failure::Unknown(_))));
    insert(&database, 3).await.expect("a row");
}

async fn reader(database: &Database) -> i32 {
    let pid = async |snapshot: &Transaction<'_>| {
        Ok(snapshot.query("SELECT pg_backend_pid()", []).await?[0].get(0))
    };
    database.read(pid).await.expect("a snapshot")
}

/// A writer notices that the primary was demoted. Readers then leave it too, also one that was
/// reading at that time.
#[tokio::test]
async fn readers_leave_a_primary_that_was_demoted() {
    let (database, _) = database().await;
    let before = reader(&database).await;
    assert_eq!(reader(&database).await, before, "the connection is kept");
    let demoted =
        "DO $$ BEGIN RAISE EXCEPTION 'standby' USING ERRCODE = 'read_only_sql_transaction'; END $$";
    let write = async || {
        database.write(async |transaction| transaction.query(demoted, []).await.map(drop)).await
    };
    assert!(matches!(write().await, Err(Failure::Unavailable(_))));
    let after = reader(&database).await;
    assert_ne!(after, before);
    let meanwhile = database.read(async |snapshot| {
        assert!(write().await.is_err());
        Ok(snapshot.query("SELECT pg_backend_pid()", []).await?[0].get::<_, i32>(0))
    });
    assert_eq!(meanwhile.await.expect("what was begun is ended"), after);
    assert_ne!(reader(&database).await, after);
}

/// A primary whose synchronous standby can be stopped, with a database that waits for it.
async fn pair() -> (Postgres, Postgres, String) {
    let primary = Postgres::start(&[]).await;
    let url = primary.fresh_database().await;
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
    (primary, standby, url)
}

/// How many commits may be under way at the same time.
const SLOTS: usize = 8;

/// Writes more at the same time than there are slots, until commits that wait for the standby take
/// all of them. Returns how many wait; the other writes did not reach their commit.
async fn fill_the_slots(database: &Database) -> usize {
    let (mut waiting, mut numbers) = (0, 1..);
    // Where this machine is too slow to connect in time, not all of them get there at once.
    for _ in 0..5 {
        if waiting >= SLOTS {
            break;
        }
        let writes: Vec<_> = numbers.by_ref().take(20).map(|x| insert(database, x)).collect();
        for result in futures_util::future::join_all(writes).await {
            match result {
                Err(Failure::Unknown(_)) => waiting += 1,
                Err(Failure::Unavailable(_)) => {}
                result => panic!("{result:?}, without the standby"),
            }
        }
    }
    waiting
}

/// A server that waits for its standby does not notice that a client has left: each commit that is
/// given up must keep its slot, or they pile up there until no connection is left.
#[tokio::test]
async fn commits_that_wait_for_a_standby_do_not_pile_up() {
    let (primary, standby, url) = pair().await;
    let database =
        Database::open(server(&url), &SCHEMA, Time::Server).await.expect("a new database");
    let operator = postgres(&primary.url("postgres")).await;
    standby.pause();
    assert_eq!(fill_the_slots(&database).await, SLOTS);
    let waiting = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(operator.query(waiting, &[]).await.expect("rows").len(), SLOTS);
    standby.go_on();
    eventually(PATIENCE, "writing goes on", async || insert(&database, -1).await.ok()).await;
    eventually(PATIENCE, "all have ended", async || {
        operator.query(waiting, &[]).await.expect("rows").is_empty().then_some(())
    })
    .await;
    assert!(matches!(count(&database).await, Ok(9)), "what was unknown has been done");
}

/// Commits that never end do not keep the service from the standby that has taken over.
#[tokio::test]
async fn commits_that_were_left_behind_with_a_primary_give_their_places_back() {
    let (primary, standby, url) = pair().await;
    let both = url.replace(
        &format!(":{}/", primary.port()),
        &format!(":{},127.0.0.1:{}/", primary.port(), standby.port()),
    );
    let database =
        Database::open(server(&both), &SCHEMA, Time::Server).await.expect("a new database");
    standby.pause();
    assert_eq!(fill_the_slots(&database).await, SLOTS);
    primary.pause();
    standby.go_on();
    postgres(&standby.url("postgres"))
        .await
        .execute("SELECT pg_promote()", &[])
        .await
        .expect("promoted");
    eventually(PATIENCE, "writing goes on elsewhere", async || insert(&database, -1).await.ok())
        .await;
}

#[tokio::test]
async fn a_server_that_would_not_keep_what_it_confirms_is_refused() {
    let url = fresh_database().await;
    let (_, name) = url.rsplit_once('/').expect("a database");
    let operator = postgres(&url).await;
    for (setting, value) in [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("default_transaction_read_only", "on"),
    ] {
        operator
            .batch_execute(&format!("ALTER DATABASE {name} SET {setting} = {value}"))
            .await
            .expect("set");
        let refused = server(&url).connect(Access::Write, &[]).await;
        match refused {
            Err(OpenError::Unsafe { reason, .. }) => {
                assert!(reason.contains(&format!("{setting}={value}")), "{reason}");
            }
            Err(error) => {
                assert!(setting == "default_transaction_read_only" && error.may_pass(), "{error}");
            }
            Ok(_) => panic!("{setting}={value} is accepted"),
        }
        operator
            .batch_execute(&format!("ALTER DATABASE {name} RESET {setting}"))
            .await
            .expect("reset");
    }
    server(&url).connect(Access::Write, &[]).await.expect("a connection");
}

#[tokio::test]
async fn programs_that_start_together_migrate_once() {
    let url = fresh_database().await;
    let starting: Vec<_> = (0..8)
        .map(|_| {
            let server = server(&url);
            tokio::spawn(
                async move { Database::open(server, &SCHEMA, Time::Server).await.map(drop) },
            )
        })
        .collect();
    for one in starting {
        one.await.expect("no panic").expect("an open database");
    }
    let applied = postgres(&url)
        .await
        .query("SELECT number FROM schema_migrations", &[])
        .await
        .expect("rows");
    assert_eq!(applied.len(), 1);
}

#[test]
fn a_url_that_cannot_be_used_is_refused_with_the_name_for_people() {
    let parsed = |url: &str| Server::at(url, "it", "test").map(|_| ()).map_err(|error| error.0);
    for url in ["postgres://u:p@h/d", "postgresql://u@h:1,i:2/d?target_session_attrs=any"] {
        assert_eq!(parsed(url), Ok(()), "{url}");
    }
    for (url, start) in [
        ("postgres://h/d?sslmode=prefer", "it cannot be used: sslmode="),
        (
            "postgres://h/d?sslrootcert=/nowhere.pem",
            "it cannot be used: sslrootcert=/nowhere.pem: ",
        ),
        ("postgres://h:port/d", "it cannot be used: "),
    ] {
        let error = parsed(url).expect_err(url);
        assert!(error.starts_with(start), "{url}: {error}");
    }
}

/// A server without TLS, as one that is told by whoever is on the way to say so.
#[tokio::test]
async fn a_server_that_refuses_tls_gets_no_password() {
    let url = fresh_database().await.replace("//postgres@", "//postgres:s3cret@");
    let refused = server(&format!("{url}?sslmode=verify-full")).connect(Access::Write, &[]).await;
    let line = refused.expect_err("no TLS").to_string();
    for words in ["does not support TLS", "ssl = on", "sslrootcert=FILE"] {
        assert!(line.contains(words) && !line.contains("s3cret"), "{line}");
    }
    server(&url).connect(Access::Write, &[]).await.expect("in the clear, on this machine");
}

#[test]
fn pages_begin_with_the_first_of_all_ids_and_end_with_the_last() {
    assert_eq!(page_from(None), Some(Uuid::nil()));
    assert_eq!(page_from(Some(Uuid::from_u128(0xff))), Some(Uuid::from_u128(0x100)));
    assert_eq!(page_from(Some(Uuid::max())), None);
}
