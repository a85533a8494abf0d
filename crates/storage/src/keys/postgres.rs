//! The keys of a service in its PostgreSQL database.

use std::slice;

use async_trait::async_trait;
use platform::clock::Timestamp;
use platform::config::DatabaseUrl;
use platform::failure::Failure;
use platform::keys::{KeyChange, KeyId, KeyTable, SecretUse, TableKeys};
use platform::process::ProgramError;

use super::{
    ChangeError, INSERT, REVOKE, Row, SELECT, StoredKey, UPDATE, VERSION, Write, of_service, plan,
};
use crate::Misfit;
use crate::admin_log;
use crate::postgres::{Database, Parameter, Schema, Server, Transaction, failure};

/// Rows are locked in one order everywhere. A replica that has seen less changes nothing.
const NOTE_USES: &str = "WITH seen AS (
         SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS seen (id, secret, at)),
     locked AS (
         SELECT id, sha256, previous_sha256 FROM api_keys WHERE id IN (SELECT id FROM seen)
         ORDER BY id FOR NO KEY UPDATE),
     used AS (
         SELECT id, max(at) AS at, max(at) FILTER (WHERE secret = sha256) AS secret_at,
                max(at) FILTER (WHERE secret = previous_sha256) AS previous_at
         FROM locked JOIN seen USING (id) GROUP BY id)
     UPDATE api_keys
     SET last_used_at = greatest(last_used_at, used.at),
         secret_last_used_at = greatest(secret_last_used_at, used.secret_at),
         previous_last_used_at = greatest(previous_last_used_at, used.previous_at)
     FROM used
     WHERE api_keys.id = used.id
       AND (used.at > coalesce(last_used_at, 0) OR used.secret_at > coalesce(secret_last_used_at, 0)
            OR used.previous_at > coalesce(previous_last_used_at, 0))";

#[async_trait]
impl KeyTable for Database {
    async fn read_if_changed(&self, known: Option<i64>) -> Result<Option<TableKeys>, Failure> {
        self.read(async |snapshot| {
            let version = snapshot.query(VERSION, []).await?;
            let version = version.first().map(|row| row.get("version"));
            let version = version.ok_or_else(|| Failure::suspect(NoVersion))?;
            if known == Some(version) {
                return Ok(None);
            }
            Ok(Some(of_service(version, all_in(snapshot).await?)))
        })
        .await
    }

    async fn note_uses(&self, uses: Vec<SecretUse>) -> Result<(), Failure> {
        let ids: Vec<&str> = uses.iter().map(|used| used.id.as_str()).collect();
        let secrets: Vec<&[u8]> = uses.iter().map(|used| used.secret.0.as_slice()).collect();
        let times: Vec<i64> = uses.iter().map(|used| used.at.0).collect();
        self.write(async |transaction| {
            transaction.execute(NOTE_USES, [&ids, &secrets, &times]).await.map(drop)
        })
        .await
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the table api_keys_version has no row")]
struct NoVersion;

/// Connects to a database beside its service.
pub(super) async fn open(
    text: &str,
    url: &DatabaseUrl,
    schema: &Schema,
) -> Result<Database, ProgramError> {
    let server = Server::at(text, &url.to_string(), "lastro keys")?;
    Database::open_beside(server, schema).await.map_err(ProgramError::failed)
}

pub(super) async fn all(database: &Database) -> Result<Vec<Result<StoredKey, Misfit>>, Failure> {
    database.read(all_in).await
}

pub(super) async fn change(
    database: &Database,
    change: &KeyChange,
    by: &str,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let changed = database.write(async |transaction| {
        let may = "SELECT has_table_privilege('api_keys', 'INSERT') AS may";
        let may = transaction.query(may, []).await?;
        if !may.first().is_some_and(|row| row.get("may")) {
            return Ok(Err(ChangeError::NotTheOwner));
        }
        let found = one(transaction, change.id()).await?;
        let (row, entry) = match plan(change, found, by, now) {
            Ok(Some(planned)) => planned,
            Ok(None) => return Ok(Ok(())),
            Err(refused) => return Ok(Err(refused)),
        };
        write(transaction, row).await?;
        admin_log::insert_postgres(transaction, slice::from_ref(&entry)).await?;
        Ok(Ok(()))
    });
    changed.await?
}

async fn write(transaction: &Transaction<'_>, row: Write) -> Result<(), Failure> {
    let row = match row {
        Write::Insert(row) => row,
        Write::Replace(row) => {
            let changed: [Parameter<'_>; 8] = [
                &row.sha256,
                &row.previous_sha256,
                &row.previous_replaced_at,
                &row.previous_not_after,
                &row.revoked_at,
                &row.secret_last_used_at,
                &row.previous_last_used_at,
                &row.id,
            ];
            return transaction.write(1, UPDATE, changed).await;
        }
        Write::Revoke { id, at } => {
            let changed: [Parameter<'_>; 2] = [&at.0, &id.as_str()];
            return transaction.write(1, REVOKE, changed).await;
        }
    };
    let all: [Parameter<'_>; 15] = [
        &row.id,
        &row.name,
        &row.scopes,
        &row.mode,
        &row.customer_id,
        &row.rate,
        &row.burst,
        &row.sha256,
        &row.created_at,
        &row.created_by,
        &row.not_after,
        &row.previous_sha256,
        &row.previous_replaced_at,
        &row.previous_not_after,
        &row.revoked_at,
    ];
    transaction.write(1, INSERT, all).await
}

async fn all_in(snapshot: &Transaction<'_>) -> Result<Vec<Result<StoredKey, Misfit>>, Failure> {
    let sql = format!("{SELECT} ORDER BY created_at, id");
    let rows = snapshot.query(&sql, []).await?;
    rows.iter().map(|row| stored(row).map(Row::parse)).collect()
}

async fn one(transaction: &Transaction<'_>, id: &KeyId) -> Result<Option<Row>, Failure> {
    let sql = format!("{SELECT} WHERE id = $1 FOR UPDATE");
    transaction.query(&sql, [&id.as_str()]).await?.first().map(stored).transpose()
}

fn stored(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let row = (|| {
        Ok(Row {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            scopes: row.try_get("scopes")?,
            mode: row.try_get("mode")?,
            customer_id: row.try_get("customer_id")?,
            rate: row.try_get("rate")?,
            burst: row.try_get("burst")?,
            sha256: row.try_get("sha256")?,
            created_at: row.try_get("created_at")?,
            created_by: row.try_get("created_by")?,
            not_after: row.try_get("not_after")?,
            previous_sha256: row.try_get("previous_sha256")?,
            previous_replaced_at: row.try_get("previous_replaced_at")?,
            previous_not_after: row.try_get("previous_not_after")?,
            revoked_at: row.try_get("revoked_at")?,
            last_used_at: row.try_get("last_used_at")?,
            secret_last_used_at: row.try_get("secret_last_used_at")?,
            previous_last_used_at: row.try_get("previous_last_used_at")?,
        })
    })();
    row.map_err(failure)
}
