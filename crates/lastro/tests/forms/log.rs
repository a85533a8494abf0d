//! The write-ahead log of an SQLite file, read without the program that writes it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use tempfile::TempDir;

/// A database file and its log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    file: PathBuf,
}

/// How many frames of the log a checkpoint was to copy into the file, and how many it has copied.
///
/// The numbers are in the WAL-index header (sqlite.org/walformat.html): `nBackfillAttempted` at
/// byte 128, raised before the first page of a checkpoint is written into the file, and `nBackfill`
/// at byte 96, raised after the file was synced. The shared memory is a file, and keeps them when
/// its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    pub(crate) attempted: u32,
    pub(crate) done: u32,
}

impl TakenOver {
    /// Whether a checkpoint has begun and not ended.
    pub(crate) fn is_partial(self) -> bool {
        self.attempted > self.done
    }
}

impl Log {
    pub(crate) fn of(file: PathBuf) -> Self {
        Self { file }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    pub(crate) fn taken_over(&self) -> TakenOver {
        let mut header = [0; 36];
        let memory = File::open(self.beside("-shm")).expect("the shared memory");
        memory.read_exact_at(&mut header, 96).expect("its header");
        let number =
            |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
        TakenOver { done: number(0), attempted: number(32) }
    }

    /// The length of the log, in bytes.
    pub(crate) fn length(&self) -> u64 {
        length(&self.beside("-wal"))
    }

    /// The length of the database file, in bytes.
    pub(crate) fn file_length(&self) -> u64 {
        length(&self.file)
    }

    /// Makes the log longer by this many pages. At 8000 pages a checkpoint begins.
    pub(crate) fn grow(&self, pages: u32) {
        let connection = Connection::open(&self.file).expect("the file");
        connection.busy_timeout(testbed::PATIENCE).expect("a timeout");
        // The program is to run the checkpoint, not this connection.
        connection.pragma_update(None, "wal_autocheckpoint", 0).expect("set");
        connection.pragma_update(None, "synchronous", "off").expect("set");
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS ballast (bytes BLOB)")
            .expect("a table");
        connection.execute("DELETE FROM ballast", []).expect("rows");
        // A row fills 15 pages of 4 KiB.
        let rows = "WITH RECURSIVE row (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM row WHERE number < ?1)
                    INSERT INTO ballast SELECT randomblob(60000) FROM row";
        connection.execute(rows, [pages / 15]).expect("rows");
    }

    /// When the file was last written, which only a checkpoint does.
    pub(crate) fn file_written(&self) -> SystemTime {
        std::fs::metadata(&self.file).and_then(|file| file.modified()).expect("the file")
    }

    /// Copies the file and its log, as a starting program would find them, into a folder of their
    /// own.
    fn copy(&self) -> (TempDir, Self) {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = Self::of(folder.path().join("copy.db"));
        for suffix in ["", "-wal"] {
            std::fs::copy(self.beside(suffix), copy.beside(suffix)).expect("a copy");
        }
        (folder, copy)
    }

    /// What SQLite finds wrong in the file together with its log, and in the file alone. It reads
    /// copies.
    pub(crate) fn damage(&self) -> (Vec<String>, Vec<String>) {
        let (_folder, copy) = self.copy();
        let whole = found(&copy.file);
        let (_folder, copy) = self.copy();
        std::fs::remove_file(copy.beside("-wal")).expect("the copy");
        (whole, found(&copy.file))
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// The complaints of `integrity_check` and `foreign_key_check`.
fn found(file: &Path) -> Vec<String> {
    let connection = Connection::open(file).expect("the file");
    let check = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let complaints = ["PRAGMA integrity_check(10)", "PRAGMA foreign_key_check"].map(check);
    let all = complaints
        .into_iter()
        .flat_map(|complaints| complaints.unwrap_or_else(|error| vec![error.to_string()]));
    all.filter(|complaint| complaint != "ok").collect()
}
