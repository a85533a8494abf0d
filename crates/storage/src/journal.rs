//! The table `journal`, which both services have: one row per transaction that made something that
//! others learn of, numbered without gaps (R29).
//!
//! A row packs its entries, each of the same size. On SQLite a transaction numbers its own row: no
//! other writes. On PostgreSQL a row has no number until its transaction has committed, and the
//! replica that holds `journal_head` gives it one.

use async_trait::async_trait;
use platform::failure::Failure;
use platform::journal::{Journal, JournalRow, Numbers, Position, Recorded, Unnumbered};
use rusqlite::{Connection, params};

use crate::misfit::Misfit;
use crate::postgres::Transaction;
use crate::{postgres, sqlite};

mod numbering;

pub use numbering::{
    HEAD_POSTGRES, LEASE_POSTGRES, LOCK_POSTGRES, NUMBER_POSTGRES, OWN_POSTGRES, PostgresJournal,
};

/// Appends a row in the caller's transaction. Without entries it does nothing.
///
/// # Errors
///
/// As [`sqlite::exactly_one`]; the caller must not commit the transaction.
pub fn append_sqlite(connection: &Connection, entries: &[u8]) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    // The number is that of the last row + 1.
    let append = "INSERT INTO journal (entries) VALUES (?1)";
    sqlite::exactly_one(connection, append, params![entries])
}

/// The statement of [`append_postgres`], to be prepared.
pub const APPEND_POSTGRES: &str = "INSERT INTO journal (entries) VALUES ($1)";

/// Appends a row in the caller's transaction, as the last of its statements: the `id` of the row is
/// drawn here, and by then all locks of the batch must be held. Without entries it does nothing.
///
/// # Errors
///
/// Those of [`Transaction::write`]; the caller must not commit the transaction.
pub async fn append_postgres(transaction: &Transaction<'_>, entries: &[u8]) -> Result<(), Failure> {
    let rows = usize::from(!entries.is_empty());
    transaction.write(rows, APPEND_POSTGRES, [&entries]).await
}

#[async_trait]
impl Journal for sqlite::Database {
    async fn number(&self) -> Result<Numbers, Failure> {
        let last = self.read(last_sqlite).await?;
        Ok(Numbers { last, more: false })
    }
}

/// Reads the first `limit` entries from `from` on, each of `N` bytes.
///
/// # Errors
///
/// That of the engine, and a [`Misfit`] if a number is missing or an entry cannot be unpacked.
pub fn read_sqlite<T, const N: usize>(
    connection: &Connection,
    from: Position,
    limit: u32,
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> rusqlite::Result<Vec<Recorded<T>>> {
    let mut statement = connection
        .prepare_cached("SELECT no, entries FROM journal WHERE no >= ?1 ORDER BY no LIMIT ?2")?;
    let mut rows = statement.query(params![from.commit, most_rows(limit)])?;
    let mut page = Page::new(from, limit, unpack);
    while !page.is_full()
        && let Some(row) = rows.next()?
    {
        page.add(row.get("no")?, row.get_ref("entries")?.as_blob()?)?;
    }
    Ok(page.read)
}

/// The rows from `$1` on, up to the one in which the page is full. `$2` is the most rows, and `$3`
/// how many bytes the page takes, those that it skips in its first row included.
pub const READ_POSTGRES: &str = "SELECT no, entries FROM
         (SELECT no, entries, sum(octet_length(entries)) OVER (ORDER BY no) - octet_length(entries) AS before
          FROM (SELECT no, entries FROM journal WHERE no >= $1 ORDER BY no LIMIT $2) AS page) AS counted
     WHERE before < $3 ORDER BY no";

/// Reads the first `limit` entries from `from` on, each of `N` bytes.
///
/// # Errors
///
/// [`Failure`] says whether to retry. [`Failure::Suspect`] if a number is missing or an entry
/// cannot be unpacked.
pub async fn read_postgres<T, const N: usize>(
    snapshot: &Transaction<'_>,
    from: Position,
    limit: u32,
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> Result<Vec<Recorded<T>>, Failure> {
    let rows = most_rows(limit);
    let bytes = bytes_of::<N>(i64::from(from.entry) + i64::from(limit));
    let rows = snapshot.query(READ_POSTGRES, [&from.commit, &rows, &bytes]).await?;
    let mut page = Page::new(from, limit, unpack);
    for row in &rows {
        let number = row.try_get("no").map_err(postgres::failure)?;
        let entries: &[u8] = row.try_get("entries").map_err(postgres::failure)?;
        page.add(number, entries)?;
    }
    Ok(page.read)
}

/// How many rows have a page of entries: each has one, but for the part of the first row that a
/// position skips.
fn most_rows(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// Entries along the numbers.
struct Page<T, const N: usize, F: Fn([u8; N]) -> Option<T>> {
    next: Position,
    limit: usize,
    unpack: F,
    read: Vec<Recorded<T>>,
}

impl<T, const N: usize, F: Fn([u8; N]) -> Option<T>> Page<T, N, F> {
    fn new(from: Position, limit: u32, unpack: F) -> Self {
        Self { next: from, limit: limit as usize, unpack, read: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.read.len() >= self.limit
    }

    /// Adds what the page takes of the next row.
    fn add(&mut self, number: i64, entries: &[u8]) -> Result<(), Misfit> {
        let missing = self.next.commit.max(Position::START.commit);
        if number != missing {
            return Err(Misfit::new("journal", missing, "no", "missing"));
        }
        let entries = unpacked(number, entries, &self.unpack)?;
        let (skipped, behind) = (self.next.entry as usize, Position::behind(number));
        self.next = behind;
        let left = self.limit - self.read.len();
        let last = entries.len().saturating_sub(1);
        for (index, entry) in entries.into_iter().enumerate().skip(skipped).take(left) {
            let entry_after = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let inside = Position { commit: number, entry: entry_after };
            let next = if index == last { behind } else { inside };
            self.read.push(Recorded { entry, next });
        }
        Ok(())
    }
}

/// How many bytes so many entries have.
fn bytes_of<const N: usize>(entries: i64) -> i64 {
    entries.saturating_mul(i64::try_from(N).unwrap_or(i64::MAX))
}

/// The entries of a row.
fn unpacked<T, const N: usize>(
    row: impl std::fmt::Display,
    bytes: &[u8],
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> Result<Vec<T>, Misfit> {
    let (entries, rest) = bytes.as_chunks::<N>();
    if entries.is_empty() || !rest.is_empty() {
        let length = format!("{} bytes, not entries of {N}", bytes.len());
        return Err(Misfit::new("journal", row, "entries", length));
    }
    let entry = |(index, entry): (usize, &[u8; N])| {
        let unreadable = || format!("entry {index} that makes no sense");
        unpack(*entry).ok_or_else(|| Misfit::new("journal", &row, "entries", unreadable()))
    };
    entries.iter().enumerate().map(entry).collect()
}

/// Returns the highest number of a row; 0 if there is none.
///
/// # Errors
///
/// That of the engine.
pub fn last_sqlite(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement =
        connection.prepare_cached("SELECT coalesce(max(no), 0) AS last FROM journal")?;
    statement.query_row([], |row| row.get("last"))
}

/// The highest number of a row, whatever the head says.
pub const LAST_POSTGRES: &str = "SELECT coalesce((SELECT no FROM journal WHERE no IS NOT NULL ORDER BY no DESC LIMIT 1), 0) AS last";

/// Returns the highest number of a row; 0 if there is none.
///
/// # Errors
///
/// [`Failure`] says whether to retry.
pub async fn last_postgres(snapshot: &Transaction<'_>) -> Result<i64, Failure> {
    let rows = snapshot.query(LAST_POSTGRES, []).await?;
    rows.first().map_or(Ok(0), |row| row.try_get("last").map_err(postgres::failure))
}

/// Reads rows for an audit, which goes on behind a row that is damaged or missing: the first
/// `limit.rows` with a number above `after`, but after the first only as long as they have at most
/// `limit.entries` entries.
///
/// # Errors
///
/// That of the engine.
pub fn rows_sqlite<T, const N: usize>(
    connection: &Connection,
    after: i64,
    limit: RowLimit,
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> rusqlite::Result<Vec<JournalRow<T>>> {
    let mut statement = connection
        .prepare_cached("SELECT no, entries FROM journal WHERE no > ?1 ORDER BY no LIMIT ?2")?;
    let mut rows = statement.query(params![after, limit.rows])?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let number = row.get("no")?;
        let entries = row.get_ref("entries")?.as_blob()?;
        bytes += entries.len();
        if !found.is_empty() && bytes > limit.entries as usize * N {
            break;
        }
        let entries = unpacked(number, entries, &unpack).map_err(Failure::from);
        found.push(JournalRow { number, entries });
    }
    Ok(found)
}

/// How much an audit reads at once.
#[derive(Clone, Copy, Debug)]
pub struct RowLimit {
    /// The most rows.
    pub rows: u32,
    /// The most entries of more than one row.
    pub entries: u32,
}

/// The rows of [`rows_postgres`].
pub const ROWS_POSTGRES: &str = "SELECT no, entries FROM
         (SELECT no, entries, sum(octet_length(entries)) OVER (ORDER BY no) AS bytes, row_number() OVER (ORDER BY no) AS nth
          FROM (SELECT no, entries FROM journal WHERE no > $1 ORDER BY no LIMIT $2) AS page) AS counted
     WHERE nth = 1 OR bytes <= $3 ORDER BY no";

/// As [`rows_sqlite`].
///
/// # Errors
///
/// [`Failure`] says whether to retry.
pub async fn rows_postgres<T, const N: usize>(
    snapshot: &Transaction<'_>,
    after: i64,
    limit: RowLimit,
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> Result<Vec<JournalRow<T>>, Failure> {
    let (rows, bytes) = (i64::from(limit.rows), bytes_of::<N>(limit.entries.into()));
    let rows = snapshot.query(ROWS_POSTGRES, [&after, &rows, &bytes]).await?;
    let row = |row: &tokio_postgres::Row| {
        let number: i64 = row.try_get("no").map_err(postgres::failure)?;
        let entries: &[u8] = row.try_get("entries").map_err(postgres::failure)?;
        let entries = unpacked(number, entries, &unpack).map_err(Failure::from);
        Ok(JournalRow { number, entries })
    };
    rows.iter().map(row).collect()
}

/// The rows of [`unnumbered_postgres`].
pub const UNNUMBERED_POSTGRES: &str = "SELECT id, entries FROM
         (SELECT id, entries, sum(octet_length(entries)) OVER (ORDER BY id) AS bytes, row_number() OVER (ORDER BY id) AS nth
          FROM (SELECT id, entries FROM journal WHERE no IS NULL AND id > $1 ORDER BY id LIMIT $2) AS page) AS counted
     WHERE nth = 1 OR bytes <= $3 ORDER BY id";

/// Reads rows without a number, for an audit: those with an id above `after`, sorted by id, limited
/// as in [`rows_sqlite`].
///
/// # Errors
///
/// [`Failure`] says whether to retry.
pub async fn unnumbered_postgres<T, const N: usize>(
    snapshot: &Transaction<'_>,
    after: i64,
    limit: RowLimit,
    unpack: impl Fn([u8; N]) -> Option<T>,
) -> Result<Vec<Unnumbered<T>>, Failure> {
    let (rows, bytes) = (i64::from(limit.rows), bytes_of::<N>(limit.entries.into()));
    let rows = snapshot.query(UNNUMBERED_POSTGRES, [&after, &rows, &bytes]).await?;
    let row = |row: &tokio_postgres::Row| {
        let id: i64 = row.try_get("id").map_err(postgres::failure)?;
        let entries: &[u8] = row.try_get("entries").map_err(postgres::failure)?;
        let name = format_args!("row without a number, id {id}");
        let entries = unpacked(name, entries, &unpack).map_err(Failure::from);
        Ok(Unnumbered { id, entries })
    };
    rows.iter().map(row).collect()
}
