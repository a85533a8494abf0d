//! Copies the log of a database into its file, beside the commits: a batch takes no longer because
//! much was written before it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use platform::failure::Failure;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use tracing::warn;

use super::error::{OpenError, failure};
use super::open::connect_writer;

/// Pages of 4 KiB in the log from which on it is copied. Fewer, larger checkpoints cost less,
/// because a page that was written often is copied once.
const DUE_PAGES: u32 = 16_000;
/// How much further a log grows that could not be copied as a whole, until the next attempt.
const GROWTH_PAGES: u32 = 1_000;
/// What may be left for the writer to copy, between two batches.
const REST_PAGES: u32 = 100;
/// How often what was added meanwhile is copied, too, before the writer copies the rest.
const MAX_PASSES: u32 = 5;

/// The checkpoints of one database.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
    /// The pages in the log after the last commit.
    pages: Arc<AtomicU32>,
    due_at: u32,
    /// The connection that copies, when it is not in use. It never commits.
    idle: Option<Connection>,
    copying: Option<JoinHandle<Copied>>,
}

/// The connection that has copied, and how that ended.
type Copied = (Connection, rusqlite::Result<()>);

impl Checkpoints {
    pub(super) fn new(path: PathBuf) -> Self {
        let pages = Arc::default();
        Self { path, pages, due_at: DUE_PAGES, idle: None, copying: None }
    }

    /// Counts the pages that the writer's connection adds to the log. SQLite no longer copies the
    /// log by itself.
    pub(super) fn follow(&self, writer: &mut Connection) -> rusqlite::Result<()> {
        let pages = self.pages.clone();
        writer.wal_hook(Some(move |_: &mut Wal, length: std::ffi::c_int| {
            pages.store(u32::try_from(length).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))
    }

    /// Begins to copy a long log on a thread of its own, and copies the rest when that has ended.
    /// To be called after each commit, by the writer.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] if the disk failed (R18). Whatever else is in the way, such as a reader
    /// of an old snapshot or a full disk, leaves the log longer until the next attempt.
    pub(super) fn tend(&mut self, writer: &Connection) -> Result<(), Failure> {
        if self.copying.as_ref().is_some_and(|copying| !copying.is_finished()) {
            return Ok(());
        }
        let pages = self.pages.load(Ordering::Relaxed);
        let tended = match self.copying.take() {
            Some(copying) => {
                self.due_at = pages + GROWTH_PAGES;
                let copied = self.join(copying).and_then(|()| copy(writer));
                copied.map(drop).map_err(failure)
            }
            None if pages >= self.due_at => {
                self.due_at = pages + GROWTH_PAGES;
                self.begin()
            }
            None => Ok(()),
        };
        // The writer has begun the log anew.
        if pages < DUE_PAGES {
            self.due_at = DUE_PAGES;
        }
        only_fatal(tended)
    }

    /// Copies a long log here and now: the simulator has one thread.
    ///
    /// # Errors
    ///
    /// As [`tend`](Self::tend).
    pub(super) fn tend_inline(&mut self, writer: &Connection) -> Result<(), Failure> {
        if self.pages.load(Ordering::Relaxed) < DUE_PAGES {
            return Ok(());
        }
        only_fatal(copy(writer).map(drop).map_err(failure))
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let connection = match self.idle.take() {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let pages = self.pages.clone();
        let spawned = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            let result = copy_most(&connection, &pages);
            (connection, result)
        });
        match spawned {
            Ok(copying) => self.copying = Some(copying),
            Err(error) => warn!(%error, "no thread for a checkpoint, trying again later"),
        }
        Ok(())
    }

    /// Waits for the thread that copies, if there is one, and closes its connection.
    pub(super) fn end(&mut self) {
        if let Some(copying) = self.copying.take() {
            // The last checkpoint meets the same error.
            let _ = self.join(copying);
        }
        self.idle = None;
    }

    fn join(&mut self, copying: JoinHandle<Copied>) -> rusqlite::Result<()> {
        let (connection, result) = copying.join().expect("copying does not panic");
        if result.is_ok() {
            self.idle = Some(connection);
        }
        result
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens the connection that copies. When it is closed, it leaves the log to the writer.
fn connect(path: &std::path::Path) -> Result<Connection, OpenError> {
    let connection = connect_writer(path, OpenFlags::empty())?;
    let left = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    left.map_err(OpenError::engine(path))?;
    Ok(connection)
}

/// Copies until little is left, which is what the writer adds meanwhile.
fn copy_most(connection: &Connection, pages: &AtomicU32) -> rusqlite::Result<()> {
    for _ in 0..MAX_PASSES {
        let copied = copy(connection)?;
        if pages.load(Ordering::Relaxed).saturating_sub(copied) <= REST_PAGES {
            break;
        }
    }
    Ok(())
}

/// Copies what no reader of an older snapshot needs. Returns how many pages of the log are copied.
fn copy(connection: &Connection) -> rusqlite::Result<u32> {
    let (_, copied) = connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)?;
    Ok(u32::try_from(copied).unwrap_or(0))
}

/// A log that could not be copied is copied later, unless the disk failed.
fn only_fatal(tended: Result<(), Failure>) -> Result<(), Failure> {
    match tended {
        Err(Failure::Fatal(cause)) => Err(Failure::Fatal(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use platform::clock::{ManualClock, Timestamp};
    use rusqlite::Transaction;

    use super::super::files::beside;
    use super::super::{Database, failure};
    use super::*;
    use crate::migration::Migration;

    const TABLE: &[Migration] =
        &[Migration { number: 1, sql: "CREATE TABLE a (x BLOB NOT NULL) STRICT" }];
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn write(database: &Database, pages: u32) {
        let insert = move |transaction: &Transaction<'_>, _| {
            let sql = "INSERT INTO a VALUES (zeroblob(?1 * 4096))";
            transaction.execute(sql, [pages]).map(drop).map_err(failure)
        };
        database.write(insert).await.expect("a commit");
    }

    /// How often the log was begun anew, which its header counts.
    fn begun_anew(path: &Path) -> u32 {
        let log = std::fs::read(beside(path, "-wal")).expect("a log");
        u32::from_be_bytes(log[12..16].try_into().expect("four bytes"))
    }

    /// Writes a little again and again until the log is begun anew.
    async fn until_begun_anew(database: &Database, path: &Path, before: u32) {
        testbed::eventually(PATIENCE, "the log is begun anew", async || {
            write(database, 1).await;
            (begun_anew(path) != before).then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_long_log_is_copied_beside_the_commits_and_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let database = Database::open(&path, TABLE, clock).expect("a file");
        write(&database, 1).await;
        let first = begun_anew(&path);
        write(&database, DUE_PAGES / 2).await;
        write(&database, 1).await;
        assert_eq!(begun_anew(&path), first, "it is short");
        write(&database, DUE_PAGES).await;
        until_begun_anew(&database, &path, first).await;
        let copied = std::fs::metadata(&path).expect("the file").len();
        assert!(copied > u64::from(DUE_PAGES) * 4096, "{copied} bytes are in the file");
    }

    #[tokio::test]
    async fn a_reader_of_an_old_snapshot_delays_it_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let database = Database::open(&path, TABLE, clock).expect("a file");
        write(&database, 1).await;
        let first = begun_anew(&path);
        let reader = super::super::open_reader(&path).expect("a reader");
        reader.execute_batch("BEGIN; SELECT count(*) FROM a").expect("a snapshot");
        for _ in 0..20 {
            write(&database, DUE_PAGES / 10).await;
        }
        assert_eq!(begun_anew(&path), first);
        reader.execute_batch("COMMIT").expect("the end of the snapshot");
        for _ in 0..2 {
            write(&database, GROWTH_PAGES).await;
        }
        until_begun_anew(&database, &path, first).await;
    }

    #[test]
    fn sqlite_is_compiled_as_the_workspace_says() {
        let connection = Connection::open_in_memory().expect("a database");
        let sql = "SELECT sqlite_compileoption_used('DEFAULT_MEMSTATUS=0')";
        let used: bool = connection.query_row(sql, [], |row| row.get(0)).expect("an answer");
        assert!(used, "LIBSQLITE3_FLAGS of .cargo/config.toml had no effect");
    }
}
