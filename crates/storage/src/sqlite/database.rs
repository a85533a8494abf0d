//! One service's file: the writer, and readers beside it.

use std::path::Path;
use std::sync::Arc;

use platform::clock::{Clock, Timestamp};
use platform::failure::Failure;
use rusqlite::{Connection, Transaction};

use super::error::OpenError;
use super::readers::{Readers, Threads};
use super::writer::Writer;
use crate::migration::Migration;

/// A SQLite file that one service writes and reads.
#[derive(Debug)]
pub struct Database {
    writer: Writer,
    readers: Readers,
}

impl Database {
    /// Locks the file, opens or makes it, brings its schema up to date, and starts the writer's
    /// thread. Transactions take their time from `clock`.
    ///
    /// # Errors
    ///
    /// Another service uses the file, or it is not what a service can stand on.
    pub fn open(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let writer = Writer::spawn(path, migrations, clock)?;
        Ok(Self { writer, readers: Readers::new(path, Threads::Blocking) })
    }

    /// The same without any thread: every call is done where it is made, before it returns.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_inline(
        path: &Path,
        migrations: &[Migration],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let writer = Writer::inline(path, migrations, clock)?;
        Ok(Self { writer, readers: Readers::new(path, Threads::None) })
    }

    /// The readers alone, for an audit beside the service.
    pub fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Runs `work` in one transaction that holds the write lock from its first statement on, and
    /// commits it. `work` also gets the time at which the transaction began.
    ///
    /// Dropping the call abandons the answer, never the work (R2).
    ///
    /// # Errors
    ///
    /// Those of `work`, after a rollback, and those of the engine. [`Failure::Fatal`] if `work`
    /// panicked, or if a read has found the file damaged (R18).
    pub async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>, Timestamp) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        match self.readers.broken() {
            Some(failure) => Err(failure),
            None => self.writer.transact(work).await,
        }
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
        self.readers.read(work).await
    }
}

#[cfg(test)]
mod tests {
    use platform::clock::ManualClock;

    use super::*;
    use crate::sqlite::open_writer;

    const TABLE: &[Migration] =
        &[Migration { number: 1, sql: "CREATE TABLE a (x INTEGER) STRICT" }];

    fn open(path: &Path) -> Database {
        Database::open(path, TABLE, Arc::new(ManualClock::at(Timestamp(0)))).expect("a file")
    }

    #[tokio::test]
    async fn a_damaged_file_that_a_read_finds_ends_all_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let connection = open_writer(&path, TABLE).expect("a new file");
        let insert = "INSERT INTO a SELECT value FROM json_each('[1,2,3]')";
        assert_eq!(connection.execute(insert, []).expect("rows"), 3);
        drop(connection);
        let database = open(&path);
        // The page of the table: the second and last ones are tables of the schema, so all but the
        // first are damaged.
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes[4096..].fill(0xff);
        std::fs::write(&path, bytes).expect("damaged");

        let sum = |reader: &Connection| {
            reader.query_row("SELECT sum(x) FROM a", [], |row| row.get::<_, i64>(0))
        };
        let read = database.read(sum).await;
        assert!(matches!(read, Err(Failure::Fatal(_))), "{read:?}");
        let written = database.write(|_, _| Ok(())).await;
        assert!(matches!(written, Err(Failure::Fatal(_))), "{written:?}");
    }

    #[tokio::test]
    async fn a_panic_on_the_writer_thread_is_fatal_and_answers_every_waiter() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = open(&folder.path().join("a.db"));
        let panicked =
            database.write(|_, _| -> Result<(), Failure> { panic!("this test wants it") }).await;
        assert!(matches!(panicked, Err(Failure::Fatal(_))), "{panicked:?}");
        assert!(matches!(database.write(|_, _| Ok(())).await, Err(Failure::Fatal(_))));
    }
}
