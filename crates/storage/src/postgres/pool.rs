//! The connections of one service to its database, and the transactions on them.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::clock::Clock;
use platform::failure::Failure;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tracing::warn;

use super::connection::Connection;
use super::server::{Access, Server};
use super::transaction::Transaction;
use super::{OpenError, failure};

/// How long a transaction waits for its connection and its beginning (R17).
const MAX_WAIT: Duration = Duration::from_secs(8);
/// How long a connection that was made before may take to begin.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// Then it is made anew: where nobody writes, nobody notices a primary that is none any more.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long a program that starts waits for its database to be there.
const START_PATIENCE: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(200);

/// Whose clock says when a transaction took place.
#[derive(Clone, Debug)]
pub enum Time {
    /// The server's: one clock for all replicas (R7).
    Server,
    /// One that a test moves.
    Given(Arc<dyn Clock>),
}

/// **Shape:** a connection comes back to the pool after a commit, and after nothing else (R3): whoever is dropped in
/// the middle of a transaction takes its connection along.
pub(super) struct Pool {
    pub(super) server: Server,
    access: Access,
    /// Prepared on every connection.
    statements: &'static [&'static str],
    pub(super) time: Time,
    idle: Mutex<Vec<Connection>>,
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
        Self { server, access, statements, time, idle: Mutex::default(), permits: Arc::new(Semaphore::new(size)) }
    }

    /// Makes a first connection, waiting for the database to be there.
    ///
    /// **Errors:** it did not come, or it is not what a service can stand on.
    pub(super) async fn open(&self) -> Result<(), OpenError> {
        let connection = connect_patiently(&self.server, self.access, self.statements).await?;
        self.keep(connection);
        Ok(())
    }

    /// Begins a transaction: READ COMMITTED to write, one snapshot to read.
    ///
    /// **Errors:** nothing was done.
    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Failure> {
        let begun = timeout(MAX_WAIT, self.begin_on_any()).await;
        begun.map_err(|elapsed| Failure::Unavailable(Arc::new(elapsed)))?
    }

    async fn begin_on_any(&self) -> Result<Transaction<'_>, Failure> {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let begin = match self.access {
            // Read-only, on a primary that was demoted: then it fails, and its connection goes.
            Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Access::Read | Access::Audit => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        while let Some(connection) = self.take() {
            match timeout(IDLE_WAIT, connection.batch(begin)).await {
                Ok(Ok(())) => return Ok(Transaction::new(self, connection, permit)),
                // One that the server has closed meanwhile has done nothing: the next one may.
                Ok(Err(_)) => {}
                // Where nobody answers, nobody will answer its neighbours.
                Err(_) => self.idle.lock().expect("nothing panics under this lock").clear(),
            }
        }
        let connection = self.server.connect(self.access, self.statements).await?;
        connection.batch(begin).await.map_err(|error| self.failed(error))?;
        Ok(Transaction::new(self, connection, permit))
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().expect("nothing panics under this lock");
        idle.retain(|connection| {
            !connection.is_closed() && connection.age() < MAX_AGE && self.server.leads_to_primary(connection.made_at())
        });
        idle.pop()
    }

    /// What an error means for a transaction on one of the connections.
    pub(super) fn failed(&self, error: tokio_postgres::Error) -> Failure {
        if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.server.was_demoted();
        }
        failure(error)
    }

    pub(super) fn keep(&self, connection: Connection) {
        self.idle.lock().expect("nothing panics under this lock").push(connection);
    }
}

/// A connection, once there is a database to connect to.
pub(super) async fn connect_patiently(
    server: &Server,
    access: Access,
    statements: &[&'static str],
) -> Result<Connection, OpenError> {
    let (deadline, mut logged) = (Instant::now() + START_PATIENCE, false);
    loop {
        match server.connect(access, statements).await {
            Err(error) if error.may_pass() && Instant::now() < deadline => {
                if !std::mem::replace(&mut logged, true) {
                    warn!("{error}; waiting for it");
                }
                sleep(START_PAUSE).await;
            }
            result => return result,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.server).field("access", &self.access).finish_non_exhaustive()
    }
}
