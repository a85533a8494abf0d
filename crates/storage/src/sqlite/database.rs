//! One service's file: the writer, and readers beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use platform::clock::{Clock, Timestamp};
use platform::failure::Failure;
use rusqlite::{Connection, Transaction};

use super::error::OpenError;
use super::keeper::Keeper;
use super::readers::{Readers, Threads};
use super::writer::Writer;
use crate::migration::Migration;

/// A SQLite file that one service writes and reads. Clones share it.
#[derive(Clone, Debug)]
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
        let readers = Readers::new(path, &writer, Threads::Blocking);
        Ok(Self { writer, readers })
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
        let readers = Readers::new(path, &writer, Threads::None);
        Ok(Self { writer, readers })
    }

    /// The worker that looks after the file while the service runs.
    pub fn keeper(&self) -> Keeper {
        Keeper { writer: self.writer.clone(), readers: self.readers.clone() }
    }

    /// What tells the file from its copies.
    pub(crate) fn location(&self) -> String {
        self.writer.files().location()
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
        if let Some(failure) = self.readers.broken() {
            return Err(failure);
        }
        let written = self.writer.transact(work).await;
        if let Err(failure) = &written {
            self.readers.note(failure);
        }
        written
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

    /// As [`read`](Self::read), but given up after `limit`.
    ///
    /// # Errors
    ///
    /// As [`Readers::read_within`].
    pub async fn read_within<R: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        self.readers.read_within(limit, work).await
    }
}

#[cfg(test)]
mod tests {
    use platform::clock::ManualClock;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::sqlite::{failure, open_writer};

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
    async fn a_read_that_takes_too_long_is_given_up_and_hinders_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = open(&folder.path().join("a.db"));
        let endless = |reader: &Connection| {
            let sql = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
                       SELECT count(*) FROM n";
            reader.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let given_up = database.read_within(Duration::from_millis(1), endless).await;
        assert!(matches!(given_up, Err(Failure::Unavailable(_))), "{given_up:?}");
        let one =
            |reader: &Connection| reader.query_row("SELECT 1", [], |row| row.get::<_, i64>(0));
        assert_eq!(database.read_within(Duration::from_secs(60), one).await.expect("a read"), 1);
        // The connection, which is used again, has no limit any more.
        let counted = database.read(|reader: &Connection| {
            let sql =
                "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000)
                       SELECT count(*) FROM n";
            reader.query_row(sql, [], |row| row.get::<_, i64>(0))
        });
        assert_eq!(counted.await.expect("a read"), 100_000);
    }

    #[tokio::test]
    async fn a_keeper_that_has_closed_a_file_leaves_no_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let database = open(&path);
        let insert = |transaction: &Transaction<'_>, _| {
            transaction.execute("INSERT INTO a VALUES (7)", []).map(drop).map_err(failure)
        };
        database.write(insert).await.expect("a row");
        let count = |reader: &Connection| reader.query_row("SELECT count(*) FROM a", [], count_of);
        assert!(matches!(database.read(count).await, Ok(1)));
        let stopped = CancellationToken::new();
        stopped.cancel();
        database.keeper().run(drop, stopped).await.expect("closed");

        let left = ["a.db-wal", "a.db-shm"].map(|name| folder.path().join(name).exists());
        assert_eq!(left, [false, false]);
        // Not fatal: whoever still asks does not end the process in another way.
        let late = [database.write(insert).await.err(), database.read(count).await.err()];
        assert!(late.iter().all(|late| matches!(late, Some(Failure::Unavailable(_)))), "{late:?}");
        drop(database);
        let again = open(&path);
        assert!(matches!(again.read(count).await, Ok(1)));
    }

    /// No commit is reported that the next start would not find, also while nobody looks.
    #[tokio::test]
    async fn a_commit_to_a_file_that_was_taken_away_is_fatal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("in/a.db");
        for taken in ["in", "in/a.db", "in/a.db-wal"] {
            let database = open(&path);
            database.write(|_, _| Ok(())).await.expect("nothing is wrong");
            let (from, away) = (folder.path().join(taken), folder.path().join("away"));
            std::fs::rename(&from, &away).expect("taken away");
            // The second call is made before anybody has seen the answer to the first one.
            let (first, second) =
                tokio::join!(database.write(|_, _| Ok(())), database.write(|_, _| Ok(())));
            for written in [first, second] {
                let Err(Failure::Fatal(cause)) = written else { panic!("{taken}: {written:?}") };
                assert!(cause.to_string().contains("was deleted, moved or replaced"), "{cause}");
            }
            let looked = database.keeper().run(drop, CancellationToken::new()).await;
            assert!(matches!(looked, Err(Failure::Fatal(_))), "{taken}: {looked:?}");
            drop(database);
            std::fs::rename(away, from).expect("put back");
        }
        open(&path);
    }

    fn count_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<i64> {
        row.get(0)
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
