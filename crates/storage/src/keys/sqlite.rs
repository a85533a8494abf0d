//! The keys of a service in its SQLite file.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use platform::clock::Timestamp;
use platform::failure::Failure;
use platform::keys::{KeyChange, KeyId, KeyTable, SecretUse, TableKeys};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{
    ChangeError, INSERT, REVOKE, Row, SELECT, StoredKey, UPDATE, VERSION, Write, of_service, plan,
};
use crate::Misfit;
use crate::admin_log;
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
            Ok(Some(of_service(version, all(connection)?)))
        };
        self.read(read).await
    }

    async fn note_uses(&self, uses: Vec<SecretUse>) -> Result<(), Failure> {
        let note = move |connection: &Connection| {
            let mut of_key = connection.prepare_cached(
                "UPDATE api_keys SET last_used_at = ?2
                 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
            )?;
            let mut of_secret = connection.prepare_cached(
                "UPDATE api_keys SET secret_last_used_at = ?2
                 WHERE id = ?1 AND sha256 = ?3
                   AND (secret_last_used_at IS NULL OR secret_last_used_at < ?2)",
            )?;
            let mut of_previous = connection.prepare_cached(
                "UPDATE api_keys SET previous_last_used_at = ?2
                 WHERE id = ?1 AND previous_sha256 = ?3
                   AND (previous_last_used_at IS NULL OR previous_last_used_at < ?2)",
            )?;
            for SecretUse { id, secret, at } in uses {
                of_key.execute(params![id.as_str(), at.0])?;
                of_secret.execute(params![id.as_str(), at.0, secret.0])?;
                of_previous.execute(params![id.as_str(), at.0, secret.0])?;
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

    pub(super) async fn all(&self) -> Result<Vec<Result<StoredKey, Misfit>>, Failure> {
        let Self { path, migrations } = self;
        let connection = open_existing_reader(path, migrations)?;
        all(&connection).map_err(failure)
    }

    pub(super) async fn change(
        &self,
        change: &KeyChange,
        by: &str,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let mut visitor = Visitor::open(&self.path, self.migrations).map_err(Failure::from)?;
        let transaction = visitor.connection();
        let transaction = transaction
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        let found = one(&transaction, change.id()).map_err(failure)?;
        let Some((row, entry)) = plan(change, found, by, now)? else { return Ok(()) };
        write(&transaction, row)?;
        admin_log::insert_sqlite(&transaction, &entry)?;
        transaction.commit().map_err(failure)?;
        Ok(())
    }
}

fn write(connection: &Connection, row: Write) -> Result<(), Failure> {
    let row = match row {
        Write::Insert(row) => row,
        Write::Replace(row) => {
            let changed = params![
                row.sha256,
                row.previous_sha256,
                row.previous_replaced_at,
                row.previous_not_after,
                row.revoked_at,
                row.secret_last_used_at,
                row.previous_last_used_at,
                row.id,
            ];
            return exactly_one(connection, UPDATE, changed);
        }
        Write::Revoke { id, at } => {
            return exactly_one(connection, REVOKE, params![at.0, id.as_str()]);
        }
    };
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
        row.previous_replaced_at,
        row.previous_not_after,
        row.revoked_at,
    ];
    exactly_one(connection, INSERT, all)
}

fn all(connection: &Connection) -> rusqlite::Result<Vec<Result<StoredKey, Misfit>>> {
    let sql = format!("{SELECT} ORDER BY created_at, id");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map([], |row| stored(row).map(Row::parse))?.collect()
}

fn one(connection: &Connection, id: &KeyId) -> rusqlite::Result<Option<Row>> {
    let sql = format!("{SELECT} WHERE id = ?1");
    connection.query_row(&sql, [id.as_str()], stored).optional()
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    // A text that is not UTF-8 is wrong in its own row alone.
    let text = |column: &str| -> rusqlite::Result<Option<String>> {
        let bytes = row.get_ref(column)?.as_bytes_or_null().map_err(rusqlite::Error::from)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    let some = |column: &str| text(column).map(Option::unwrap_or_default);
    Ok(Row {
        id: some("id")?,
        name: some("name")?,
        scopes: some("scopes")?,
        mode: some("mode")?,
        customer_id: text("customer_id")?,
        rate: row.get("rate")?,
        burst: row.get("burst")?,
        sha256: row.get("sha256")?,
        created_at: row.get("created_at")?,
        created_by: some("created_by")?,
        not_after: row.get("not_after")?,
        previous_sha256: row.get("previous_sha256")?,
        previous_replaced_at: row.get("previous_replaced_at")?,
        previous_not_after: row.get("previous_not_after")?,
        revoked_at: row.get("revoked_at")?,
        last_used_at: row.get("last_used_at")?,
        secret_last_used_at: row.get("secret_last_used_at")?,
        previous_last_used_at: row.get("previous_last_used_at")?,
    })
}
