//! The one connection that writes to a file, on a thread of its own: SQLite's calls block.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use platform::clock::{Clock, Timestamp};
use platform::failure::{Cause, Failure};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::{OpenError, failure};
use super::lock::Lock;
use super::open::{connect_writer, open_writer};
use crate::migration::Migration;

/// Calls that wait for the writer; a committer makes one at a time, a sweeper another.
const MAX_CALLS: usize = 16;

/// A writing connection to one file, which it has locked.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// None after an error: the next transaction opens a new one (R3).
    connection: Option<Connection>,
    _lock: Lock,
}

impl Session {
    fn open(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let lock = Lock::acquire(path)?;
        let connection = open_writer(path, migrations)?;
        Ok(Self { path: path.to_owned(), clock, connection: Some(connection), _lock: lock })
    }

    /// Runs `work` in one transaction that holds the write lock from its first statement on. A
    /// connection that saw an error is closed.
    fn transact<R>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            // Do not create a file that is gone again: its rows would be lost silently.
            None => connect_writer(&self.path, OpenFlags::empty())?,
        };
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        let result = work(&transaction, self.clock.now())?;
        transaction.commit().map_err(failure)?;
        self.connection = Some(connection);
        Ok(result)
    }
}

type Call = Box<dyn FnOnce(&mut Session) + Send>;

/// Where the writing connection is used.
pub(super) enum Writer {
    /// On a thread of its own, which ends, and lets go of the file, when this is dropped.
    Thread(mpsc::Sender<Call>),
    /// Where the call is made, before it returns: the simulator has one thread.
    Inline(Mutex<Session>),
}

impl Writer {
    /// Locks the file, opens or makes it, brings its schema up to date, and starts the thread.
    pub(super) fn spawn(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let mut session = Session::open(path, migrations, clock)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (calls, mut queue) = mpsc::channel::<Call>(MAX_CALLS);
        let serve = move || {
            while let Some(call) = queue.blocking_recv() {
                call(&mut session);
            }
        };
        let spawned = std::thread::Builder::new().name(name).spawn(serve);
        spawned.map_err(|error| OpenError::unusable(path, &error))?;
        Ok(Self::Thread(calls))
    }

    /// The same without a thread.
    pub(super) fn inline(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Session::open(path, migrations, clock).map(|session| Self::Inline(Mutex::new(session)))
    }

    /// Runs `work` in a transaction and commits it.
    ///
    /// # Errors
    ///
    /// Those of `work`, after a rollback, and those of the engine. [`Failure::Fatal`] if the
    /// thread is gone, which only a panic in `work` can do.
    pub(super) async fn transact<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        match self {
            Self::Inline(session) => session.lock().map_err(|_| gone())?.transact(work),
            Self::Thread(calls) => {
                let (reply, answer) = oneshot::channel();
                let call: Call = Box::new(move |session| {
                    // The caller may have stopped waiting; the work is done all the same (R2).
                    let _ = reply.send(session.transact(work));
                });
                calls.send(call).await.map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            }
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

fn gone() -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the storage thread panicked")]
    struct ThreadGone;
    let cause: Cause = Arc::new(ThreadGone);
    Failure::Fatal(cause)
}
