//! Connections that read snapshots, beside the writers or from another program.

use std::sync::Arc;
use std::time::Duration;

use platform::failure::Failure;

use super::error::OpenError;
use super::migrate::{Schema, check};
use super::pool::Pool;
use super::server::{Access, Server};
use super::transaction::{Time, Transaction};

/// Reads that run at the same time.
const MAX_READERS: usize = 8;

/// Until the end of the transaction.
const LIMIT_STATEMENTS: &str = "SELECT set_config('statement_timeout', $1, true)";

/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct Readers(Arc<Pool>);

impl Readers {
    /// Readers beside this program's own writers.
    pub(super) fn new(server: Server, time: Time) -> Self {
        Self::of(server, Access::Read, time)
    }

    /// Readers of a database that another program owns.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or its schema is not one that this program knows.
    pub async fn for_audit(server: Server, schema: &Schema) -> Result<Self, OpenError> {
        check(&server, schema).await?;
        Ok(Self::of(server, Access::Audit, Time::Server))
    }

    fn of(server: Server, access: Access, time: Time) -> Self {
        Self(Arc::new(Pool::new(server, access, &[], time, MAX_READERS)))
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
        let snapshot = self.0.begin().await?;
        let read = work(&snapshot).await?;
        // What was read was there, however this ends.
        let _ = snapshot.commit().await;
        Ok(read)
    }

    /// As [`read`](Self::read), for work whose cost grows with the tables: the server gives each
    /// statement up after `limit`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`Failure::Unavailable`] if a statement was given up.
    pub async fn read_within<R>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let limit = limit.as_millis().to_string();
        self.read(async |snapshot| {
            snapshot.query_with(LIMIT_STATEMENTS, &[&limit]).await?;
            work(snapshot).await
        })
        .await
    }
}
