//! Messages that nobody could process, and anomalies: set aside, counted, and never in the way of their neighbours.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

/// What of a message's bytes is kept.
pub const MAX_KEPT_BYTES: usize = 64 * 1024;

/// One thing to set aside. It is a record, not a verdict: a repeat is judged anew (R16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// What the message is about, if that could be read.
    pub subject: Option<String>,
    /// `malformed`, `poisoned` or `anomaly`.
    pub kind: &'static str,
    pub reason: String,
    pub bytes: Vec<u8>,
}

impl Quarantined {
    pub fn malformed(reason: String, bytes: Vec<u8>) -> Self {
        Self { subject: None, kind: "malformed", reason, bytes }
    }

    /// Repeats have the same key and count up: (subject, kind, reason), or a hash of the bytes where no subject is known.
    fn key(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        match &self.subject {
            Some(subject) => [subject.as_str(), self.kind, &self.reason].iter().for_each(|part| {
                hash.update(part.as_bytes());
                hash.update([0]);
            }),
            None => hash.update(&self.bytes),
        }
        hash.finalize().to_vec()
    }
}

/// Writes entries into a SQLite table `quarantine`, in the caller's transaction.
pub fn insert_sqlite(connection: &Connection, entries: &[Quarantined], now: Timestamp) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO quarantine (key, subject, kind, reason, bytes, length, count, first_at, last_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)
         ON CONFLICT (key) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
    )?;
    for entry in entries {
        let kept = &entry.bytes[..entry.bytes.len().min(MAX_KEPT_BYTES)];
        let length = i64::try_from(entry.bytes.len()).unwrap_or(i64::MAX);
        statement.execute((&entry.key(), &entry.subject, entry.kind, &entry.reason, kept, length, now.0))?;
    }
    Ok(())
}

/// How many entries of each kind a SQLite table `quarantine` holds, repeats included.
pub fn count_sqlite(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut statement =
        connection.prepare_cached("SELECT kind, sum(count) FROM quarantine GROUP BY kind ORDER BY kind")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
