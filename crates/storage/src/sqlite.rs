//! What every SQLite adapter needs around its SQL: safe opening, migrations, a writer thread and a few readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use platform::failure::Failure;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, ffi};

use crate::migration::Migration;

mod lock;
mod migrate;
mod session;
mod threads;

use lock::Lock;
pub use session::Session;
pub use threads::Database;

/// How long a statement waits for a lock that another process (`verify`) holds for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Memory for pages; what a busy shop touches again and again.
const CACHE_KIB: i64 = 32 * 1024;
/// Pages of 4 KiB that the log gathers before they move into the file: fewer, larger checkpoints.
const CHECKPOINT_PAGES: i64 = 8_000;

/// Why a database file was not opened. One line each, for the operator; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("cannot use {}: {source}", path.display())]
    Engine { path: PathBuf, source: rusqlite::Error },
    #[error("{} is in use by another process; stop it first, or choose another data directory", .0.display())]
    Locked(PathBuf),
    #[error("{} was written by a newer version of Lastro (schema {found}, this program knows {known})", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: migration {number} is not the one that was applied; the file or the program was tampered with", path.display())]
    Changed { path: PathBuf, number: i64 },
}

impl OpenError {
    pub(crate) fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), reason: reason.to_string() }
    }

    fn engine(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Engine { path: path.clone(), source }
    }
}

/// Opens the one writing connection for the first time, and brings the schema up to date.
///
/// Frames that a crash left in the log may never have been synced: they are checkpointed before anything is read (R1).
pub fn open_writer(path: &Path, migrations: &[Migration]) -> Result<Connection, OpenError> {
    let mut connection = connect_writer(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let in_the_way: bool = checkpoint.map_err(OpenError::engine(path))?;
    if in_the_way {
        return Err(OpenError::unusable(path, &"another process has kept it busy all the while; try again"));
    }
    migrate::migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// A writing connection that is safe to promise durability on (R1). What this process has left in the log was synced.
fn connect_writer(path: &Path, create: OpenFlags) -> Result<Connection, OpenError> {
    let engine = OpenError::engine(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags).map_err(&engine)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&engine)?;
    configure_writer(&connection).map_err(&engine)?;
    check_durable(&connection).map_err(|reason| OpenError::unusable(path, &reason))?;
    Ok(connection)
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", "on")?;
    connection.pragma_update(None, "trusted_schema", "off")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    keep_statements(connection)
}

/// Statements are prepared once. Otherwise SQLite plans one with `LIMIT ?` anew whenever it is taken out of the cache:
/// its plan might depend on what is bound.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// R1: believe what the connection says it does, not what it was asked to do.
fn check_durable(connection: &Connection) -> Result<(), String> {
    let text = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let journal = text("journal_mode").map_err(|error| error.to_string())?;
    let synchronous = number("synchronous").map_err(|error| error.to_string())?;
    let foreign_keys = number("foreign_keys").map_err(|error| error.to_string())?;
    if journal != "wal" || synchronous != 2 || foreign_keys != 1 {
        return Err(format!(
            "the file cannot be written durably (journal_mode={journal}, synchronous={synchronous}, foreign_keys={foreign_keys})"
        ));
    }
    Ok(())
}

/// Opens a connection that cannot write. Several may stand beside the writer, also from other processes.
pub fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let engine = OpenError::engine(path);
    // Not opened read-only: whoever reads the log beside a writer needs its shared memory, and so may have to make it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&engine)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&engine)?;
    connection.pragma_update(None, "query_only", "on").map_err(&engine)?;
    keep_statements(&connection).map_err(&engine)?;
    Ok(connection)
}

/// Opens a reader for an audit, which leaves the files as they are: the last connection to be closed would otherwise
/// take over into the file what a service that died has left in its log.
fn open_auditor(path: &Path) -> Result<Connection, OpenError> {
    let connection = open_reader(path)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(OpenError::engine(path))?;
    }
    Ok(connection)
}

/// Opens a reader of a database that another program owns: it must exist, and be of a version that this one knows.
pub fn open_existing_reader(path: &Path, migrations: &[Migration]) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::unusable(path, &"there is no such file"));
    }
    let connection = open_auditor(path)?;
    migrate::still_missing(&connection, path, migrations)?;
    Ok(connection)
}

/// Executes a statement that must change exactly one row, as was predicted (R11).
///
/// **Errors:** `Suspect` if it changed none or several; the caller's transaction must not be committed.
pub fn exactly_one(connection: &Connection, sql: &str, row: &[&dyn ToSql]) -> Result<(), Failure> {
    let count = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(row)).map_err(failure)?;
    if count == 1 { Ok(()) } else { Err(Failure::Suspect(format!("{count} rows instead of one: {sql}"))) }
}

/// A connection that could not be replaced: nothing was done, and perhaps nothing can be before somebody acts.
impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Engine { source, .. } => failure(source),
            other => Self::Unavailable(Arc::new(other)),
        }
    }
}

/// What an error of SQLite means for the transaction it happened in (R4, R18).
pub fn failure(error: rusqlite::Error) -> Failure {
    let Some(code) = error.sqlite_error() else {
        // A row that does not fit its type, or a statement that does not fit the schema: about this batch.
        return Failure::Suspect(error.to_string());
    };
    let extended = code.extended_code;
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Failure::Busy(Arc::new(error)),
        ErrorCode::DiskFull => Failure::Full(Arc::new(error)),
        // The shared-memory file could not grow: the disk is as full.
        ErrorCode::SystemIoFailure if extended == ffi::SQLITE_IOERR_SHMSIZE => Failure::Full(Arc::new(error)),
        ErrorCode::CannotOpen => Failure::Unavailable(Arc::new(error)),
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            Failure::Suspect(error.to_string())
        }
        _ => Failure::Fatal(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_in_the_cache_is_not_prepared_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let migrations = [Migration { number: 1, sql: "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT" }];
        let writer = open_writer(&path, &migrations).expect("a new file");
        let reader = open_reader(&path).expect("the file");
        for connection in [writer, reader] {
            for limit in [10, 1, 20] {
                let sql = "SELECT x FROM a WHERE x > ?1 ORDER BY x LIMIT ?2";
                let mut statement = connection.prepare_cached(sql).expect("a statement");
                assert!(!statement.exists([7, limit]).expect("a read"));
                assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "with the limit {limit}");
            }
        }
    }
}
