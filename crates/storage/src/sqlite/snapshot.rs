//! Files of two services read as they were at one moment, and copied beside their services.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use platform::process::ProgramError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;

use super::error::OpenError;
use super::files::beside;
use super::open::{open_auditor, open_existing_reader};
use crate::migration::Migration;

/// How long a moment is looked for. It takes some 50 µs without a commit to the first file.
const SEARCH: Duration = Duration::from_secs(10);
/// How many steps of a check are executed between two looks at signals.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;
/// What is copied between two looks at the log and at signals.
const STEP_BYTES: u64 = 1024 * 1024;

/// The file of a service, opened to be copied. The service may be running.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    reader: Connection,
    /// Sees whether the file has changed since the reader's snapshot.
    watcher: Connection,
}

impl Source {
    pub(crate) fn open(path: &Path, migrations: &[Migration]) -> Result<Self, OpenError> {
        let reader = open_existing_reader(path, migrations)?;
        let watcher = open_auditor(path)?;
        Ok(Self { path: path.to_owned(), reader, watcher })
    }

    /// Begins to read what is committed now.
    fn begin(&self) -> Result<(), OpenError> {
        let begun = self.reader.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1");
        begun.map_err(OpenError::engine(&self.path))
    }

    fn end(&self) -> Result<(), OpenError> {
        self.reader.execute_batch("COMMIT").map_err(OpenError::engine(&self.path))
    }

    /// A number that differs after each commit of another connection.
    fn version(&self) -> Result<i64, OpenError> {
        let version = self.watcher.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(OpenError::engine(&self.path))
    }

    fn into_snapshot(self) -> Result<Snapshot, OpenError> {
        let Self { path, reader, watcher: _ } = self;
        let number = |name| reader.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = number("page_count").map_err(OpenError::engine(&path))?.unsigned_abs();
        let page_bytes = number("page_size").map_err(OpenError::engine(&path))?.unsigned_abs();
        Ok(Snapshot { path, reader, pages, page_bytes })
    }
}

/// Begins a snapshot of each file, so that both show one moment: that at which the second one was
/// begun, if nothing was committed to the first file in between. Otherwise this begins again.
///
/// Nothing is locked. A tool that held the services' write locks and was stopped would stop the
/// services with it.
pub(crate) fn of_one_moment([first, second]: [Source; 2]) -> Result<[Snapshot; 2], OpenError> {
    let deadline = Instant::now() + SEARCH;
    loop {
        let before = first.version()?;
        first.begin()?;
        second.begin()?;
        if first.version()? == before {
            return Ok([first.into_snapshot()?, second.into_snapshot()?]);
        }
        first.end()?;
        second.end()?;
        if Instant::now() > deadline {
            let reason = "no two commits to it were far enough apart to see one moment of both databases; try again when less is written";
            return Err(OpenError::unusable(&first.path, &reason));
        }
        std::thread::yield_now();
    }
}

/// Checks every page of a file that nobody uses, and what its tables say of each other.
///
/// # Errors
///
/// What is wrong, for people.
pub(crate) fn check_file(
    path: &Path,
    is_over: impl FnMut() -> bool + Send + 'static,
) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(text)?;
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_over)).map_err(text)?;
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(text)?;
    if found != "ok" {
        return Err(found.replace('\n', ", "));
    }
    let mut rows = connection.prepare("PRAGMA foreign_key_check").map_err(text)?;
    match rows.exists([]).map_err(text)? {
        false => Ok(()),
        true => Err("a row names one that is not there".to_owned()),
    }
}

/// The present size of the log of a database.
pub fn log_bytes(database: &Path) -> u64 {
    std::fs::metadata(beside(database, "-wal")).map_or(0, |log| log.len())
}

/// What a file held at one moment. Its service goes on; its log grows until this is dropped.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    reader: Connection,
    pages: u64,
    page_bytes: u64,
}

impl Snapshot {
    /// The size of the copy.
    pub fn bytes(&self) -> u64 {
        self.pages * self.page_bytes
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies it into a new file, which is on the disk when this returns. `step` learns each time
    /// how many bytes are copied, and may end it.
    ///
    /// # Errors
    ///
    /// That of `step`; or a file cannot be read or written. A part of the copy is left.
    pub fn copy_to(
        self,
        to: &Path,
        mut step: impl FnMut(u64) -> Result<(), ProgramError>,
    ) -> Result<(), ProgramError> {
        let failed = |error: &dyn std::fmt::Display| {
            let (from, to) = (self.path.display(), to.display());
            ProgramError::failed(format_args!("cannot copy {from} to {to}: {error}"))
        };
        // Nobody else may read it, and it shall not be an older copy.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        drop(made.map_err(|error| failed(&error))?);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(to, flags).map_err(|error| failed(&error))?;
        // A copy that is not complete is deleted, and one that is complete is synced below.
        let careless = "PRAGMA journal_mode = off; PRAGMA synchronous = off";
        copy.execute_batch(careless).map_err(|error| failed(&error))?;
        let pages = i32::try_from(STEP_BYTES / self.page_bytes).unwrap_or(1).max(1);
        {
            let backup = Backup::new(&self.reader, &mut copy).map_err(|error| failed(&error))?;
            loop {
                match backup.step(pages).map_err(|error| failed(&error))? {
                    StepResult::Done => break,
                    StepResult::More => {
                        let left = u64::try_from(backup.progress().remaining).unwrap_or(0);
                        step(self.pages.saturating_sub(left) * self.page_bytes)?;
                    }
                    // Neither file is written by another connection.
                    _ => return Err(failed(&"it is locked")),
                }
            }
        }
        copy.close().map_err(|(_, error)| failed(&error))?;
        let synced = File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::open_writer;
    use super::*;

    const TABLE: &[Migration] = &[Migration {
        number: 1,
        sql: "CREATE TABLE a (x INTEGER NOT NULL) STRICT; CREATE TABLE b (y BLOB) STRICT",
    }];

    fn newest(connection: &Connection) -> i64 {
        let sql = "SELECT coalesce(max(x), 0) FROM a";
        connection.query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    fn add(connection: &Connection, x: i64) {
        connection.execute("INSERT INTO a VALUES (?1)", [x]).expect("a commit");
    }

    fn files(folder: &tempfile::TempDir) -> [PathBuf; 2] {
        ["first.db", "second.db"].map(|name| folder.path().join(name))
    }

    /// Each number is committed to the first file before it is committed to the second one. So at
    /// every moment both are equal, or the first one is ahead by one.
    #[test]
    fn snapshots_of_two_busy_files_are_of_one_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = files(&folder);
        let [first, second] = paths.each_ref().map(|path| open_writer(path, TABLE).expect("new"));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (first, second) = (first, second);
                for x in 1.. {
                    add(&first, x);
                    add(&second, x);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let looks = || {
                for sides in [[0, 1], [1, 0]].into_iter().cycle().take(200) {
                    let sources = sides.map(|side| Source::open(&paths[side], TABLE).expect("it"));
                    let snapshots = of_one_moment(sources).expect("a moment");
                    let [one, other] = snapshots.each_ref().map(|found| newest(&found.reader));
                    let [first, second] = if sides[0] == 0 { [one, other] } else { [other, one] };
                    assert!(first == second || first == second + 1, "{first} and {second}");
                }
            };
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(looks));
            over.store(true, Ordering::Relaxed);
            looked.expect("every pair is of one moment");
        });
    }

    #[test]
    fn a_copy_has_what_was_there_when_its_snapshot_was_begun() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = files(&folder);
        let [first, _second] = paths.each_ref().map(|path| open_writer(path, TABLE).expect("new"));
        add(&first, 1);
        first.execute("INSERT INTO b VALUES (zeroblob(5000000))", []).expect("a commit");
        let sources = paths.each_ref().map(|path| Source::open(path, TABLE).expect("it"));
        let [snapshot, _] = of_one_moment(sources).expect("a moment");
        let (bytes, to) = (snapshot.bytes(), folder.path().join("copy"));
        let mut steps = Vec::new();
        let look = |done| {
            add(&first, 2);
            steps.push(done);
            assert!(log_bytes(&paths[0]) > 0);
            Ok(())
        };
        snapshot.copy_to(&to, look).expect("a copy");
        assert!(steps.len() > 3 && steps.is_sorted() && steps.iter().all(|done| *done < bytes));
        assert_eq!(std::fs::metadata(&to).expect("the copy").len(), bytes);
        let copy = open_writer(&to, TABLE).expect("a database");
        assert_eq!((newest(&copy), newest(&first)), (1, 2));
    }

    #[test]
    fn a_copy_that_is_ended_says_why_and_overwrites_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = files(&folder);
        let [first, _second] = paths.each_ref().map(|path| open_writer(path, TABLE).expect("new"));
        first.execute("INSERT INTO b VALUES (zeroblob(5000000))", []).expect("a commit");
        let to = folder.path().join("copy");
        for expected in ["enough", "File exists"] {
            let sources = paths.each_ref().map(|path| Source::open(path, TABLE).expect("it"));
            let [snapshot, _] = of_one_moment(sources).expect("a moment");
            let ended = snapshot.copy_to(&to, |_| Err(ProgramError::failed("enough")));
            let line = ended.expect_err("it was ended").to_string();
            assert!(line.contains(expected), "{line}");
        }
    }
}
