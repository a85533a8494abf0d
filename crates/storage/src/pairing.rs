//! The tables `deployment` and `deployment_channels`, which both services have: which database this
//! is, which one is its peer's, and where it was used (R31).

use std::sync::Arc;

use async_trait::async_trait;
use platform::failure::{Failure, Suspicion};
use platform::pairing::{DatabaseId, Identity, Names, Pairing, PairingStore};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::{postgres, sqlite};

impl sqlite::Database {
    /// Returns the database and what it knows of its peer.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry.
    pub async fn pairing(&self, names: Names) -> Result<Arc<Pairing>, Failure> {
        let identity = self.readers().identity().await?;
        Ok(Arc::new(Pairing::new(names, identity, Arc::new(self.clone()))))
    }
}

impl sqlite::Readers {
    /// Returns what the database says about itself.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let read = |connection: &Connection| {
            connection.query_row("SELECT id, peer FROM deployment", [], |row| {
                let peer: Option<[u8; 16]> = row.get("peer")?;
                Ok(Identity { id: of_bytes(row.get("id")?), peer: peer.map(of_bytes) })
            })
        };
        self.read(read).await
    }
}

#[async_trait]
impl PairingStore for sqlite::Database {
    async fn keep_peer(&self, met: DatabaseId) -> Result<DatabaseId, Failure> {
        let keep = move |connection: &Connection| {
            let kept = "UPDATE deployment SET peer = ?1 WHERE peer IS NULL";
            connection.execute(kept, [met.0.as_bytes()])?;
            connection.query_row("SELECT peer FROM deployment", [], |row| row.get("peer"))
        };
        let kept = self.write(move |transaction, _| keep(transaction).map_err(sqlite::failure));
        kept.await.map(of_bytes)
    }

    async fn peer(&self) -> Result<Option<DatabaseId>, Failure> {
        self.readers().identity().await.map(|identity| identity.peer)
    }

    async fn use_on(&self, channel: &str) -> Result<bool, Failure> {
        let (channel, here) = (channel.to_owned(), self.location());
        let note = move |connection: &Connection| {
            let known: Option<String> = connection
                .query_row(
                    "SELECT location FROM deployment_channels WHERE channel = ?1",
                    [&channel],
                    |row| row.get("location"),
                )
                .optional()?;
            if known.is_none() {
                let noted = "INSERT INTO deployment_channels (channel, location) VALUES (?1, ?2)";
                connection.execute(noted, params![channel, here])?;
            }
            Ok(known.is_none_or(|known| known == here))
        };
        self.write(move |transaction, _| note(transaction).map_err(sqlite::failure)).await
    }

    async fn forget(&self) -> Result<(), Failure> {
        let forget = "UPDATE deployment SET peer = NULL; DELETE FROM deployment_channels";
        let forget = move |connection: &Connection| connection.execute_batch(forget);
        self.write(move |transaction, _| forget(transaction).map_err(sqlite::failure)).await
    }
}

impl postgres::Database {
    /// Returns the database and what it knows of its peer. From now on every new connection checks
    /// that it sees this database.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry.
    pub async fn pairing(&self, names: Names) -> Result<Arc<Pairing>, Failure> {
        let identity = self.readers().identity().await?;
        self.found(identity.id);
        Ok(Arc::new(Pairing::new(names, identity, Arc::new(self.clone()))))
    }
}

impl postgres::Readers {
    /// Returns what the database says about itself.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        self.read(async |snapshot| {
            let row = only(snapshot, "SELECT id, peer FROM deployment").await?;
            let peer: Option<Uuid> = row.get("peer");
            Ok(Identity { id: DatabaseId(row.get("id")), peer: peer.map(DatabaseId) })
        })
        .await
    }
}

/// What tells a database from its copies. A table's oid differs in every copy that was made by a
/// dump, also within one server. Physical copies, such as a standby, share it with their original.
const HERE: &str = "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' ||
            (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' ||
            'deployment'::regclass::oid AS here";

#[async_trait]
impl PairingStore for postgres::Database {
    async fn keep_peer(&self, met: DatabaseId) -> Result<DatabaseId, Failure> {
        self.write(async |transaction| {
            let row = only(transaction, "SELECT peer FROM deployment FOR UPDATE").await?;
            if let Some(kept) = row.get("peer") {
                return Ok(DatabaseId(kept));
            }
            transaction.write(1, "UPDATE deployment SET peer = $1", [&met.0]).await?;
            Ok(met)
        })
        .await
    }

    async fn peer(&self) -> Result<Option<DatabaseId>, Failure> {
        self.readers().identity().await.map(|identity| identity.peer)
    }

    async fn use_on(&self, channel: &str) -> Result<bool, Failure> {
        self.write(async |transaction| {
            let here: String = only(transaction, HERE).await?.get("here");
            let noted = "INSERT INTO deployment_channels (channel, location) VALUES ($1, $2)
                         ON CONFLICT (channel) DO NOTHING";
            transaction.execute(noted, [&channel, &here]).await?;
            let known = "SELECT location FROM deployment_channels WHERE channel = $1";
            let known = transaction.query(known, [&channel]).await?;
            Ok(known.iter().all(|row| row.get::<_, String>("location") == here))
        })
        .await
    }

    async fn forget(&self) -> Result<(), Failure> {
        self.write(async |transaction| {
            transaction.write(1, "UPDATE deployment SET peer = NULL", []).await?;
            transaction.execute("DELETE FROM deployment_channels", []).await.map(drop)
        })
        .await
    }
}

fn of_bytes(bytes: [u8; 16]) -> DatabaseId {
    DatabaseId(Uuid::from_bytes(bytes))
}

/// The only row of a table.
async fn only(transaction: &Transaction<'_>, sql: &str) -> Result<tokio_postgres::Row, Failure> {
    let mut rows = transaction.query(sql, []).await?;
    let written = rows.len() as u64;
    match rows.pop() {
        Some(row) if rows.is_empty() => Ok(row),
        _ => Err(Suspicion::RowCount { written, expected: 1, sql: sql.to_owned() }.into()),
    }
}
