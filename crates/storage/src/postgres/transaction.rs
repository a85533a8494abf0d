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

/// Whose clock says when a transaction took place.
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

    /// # Errors
    ///
    /// Nothing of the transaction was done, and nothing will be.
    pub async fn query<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<Vec<Row>, Failure> {
        self.query_with(sql, &parameters).await
    }

    /// A page of rows sorted by id: `sql` has `id >= $1` and `LIMIT $2`.
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

    /// The same as [`query`](Self::query), with as many parameters as there happen to be.
    pub async fn query_with(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let rows = timeout(STATEMENT_WAIT, self.connection.query(sql, parameters)).await;
        rows.map_err(late)?.map_err(|error| self.idle.failed(error))
    }

    /// Executes a statement that must write exactly so many rows, as was predicted (R11).
    ///
    /// # Errors
    ///
    /// `Suspect` if it wrote others; the transaction must not be committed.
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

    /// Executes a statement. How many rows it wrote.
    pub async fn execute<const N: usize>(
        &self,
        sql: &str,
        parameters: [Parameter<'_>; N],
    ) -> Result<u64, Failure> {
        let written = timeout(STATEMENT_WAIT, self.connection.execute(sql, &parameters)).await;
        written.map_err(late)?.map_err(|error| self.idle.failed(error))
    }

    /// When this call is executed. What is asked for behind locks is later than all that they
    /// waited for.
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

    /// Makes it durable.
    ///
    /// One that nobody waits for any more keeps its connection and its place in the pool until it
    /// ends, or another host is the primary. A server that waits for its standby does not notice
    /// that a client has left: connections that were made in its place would pile up there.
    ///
    /// # Errors
    ///
    /// `Unknown` wherever the server did not say, or said it with a warning: a wait for the standby
    /// that somebody cut off counts as a commit to the server, and to nobody else (R1, R4).
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
#[error("the server tells no time")]
struct NoTime;

#[derive(Debug, thiserror::Error)]
#[error("the server warned while it committed")]
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
