//! The table `quarantine`, which both services have.

use std::collections::BTreeMap;

use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::quarantine::{MAX_KEPT_BYTES, Quarantined};
use rusqlite::Connection;

use crate::postgres::{Parameter, Transaction};

/// Inserts entries into the SQLite table `quarantine`, or counts their repeats, in the caller's
/// transaction.
///
/// # Errors
///
/// That of the engine; the caller must not commit the transaction.
pub fn insert_sqlite(
    connection: &Connection,
    entries: &[Quarantined],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO quarantine (key, subject, kind, reason, bytes, length, count, first_at, last_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
         ON CONFLICT (key) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
    )?;
    for entry in entries {
        let kept = &entry.bytes[..entry.bytes.len().min(MAX_KEPT_BYTES)];
        let length = i64::try_from(entry.bytes.len()).unwrap_or(i64::MAX);
        statement.execute((
            &entry.key(),
            &entry.subject,
            entry.kind.as_str(),
            &entry.reason,
            kept,
            length,
            now.0,
        ))?;
    }
    Ok(())
}

/// The statement of [`insert_postgres`], to be prepared. It expects each key at most once.
pub const INSERT_POSTGRES: &str =
    "INSERT INTO quarantine (key, subject, kind, reason, bytes, length, count, first_at, last_at)
     SELECT key, subject, kind, reason, bytes, length, count, $8, $8
     FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[])
          AS entry (key, subject, kind, reason, bytes, length, count) ORDER BY key
     ON CONFLICT (key) DO UPDATE SET count = quarantine.count + excluded.count, last_at = excluded.last_at";

/// Inserts entries into the PostgreSQL table `quarantine`, or counts their repeats, in the caller's
/// transaction.
///
/// # Errors
///
/// Those of [`Transaction::write`]; the caller must not commit the transaction.
pub async fn insert_postgres(
    transaction: &Transaction<'_>,
    entries: &[Quarantined],
) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let now = transaction.now().await?;
    let mut counted = BTreeMap::<_, (&Quarantined, i64)>::new();
    for entry in entries {
        counted.entry(entry.key()).or_insert((entry, 0)).1 += 1;
    }
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
    transaction.write(keys.len(), INSERT_POSTGRES, row).await
}
