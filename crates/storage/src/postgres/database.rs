//! One service's database: connections that write, and readers beside them.

use std::sync::Arc;
use std::time::Duration;

use platform::failure::Failure;
use platform::pairing::DatabaseId;

use super::error::OpenError;
use super::migrate::{Schema, check, migrate};
use super::pool::Pool;
use super::privileges::Roles;
use super::readers::Readers;
use super::server::{Access, Server};
use super::transaction::{Time, Transaction};
use super::write_check::WriteCheck;

/// Committers, a sweeper, a quarantine.
const MAX_WRITERS: usize = 8;

/// A PostgreSQL database that the replicas of one service write and read. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    server: Server,
    writers: Arc<Pool>,
    readers: Readers,
}

impl Database {
    /// Waits for the database, brings its schema up to date and makes a first connection.
    ///
    /// # Errors
    ///
    /// It did not come, or it is not what a service can stand on.
    pub async fn open(server: Server, schema: &Schema, time: Time) -> Result<Self, OpenError> {
        migrate(&server, schema, Roles::default()).await?;
        let readers = Readers::new(server.clone(), time.clone());
        let writers =
            Pool::new(server.clone(), Access::Write, schema.statements, time, MAX_WRITERS);
        writers.open().await?;
        Ok(Self { server, writers: Arc::new(writers), readers })
    }

    /// Opens a database beside the service that owns it, for a change by hand. Its schema stays as
    /// it is.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or its schema is not one that this program knows.
    pub async fn open_beside(server: Server, schema: &Schema) -> Result<Self, OpenError> {
        check(&server, schema).await?;
        let readers = Readers::new(server.clone(), Time::Server);
        let writers = Pool::new(server.clone(), Access::Write, &[], Time::Server, 1);
        Ok(Self { server, writers: Arc::new(writers), readers })
    }

    /// The worker that tells the readiness probe whether the service can write.
    pub fn write_check(&self) -> WriteCheck {
        WriteCheck { writers: self.writers.clone() }
    }

    /// Notes which database this is. Every later connection must see the same.
    pub(crate) fn found(&self, id: DatabaseId) {
        self.server.found_database(id);
    }

    /// The readers alone, for an audit beside the service.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Runs `work` in one transaction, and commits it.
    ///
    /// # Errors
    ///
    /// Those of `work` and of the commit. The connection that saw them is closed (R3).
    pub async fn write<R>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let transaction = self.writers.begin().await?;
        let written = work(&transaction).await?;
        transaction.commit().await?;
        Ok(written)
    }

    /// Reads from one snapshot of the last commit.
    ///
    /// # Errors
    ///
    /// Those of `work`. The connection that saw them is closed (R3).
    pub async fn read<R>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.readers.read(work).await
    }

    /// As [`read`](Self::read), but each statement is given up after `limit`.
    ///
    /// # Errors
    ///
    /// As [`Readers::read_within`].
    pub async fn read_within<R>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.readers.read_within(limit, work).await
    }
}
