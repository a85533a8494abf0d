//! A few connections that read snapshots beside the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use platform::failure::Failure;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use super::error::{OpenError, failure};
use super::files::Files;
use super::open::{leave_log, open_auditor, open_existing_reader, open_reader};
use super::writer::{Broken, Writer, closed};
use crate::migration::Migration;

/// Reads that run at the same time.
const MAX_READERS: u32 = 4;
/// How long a read waits for its turn (R17).
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How many steps of a statement are executed between two looks at the clock: some 20 µs.
const STEPS_BETWEEN_LOOKS: i32 = 1000;
/// How long closing the file waits for the reads that are under way.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Read-only connections to one file, opened on demand and given back after a read that worked
/// (R3). Clones share them.
#[derive(Clone, Debug)]
pub struct Readers {
    path: PathBuf,
    open: fn(&Path) -> Result<Connection, OpenError>,
    threads: Threads,
    idle: Arc<Idle>,
    permits: Arc<Semaphore>,
    broken: Broken,
}

/// Connections that are open, and not used at present.
#[derive(Debug, Default)]
struct Idle {
    connections: Mutex<Vec<Connection>>,
    /// The files that this service has locked, which outlive the connections. None of another
    /// program's.
    _files: Option<Arc<Files>>,
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().expect("nothing panics under this lock")
    }
}

/// Where reads are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    Blocking,
    /// Where the call is made, before it returns: the simulator has one thread.
    None,
}

impl Readers {
    /// Readers beside this program's own writer.
    pub(super) fn new(path: &Path, writer: &Writer, threads: Threads) -> Self {
        let broken = writer.broken().clone();
        Self { broken, ..Self::of(path, open_reader, Some(writer.files().clone()), threads) }
    }

    /// Readers of an existing file that another program owns.
    ///
    /// # Errors
    ///
    /// Returns an error if the file does not exist, cannot be opened, or has a schema that this
    /// program does not know.
    pub fn for_audit(path: &Path, migrations: &[Migration]) -> Result<Self, OpenError> {
        open_existing_reader(path, migrations)?;
        Ok(Self::of(path, open_auditor, None, Threads::Blocking))
    }

    fn of(
        path: &Path,
        open: fn(&Path) -> Result<Connection, OpenError>,
        files: Option<Arc<Files>>,
        threads: Threads,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_READERS as usize));
        let idle = Arc::new(Idle { connections: Mutex::default(), _files: files });
        Self { path: path.to_owned(), open, threads, idle, permits, broken: Arc::default() }
    }

    /// Runs `work` in one read transaction, that is, on one snapshot of the last commit.
    ///
    /// # Errors
    ///
    /// Those of `work` and of the engine.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        self.noting(self.read_in_turn(None, work)).await
    }

    /// As [`read`](Self::read), for work whose cost grows with the tables: it is given up after
    /// `limit`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`Failure::Unavailable`] if it was given up.
    pub async fn read_within<R: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        self.noting(self.read_in_turn(Some(limit), work)).await
    }

    async fn noting<R>(
        &self,
        reading: impl Future<Output = Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let result = reading.await;
        if let Err(failure) = &result {
            self.note(failure);
        }
        result
    }

    /// Remembers a failure after which the file cannot be trusted (R18).
    pub(super) fn note(&self, failure: &Failure) {
        if let Failure::Fatal(_) = failure {
            self.broken.get_or_init(|| failure.clone());
        }
    }

    /// Closes the connections, after the reads that are under way. No read begins afterwards.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(MAX_READERS);
        if tokio::time::timeout(CLOSE_WAIT, all).await.is_err() {
            warn!(path = %self.path.display(), "closing the database although a read is under way");
        }
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        if self.broken().is_some() {
            idle.iter().for_each(leave_log);
        }
        // The last connection to close copies the log into the file.
        let closing = tokio::task::spawn_blocking(move || drop(idle));
        closing.await.expect("closing a connection does not panic");
    }

    /// The failure that showed that the file is damaged (R18).
    pub(super) fn broken(&self) -> Option<Failure> {
        self.broken.get().cloned()
    }

    async fn read_in_turn<R: Send + 'static>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        let waiting = tokio::time::timeout(MAX_WAIT, self.permits.clone().acquire_owned()).await;
        let permit = waiting.map_err(|elapsed| Failure::Unavailable(Arc::new(elapsed)))?;
        let permit = permit.map_err(|_| closed())?;
        let path = self.path.clone();
        let open = self.open;
        let idle = self.idle.clone();
        let reading = move || {
            let _permit = permit;
            let kept = idle.lock().pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => open(&path)?,
            };
            if let Some(limit) = limit {
                interrupt_after(&mut connection, limit).map_err(failure)?;
            }
            // A connection that was interrupted is not used again (R3).
            let result = read_snapshot(&mut connection, work).map_err(failure)?;
            connection.progress_handler(0, None::<fn() -> bool>).map_err(failure)?;
            idle.lock().push(connection);
            Ok(result)
        };
        if self.threads == Threads::None {
            return reading();
        }
        tokio::task::spawn_blocking(reading)
            .await
            .unwrap_or_else(|panic| Err(Failure::suspect(panic)))
    }
}

/// Lets the statements of the connection fail from then on.
fn interrupt_after(connection: &mut Connection, limit: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + limit;
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || Instant::now() > deadline))
}

fn read_snapshot<R>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    let transaction = connection.transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}
