//! The keys of a service in its SQLite file.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::keys::{KeyChange, KeyId, KeyRecord, KeyTable, TableKeys};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{ChangeError, INSERT, Row, SELECT, StoredKey, UPDATE, VERSION};
use crate::admin_log::{self, AdminEntry};
use crate::migration::Migration;
use crate::sqlite::{Database, OpenError, Visitor, exactly_one, failure, open_existing_reader};

#[async_trait]
impl KeyTable for Database {
    async fn read_if_changed(&self, known: Option<i64>) -> Result<Option<TableKeys>, Failure> {
        let read = move |connection: &Connection| {
            let version = connection.query_row(VERSION, [], |row| row.get("version"))?;
            if known == Some(version) {
                return Ok(None);
            }
            let keys = all(connection)?.into_iter().map(|key| key.record).collect();
            Ok(Some(TableKeys { version, keys }))
        };
        self.read(read).await
    }

    async fn note_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<(), Failure> {
        let note = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE api_keys SET last_used_at = ?2
                 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
            )?;
            for (id, at) in uses {
                statement.execute(params![id.as_str(), at.0])?;
            }
            Ok(())
        };
        self.write(move |transaction, _| note(transaction).map_err(failure)).await
    }
}

/// A file whose keys are changed, also while its service runs.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    migrations: &'static [Migration],
}

impl Keys {
    pub(super) fn find(path: &Path, migrations: &'static [Migration]) -> Result<Self, OpenError> {
        open_existing_reader(path, migrations)?;
        Ok(Self { path: path.to_owned(), migrations })
    }

    pub(super) async fn all(&self) -> Result<Vec<StoredKey>, Failure> {
        let Self { path, migrations } = self;
        let connection = open_existing_reader(path, migrations)?;
        all(&connection).map_err(failure)
    }

    pub(super) async fn change(
        &self,
        change: &KeyChange,
        by: &str,
        now: Timestamp,
    ) -> Result<KeyRecord, ChangeError> {
        let mut visitor = Visitor::open(&self.path, self.migrations).map_err(Failure::from)?;
        let transaction = visitor.connection();
        let transaction = transaction
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        let found = one(&transaction, change.id()).map_err(failure)?;
        let found = found.map(|key| key.record);
        let record = change.apply(found.as_ref(), now)?;
        if found.as_ref() == Some(&record) {
            return Ok(record);
        }
        write(&transaction, found.is_some(), &record, by)?;
        let entry = AdminEntry::of_key(change.action(), found.as_ref(), &record, by, now);
        admin_log::insert_sqlite(&transaction, &entry)?;
        transaction.commit().map_err(failure)?;
        Ok(record)
    }
}

fn write(
    connection: &Connection,
    is_known: bool,
    record: &KeyRecord,
    by: &str,
) -> Result<(), Failure> {
    let row = Row::of(record, by);
    if is_known {
        let changed = params![
            row.sha256,
            row.previous_sha256,
            row.previous_not_after,
            row.revoked_at,
            row.id,
        ];
        return exactly_one(connection, UPDATE, changed);
    }
    let all = params![
        row.id,
        row.name,
        row.scopes,
        row.mode,
        row.customer_id,
        row.rate,
        row.burst,
        row.sha256,
        row.created_at,
        row.created_by,
        row.not_after,
        row.previous_sha256,
        row.previous_not_after,
        row.revoked_at,
    ];
    exactly_one(connection, INSERT, all)
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<StoredKey>> {
    let sql = format!("{SELECT} ORDER BY created_at, id");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([], stored)?.collect()
}

fn one(connection: &Connection, id: &KeyId) -> rusqlite::Result<Option<StoredKey>> {
    let sql = format!("{SELECT} WHERE id = ?1");
    connection.query_row(&sql, [id.as_str()], stored).optional()
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredKey> {
    let row = Row {
        id: row.get("id")?,
        name: row.get("name")?,
        scopes: row.get("scopes")?,
        mode: row.get("mode")?,
        customer_id: row.get("customer_id")?,
        rate: row.get("rate")?,
        burst: row.get("burst")?,
        sha256: row.get("sha256")?,
        created_at: row.get("created_at")?,
        created_by: row.get("created_by")?,
        not_after: row.get("not_after")?,
        previous_sha256: row.get("previous_sha256")?,
        previous_not_after: row.get("previous_not_after")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
    };
    Ok(row.parse()?)
}
