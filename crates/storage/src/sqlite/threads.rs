//! SQLite calls block: the writer lives on a thread of its own, reads borrow one of a few connections. The simulator,
//! which has one thread, leaves all of that out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use platform::failure::{Cause, Failure};
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{OpenError, failure, open_auditor, open_existing_reader, open_reader};
use crate::migration::Migration;

/// Reads that run at the same time.
const MAX_READERS: usize = 4;
/// How long a read waits for its turn (R17).
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Calls that wait for the writer; a committer makes one at a time, a sweeper another.
const MAX_CALLS: usize = 16;

/// A file for a service's port: the writer `T` on a thread of its own, and readers beside it.
#[derive(Debug)]
pub struct Database<T> {
    writer: Writer<T>,
    readers: Readers,
    /// What a read found out about the file; the next write reports it, and so ends the process (R18).
    broken: OnceLock<Failure>,
}

impl<T: Send + 'static> Database<T> {
    /// Gives `store`, which has opened the file at `path`, its thread.
    pub fn new(path: &Path, store: T) -> Result<Self, OpenError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let writer = Thread::spawn(&name, store).map_err(|error| OpenError::unusable(path, &error))?;
        Ok(Self::of(Writer::Thread(writer), Readers::new(path.to_owned(), open_reader, Where::Threads)))
    }

    /// Without any thread: every call is done where it is made, before it returns.
    pub fn inline(path: &Path, store: T) -> Self {
        Self::of(Writer::Inline(Mutex::new(store)), Readers::new(path.to_owned(), open_reader, Where::Inline))
    }

    /// Opens an existing file beside the service that owns it, for reading only.
    pub fn for_audit(path: &Path, migrations: &[Migration]) -> Result<Self, OpenError> {
        open_existing_reader(path, migrations)?;
        Ok(Self::of(Writer::None, Readers::new(path.to_owned(), open_auditor, Where::Threads)))
    }

    fn of(writer: Writer<T>, readers: Readers) -> Self {
        Self { writer, readers, broken: OnceLock::new() }
    }

    /// Runs `work` on the writer's thread. Dropping the call abandons the answer, never the work (R2).
    ///
    /// **Errors:** those of `work`; `Fatal` if the thread is gone, which only a panic in `work` can do, or if a read has
    /// found the file damaged (R18).
    pub async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        if let Some(broken) = self.broken.get() {
            return Err(broken.clone());
        }
        match &self.writer {
            Writer::Thread(thread) => thread.call(work).await,
            Writer::Inline(store) => work(&mut *store.lock().map_err(|_| gone())?),
            Writer::None => Err(Failure::Suspect("the database was opened for an audit".to_owned())),
        }
    }

    /// Runs `work` in one read transaction, that is, on one snapshot of the last commit.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        let result = self.readers.read(work).await;
        if let Err(failure @ Failure::Fatal(_)) = &result {
            self.broken.get_or_init(|| failure.clone());
        }
        result
    }
}

type Call<T> = Box<dyn FnOnce(&mut T) + Send>;

enum Writer<T> {
    Thread(Thread<T>),
    Inline(Mutex<T>),
    /// Of an audit, which never writes.
    None,
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

/// Owns a synchronous store on a thread of its own and takes calls one after the other.
struct Thread<T> {
    calls: mpsc::Sender<Call<T>>,
}

impl<T: Send + 'static> Thread<T> {
    /// The thread ends, and `store` is dropped, when this is.
    fn spawn(name: &str, mut store: T) -> std::io::Result<Self> {
        let (calls, mut queue) = mpsc::channel::<Call<T>>(MAX_CALLS);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(call) = queue.blocking_recv() {
                call(&mut store);
            }
        })?;
        Ok(Self { calls })
    }

    async fn call<R, W>(&self, work: W) -> Result<R, Failure>
    where
        R: Send + 'static,
        W: FnOnce(&mut T) -> Result<R, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call: Call<T> = Box::new(move |store| {
            let _ = reply.send(work(store));
        });
        self.calls.send(call).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn gone() -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the storage thread panicked")]
    struct ThreadGone;
    let cause: Cause = Arc::new(ThreadGone);
    Failure::Fatal(cause)
}

/// A few read-only connections, opened on demand and given back after a read that worked (R3).
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    open: fn(&Path) -> Result<Connection, OpenError>,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    place: Where,
}

/// Where reads are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Threads,
    Inline,
}

impl Readers {
    fn new(path: PathBuf, open: fn(&Path) -> Result<Connection, OpenError>, place: Where) -> Self {
        Self { path, open, idle: Arc::default(), permits: Arc::new(Semaphore::new(MAX_READERS)), place }
    }

    async fn read<R, W>(&self, work: W) -> Result<R, Failure>
    where
        R: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let waiting = tokio::time::timeout(MAX_WAIT, self.permits.clone().acquire_owned()).await;
        let permit = waiting.map_err(|elapsed| Failure::Unavailable(Arc::new(elapsed)))?;
        let permit = permit.expect("the semaphore is never closed");
        let (path, open, idle) = (self.path.clone(), self.open, self.idle.clone());
        let reading = move || {
            let _permit = permit;
            let kept = idle.lock().expect("nothing panics under this lock").pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => open(&path)?,
            };
            let result = read_snapshot(&mut connection, work).map_err(failure)?;
            idle.lock().expect("nothing panics under this lock").push(connection);
            Ok(result)
        };
        if self.place == Where::Inline {
            return reading();
        }
        tokio::task::spawn_blocking(reading)
            .await
            .unwrap_or_else(|panic| Err(Failure::Suspect(format!("a read panicked: {panic}"))))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open_writer;

    const TABLE: &[Migration] = &[Migration { number: 1, sql: "CREATE TABLE a (x INTEGER) STRICT" }];

    #[tokio::test]
    async fn a_damaged_file_that_a_read_finds_ends_all_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let connection = open_writer(&path, TABLE).expect("a new file");
        let rows = connection.execute("INSERT INTO a SELECT value FROM json_each('[1,2,3]')", []).expect("rows");
        assert_eq!(rows, 3);
        drop(connection);
        // The page of the table: the second and last ones are tables of the schema, so all but the first are damaged.
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes[4096..].fill(0xff);
        std::fs::write(&path, bytes).expect("damaged");

        let database = Database::new(&path, ()).expect("a thread");
        let sum =
            database.read(|reader| reader.query_row("SELECT sum(x) FROM a", [], |row| row.get::<_, i64>(0))).await;
        assert!(matches!(sum, Err(Failure::Fatal(_))), "{sum:?}");
        let written = database.write(|()| Ok(())).await;
        assert!(matches!(written, Err(Failure::Fatal(_))), "{written:?}");
    }

    #[tokio::test]
    async fn a_panic_on_the_writers_thread_is_fatal_and_leaves_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::new(&folder.path().join("a.db"), ()).expect("a thread");
        let panicked = database.write(|()| -> Result<(), Failure> { panic!("this test wants it") }).await;
        assert!(matches!(panicked, Err(Failure::Fatal(_))), "{panicked:?}");
        assert!(matches!(database.write(|()| Ok(())).await, Err(Failure::Fatal(_))));
    }
}
