//! What an audit reads by its key: a row that makes no sense is an offender, and those behind it
//! are read all the same.

use async_trait::async_trait;

use super::{Findings, Invariant, Page};
use crate::failure::Failure;

/// Rows that are sorted by a key.
#[async_trait]
pub trait Table: Sync {
    type Key: Copy + Ord + Send + Sync + 'static;
    type Row: Send;

    fn key(row: &Self::Row) -> Self::Key;

    /// What the row of this key is called.
    fn name(key: Self::Key) -> String;

    /// The first rows behind `after`.
    async fn after(&self, after: Option<Self::Key>, limit: u32) -> Result<Vec<Self::Row>, Failure>;

    /// The keys of the same, whatever else is in them.
    async fn keys_after(
        &self,
        after: Option<Self::Key>,
        limit: u32,
    ) -> Result<Vec<Self::Key>, Failure>;

    /// Those of these that are there.
    async fn of(&self, keys: Vec<Self::Key>) -> Result<Vec<Self::Row>, Failure>;
}

/// The rows of a page that can be read, and the key of its last.
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

/// Those of these rows that are there and can be read.
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
