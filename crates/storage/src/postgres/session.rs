//! What a session sets for itself, whatever an operator has set for the role or the database, and
//! what it refuses.

use tokio_postgres::Error;

use platform::pairing::DatabaseId;

use super::connection::Connection;
use super::migrate::Schema;

/// Marks the server's session as used by a service. A new one has no mark, so one that is there
/// shows that a pooler shares the server's sessions between clients: what is set or prepared in one
/// transaction is gone in the next.
const MARK: &str = "SELECT set_config('lastro.found', coalesce(current_setting('lastro.session', true), ''), false);
     SET lastro.session = 'used'";

/// Settings of every session, which override those of the role and of the database.
///
/// - A wait for the standby that is cancelled shows only as a warning after the commit (R4).
/// - Waits end, a client that is gone is noticed while they last, and nothing else cuts a
///   statement off: the service has deadlines of its own.
/// - Nothing is compiled: statements are short, and where a plan is switched off, its cost looks so
///   high that the server would compile even a look at one row.
/// - Texts mean what they say: literals in migrations, `= NULL`, times.
const SETTINGS: &str = "SET client_min_messages = warning;
     SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '20s';
     SET client_connection_check_interval = '1s';
     SET statement_timeout = 0; SET idle_session_timeout = 0;
     SET jit = off;
     SET standard_conforming_strings = on; SET transform_null_equals = off;
     SET timezone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
     SET bytea_output = hex; SET extra_float_digits = 1;
     SET default_transaction_isolation = 'read committed';
     SET default_transaction_deferrable = off";

/// A setting that PostgreSQL has since version 17.
const NEWER_SETTINGS: &str = "SELECT set_config('transaction_timeout', '0', false)
     WHERE current_setting('transaction_timeout', true) IS NOT NULL";

/// What a batch touches is found by its keys, one after the other. A planner that has not seen the
/// tables grow yet, as in a new shop, would rather read them whole, and keep to that plan.
const BY_KEYS: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// What is in effect then. What is found of `synchronous_commit` is pinned: it is what this session
/// will do.
const IN_EFFECT: &str = "SELECT to_regclass('schema_migrations') IS NOT NULL AS known,
            current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
            set_config('synchronous_commit', current_setting('synchronous_commit'), false)
                AS synchronous_commit,
            current_setting('session_replication_role') AS session_replication_role,
            current_setting('transaction_read_only') AS transaction_read_only,
            pg_is_in_recovery() AS recovering, current_setting('lastro.found') AS found,
            current_setting('server_encoding') AS encoding";

/// Why a session cannot be used.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A statement failed.
    Engine(Error),
    /// The server is a standby or is read-only, as the text says.
    ReadOnly(String),
    /// Commits are not durable, as the text says.
    Unsafe(String),
    /// A pooler shares the server's sessions between clients, as the text shows.
    Pooled(String),
    /// Something else is set so that the service cannot work.
    Unusable(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// Prepares a new session for its use, and refuses one that would break a promise. All of it is one
/// round trip, and one more to see which database it is.
pub(super) async fn begin(
    connection: &Connection,
    schema: Option<&str>,
    database: Option<DatabaseId>,
    writes: bool,
) -> Result<(), Refusal> {
    let pinned = schema.map(pin);
    let by_keys = writes.then_some(BY_KEYS);
    let statements = [Some(MARK), Some(SETTINGS), Some(NEWER_SETTINGS), pinned.as_deref(), by_keys];
    let statements: Vec<_> = statements.into_iter().flatten().chain([IN_EFFECT]).collect();
    let in_effect = connection.texts(&statements.join(";")).await?;
    let text = |column: &str| {
        in_effect.as_ref().and_then(|row| row.try_get(column).ok().flatten()).unwrap_or_default()
    };
    if !text("found").is_empty() {
        return Err(Refusal::Pooled("a new session was used before".to_owned()));
    }
    let encoding = text("encoding");
    if encoding != "UTF8" {
        return Err(Refusal::Unusable(format!(
            "its encoding is {encoding}, which cannot store every text; use a database with ENCODING 'UTF8' (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
        )));
    }
    if writes {
        check_durable(text)?;
    }
    match schema {
        Some(schema) if text("known") != "t" => Err(Refusal::Unusable(format!(
            "the tables of the service are not in the schema {schema:?} any more; restart the service if the database was replaced"
        ))),
        _ => check_database(connection, database).await,
    }
}

/// Checks that the session sees the database that the service knows (R31).
async fn check_database(connection: &Connection, known: Option<DatabaseId>) -> Result<(), Refusal> {
    let Some(known) = known else { return Ok(()) };
    let found = connection.texts("SELECT id::text AS id FROM deployment").await?;
    let found = found.as_ref().and_then(|row| row.get("id")).unwrap_or("none");
    if found == known.to_string() {
        return Ok(());
    }
    Err(Refusal::Unusable(format!(
        "it is another database ({found}) than the service began with ({known}); restart the service if the database was replaced"
    )))
}

/// The statement that pins the schema of a session, whatever the `search_path` of its role becomes.
pub(super) fn pin(schema: &str) -> String {
    // Temporary tables would otherwise come first.
    format!("SET search_path = \"{}\", pg_temp", schema.replace('"', "\"\""))
}

/// Checks that commits are durable, and that the database guards its data (R1).
fn check_durable<'a>(text: impl Fn(&str) -> &'a str) -> Result<(), Refusal> {
    let (read_only, recovering) = (text("transaction_read_only"), text("recovering"));
    if read_only != "off" || recovering != "f" {
        let reason = format!("transaction_read_only={read_only}, in recovery: {recovering}");
        return Err(Refusal::ReadOnly(reason));
    }
    let role = text("session_replication_role");
    if role != "origin" {
        return Err(Refusal::Unusable(format!(
            "session_replication_role={role} switches off the triggers that guard the data; reset it for this role and database"
        )));
    }
    let [fsync, full_pages, commit] = ["fsync", "full_page_writes", "synchronous_commit"].map(text);
    if fsync == "on" && full_pages == "on" && !matches!(commit, "off" | "local") {
        return Ok(());
    }
    Err(Refusal::Unsafe(format!(
        "fsync={fsync}, full_page_writes={full_pages}, synchronous_commit={commit}"
    )))
}

/// Where a session finds the tables of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In this schema, which the search path leads to.
    There(String),
    /// Nowhere yet: they would be made in this schema.
    New(String),
    /// In another schema than those of the search path.
    Elsewhere {
        /// The schema with the tables.
        schema: String,
        /// The search path, which does not lead there.
        search_path: String,
    },
    /// The search path, which leads to no schema.
    Nowhere(String),
}

/// The schema that has the tables of a service, one of the search path first. A version that knows
/// more tables than there are must recognize them, too.
const ELSEWHERE: &str =
    "SELECT nspname::text AS schema, nspname = ANY(current_schemas(false)) AS on_path
     FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
     WHERE relname = ANY($1) AND relkind IN ('r', 'p') GROUP BY nspname
     HAVING bool_or(relname = 'schema_migrations') AND count(*) * 2 > cardinality($1)
     ORDER BY on_path DESC, nspname LIMIT 1";

/// Finds the schema of a service.
pub(super) async fn find_home(connection: &Connection, schema: &Schema) -> Result<Home, Error> {
    let sql = "SELECT current_setting('search_path') AS search_path, current_schema()::text AS first,
                      (SELECT nspname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                       WHERE pg_class.oid = to_regclass('schema_migrations')) AS found";
    let rows = connection.query(sql, &[]).await?;
    let text = |column: &str| rows.first().and_then(|row| row.get::<_, Option<String>>(column));
    if let Some(found) = text("found") {
        return Ok(Home::There(found));
    }
    let search_path = text("search_path").unwrap_or_default();
    // A version that knows more tables than there are must recognize them, too.
    let tables: Vec<_> = schema.tables().map(|table| table.name).collect();
    let elsewhere = connection.query(ELSEWHERE, &[&tables]).await?;
    if let Some(row) = elsewhere.first() {
        let schema = row.get("schema");
        // Another replica may just have made them.
        let on_path: bool = row.get("on_path");
        return Ok(match on_path {
            true => Home::There(schema),
            false => Home::Elsewhere { schema, search_path },
        });
    }
    Ok(text("first").map_or(Home::Nowhere(search_path), Home::New))
}
