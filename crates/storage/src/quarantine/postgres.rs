//! The quarantine of a service in its PostgreSQL database, as operators look through it.

use std::slice;

use async_trait::async_trait;
use platform::admin::Requester;
use platform::failure::Failure;
use platform::quarantine::{EntryId, QuarantineEntry, QuarantineFilter, QuarantineTable};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::{StoredEntry, discarded_by};
use crate::admin_log;
use crate::postgres::{Database, failure};

macro_rules! columns {
    () => {
        "key, subject, kind, reason, length, count, first_at, last_at, discarded_at, discarded_by"
    };
}

/// Sorts all entries: there are some thousand at most, and their messages are not read.
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM quarantine
      WHERE ($1::boolean IS NULL OR (discarded_at IS NOT NULL) = $1)
        AND ($2::bigint IS NULL OR (last_at, key) < ($2, $3::bytea))
      ORDER BY last_at DESC, key DESC LIMIT $4"
);
const FIND: &str = concat!("SELECT ", columns!(), " FROM quarantine WHERE key = $1");
const FIND_WITH_BYTES: &str =
    concat!("SELECT ", columns!(), ", bytes FROM quarantine WHERE key = $1");
const DISCARD: &str = concat!(
    "UPDATE quarantine SET discarded_at = $2, discarded_by = $3
     WHERE key = $1 AND discarded_at IS NULL RETURNING ",
    columns!()
);

const UNSEEN: &str = "SELECT count(*) AS entries FROM quarantine WHERE discarded_at IS NULL";

/// The statements of operators, to be tried.
pub const STATEMENTS_POSTGRES: [&str; 5] = [LIST, FIND, FIND_WITH_BYTES, DISCARD, UNSEEN];

#[async_trait]
impl QuarantineTable for Database {
    async fn list(&self, filter: QuarantineFilter) -> Result<Vec<QuarantineEntry>, Failure> {
        let at = filter.after.map(|(at, _)| at.0);
        let key = filter.after.map(|(_, id)| id.0.to_vec());
        let limit = i64::from(filter.limit);
        let rows = self
            .read(async |snapshot| snapshot.query(LIST, [&filter.seen, &at, &key, &limit]).await);
        rows.await?.iter().map(entry).collect()
    }

    async fn entry(&self, id: EntryId) -> Result<Option<(QuarantineEntry, Vec<u8>)>, Failure> {
        let key = id.0.as_slice();
        let rows = self.read(async |snapshot| snapshot.query(FIND_WITH_BYTES, [&key]).await);
        let read = |row: &Row| Ok((entry(row)?, column(row, "bytes")?));
        rows.await?.first().map(read).transpose()
    }

    async fn unseen(&self) -> Result<u64, Failure> {
        let rows = self.read(async |snapshot| snapshot.query(UNSEEN, []).await).await?;
        let entries: i64 = rows.first().map_or(Ok(0), |row| column(row, "entries"))?;
        Ok(u64::try_from(entries).unwrap_or(0))
    }

    async fn discard(
        &self,
        id: EntryId,
        requester: Requester,
    ) -> Result<Option<QuarantineEntry>, Failure> {
        let key = id.0.as_slice();
        self.write(async |transaction| {
            let now = transaction.now().await?;
            let by = requester.actor.clone();
            let discarded = transaction.query(DISCARD, [&key, &now.0, &by]).await?;
            if let Some(row) = discarded.first() {
                let entry = entry(row)?;
                let note = discarded_by(requester, now, &entry);
                admin_log::insert_postgres(transaction, slice::from_ref(&note)).await?;
                return Ok(Some(entry));
            }
            let found = transaction.query(FIND, [&key]).await?;
            found.first().map(entry).transpose()
        })
        .await
    }
}

fn entry(row: &Row) -> Result<QuarantineEntry, Failure> {
    let stored = StoredEntry {
        key: column(row, "key")?,
        subject: column(row, "subject")?,
        kind: column(row, "kind")?,
        reason: column(row, "reason")?,
        length: column(row, "length")?,
        count: column(row, "count")?,
        first_at: column(row, "first_at")?,
        last_at: column(row, "last_at")?,
        discarded_at: column(row, "discarded_at")?,
        discarded_by: column(row, "discarded_by")?,
    };
    Ok(stored.decode()?)
}

fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, Failure> {
    row.try_get(name).map_err(failure)
}
