//! The tables `api_keys` and `api_keys_version`, which both services have: the API keys of a
//! service. The service reads them; `lastro keys` changes them beside it.

use std::time::Duration;

use platform::admin::AdminEntry;
use platform::clock::Timestamp;
use platform::config::DatabaseUrl;
use platform::failure::{Chain, Failure};
use platform::keys::{
    BadRecord, KeyChange, KeyId, KeyRecord, PreviousSecret, Refused, SecretHash, TableKeys,
};
use platform::process::ProgramError;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Misfit;
use crate::migration::Migration;
use crate::postgres::Schema;

mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

/// How long a change is tried again while the database is busy.
const BUSY_FOR: Duration = Duration::from_secs(10);

/// A key as its table has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredKey {
    /// The key.
    pub record: KeyRecord,
    /// Who made it, such as `operator:ana`.
    pub created_by: String,
    /// When a client last used it, up to a minute ago, with any of its secrets.
    pub last_used_at: Option<Timestamp>,
    /// When a client last used its secret.
    pub secret_last_used_at: Option<Timestamp>,
    /// When a client last used the secret before the last rotation.
    pub previous_last_used_at: Option<Timestamp>,
}

impl StoredKey {
    /// When a client last used the old secret since the key has a new one, up to a minute ago.
    pub fn old_secret_last_used_at(&self) -> Option<Timestamp> {
        let replaced_at = self.record.previous.as_ref()?.replaced_at;
        self.previous_last_used_at.filter(|at| *at >= replaced_at)
    }

    /// When a secret was last used that the key has after a change.
    fn last_use_of(&self, secret: SecretHash, change: &KeyChange) -> Option<Timestamp> {
        let previous = self.record.previous.as_ref();
        if secret == self.record.sha256 {
            self.secret_last_used_at
        } else if previous.is_some_and(|old| old.sha256 == secret) {
            self.previous_last_used_at
        } else {
            // Which use was the last one of a secret that is restored is not known, so take the key's.
            self.last_used_at.filter(|_| matches!(change, KeyChange::Restore { .. }))
        }
    }
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The change does not fit the key as it is stored. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// This role may not change keys. Nothing was written.
    #[error(
        "this role may only read keys; use the address of the tables' owner, as for `lastro migrate`"
    )]
    NotTheOwner,
    /// The database failed. [`Failure::Unknown`] leaves open whether the key was changed.
    #[error("{}", Chain(.0))]
    Failed(#[from] Failure),
}

/// The API keys of one service, for the tool that makes and revokes them. The service may be
/// running.
#[derive(Debug)]
pub struct KeyDatabase {
    name: String,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Sqlite(sqlite::Keys),
    Postgres(crate::postgres::Database),
}

impl KeyDatabase {
    /// Finds the database of a service, and leaves its schema as it is.
    ///
    /// # Errors
    ///
    /// It does not exist, cannot be reached, or is of another version.
    pub async fn open(
        url: &DatabaseUrl,
        schema: &Schema,
        migrations: &'static [Migration],
    ) -> Result<Self, ProgramError> {
        let engine = match url {
            DatabaseUrl::Sqlite(path) => {
                let keys = sqlite::Keys::find(path, migrations).map_err(ProgramError::failed)?;
                Engine::Sqlite(keys)
            }
            DatabaseUrl::Postgres(text) => {
                Engine::Postgres(postgres::open(text, url, schema).await?)
            }
        };
        Ok(Self { name: url.to_string(), engine })
    }

    /// The address of the database, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All keys, oldest first, and the rows that are no keys.
    ///
    /// # Errors
    ///
    /// A retry may succeed.
    pub async fn keys(&self) -> Result<Vec<Result<StoredKey, Misfit>>, Failure> {
        match &self.engine {
            Engine::Sqlite(keys) => keys.all().await,
            Engine::Postgres(database) => postgres::all(database).await,
        }
    }

    /// Changes a key, and writes that into the admin log in the same transaction. A row that is no
    /// key can be revoked as well. While the database is busy, it is tried again for some seconds.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] says whether anything was written.
    pub async fn change(
        &self,
        change: &KeyChange,
        by: &str,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        unless_busy(async || match &self.engine {
            Engine::Sqlite(keys) => keys.change(change, by, now).await,
            Engine::Postgres(database) => postgres::change(database, change, by, now).await,
        })
        .await
    }
}

/// Makes a change, again and again while the database is busy: nothing was written then.
async fn unless_busy(change: impl AsyncFn() -> Result<(), ChangeError>) -> Result<(), ChangeError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        let changed = change().await;
        let is_busy = matches!(changed, Err(ChangeError::Failed(Failure::Busy(_))));
        if !is_busy || begun.elapsed() + pause > BUSY_FOR {
            return changed;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The keys as the service reads them: a row that is no key is named, and the others are keys.
fn of_service(version: i64, rows: Vec<Result<StoredKey, Misfit>>) -> TableKeys {
    let mut found = TableKeys { version, keys: Vec::new(), faults: Vec::new() };
    for row in rows {
        match row {
            Ok(key) => found.keys.push(key.record),
            Err(misfit) => found.faults.push(misfit.to_string()),
        }
    }
    found
}

/// What a change writes.
enum Write {
    Insert(Row),
    Replace(Row),
    Revoke { id: KeyId, at: Timestamp },
}

/// What a change writes into the tables of keys and of the admin log; nothing if the key is so
/// already. `found` is the row as it is now, which is locked.
fn plan(
    change: &KeyChange,
    found: Option<Row>,
    by: &str,
    now: Timestamp,
) -> Result<Option<(Write, AdminEntry)>, ChangeError> {
    let before = found.as_ref().map(|row| row.shown().to_string());
    let entry = |after: &Row| AdminEntry {
        number: 0,
        at: now,
        actor: Some(by.to_owned()),
        action: change.action().to_owned(),
        subject: after.id.clone(),
        before,
        after: after.shown().to_string(),
        request_id: None,
        address: None,
    };
    // Whatever else is wrong with a row, it can be revoked.
    let found = match (change, found) {
        (KeyChange::Revoke(_), Some(Row { revoked_at: Some(_), .. })) => return Ok(None),
        (KeyChange::Revoke(id), Some(row)) => {
            let entry = entry(&Row { revoked_at: Some(now.0), ..row });
            return Ok(Some((Write::Revoke { id: id.clone(), at: now }, entry)));
        }
        (_, found) => found.map(Row::parse).transpose().map_err(Failure::from)?,
    };
    let record = change.apply(found.as_ref().map(|key| &key.record), now)?;
    let mut row = Row::of(&record, by);
    let entry = entry(&row);
    let Some(found) = found else { return Ok(Some((Write::Insert(row), entry))) };
    if found.record == record {
        return Ok(None);
    }
    let last_use = |secret| found.last_use_of(secret, change).map(|at| at.0);
    row.secret_last_used_at = last_use(record.sha256);
    row.previous_last_used_at = record.previous.and_then(|old| last_use(old.sha256));
    Ok(Some((Write::Replace(row), entry)))
}

/// A row of `api_keys`, as both engines store it.
struct Row {
    id: String,
    name: String,
    scopes: String,
    mode: String,
    customer_id: Option<String>,
    rate: Option<i64>,
    burst: Option<i64>,
    sha256: Vec<u8>,
    created_at: i64,
    created_by: String,
    not_after: i64,
    previous_sha256: Option<Vec<u8>>,
    previous_replaced_at: Option<i64>,
    previous_not_after: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
    secret_last_used_at: Option<i64>,
    previous_last_used_at: Option<i64>,
}

impl Row {
    /// The row of a key that was not used yet.
    fn of(record: &KeyRecord, created_by: &str) -> Self {
        let scopes: Vec<_> = record.scopes.iter().map(|scope| scope.as_str()).collect();
        let previous = record.previous.as_ref();
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            scopes: scopes.join(" "),
            mode: record.mode.as_str().to_owned(),
            customer_id: record.customer_id.clone(),
            rate: record.rate.map(i64::from),
            burst: record.burst.map(i64::from),
            sha256: record.sha256.0.to_vec(),
            created_at: record.created_at.0,
            created_by: created_by.to_owned(),
            not_after: record.not_after.0,
            previous_sha256: previous.map(|previous| previous.sha256.0.to_vec()),
            previous_replaced_at: previous.map(|previous| previous.replaced_at.0),
            previous_not_after: previous.map(|previous| previous.not_after.0),
            revoked_at: record.revoked_at.map(|at| at.0),
            last_used_at: None,
            secret_last_used_at: None,
            previous_last_used_at: None,
        }
    }

    /// The row for people, without its hashes.
    fn shown(&self) -> Value {
        let time = |at: i64| Timestamp(at).to_rfc3339();
        json!({
            "name": self.name,
            "scopes": self.scopes.split(' ').collect::<Vec<_>>(),
            "mode": self.mode,
            "customer_id": self.customer_id,
            "rate": self.rate,
            "burst": self.burst,
            "not_after": time(self.not_after),
            "old_secret_not_after": self.previous_not_after.map(time),
            "revoked_at": self.revoked_at.map(time),
        })
    }

    fn parse(self) -> Result<StoredKey, Misfit> {
        let id = self.id.clone();
        let misfit =
            |column, value: &dyn std::fmt::Display| Misfit::new("api_keys", &id, column, value);
        let hash = |column, bytes: &[u8]| {
            let length = format!("{} bytes long", bytes.len());
            bytes.try_into().map(SecretHash).map_err(|_| misfit(column, &length))
        };
        let count = |column, value: Option<i64>| {
            let fits = |value: i64| u32::try_from(value).map_err(|_| misfit(column, &value));
            value.map(fits).transpose()
        };
        let scopes = self.scopes.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>();
        let times = self.previous_replaced_at.zip(self.previous_not_after);
        let previous = match self.previous_sha256.as_deref().zip(times) {
            Some((sha256, (replaced_at, not_after))) => Some(PreviousSecret {
                sha256: hash("previous_sha256", sha256)?,
                replaced_at: Timestamp(replaced_at),
                not_after: Timestamp(not_after),
            }),
            None => None,
        };
        let record = KeyRecord {
            id: self.id.parse().map_err(|_| misfit("id", &self.id))?,
            scopes: scopes.map_err(|_| misfit("scopes", &self.scopes))?,
            mode: self.mode.parse().map_err(|_| misfit("mode", &self.mode))?,
            rate: count("rate", self.rate)?,
            burst: count("burst", self.burst)?,
            sha256: hash("sha256", &self.sha256)?,
            previous,
            name: self.name,
            customer_id: self.customer_id,
            created_at: Timestamp(self.created_at),
            not_after: Timestamp(self.not_after),
            revoked_at: self.revoked_at.map(Timestamp),
        };
        record.check().map_err(|BadRecord(reason)| misfit("a value", &reason))?;
        Ok(StoredKey {
            record,
            created_by: self.created_by,
            last_used_at: self.last_used_at.map(Timestamp),
            secret_last_used_at: self.secret_last_used_at.map(Timestamp),
            previous_last_used_at: self.previous_last_used_at.map(Timestamp),
        })
    }
}

/// The columns in the order of the parameters of [`INSERT`].
macro_rules! columns {
    () => {
        "id, name, scopes, mode, customer_id, rate, burst, sha256, created_at, created_by, not_after,
         previous_sha256, previous_replaced_at, previous_not_after, revoked_at"
    };
}

// SQLite numbers such parameters in the order in which they first occur, so they occur in order.

/// Inserts a row.
const INSERT: &str = concat!(
    "INSERT INTO api_keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
);

/// Replaces what may change in a key. When the key itself was last used stays.
const UPDATE: &str =
    "UPDATE api_keys SET sha256 = $1, previous_sha256 = $2, previous_replaced_at = $3,
     previous_not_after = $4, revoked_at = $5, secret_last_used_at = $6, previous_last_used_at = $7
     WHERE id = $8";

/// Ends a key. One that was revoked before stays as it is.
const REVOKE: &str = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2";

const VERSION: &str = "SELECT version FROM api_keys_version";

const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    ", last_used_at, secret_last_used_at, previous_last_used_at FROM api_keys"
);

/// The columns that a service changes when its keys are used.
pub const USES: [&str; 3] = ["last_used_at", "secret_last_used_at", "previous_last_used_at"];
