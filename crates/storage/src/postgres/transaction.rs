//! A transaction, which ends with its commit or takes its connection along.

use std::sync::Arc;
use std::time::Duration;

use platform::clock::{Clock, Timestamp};
use platform::failure::{Failure, Suspicion};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::{Connection, NOW};
use super::error::fate;
use super::idle::Idle;

/// How long a statement may take, the waits for its locks included.
const STATEMENT_WAIT: Duration = Duration::from_secs(5);
/// How long a commit may take, the wait for a standby included. Whether it happened is unknown from
/// then on.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

/// The clock that dates transactions.
#[derive(Clone, Debug)]
pub enum Time {
    /// The server's: one clock for all replicas (R7).
    Server,
    /// One that a test moves.
    Given(Arc<dyn Clock>),
}

/// A transaction that has begun.
///
/// Calls whose statements are prepared may be made side by side, by `join!`: the server executes
/// them in the order in which they are first polled, each seeing what its predecessors waited for.
/// Of several errors, the first is the cause.
#[derive(Debug)]
pub struct Transaction<'pool> {
    idle: &'pool Idle,
    time: &'pool Time,
    connection: Connection,
    permit: OwnedSemaphorePermit,
}

/// A parameter of a statement.
pub type Parameter<'a> = &'a (dyn ToSql + Sync);

impl<'pool> Transaction<'pool> {
    /// Of a connection on which it was begun, which goes back to `idle` after a commit.
    pub(super) fn new(
        idle: &'pool Idle,
        time: &'pool Time,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { idle, time, connection, permit }
    }

    /// Executes a statement and returns its rows.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. Nothing of the transaction was done, and nothing will be.
    pub async fn query<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<Vec<Row>, Failure> {
        self.query_with(sql, &parameters).await
    }

    /// Returns a page of rows sorted by id: `sql` has `id >= $1` and `LIMIT $2`.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn page(
        &self,
        sql: &str,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Row>, Failure> {
        match page_from(after) {
            Some(from) => self.query(sql, [&from, &i64::from(limit)]).await,
            None => Ok(Vec::new()),
        }
    }

    /// Executes a statement with any number of parameters and returns its rows.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn query_with(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let rows = timeout(STATEMENT_WAIT, self.connection.query(sql, parameters)).await;
        rows.map_err(late)?.map_err(|error| self.idle.failed(error))
    }

    /// Executes a statement that must write exactly `rows` rows, as the decision predicted (R11).
    /// With 0 rows it does nothing.
    ///
    /// # Errors
    ///
    /// [`Failure::Suspect`] if it wrote another number; otherwise as [`query`](Self::query). The
    /// caller must not commit the transaction.
    pub async fn write<const N: usize>(
        &self,
        rows: usize,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<(), Failure> {
        if rows == 0 {
            return Ok(());
        }
        let written = self.execute(sql, parameters).await?;
        let expected = rows as u64;
        if written == expected {
            return Ok(());
        }
        Err(Suspicion::RowCount { written, expected, sql: sql.to_owned() }.into())
    }

    /// Executes a statement and returns how many rows it wrote.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn execute<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<u64, Failure> {
        let written = timeout(STATEMENT_WAIT, self.connection.execute(sql, &parameters)).await;
        written.map_err(late)?.map_err(|error| self.idle.failed(error))
    }

    /// Returns the current time. After waiting for locks, it is later than the transactions that
    /// held them.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn now(&self) -> Result<Timestamp, Failure> {
        match self.time {
            Time::Given(clock) => Ok(clock.now()),
            Time::Server => {
                let rows = self.query(NOW, []).await?;
                let micros = rows.first().and_then(|row| row.try_get("now").ok());
                micros.map(Timestamp).ok_or_else(|| Failure::suspect(NoTime))
            }
        }
    }

    /// Commits durably.
    ///
    /// A commit that takes too long keeps its connection and its slot in the pool until it ends, or
    /// until another host is the primary. A server that waits for its standby does not notice that
    /// a client has left, so connections made instead would pile up there.
    ///
    /// # Errors
    ///
    /// [`Failure::Unknown`] if the server did not answer, or answered with a warning: it reports a
    /// commit even if its wait for the standby was cancelled (R1, R4).
    pub async fn commit(self) -> Result<(), Failure> {
        let Self { idle, connection, permit, .. } = self;
        connection.take_warning();
        let made_at = connection.made_at();
        let mut commit = Box::pin(async move {
            let said = connection.batch("COMMIT").await;
            (said, connection, permit)
        });
        match timeout(COMMIT_WAIT, &mut commit).await {
            Err(elapsed) => {
                let server = idle.server().clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = commit => {}
                        () = server.has_moved_since(made_at) => {}
                    }
                });
                Err(Failure::Unknown(Arc::new(elapsed)))
            }
            Ok((Err(error), ..)) => Err(fate(error)),
            Ok((Ok(()), connection, _)) if connection.take_warning() => {
                Err(Failure::Unknown(Arc::new(Warned)))
            }
            Ok((Ok(()), connection, _permit)) => {
                idle.keep(connection);
                Ok(())
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server returned no time")]
struct NoTime;

#[derive(Debug, thiserror::Error)]
#[error("the server sent a warning during the commit")]
struct Warned;

fn late(elapsed: tokio::time::error::Elapsed) -> Failure {
    Failure::Unavailable(Arc::new(elapsed))
}

/// Where a page of rows sorted by id begins that is to follow `after`. Nothing follows the last of
/// all ids.
///
/// A page is asked for by one condition (`id >= $1`), which an index answers whatever the planner
/// knows.
pub fn page_from(after: Option<Uuid>) -> Option<Uuid> {
    let Some(after) = after else { return Some(Uuid::nil()) };
    after.as_u128().checked_add(1).map(Uuid::from_u128)
}
