//! The connections of one service to its database, and the transactions on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use platform::failure::Failure;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::OpenError;
use super::idle::Idle;
use super::server::{Access, Server};
use super::transaction::{Time, Transaction};

/// How long a transaction waits for its connection and its beginning (R17).
const MAX_WAIT: Duration = Duration::from_secs(8);
/// How long a connection that was made before may take to begin.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// The connections of a service. One returns to the pool only after a commit (R3): a transaction
/// that is dropped before closes its connection.
pub(super) struct Pool {
    idle: Idle,
    access: Access,
    /// Prepared on every connection.
    statements: &'static [&'static str],
    time: Time,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// At most `size` connections, made when they are needed.
    pub(super) fn new(
        server: Server,
        access: Access,
        statements: &'static [&'static str],
        time: Time,
        size: usize,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(size));
        Self { idle: Idle::new(server), access, statements, time, permits }
    }

    /// Makes a first connection, waiting for the database to be there.
    ///
    /// # Errors
    ///
    /// It did not come, or it is not what a service can stand on.
    pub(super) async fn open(&self) -> Result<(), OpenError> {
        let connection = self.idle.server().connect_patiently(self.access, self.statements).await?;
        self.idle.keep(connection);
        Ok(())
    }

    /// Begins a transaction: READ COMMITTED to write, one snapshot to read.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Failure> {
        let begun = timeout(MAX_WAIT, self.begin_on_any()).await;
        begun.map_err(|elapsed| Failure::Unavailable(Arc::new(elapsed)))?
    }

    async fn begin_on_any(&self) -> Result<Transaction<'_>, Failure> {
        let permit =
            self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let begin = match self.access {
            // On a primary that was demoted the transaction is read-only: its first write fails,
            // and its connection is closed.
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Access::Read | Access::Audit => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        while let Some(connection) = self.idle.take() {
            match timeout(IDLE_WAIT, connection.batch(begin)).await {
                Ok(Ok(())) => {
                    return Ok(Transaction::new(&self.idle, &self.time, connection, permit));
                }
                // The server has closed this connection; try the next one.
                Ok(Err(_)) => {}
                // If this connection does not answer, the others will not either.
                Err(_) => self.idle.clear(),
            }
        }
        let connection = self.idle.server().connect(self.access, self.statements).await?;
        connection.batch(begin).await.map_err(|error| self.idle.failed(error))?;
        Ok(Transaction::new(&self.idle, &self.time, connection, permit))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("server", self.idle.server())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
