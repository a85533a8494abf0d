//! One service's database: connections to write, and others to read snapshots.

use platform::failure::Failure;

use super::migrate::{check, migrate};
use super::pool::{Pool, Time};
use super::transaction::Transaction;
use super::{Access, OpenError, Schema, Server};

/// Committers, a sweeper, a quarantine.
const MAX_WRITERS: usize = 8;
/// Reads that run at the same time.
const MAX_READERS: usize = 8;

#[derive(Debug)]
pub struct Database {
    writers: Pool,
    readers: Pool,
}

impl Database {
    /// Waits for the database, brings its schema up to date and makes a first connection.
    ///
    /// **Errors:** it did not come, or it is not what a service can stand on.
    pub async fn open(server: Server, schema: &Schema, time: Time) -> Result<Self, OpenError> {
        migrate(&server, schema, None).await?;
        let writers = Pool::new(server.clone(), Access::Write, schema.statements, time.clone(), MAX_WRITERS);
        writers.open().await?;
        Ok(Self { writers, readers: Pool::new(server, Access::Read, &[], time, MAX_READERS) })
    }

    /// Opens a database beside the service that owns it, for reading only.
    pub async fn for_audit(server: Server, schema: &Schema) -> Result<Self, OpenError> {
        check(&server, schema).await?;
        let pool = || Pool::new(server.clone(), Access::Audit, &[], Time::Server, MAX_READERS);
        Ok(Self { writers: pool(), readers: pool() })
    }

    /// Writes in one transaction.
    ///
    /// **Errors:** those of `work` and of the commit. The connection that saw them is closed (R3).
    pub async fn write<R>(&self, work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>) -> Result<R, Failure> {
        let transaction = self.writers.begin().await?;
        let written = work(&transaction).await?;
        transaction.commit().await?;
        Ok(written)
    }

    /// Reads from one snapshot of the last commit.
    pub async fn read<R>(&self, work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>) -> Result<R, Failure> {
        let snapshot = self.readers.begin().await?;
        let read = work(&snapshot).await?;
        // What was read was there, however this ends.
        let _ = snapshot.commit().await;
        Ok(read)
    }
}
