//! The quarantine of a service in its SQLite file, as operators look through it.

use async_trait::async_trait;
use platform::admin::Requester;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::quarantine::{EntryId, QuarantineEntry, QuarantineFilter, QuarantineTable};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{StoredEntry, discarded_by};
use crate::admin_log;
use crate::sqlite::{Database, failure};

const COLUMNS: &str =
    "key, subject, kind, reason, length, count, first_at, last_at, discarded_at, discarded_by";

#[async_trait]
impl QuarantineTable for Database {
    async fn list(&self, filter: QuarantineFilter) -> Result<Vec<QuarantineEntry>, Failure> {
        self.read(move |connection| list(connection, &filter)).await
    }

    async fn entry(&self, id: EntryId) -> Result<Option<(QuarantineEntry, Vec<u8>)>, Failure> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS}, bytes FROM quarantine WHERE key = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let read = |row: &Row<'_>| Ok((entry(row)?, row.get("bytes")?));
            statement.query_row([id.0], read).optional()
        })
        .await
    }

    async fn unseen(&self) -> Result<u64, Failure> {
        self.read(|connection| {
            let sql = "SELECT count(*) AS entries FROM quarantine WHERE discarded_at IS NULL";
            let entries: i64 =
                connection.prepare_cached(sql)?.query_row([], |row| row.get("entries"))?;
            Ok(u64::try_from(entries).unwrap_or(0))
        })
        .await
    }

    async fn discard(
        &self,
        id: EntryId,
        requester: Requester,
    ) -> Result<Option<QuarantineEntry>, Failure> {
        self.write(move |transaction, now| {
            let by = requester.actor.as_deref();
            let discarded = discard(transaction, id, now, by).map_err(failure)?;
            if let Some(entry) = &discarded {
                admin_log::insert_sqlite(transaction, &discarded_by(requester, now, entry))?;
                return Ok(discarded);
            }
            find(transaction, id).map_err(failure)
        })
        .await
    }
}

/// Sorts all entries: there are some thousand at most, and their messages are not read.
fn list(
    connection: &Connection,
    filter: &QuarantineFilter,
) -> rusqlite::Result<Vec<QuarantineEntry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM quarantine
         WHERE (?1 IS NULL OR (discarded_at IS NOT NULL) = ?1)
           AND (?2 IS NULL OR (last_at, key) < (?2, ?3))
         ORDER BY last_at DESC, key DESC LIMIT ?4"
    );
    let after = filter.after.map(|(at, id)| (at.0, id.0));
    let mut statement = connection.prepare_cached(&sql)?;
    let (at, key) = after.unzip();
    let rows = statement.query_map(params![filter.seen, at, key, filter.limit], entry)?;
    rows.collect()
}

fn find(connection: &Connection, id: EntryId) -> rusqlite::Result<Option<QuarantineEntry>> {
    let sql = format!("SELECT {COLUMNS} FROM quarantine WHERE key = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], entry).optional()
}

/// Discards an entry that is not discarded, and returns it.
fn discard(
    connection: &Connection,
    id: EntryId,
    now: Timestamp,
    by: Option<&str>,
) -> rusqlite::Result<Option<QuarantineEntry>> {
    let sql = format!(
        "UPDATE quarantine SET discarded_at = ?2, discarded_by = ?3
         WHERE key = ?1 AND discarded_at IS NULL RETURNING {COLUMNS}"
    );
    connection.prepare_cached(&sql)?.query_row(params![id.0, now.0, by], entry).optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<QuarantineEntry> {
    let stored = StoredEntry {
        key: row.get("key")?,
        subject: row.get("subject")?,
        kind: row.get("kind")?,
        reason: row.get("reason")?,
        length: row.get("length")?,
        count: row.get("count")?,
        first_at: row.get("first_at")?,
        last_at: row.get("last_at")?,
        discarded_at: row.get("discarded_at")?,
        discarded_by: row.get("discarded_by")?,
    };
    Ok(stored.decode()?)
}
