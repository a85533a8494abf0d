//! The table `deployment`, which both services have: which database this is, which one is its
//! peer's, and where it was used last (R31).

use std::sync::Arc;

use async_trait::async_trait;
use platform::failure::{Failure, Suspicion};
use platform::pairing::{DatabaseId, Identity, Names, Pairing, PairingStore};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::postgres::Transaction;
use crate::{postgres, sqlite};

/// Where a database is: on which channel it is used, and its place, which a copy does not share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Usage {
    channel: Option<String>,
    place: Option<String>,
}

impl Usage {
    /// Whether a database that was last used like this, and is now used on `channel` at `place`,
    /// may be one of two copies on the same channel.
    fn may_be_copied(&self, channel: &str, place: &str) -> bool {
        self.channel.as_deref() == Some(channel)
            && self.place.as_deref().is_some_and(|known| known != place)
    }
}

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

    async fn use_on(&self, channel: &str) -> Result<bool, Failure> {
        let (channel, place) = (channel.to_owned(), self.place());
        let note = move |connection: &Connection| {
            let known = connection
                .query_row("SELECT channel, place FROM deployment", [], |row| {
                    Ok(Usage { channel: row.get("channel")?, place: row.get("place")? })
                })
                .optional()?;
            if known.is_none_or(|known| known.may_be_copied(&channel, &place)) {
                return Ok(false);
            }
            connection
                .execute("UPDATE deployment SET channel = ?1, place = ?2", (&channel, &place))?;
            Ok(true)
        };
        self.write(move |transaction, _| note(transaction).map_err(sqlite::failure)).await
    }

    async fn forget(&self) -> Result<(), Failure> {
        let forget = "UPDATE deployment SET peer = NULL, channel = NULL, place = NULL";
        let forget = move |connection: &Connection| connection.execute(forget, []).map(drop);
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

/// A table's oid differs in every copy that was made by a dump, also within one server. Physical
/// copies, such as a standby, share it with their original.
const PLACE: &str = "SELECT channel, place,
            (SELECT system_identifier FROM pg_control_system()) || '/' ||
            (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' ||
            'deployment'::regclass::oid AS here
     FROM deployment FOR UPDATE";

#[async_trait]
impl PairingStore for postgres::Database {
    async fn keep_peer(&self, met: DatabaseId) -> Result<DatabaseId, Failure> {
        self.write(async |transaction| {
            let kept = "UPDATE deployment SET peer = $1 WHERE peer IS NULL";
            transaction.execute(kept, [&met.0]).await?;
            let row = only(transaction, "SELECT peer FROM deployment").await?;
            Ok(DatabaseId(row.get("peer")))
        })
        .await
    }

    async fn use_on(&self, channel: &str) -> Result<bool, Failure> {
        self.write(async |transaction| {
            let row = only(transaction, PLACE).await?;
            let known = Usage { channel: row.get("channel"), place: row.get("place") };
            let here: String = row.get("here");
            if known.may_be_copied(channel, &here) {
                return Ok(false);
            }
            let noted = "UPDATE deployment SET channel = $1, place = $2";
            transaction.write(1, noted, [&channel, &here]).await?;
            Ok(true)
        })
        .await
    }

    async fn forget(&self) -> Result<(), Failure> {
        let forget = "UPDATE deployment SET peer = NULL, channel = NULL, place = NULL";
        self.write(async |transaction| transaction.write(1, forget, []).await).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_that_comes_to_the_same_channel_from_elsewhere_may_be_a_copy() {
        let used = |channel: Option<&str>, place: Option<&str>| Usage {
            channel: channel.map(str::to_owned),
            place: place.map(str::to_owned),
        };
        for (known, may_be_copied) in [
            (used(None, None), false),
            (used(Some("a"), Some("here")), false),
            (used(Some("a"), Some("there")), true),
            (used(Some("b"), Some("there")), false),
            (used(None, Some("there")), false),
        ] {
            assert_eq!(known.may_be_copied("a", "here"), may_be_copied, "{known:?}");
        }
    }
}
