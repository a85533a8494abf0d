//! Brings a database's schema up to date and grants roles their privileges.

use platform::config::{DatabaseUrl, UsageError};
use platform::process::ProgramError;
use tokio_postgres::types::ToSql;

use super::connection::Connection;
use super::error::OpenError;
use super::privileges::{Role, Roles, SCHEMA_MIGRATIONS, Table, sequences};
use super::server::{Access, Server};
use super::session::{self, Home, find_home};
use crate::migration::{Applied, Migration, SchemaMismatch, missing};

/// How many steps a database may be ahead of the program: while replicas are replaced one by one,
/// the older ones keep running.
const AHEAD: i64 = 1;
/// The lock by which replicas that start together take turns. The number is arbitrary but fixed.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7810212347)";
const CREATE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (number bigint PRIMARY KEY, checksum bytea NOT NULL)";

/// What a service needs its database to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its steps, oldest first.
    pub migrations: &'static [Migration],
    /// Every table and view, with what a role that may not change the schema may do with it.
    pub tables: &'static [Table],
    /// The sequences that the service draws numbers from.
    pub sequences: &'static [&'static str],
    /// The statements that are prepared on every writing connection.
    pub statements: &'static [&'static str],
}

impl Schema {
    /// All tables and views of the service.
    pub(super) fn tables(&self) -> impl Iterator<Item = Table> {
        [SCHEMA_MIGRATIONS].into_iter().chain(self.tables.iter().copied())
    }
}

/// Migrates the schema at `url` as its owner, and lets the roles use it.
///
/// # Errors
///
/// The URL is not one of PostgreSQL, the database is unreachable, a later version migrated it, or a
/// role could do more than it is granted. Nothing was changed.
pub async fn migrate_at(
    url: &DatabaseUrl,
    schema: &Schema,
    roles: Roles<'_>,
) -> Result<(), ProgramError> {
    let DatabaseUrl::Postgres(text) = url else {
        return Err(UsageError(format!(
            "{url}: only PostgreSQL needs migrate; a service migrates its SQLite file when it starts"
        ))
        .into());
    };
    let server = Server::at(text, &url.to_string(), "lastro migrate")?;
    migrate(&server, schema, roles).await.map_err(ProgramError::failed)
}

/// Applies what is missing, all of it in one transaction; the roles may then work with the tables.
///
/// A database that is up to date is only read.
///
/// # Errors
///
/// Returns why the database could not be migrated; nothing was changed.
pub async fn migrate(server: &Server, schema: &Schema, roles: Roles<'_>) -> Result<(), OpenError> {
    let connection = server.connect_patiently(Access::Write, &[]).await?;
    settle(server, &connection, schema).await?;
    let migrations = schema.migrations;
    if still_missing(server, &connection, migrations).await?.is_empty()
        && roles.each().next().is_none()
    {
        return Ok(());
    }
    let step =
        async |sql: &str| connection.batch(sql).await.map_err(|error| server.unusable(&error));
    // Each statement sees what the lock has waited for.
    step("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    step("SET LOCAL lock_timeout = 0").await?;
    connection.query(LOCK, &[]).await.map_err(|error| server.unusable(&error))?;
    // Waiting for a table's lock would block every later transaction on it. Fail instead; the
    // program is started again.
    step("SET LOCAL lock_timeout = '5s'").await?;
    step(CREATE).await?;
    for migration in still_missing(server, &connection, migrations).await? {
        step(migration.sql).await?;
        let row: [&(dyn ToSql + Sync); 2] = [&migration.number, &migration.checksum()];
        let remembered = "INSERT INTO schema_migrations (number, checksum) VALUES ($1, $2)";
        connection.execute(remembered, &row).await.map_err(|error| server.unusable(&error))?;
    }
    for role in roles.each() {
        grant(server, &connection, schema, role).await?;
    }
    step("COMMIT").await
}

/// Gives a role its privileges, if it has no others.
async fn grant(
    server: &Server,
    connection: &Connection,
    schema: &Schema,
    role: Role<'_>,
) -> Result<(), OpenError> {
    let engine = |error| server.unusable(&error);
    let home = server.schema().unwrap_or_default();
    if let Some(reason) = role.unfit(connection, schema).await.map_err(engine)? {
        return Err(OpenError::Role { server: server.name().to_owned(), reason });
    }
    let sequences = sequences(connection, schema).await.map_err(engine)?;
    connection.batch(&role.grants(schema, home, &sequences)).await.map_err(engine)?;
    match role.excess(connection, schema, &sequences).await.map_err(engine)? {
        None => Ok(()),
        Some(reason) => Err(OpenError::Role { server: server.name().to_owned(), reason }),
    }
}

/// Finds the schema of the service, which this and all later connections keep to. Otherwise a
/// changed `search_path` would lead them to other tables, or let them make empty ones.
async fn settle(
    server: &Server,
    connection: &Connection,
    schema: &Schema,
) -> Result<(), OpenError> {
    let engine = |error| server.unusable(&error);
    let name = server.name().to_owned();
    let home = match find_home(connection, schema).await.map_err(engine)? {
        Home::There(home) | Home::New(home) => home,
        Home::Elsewhere { schema, search_path } => {
            return Err(OpenError::Elsewhere { server: name, schema, search_path });
        }
        Home::Nowhere(search_path) => {
            let reason = format!("search_path={search_path} leads to no schema that exists");
            return Err(OpenError::Unusable { server: name, reason });
        }
    };
    connection.batch(&session::pin(&home)).await.map_err(engine)?;
    server.found_schema(home);
    Ok(())
}

/// Returns the steps that are not applied yet.
///
/// # Errors
///
/// Returns an error if the database belongs to a newer program or to another service.
async fn still_missing<'a>(
    server: &Server,
    connection: &Connection,
    migrations: &'a [Migration],
) -> Result<Vec<&'a Migration>, OpenError> {
    let applied = applied(connection).await.map_err(|error| server.unusable(&error))?;
    missing(migrations, &applied, AHEAD).map_err(|misfit| match misfit {
        SchemaMismatch::Newer { found, known } => {
            OpenError::Newer { server: server.name().to_owned(), found, known }
        }
        SchemaMismatch::Changed { number } => {
            OpenError::Changed { server: server.name().to_owned(), number }
        }
    })
}

async fn applied(connection: &Connection) -> Result<Applied, tokio_postgres::Error> {
    let exists = connection
        .query("SELECT to_regclass('schema_migrations') IS NOT NULL AS exists", &[])
        .await?;
    if !exists.first().is_some_and(|row| row.get("exists")) {
        return Ok(Applied::new());
    }
    let rows = connection.query("SELECT number, checksum FROM schema_migrations", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("number")?, row.try_get("checksum")?))).collect()
}

/// For an audit: the schema must be there, and of a version that the program knows.
pub(super) async fn check(server: &Server, schema: &Schema) -> Result<(), OpenError> {
    let connection = server.connect(Access::Audit, &[]).await?;
    settle(server, &connection, schema).await?;
    match still_missing(server, &connection, schema.migrations).await?.first() {
        None => Ok(()),
        Some(step) => {
            let reason = format!("migration {} has not been applied", step.number);
            Err(OpenError::NotMigrated { server: server.name().to_owned(), reason })
        }
    }
}
