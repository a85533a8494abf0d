//! The table `quarantine`, which both services have.

use std::collections::{BTreeMap, BTreeSet};

use platform::admin::{AdminEntry, Requester};
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::quarantine::{
    Discarded, EntryId, MAX_ENTRIES, MAX_KEPT_BYTES, QuarantineEntry, QuarantineKind, Quarantined,
};
use rusqlite::Connection;
use serde_json::json;

use crate::Misfit;
use crate::postgres::{Parameter, Transaction};

pub use postgres::STATEMENTS_POSTGRES;

mod postgres;
mod sqlite;

/// An entry as both engines store it.
struct StoredEntry {
    key: Vec<u8>,
    subject: Option<String>,
    kind: String,
    reason: String,
    length: i64,
    count: i64,
    first_at: i64,
    last_at: i64,
    discarded_at: Option<i64>,
    discarded_by: Option<String>,
}

impl StoredEntry {
    fn decode(self) -> Result<QuarantineEntry, Misfit> {
        let misfit = |column, value: &str| Misfit::new("quarantine", &self.reason, column, value);
        let kind = QuarantineKind::parse(&self.kind).ok_or_else(|| misfit("kind", &self.kind))?;
        let key = self.key.as_slice().try_into();
        let key = key.map_err(|_| misfit("key", "not of 32 bytes"))?;
        let by = self.discarded_by;
        Ok(QuarantineEntry {
            id: EntryId(key),
            subject: self.subject,
            kind,
            reason: self.reason,
            length: self.length,
            count: self.count,
            first_at: Timestamp(self.first_at),
            last_at: Timestamp(self.last_at),
            discarded: self.discarded_at.map(|at| Discarded { at: Timestamp(at), by }),
        })
    }
}

/// The entry of the admin log about an entry that was discarded.
fn discarded_by(requester: Requester, now: Timestamp, entry: &QuarantineEntry) -> AdminEntry {
    let QuarantineEntry { kind, reason, count, .. } = entry;
    let after = json!({"kind": kind.as_str(), "reason": reason, "count": count}).to_string();
    AdminEntry::new(requester, now, "discard_message", entry.id.to_string(), after)
}

/// Inserts entries into the SQLite table `quarantine`, or counts their repeats, in the caller's
/// transaction. A repeat is no longer discarded: an operator is to see it again. In a full table,
/// new entries take the room of those that were discarded first. Returns how many were not kept
/// because there were none.
///
/// # Errors
///
/// That of the engine; the caller must not commit the transaction.
pub fn insert_sqlite(
    connection: &Connection,
    entries: &[Quarantined],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut repeat = connection
        .prepare_cached(
            "UPDATE quarantine SET count = count + 1, last_at = ?2, discarded_at = NULL, discarded_by = NULL
             WHERE key = ?1",
        )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO quarantine (key, subject, kind, reason, bytes, length, count, first_at, last_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)",
    )?;
    let mut push_out = connection.prepare_cached(
        "DELETE FROM quarantine WHERE key =
             (SELECT key FROM quarantine WHERE discarded_at IS NOT NULL ORDER BY discarded_at, key LIMIT 1)",
    )?;
    // All repeats first, so that none of them is pushed out.
    let mut unknown = Vec::new();
    for entry in entries {
        if repeat.execute((&entry.key(), now.0))? == 0 {
            unknown.push(entry);
        }
    }
    let count = "SELECT count(*) FROM quarantine";
    let rows: i64 = connection.query_row(count, [], |row| row.get("count(*)"))?;
    let mut room = room_beside(rows);
    let mut not_kept = 0;
    for entry in unknown {
        // One that came twice in the batch is known by now.
        if repeat.execute((&entry.key(), now.0))? > 0 {
            continue;
        }
        if room == 0 && push_out.execute(())? == 0 {
            not_kept += 1;
            continue;
        }
        room = room.saturating_sub(1);
        let kept = &entry.bytes[..entry.bytes.len().min(MAX_KEPT_BYTES)];
        let length = i64::try_from(entry.bytes.len()).unwrap_or(i64::MAX);
        insert.execute((
            &entry.key(),
            &entry.subject,
            entry.kind.as_str(),
            &entry.reason,
            kept,
            length,
            now.0,
        ))?;
    }
    Ok(not_kept)
}

fn room_beside(rows: i64) -> usize {
    MAX_ENTRIES.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Replicas fill the table one after the other, so that it does not become larger than it may. To
/// be prepared. The number is arbitrary.
pub const LOCK_POSTGRES: &str = "SELECT pg_advisory_xact_lock(1367290651)";

/// How many rows the table has, and which of these keys, to be prepared.
pub const KNOWN_POSTGRES: &str = "SELECT (SELECT count(*) FROM quarantine) AS rows,
            ARRAY(SELECT key FROM quarantine WHERE key = ANY($1::bytea[])) AS known";

/// Takes out entries other than these keys, those first that were discarded first, to be prepared.
pub const PUSH_OUT_POSTGRES: &str = "DELETE FROM quarantine WHERE key IN (
         SELECT key FROM quarantine WHERE discarded_at IS NOT NULL AND key <> ALL ($1::bytea[])
         ORDER BY discarded_at, key LIMIT $2)
     RETURNING length";

/// The statement of [`insert_postgres`], to be prepared. It expects each key at most once.
pub const INSERT_POSTGRES: &str =
    "INSERT INTO quarantine (key, subject, kind, reason, bytes, length, count, first_at, last_at)
     SELECT key, subject, kind, reason, bytes, length, count, $8, $8
     FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[])
          AS entry (key, subject, kind, reason, bytes, length, count) ORDER BY key
     ON CONFLICT (key) DO UPDATE SET count = quarantine.count + excluded.count, last_at = excluded.last_at,
         discarded_at = NULL, discarded_by = NULL";

/// Inserts entries into the PostgreSQL table `quarantine`, or counts their repeats, in the caller's
/// transaction, as [`insert_sqlite`] does.
///
/// # Errors
///
/// Those of [`Transaction::write`]; the caller must not commit the transaction.
pub async fn insert_postgres(
    transaction: &Transaction<'_>,
    entries: &[Quarantined],
) -> Result<usize, Failure> {
    if entries.is_empty() {
        return Ok(0);
    }
    let now = transaction.now().await?;
    let mut counted = BTreeMap::<_, (&Quarantined, i64)>::new();
    for entry in entries {
        counted.entry(entry.key()).or_insert((entry, 0)).1 += 1;
    }
    let not_kept = keep_to_the_limit(transaction, &mut counted).await?;
    let keys: Vec<&[u8]> = counted.keys().map(Vec::as_slice).collect();
    let entries: Vec<&Quarantined> = counted.values().map(|(entry, _)| *entry).collect();
    // PostgreSQL's text cannot contain NUL.
    let text = |text: &str| text.replace('\0', "\u{fffd}");
    let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.as_deref().map(text)).collect();
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    let reasons: Vec<_> = entries.iter().map(|entry| text(&entry.reason)).collect();
    let bytes: Vec<_> =
        entries.iter().map(|entry| &entry.bytes[..entry.bytes.len().min(MAX_KEPT_BYTES)]).collect();
    let lengths: Vec<_> =
        entries.iter().map(|entry| i64::try_from(entry.bytes.len()).unwrap_or(i64::MAX)).collect();
    let counts: Vec<_> = counted.values().map(|(_, count)| *count).collect();
    let row: [Parameter<'_>; 8] =
        [&keys, &subjects, &kinds, &reasons, &bytes, &lengths, &counts, &now.0];
    transaction.write(keys.len(), INSERT_POSTGRES, row).await?;
    Ok(not_kept)
}

/// Takes out the entries for which no room can be made in the table, and returns how many they were.
async fn keep_to_the_limit(
    transaction: &Transaction<'_>,
    counted: &mut BTreeMap<Vec<u8>, (&Quarantined, i64)>,
) -> Result<usize, Failure> {
    let keys: Vec<&[u8]> = counted.keys().map(Vec::as_slice).collect();
    transaction.query(LOCK_POSTGRES, []).await?;
    // A statement of its own: only a later one sees what the lock waited for.
    let found = transaction.query(KNOWN_POSTGRES, [&keys]).await?;
    let found = found.first().expect("a query without a table has one row");
    let rows: i64 = found.get("rows");
    let known: BTreeSet<Vec<u8>> = found.get::<_, Vec<Vec<u8>>>("known").into_iter().collect();
    let mut room = room_beside(rows);
    let lacking = (keys.len() - known.len()).saturating_sub(room);
    if lacking > 0 {
        let most = i64::try_from(lacking).unwrap_or(i64::MAX);
        room += transaction.query(PUSH_OUT_POSTGRES, [&keys, &most]).await?.len();
    }
    let mut not_kept = 0;
    counted.retain(|key, (_, count)| {
        if known.contains(key) {
            return true;
        }
        let is_kept = room > 0;
        room = room.saturating_sub(1);
        not_kept += if is_kept { 0 } else { usize::try_from(*count).unwrap_or(usize::MAX) };
        is_kept
    });
    Ok(not_kept)
}
