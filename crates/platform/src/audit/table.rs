//! Reads tables for an audit. A row that cannot be decoded is a violation, and the rows behind it
//! are still read.

use async_trait::async_trait;

use super::{Findings, Invariant, Page};
use crate::failure::Failure;

/// A table whose rows are sorted by a key.
#[async_trait]
pub trait Table: Sync {
    /// The key, unique per row.
    type Key: Copy + Ord + Send + Sync + 'static;
    /// A decoded row.
    type Row: Send;

    /// Returns the key of a row.
    fn key(row: &Self::Row) -> Self::Key;

    /// Returns what an operator calls the row with this key.
    fn name(key: Self::Key) -> String;

    /// Returns the first `limit` rows after `after`, sorted by key.
    ///
    /// # Errors
    ///
    /// [`Failure::Suspect`] if one of the rows cannot be decoded; any other may be retried.
    async fn after(&self, after: Option<Self::Key>, limit: u32) -> Result<Vec<Self::Row>, Failure>;

    /// Returns the keys of the same rows, without decoding the rest of them.
    ///
    /// # Errors
    ///
    /// The rows could not be read; retry later.
    async fn keys_after(
        &self,
        after: Option<Self::Key>,
        limit: u32,
    ) -> Result<Vec<Self::Key>, Failure>;

    /// Returns the rows with these keys, without those that do not exist.
    ///
    /// # Errors
    ///
    /// As [`after`](Self::after).
    async fn of(&self, keys: Vec<Self::Key>) -> Result<Vec<Self::Row>, Failure>;
}

/// Reads a page. Returns the rows that can be decoded, and the key of the last row, decodable or
/// not. The others are violations of `judged`.
///
/// # Errors
///
/// Any failure of the table but [`Failure::Suspect`]; retry later.
pub async fn read_page<T: Table + ?Sized>(
    table: &T,
    page: Page<T::Key>,
    judged: Invariant,
    findings: &mut Findings,
) -> Result<(Vec<T::Row>, Option<T::Key>), Failure> {
    match table.after(page.after, page.limit).await {
        Err(Failure::Suspect(_)) => {
            let keys = page.of(table.keys_after(page.after, page.limit).await?, |key| *key);
            let last = keys.last().copied();
            Ok((one_by_one(table, keys, judged, findings).await?, last))
        }
        rows => {
            let rows = page.of(rows?, T::key);
            let last = rows.last().map(T::key);
            Ok((rows, last))
        }
    }
}

/// Returns the rows with these keys that exist and can be decoded. The others are violations of
/// `judged`.
///
/// # Errors
///
/// As [`read_page`].
pub async fn look_up<T: Table + ?Sized>(
    table: &T,
    keys: Vec<T::Key>,
    judged: Invariant,
    findings: &mut Findings,
) -> Result<Vec<T::Row>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    match table.of(keys.clone()).await {
        Err(Failure::Suspect(_)) => one_by_one(table, keys, judged, findings).await,
        rows => rows,
    }
}

async fn one_by_one<T: Table + ?Sized>(
    table: &T,
    keys: Vec<T::Key>,
    judged: Invariant,
    findings: &mut Findings,
) -> Result<Vec<T::Row>, Failure> {
    let mut rows = Vec::new();
    for key in keys {
        let found = table.of(vec![key]).await;
        rows.extend(findings.readable(judged, T::name(key), found)?.into_iter().flatten());
    }
    Ok(rows)
}
