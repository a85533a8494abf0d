//! SQLite calls block: the writer lives on a thread of its own, reads borrow one of a few connections.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{failure, open_reader};
use crate::batcher::{Cause, Failure};

/// Reads that run at the same time.
const MAX_READERS: usize = 4;
/// Calls that wait for the writer; a committer makes one at a time, a sweeper another.
const MAX_CALLS: usize = 16;

type Call<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Owns a synchronous store on a thread of its own and takes calls one after the other.
pub struct Writer<T> {
    calls: mpsc::Sender<Call<T>>,
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl<T: Send + 'static> Writer<T> {
    /// The thread ends, and `store` is dropped, when the writer is.
    pub fn spawn(name: &str, mut store: T) -> std::io::Result<Self> {
        let (calls, mut queue) = mpsc::channel::<Call<T>>(MAX_CALLS);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(call) = queue.blocking_recv() {
                call(&mut store);
            }
        })?;
        Ok(Self { calls })
    }

    /// Runs `work` on the thread. Dropping the call abandons the answer, never the work (R2).
    ///
    /// **Errors:** those of `work`; `Fatal` if the thread is gone, which only a panic in `work` can do (R18).
    pub async fn call<R, W>(&self, work: W) -> Result<R, Failure>
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
pub struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), permits: Arc::new(Semaphore::new(MAX_READERS)) }
    }

    /// Runs `work` in one read transaction, that is, on one snapshot of the last commit.
    pub async fn read<R, W>(&self, work: W) -> Result<R, Failure>
    where
        R: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let kept = idle.lock().expect("nothing panics under this lock").pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => open_reader(&path)?,
            };
            let result = read_snapshot(&mut connection, work).map_err(failure)?;
            idle.lock().expect("nothing panics under this lock").push(connection);
            Ok(result)
        });
        reading.await.unwrap_or_else(|panic| Err(Failure::Suspect(format!("a read panicked: {panic}"))))
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
