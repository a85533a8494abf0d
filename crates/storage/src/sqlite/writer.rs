//! The one connection that writes to a file, on a thread of its own: SQLite's calls block.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use platform::clock::{Clock, Timestamp};
use platform::failure::{Cause, Failure};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::checkpoints::Checkpoints;
use super::error::{OpenError, failure};
use super::files::Files;
use super::migrate::Migrated;
use super::open::{checkpoint, connect_writer, leave_log, open_or_make};
use crate::migration::Migration;

/// Calls that wait for the writer; a committer makes one at a time, a sweeper another.
const MAX_CALLS: usize = 16;
/// How long the last checkpoint waits for other processes that read the file.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// What was found out about a file that cannot be trusted any more (R18). Its writer and its readers
/// share it.
pub(super) type Broken = Arc<OnceLock<Failure>>;

/// A writing connection to one file, which it has locked.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// Before the connection, which shall be the last one to close.
    checkpoints: Checkpoints,
    /// None after an error: the next transaction opens a new one (R3).
    connection: Option<Connection>,
    /// After it, nothing is written any more: a new connection could find other files (R18).
    broken: Broken,
    files: Arc<Files>,
}

impl Session {
    fn open(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let files = Arc::new(Files::lock(path)?);
        let (mut connection, migrated) = open_or_make(path, migrations, files.made_before())?;
        if migrated == Migrated::Made {
            info!(path = %path.display(), "made a new database, because there was none");
        }
        files.note_made();
        let path = path.to_owned();
        let broken = Broken::default();
        let checkpoints = Checkpoints::new(files.clone(), broken.clone());
        checkpoints.follow(&mut connection).map_err(OpenError::engine(&path))?;
        let connection = Some(connection);
        Ok(Self { path, clock, checkpoints, connection, broken, files })
    }

    /// Runs `work` in one transaction that holds the write lock from its first statement on. A
    /// connection that saw an error is closed.
    fn transact<R>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        if let Some(failure) = self.broken.get() {
            return Err(failure.clone());
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            // Do not create a file that is gone again: its rows would be lost silently.
            None => {
                let mut connection = connect_writer(&self.path, OpenFlags::empty())?;
                self.checkpoints.follow(&mut connection).map_err(failure)?;
                self.files.check().inspect_err(|failure| self.note(failure))?;
                connection
            }
        };
        let result = in_transaction(&mut connection, self.clock.now(), work)
            .and_then(|result| self.files.check_connected().map(|()| result));
        if result.is_ok() {
            self.connection = Some(connection);
            return result;
        }
        if let Err(failure @ Failure::Fatal(_)) = &result {
            self.note(failure);
            // After a failed sync the log on the disk may differ from the one in memory. The next
            // start checks it by its checksums.
            leave_log(&connection);
        }
        self.files.disconnecting();
        result
    }

    fn note(&self, failure: &Failure) {
        self.broken.get_or_init(|| failure.clone());
    }

    /// Copies the log if it is long. A connection that saw an error is closed, and a fatal failure
    /// ends all further writing.
    fn copy_log(
        &mut self,
        copy: impl FnOnce(&mut Checkpoints, &Connection) -> Result<(), Failure>,
    ) {
        let Some(connection) = self.connection.take() else { return };
        match copy(&mut self.checkpoints, &connection) {
            Ok(()) => self.connection = Some(connection),
            Err(failure) => {
                if matches!(failure, Failure::Fatal(_)) {
                    self.note(&failure);
                    leave_log(&connection);
                }
                self.files.disconnecting();
            }
        }
    }

    /// Closes the connection. Before that it copies the log into the file, unless the file cannot
    /// be trusted. The last connection to close removes the log.
    fn close(mut self, trusted: bool) {
        if let Err(failure) = self.checkpoints.end() {
            self.note(&failure);
        }
        let trusted = self.broken.get().is_none() && trusted;
        let path = self.path.display();
        let later = "the log was not copied into the database file; the next start does that";
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None if !trusted => return,
            // The last transaction failed.
            None => match connect_writer(&self.path, OpenFlags::empty()) {
                Ok(connection) => connection,
                Err(error) => return warn!(%path, %error, "{later}"),
            },
        };
        self.files.disconnecting();
        if !trusted {
            return leave_log(&connection);
        }
        let copied = connection.busy_timeout(CLOSE_WAIT).and_then(|()| checkpoint(&connection));
        match copied {
            Ok(true) => {}
            Ok(false) => warn!(%path, "another process still reads the database: {later}"),
            Err(error) => warn!(%path, %error, "{later}"),
        }
    }
}

fn in_transaction<R>(
    connection: &mut Connection,
    now: Timestamp,
    work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failure)?;
    let result = work(&transaction, now)?;
    transaction.commit().map_err(failure)?;
    Ok(result)
}

/// What the writer's thread is asked to do.
pub(super) enum Call {
    Work(Box<dyn FnOnce(&mut Session) + Send>),
    /// The thread ends, and answers when the file is closed.
    Close {
        trusted: bool,
        closed: oneshot::Sender<()>,
    },
}

/// Where the writing connection is used. Clones share it.
#[derive(Clone)]
pub(super) enum Writer {
    /// On a thread of its own, which ends, and lets go of the file, when it is closed or the last
    /// clone is dropped.
    Thread {
        calls: mpsc::Sender<Call>,
        closing: Arc<AtomicBool>,
        files: Arc<Files>,
        broken: Broken,
    },
    /// Where the call is made, before it returns: the simulator has one thread.
    Inline { session: Arc<Mutex<Session>>, files: Arc<Files>, broken: Broken },
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
        let (files, broken) = (session.files.clone(), session.broken.clone());
        let (calls, mut queue) = mpsc::channel::<Call>(MAX_CALLS);
        let serve = move || {
            while let Some(call) = queue.blocking_recv() {
                match call {
                    Call::Work(work) => {
                        work(&mut session);
                        session.copy_log(Checkpoints::after_commit);
                    }
                    Call::Close { trusted, closed } => {
                        session.close(trusted);
                        // The caller may have stopped waiting.
                        let _ = closed.send(());
                        return;
                    }
                }
            }
        };
        let spawned = std::thread::Builder::new().name(name).spawn(serve);
        spawned.map_err(|error| OpenError::unusable(path, &error))?;
        Ok(Self::Thread { calls, closing: Arc::default(), files, broken })
    }

    /// The same without a thread.
    pub(super) fn inline(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let session = Session::open(path, migrations, clock)?;
        let (files, broken) = (session.files.clone(), session.broken.clone());
        Ok(Self::Inline { session: Arc::new(Mutex::new(session)), files, broken })
    }

    /// Runs `work` in a transaction and commits it.
    ///
    /// # Errors
    ///
    /// Those of `work`, after a rollback, and those of the engine. [`Failure::Unavailable`] once
    /// the file is being closed, and [`Failure::Fatal`] if the thread is gone for another reason,
    /// which only a panic in `work` can be.
    pub(super) async fn transact<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        match self {
            Self::Inline { session, .. } => {
                let mut session = session.lock().map_err(|_| panicked())?;
                let result = session.transact(work);
                session.copy_log(Checkpoints::after_commit_inline);
                result
            }
            Self::Thread { calls, closing, .. } => {
                let (reply, answer) = oneshot::channel();
                let call = Call::Work(Box::new(move |session| {
                    // The caller may have stopped waiting; the work is done all the same (R2).
                    let _ = reply.send(session.transact(work));
                }));
                let gone = || if closing.load(Ordering::SeqCst) { closed() } else { panicked() };
                calls.send(call).await.map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            }
        }
    }

    /// The files that the writer has locked.
    pub(super) fn files(&self) -> &Arc<Files> {
        match self {
            Self::Thread { files, .. } | Self::Inline { files, .. } => files,
        }
    }

    /// Where a failure is noted after which the file cannot be trusted.
    pub(super) fn broken(&self) -> &Broken {
        match self {
            Self::Thread { broken, .. } | Self::Inline { broken, .. } => broken,
        }
    }

    /// Does what was called for before, closes the file and lets go of it. The log of a file that
    /// cannot be trusted is left as it is.
    pub(super) async fn close(&self, trusted: bool) {
        let Self::Thread { calls, closing, .. } = self else { return };
        closing.store(true, Ordering::SeqCst);
        let (closed, answer) = oneshot::channel();
        // A thread that is gone holds no file.
        if calls.send(Call::Close { trusted, closed }).await.is_ok() {
            let _ = answer.await;
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

fn panicked() -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the storage thread panicked")]
    struct ThreadGone;
    let cause: Cause = Arc::new(ThreadGone);
    Failure::Fatal(cause)
}

/// What is asked of a file that is closed, or being closed.
pub(super) fn closed() -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the service is stopping, and its database is closed")]
    struct Closed;
    Failure::Unavailable(Arc::new(Closed))
}
