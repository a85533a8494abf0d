//! The table `admin_log`, which both services have: who changed what by hand.

use std::slice;

use async_trait::async_trait;
use platform::admin::{AdminEntry, AdminLog, AdminNote};
use platform::clock::Timestamp;
use platform::config::DatabaseUrl;
use platform::failure::Failure;
use platform::process::ProgramError;
use rusqlite::{Connection, params};

use crate::migration::Migration;
use crate::postgres::{Parameter, Schema, Server, Transaction};
use crate::{postgres, sqlite};

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

/// The statement of [`insert_postgres`], to be prepared.
pub const INSERT_POSTGRES: &str =
    "INSERT INTO admin_log (at, actor, action, subject, before, after, request_id, address)
     SELECT at, actor, action, subject, before::json, after::json, request_id, address
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
          WITH ORDINALITY AS made (at, actor, action, subject, before, after, request_id, address, number)
     ORDER BY number";

/// Inserts entries in the caller's transaction, in this order.
///
/// # Errors
///
/// Those of [`Transaction::write`]; the caller must not commit the transaction.
pub async fn insert_postgres(
    transaction: &Transaction<'_>,
    entries: &[AdminEntry],
) -> Result<(), Failure> {
    let texts = |of: fn(&AdminEntry) -> Option<&str>| entries.iter().map(of).collect::<Vec<_>>();
    let row: [Parameter<'_>; 8] = [
        &entries.iter().map(|entry| entry.at.0).collect::<Vec<_>>(),
        &texts(|entry| entry.actor.as_deref()),
        &texts(|entry| Some(&entry.action)),
        &texts(|entry| Some(&entry.subject)),
        &texts(|entry| entry.before.as_deref()),
        &texts(|entry| Some(&entry.after)),
        &texts(|entry| entry.request_id.as_deref()),
        &texts(|entry| entry.address.as_deref()),
    ];
    transaction.write(entries.len(), INSERT_POSTGRES, row).await
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
            Ok(readers.read(move |connection| page_sqlite(connection, None, limit)).await?)
        }
        DatabaseUrl::Postgres(text) => {
            let server = Server::at(text, &url.to_string(), "lastro admin-log")?;
            let readers = postgres::Readers::for_audit(server, schema).await;
            let readers = readers.map_err(ProgramError::failed)?;
            Ok(readers.read(async |snapshot| page_postgres(snapshot, None, limit).await).await?)
        }
    }
}

#[async_trait]
impl AdminLog for sqlite::Database {
    async fn page(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEntry>, Failure> {
        self.read(move |connection| page_sqlite(connection, before, limit)).await
    }

    async fn note(&self, note: AdminNote) -> Result<(), Failure> {
        self.write(move |transaction, now| insert_sqlite(transaction, &note.entry(now))).await
    }
}

#[async_trait]
impl AdminLog for postgres::Database {
    async fn page(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEntry>, Failure> {
        self.read(async |snapshot| page_postgres(snapshot, before, limit).await).await
    }

    async fn note(&self, note: AdminNote) -> Result<(), Failure> {
        self.write(async |transaction| {
            let entry = note.clone().entry(transaction.now().await?);
            insert_postgres(transaction, slice::from_ref(&entry)).await
        })
        .await
    }
}

fn page_sqlite(
    connection: &Connection,
    before: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<AdminEntry>> {
    let entry = |row: &rusqlite::Row<'_>| {
        Ok(AdminEntry {
            number: row.get("entry_no")?,
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
    let mut statement = connection.prepare_cached(
        "SELECT entry_no, at, actor, action, subject, before, after, request_id, address
         FROM admin_log WHERE entry_no < ?1 ORDER BY entry_no DESC LIMIT ?2",
    )?;
    statement.query_map((before.unwrap_or(i64::MAX), limit), entry)?.collect()
}

/// The statement of a page, to be tried.
pub const PAGE_POSTGRES: &str =
    "SELECT entry_no, at, actor, action, subject, before::text, after::text, request_id, address
     FROM admin_log WHERE entry_no < $1 ORDER BY entry_no DESC LIMIT $2";

async fn page_postgres(
    snapshot: &Transaction<'_>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AdminEntry>, Failure> {
    let entry = |row: &tokio_postgres::Row| {
        Ok(AdminEntry {
            number: row.try_get("entry_no")?,
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
    let (before, limit) = (before.unwrap_or(i64::MAX), i64::from(limit));
    let found = snapshot.query(PAGE_POSTGRES, [&before, &limit]).await?;
    found.iter().map(|row| entry(row).map_err(postgres::failure)).collect()
}
