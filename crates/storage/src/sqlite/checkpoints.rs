//! Copies the log of a database into its file, beside the commits: a batch takes no longer because
//! much was written before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use platform::failure::{Chain, Failure};
use platform::telemetry::{Checkpoint, CheckpointResult};
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use tokio::time::Instant;
use tracing::warn;

use super::error::{OpenError, failure};
use super::files::Files;
use super::open::connect_writer;
use super::writer::Broken;

/// Pages of 4 KiB in the log from which on it is copied. Fewer, larger checkpoints cost less,
/// because a page that was written often is copied once.
const DUE_PAGES: u32 = 8_000;
/// How much further a log grows that could not be copied as a whole, until the next attempt.
const GROWTH_PAGES: u32 = 1_000;
/// What the writer may copy between two batches.
const REST_PAGES: u32 = 400;
/// In a log of this size, the writer copies whatever is left: it writes faster than the thread
/// copies.
const TOO_LONG_PAGES: u32 = 4 * DUE_PAGES;
/// How often what was added meanwhile is copied, too, before the writer copies the rest.
const MAX_PASSES: u32 = 8;

/// The checkpoints of one database.
#[derive(Debug)]
pub(super) struct Checkpoints {
    files: Arc<Files>,
    /// The pages in the log after the last commit.
    pages: Arc<AtomicU32>,
    due_at: u32,
    /// The connection that copies, when it is not in use. It never commits.
    idle: Option<Connection>,
    copying: Option<JoinHandle<Copied>>,
    stop: Arc<AtomicBool>,
    broken: Broken,
    failing: bool,
}

/// What the thread that copies returns: how it ended, and how long it took.
type Copied = (Result<(Connection, u32), Failure>, Duration);

impl Checkpoints {
    pub(super) fn new(files: Arc<Files>, broken: Broken) -> Self {
        Self {
            files,
            pages: Arc::default(),
            due_at: DUE_PAGES,
            idle: None,
            copying: None,
            stop: Arc::default(),
            broken,
            failing: false,
        }
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
    /// [`Failure::Fatal`] if the disk failed (R18), and any failure of the writer's connection. The
    /// log is then longer until the next attempt, as it is while a reader needs an old snapshot.
    pub(super) fn after_commit(&mut self, writer: &Connection) -> Result<(), Failure> {
        if self.copying.as_ref().is_some_and(|copying| !copying.is_finished()) {
            return Ok(());
        }
        let pages = self.pages.load(Ordering::Relaxed);
        let copying = self.copying.take();
        let is_due = pages >= self.due_at;
        if copying.is_some() || is_due {
            self.due_at = pages + GROWTH_PAGES;
        }
        // The writer has begun the log anew.
        if pages < DUE_PAGES {
            self.due_at = DUE_PAGES;
        }
        match copying {
            Some(copying) => {
                let (joined, took) = self.join(copying);
                self.report(joined.as_ref().err());
                match joined {
                    Ok(left) if left <= REST_PAGES || pages > TOO_LONG_PAGES => {
                        self.copy(writer, took)
                    }
                    joined => {
                        self.count(joined.as_ref().ok().copied(), took);
                        joined.map(drop).or_else(only_fatal)
                    }
                }
            }
            None if is_due => {
                self.begin();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Copies a long log here and now: the simulator has one thread.
    ///
    /// # Errors
    ///
    /// As [`after_commit`](Self::after_commit).
    pub(super) fn after_commit_inline(&mut self, writer: &Connection) -> Result<(), Failure> {
        if self.pages.load(Ordering::Relaxed) < DUE_PAGES {
            return Ok(());
        }
        self.copy(writer, Duration::ZERO)
    }

    /// Copies what is left, after the thread took this long for the rest.
    fn copy(&mut self, writer: &Connection, before: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let copied = copy(writer).map_err(failure);
        let left = copied.as_ref().ok().map(|copied| copied.left);
        self.count(left, before + begun.elapsed());
        self.report(copied.as_ref().err());
        copied.map(drop)
    }

    /// Reports a checkpoint that has ended; `left` is `None` if it failed.
    fn count(&self, left: Option<u32>, took: Duration) {
        let result = match left {
            None => CheckpointResult::Failed,
            Some(0) => CheckpointResult::Complete,
            Some(_) => CheckpointResult::Partial,
        };
        let pages_left = left.unwrap_or_else(|| self.pages.load(Ordering::Relaxed));
        self.files.report(Checkpoint { result, took, pages_left });
    }

    fn begin(&mut self) {
        let idle = self.idle.take();
        let files = self.files.clone();
        let pages = self.pages.clone();
        let stop = self.stop.clone();
        let broken = self.broken.clone();
        let copying = move || {
            let begun = Instant::now();
            let connection = idle.map_or_else(|| connect(&files), Ok);
            let copied = connection.and_then(|connection| {
                let left = copy_most(&connection, &files, &pages, &stop)?;
                Ok((connection, left))
            });
            // There may be no further commit that would find it.
            if let Err(fatal @ Failure::Fatal(_)) = &copied {
                broken.get_or_init(|| fatal.clone());
            }
            (copied, begun.elapsed())
        };
        match std::thread::Builder::new().name("checkpoint".to_owned()).spawn(copying) {
            Ok(copying) => self.copying = Some(copying),
            Err(error) => warn!(%error, "no thread for a checkpoint, trying again later"),
        }
    }

    /// Stops the thread that copies, if there is one, and closes its connection.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] if the disk failed meanwhile (R18).
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.copying.take().map_or(Ok(()), |copying| self.join(copying).0.map(drop));
        self.idle = None;
        ended.or_else(only_fatal)
    }

    /// Returns how many pages are left, and how long the thread took.
    fn join(&mut self, copying: JoinHandle<Copied>) -> (Result<u32, Failure>, Duration) {
        let (copied, took) = copying.join().unwrap_or_else(|_| (Err(panicked()), Duration::ZERO));
        let left = copied.map(|(connection, left)| {
            self.idle = Some(connection);
            left
        });
        (left, took)
    }

    /// Logs the first failure of all to copy, and that it works again.
    fn report(&mut self, failure: Option<&Failure>) {
        let path = self.files.path().display();
        let was_failing = std::mem::replace(&mut self.failing, failure.is_some());
        match failure {
            Some(failure) if !was_failing => {
                warn!(%path, error = %Chain(failure), "the log of the database is not copied, and grows; trying again");
            }
            None if was_failing => warn!(%path, "the log of the database is copied again"),
            Some(_) | None => {}
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        // The session was dropped without being closed: there is no caller to report it to.
        let _ = self.end();
    }
}

/// Opens the connection that copies. When it is closed, it leaves the log to the writer.
fn connect(files: &Files) -> Result<Connection, Failure> {
    let connection = connect_writer(files.path(), OpenFlags::empty())?;
    let left = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    left.map_err(OpenError::engine(files.path()))?;
    files.check()?;
    Ok(connection)
}

/// Copies until little is left, which is what the writer adds meanwhile. Returns how many pages
/// that are.
fn copy_most(
    connection: &Connection,
    files: &Files,
    pages: &AtomicU32,
    stop: &AtomicBool,
) -> Result<u32, Failure> {
    let mut left = u32::MAX;
    for _ in 0..MAX_PASSES {
        let Pass { copied, .. } = copy(connection).map_err(failure)?;
        // SQLite syncs the file only when it has copied all, which is what the writer does: it must
        // not find so much to sync.
        files.sync_database()?;
        let before = left;
        left = pages.load(Ordering::Relaxed).saturating_sub(copied);
        // Else a reader of an old snapshot is in the way, or the writer is as fast.
        let is_worth_it = left > REST_PAGES && left < before;
        if !is_worth_it || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(left)
}

/// How many pages of the log are in the database after an attempt to copy it, and how many are not.
#[derive(Clone, Copy, Debug)]
struct Pass {
    copied: u32,
    left: u32,
}

/// Copies what no reader of an older snapshot needs.
fn copy(connection: &Connection) -> rusqlite::Result<Pass> {
    let (log, copied) = connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE)?;
    // Both are -1 if there is no log.
    let copied = u32::try_from(copied).unwrap_or(0);
    Ok(Pass { copied, left: u32::try_from(log).unwrap_or(0).saturating_sub(copied) })
}

/// A failure of any other kind leaves the log longer until the next attempt.
fn only_fatal(failure: Failure) -> Result<(), Failure> {
    if matches!(failure, Failure::Fatal(_)) { Err(failure) } else { Ok(()) }
}

fn panicked() -> Failure {
    #[derive(Debug, thiserror::Error)]
    #[error("the thread that copies the log panicked")]
    struct CopyingPanicked;
    Failure::Fatal(Arc::new(CopyingPanicked))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use platform::clock::{ManualClock, Timestamp};
    use rusqlite::Transaction;
    use tokio_util::sync::CancellationToken;

    use super::super::files::beside;
    use super::super::{Database, failure};
    use super::*;
    use crate::migration::Migration;

    const TABLE: &[Migration] =
        &[Migration { number: 1, sql: "CREATE TABLE a (x BLOB NOT NULL) STRICT" }];
    const PATIENCE: Duration = Duration::from_secs(60);

    fn database() -> (tempfile::TempDir, PathBuf, Database) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let database = Database::open(&path, TABLE, clock).expect("a file");
        (folder, path, database)
    }

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
        let (_folder, path, database) = database();
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
        let (_folder, path, database) = database();
        write(&database, 1).await;
        let first = begun_anew(&path);
        let ended = Arc::<Mutex<Vec<Checkpoint>>>::default();
        let noted = ended.clone();
        let note = move |checkpoint| noted.lock().expect("the list").push(checkpoint);
        database.keeper().writer.files().observe(note);
        let last = |result| {
            let ended = ended.lock().expect("the list");
            ended.last().copied().filter(|last| last.result == result)
        };
        let reader = super::super::open_reader(&path).expect("a reader");
        reader.execute_batch("BEGIN; SELECT count(*) FROM a").expect("a snapshot");
        for _ in 0..20 {
            write(&database, DUE_PAGES / 10).await;
        }
        let partial = testbed::eventually(PATIENCE, "a checkpoint that leaves some", async || {
            write(&database, GROWTH_PAGES).await;
            last(CheckpointResult::Partial)
        });
        let Checkpoint { took, pages_left, .. } = partial.await;
        assert!(pages_left >= DUE_PAGES && took > Duration::ZERO, "{pages_left}, {took:?}");
        assert_eq!(begun_anew(&path), first);
        reader.execute_batch("COMMIT").expect("the end of the snapshot");
        for _ in 0..2 {
            write(&database, GROWTH_PAGES).await;
        }
        until_begun_anew(&database, &path, first).await;
        let complete = last(CheckpointResult::Complete).expect("a checkpoint that leaves nothing");
        assert_eq!(complete.pages_left, 0);
    }

    #[tokio::test]
    async fn the_file_alone_is_complete_also_if_the_last_transaction_failed() {
        let (_folder, path, database) = database();
        write(&database, 1).await;
        let first = begun_anew(&path);
        write(&database, DUE_PAGES).await;
        until_begun_anew(&database, &path, first).await;
        let full = || Failure::Full(Arc::new(std::io::Error::other("no room")));
        let failed = database.write(move |_: &Transaction<'_>, _| Err::<(), _>(full())).await;
        assert!(matches!(failed, Err(Failure::Full(_))), "{failed:?}");
        assert!(beside(&path, "-wal").exists());
        let over = CancellationToken::new();
        over.cancel();
        database.keeper().run(|_| (), over).await.expect("a file that can be trusted");
        assert!(!beside(&path, "-wal").exists());
    }

    /// A writer as a session has it, and what looks after its log.
    fn writer(path: &Path) -> (Connection, Checkpoints) {
        let files = Arc::new(Files::lock(path).expect("no other service"));
        let mut writer = super::super::open_writer(path, TABLE).expect("a new file");
        let checkpoints = Checkpoints::new(files, Broken::default());
        checkpoints.follow(&mut writer).expect("a hook");
        (writer, checkpoints)
    }

    fn insert(writer: &Connection, pages: u32) {
        writer.execute("INSERT INTO a VALUES (zeroblob(?1 * 4096))", [pages]).expect("a commit");
    }

    #[test]
    fn the_thread_copies_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let (writer, mut checkpoints) = writer(&path);
        insert(&writer, DUE_PAGES);
        let before = std::fs::metadata(&path).expect("the file").len();
        checkpoints.after_commit(&writer).expect("it begins");
        let copying = checkpoints.copying.take().expect("a thread");
        insert(&writer, 1);
        let (copied, _) = copying.join().expect("no panic");
        let (connection, left) = copied.expect("copied");
        assert!(left <= REST_PAGES, "{left} pages are left for the writer");
        let after = std::fs::metadata(&path).expect("the file").len();
        assert!(after >= before + u64::from(DUE_PAGES) * 4096, "{after} bytes");
        assert!(writer.is_autocommit() && connection.is_autocommit());
    }

    #[tokio::test]
    async fn what_a_reader_keeps_in_the_log_is_not_left_to_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let (writer, mut checkpoints) = writer(&path);
        insert(&writer, 1);
        let reader = super::super::open_reader(&path).expect("a reader");
        reader.execute_batch("BEGIN; SELECT count(*) FROM a").expect("a snapshot");
        insert(&writer, DUE_PAGES);
        checkpoints.after_commit(&writer).expect("it begins");
        testbed::eventually(PATIENCE, "the thread ends", async || {
            checkpoints.copying.as_ref().is_some_and(JoinHandle::is_finished).then_some(())
        })
        .await;
        reader.execute_batch("COMMIT").expect("the end of the snapshot");
        let length = || std::fs::metadata(&path).expect("the file").len();
        let before = length();
        checkpoints.after_commit(&writer).expect("it goes on");
        assert_eq!(length(), before, "the writer copies {DUE_PAGES} pages");
        assert_eq!(checkpoints.due_at, checkpoints.pages.load(Ordering::Relaxed) + GROWTH_PAGES);
    }

    #[test]
    fn a_failure_is_reported_until_something_was_copied() {
        let folder = tempfile::tempdir().expect("a folder");
        let (writer, mut checkpoints) = writer(&folder.path().join("a.db"));
        let full = Failure::Full(Arc::new(std::io::Error::other("no room")));
        checkpoints.report(Some(&full));
        insert(&writer, 1);
        checkpoints.after_commit(&writer).expect("nothing is due");
        assert!(checkpoints.failing);
        insert(&writer, DUE_PAGES);
        checkpoints.after_commit(&writer).expect("it begins");
        assert!(checkpoints.failing);
        let copying = checkpoints.copying.take().expect("a thread");
        let (copied, took) = copying.join().expect("no panic");
        drop(copied.expect("copied"));
        checkpoints.copy(&writer, took).expect("copied");
        assert!(!checkpoints.failing);
    }

    #[test]
    fn a_failure_of_the_disk_is_noted_without_a_further_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let (writer, mut checkpoints) = writer(&path);
        insert(&writer, DUE_PAGES);
        // What looks after the files finds it fatal that one was replaced.
        std::fs::rename(&path, folder.path().join("b.db")).expect("moved");
        std::fs::copy(folder.path().join("b.db"), &path).expect("replaced");
        checkpoints.after_commit(&writer).expect("it begins");
        let copying = checkpoints.copying.take().expect("a thread");
        assert!(copying.join().expect("no panic").0.is_err());
        assert!(checkpoints.broken.get().is_some());
    }

    #[test]
    fn sqlite_is_compiled_as_the_workspace_says() {
        let connection = Connection::open_in_memory().expect("a database");
        let sql = "SELECT sqlite_compileoption_used('DEFAULT_MEMSTATUS=0')";
        let used: bool = connection.query_row(sql, [], |row| row.get(0)).expect("an answer");
        assert!(used, "LIBSQLITE3_FLAGS of .cargo/config.toml had no effect");
        assert!(env!("LIBSQLITE3_FLAGS").contains("-DHAVE_FDATASYNC=1"));
    }
}
