//! The table `admin_log`, which both services have: who changed what by hand. Each service writes
//! its own entries; those about API keys are written here.

use platform::clock::Timestamp;
use platform::config::DatabaseUrl;
use platform::failure::Failure;
use platform::process::ProgramError;
use rusqlite::{Connection, params};

use crate::migration::Migration;
use crate::postgres::{Parameter, Schema, Server, Transaction};
use crate::{postgres, sqlite};

/// An entry of the admin log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEntry {
    /// When the change was made.
    pub at: Timestamp,
    /// Who made it; `None` if clients were not asked who they are.
    pub actor: Option<String>,
    /// What was done, such as `key_created`.
    pub action: String,
    /// The id of what was changed.
    pub subject: String,
    /// What it was before, as JSON; `None` if it did not exist.
    pub before: Option<String>,
    /// What it is after, as JSON.
    pub after: String,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
}

/// Inserts an entry in the caller's transaction.
///
/// # Errors
///
/// As [`sqlite::exactly_one`]; the caller must not commit the transaction.
pub fn insert_sqlite(connection: &Connection, entry: &AdminEntry) -> Result<(), Failure> {
    sqlite::exactly_one(
        connection,
        "INSERT INTO admin_log (at, actor, action, subject, before, after, request_id, address)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            entry.at.0,
            entry.actor,
            entry.action,
            entry.subject,
            entry.before,
            entry.after,
            entry.request_id,
            entry.address,
        ],
    )
}

/// Inserts an entry in the caller's transaction.
///
/// # Errors
///
/// Those of [`Transaction::write`]; the caller must not commit the transaction.
pub async fn insert_postgres(
    transaction: &Transaction<'_>,
    entry: &AdminEntry,
) -> Result<(), Failure> {
    let insert =
        "INSERT INTO admin_log (at, actor, action, subject, before, after, request_id, address)
         VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json, $7, $8)";
    let row: [Parameter<'_>; 8] = [
        &entry.at.0,
        &entry.actor,
        &entry.action,
        &entry.subject,
        &entry.before,
        &entry.after,
        &entry.request_id,
        &entry.address,
    ];
    transaction.write(1, insert, row).await
}

/// Reads the newest entries of a service's database, newest first. The service may be running.
///
/// # Errors
///
/// The database does not exist, cannot be reached, or is of another version.
pub async fn newest(
    url: &DatabaseUrl,
    schema: &Schema,
    migrations: &'static [Migration],
    limit: u32,
) -> Result<Vec<AdminEntry>, ProgramError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let readers = sqlite::Readers::for_audit(path, migrations);
            let readers = readers.map_err(ProgramError::failed)?;
            Ok(readers.read(move |connection| newest_sqlite(connection, limit)).await?)
        }
        DatabaseUrl::Postgres(text) => {
            let server = Server::at(text, &url.to_string(), "lastro admin-log")?;
            let readers = postgres::Readers::for_audit(server, schema).await;
            let readers = readers.map_err(ProgramError::failed)?;
            Ok(readers.read(async |snapshot| newest_postgres(snapshot, limit).await).await?)
        }
    }
}

fn newest_sqlite(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<AdminEntry>> {
    let entry = |row: &rusqlite::Row<'_>| {
        Ok(AdminEntry {
            at: Timestamp(row.get("at")?),
            actor: row.get("actor")?,
            action: row.get("action")?,
            subject: row.get("subject")?,
            before: row.get("before")?,
            after: row.get("after")?,
            request_id: row.get("request_id")?,
            address: row.get("address")?,
        })
    };
    let mut statement = connection.prepare(
        "SELECT at, actor, action, subject, before, after, request_id, address
         FROM admin_log ORDER BY entry_no DESC LIMIT ?1",
    )?;
    statement.query_map([limit], entry)?.collect()
}

async fn newest_postgres(
    snapshot: &Transaction<'_>,
    limit: u32,
) -> Result<Vec<AdminEntry>, Failure> {
    let entry = |row: &tokio_postgres::Row| {
        Ok(AdminEntry {
            at: Timestamp(row.try_get("at")?),
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            before: row.try_get("before")?,
            after: row.try_get("after")?,
            request_id: row.try_get("request_id")?,
            address: row.try_get("address")?,
        })
    };
    let newest = "SELECT at, actor, action, subject, before::text, after::text, request_id, address
         FROM admin_log ORDER BY entry_no DESC LIMIT $1";
    let found = snapshot.query(newest, [&i64::from(limit)]).await?;
    found.iter().map(|row| entry(row).map_err(postgres::failure)).collect()
}
