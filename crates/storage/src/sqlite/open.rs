//! Opens connections: one that writes durably (R1), readers beside it, and those of an audit.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;
use super::migrate;
use crate::migration::Migration;

/// How long a statement waits for a lock that another process (`verify`) holds for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Memory for pages; what a busy shop touches again and again.
const CACHE_KIB: i64 = 32 * 1024;
/// Pages of 4 KiB that the log gathers before they move into the file: fewer, larger checkpoints.
const CHECKPOINT_PAGES: i64 = 8_000;

/// Opens the one writing connection for the first time, and brings the schema up to date.
///
/// Frames that a crash left in the log may never have been synced: they are checkpointed before
/// anything is read (R1).
pub fn open_writer(path: &Path, migrations: &[Migration]) -> Result<Connection, OpenError> {
    let mut connection = connect_writer(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let checkpoint =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get("busy"));
    let in_the_way: bool = checkpoint.map_err(OpenError::engine(path))?;
    if in_the_way {
        return Err(OpenError::unusable(
            path,
            &"another process has kept it busy all the while; try again",
        ));
    }
    migrate::migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

/// A writing connection that is safe to promise durability on (R1). What this process has left in
/// the log was synced.
pub(super) fn connect_writer(path: &Path, create: OpenFlags) -> Result<Connection, OpenError> {
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

/// Statements are prepared once. Otherwise SQLite plans one with `LIMIT ?` anew whenever it is
/// taken out of the cache: its plan might depend on what is bound.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// R1: believe what the connection says it does, not what it was asked to do.
fn check_durable(connection: &Connection) -> Result<(), String> {
    let text =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
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

/// Opens a connection that cannot write. Several may stand beside the writer, also from other
/// processes.
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

/// Opens a reader for an audit, which leaves the files as they are: the last connection to be
/// closed would otherwise take over into the file what a service that died has left in its log.
pub(super) fn open_auditor(path: &Path) -> Result<Connection, OpenError> {
    let connection = open_reader(path)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(OpenError::engine(path))?;
    }
    Ok(connection)
}

/// Opens a reader of a database that another program owns: it must exist, and be of a version that
/// this one knows.
pub fn open_existing_reader(
    path: &Path,
    migrations: &[Migration],
) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::unusable(path, &"there is no such file"));
    }
    let connection = open_auditor(path)?;
    migrate::still_missing(&connection, path, migrations)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_in_the_cache_is_not_prepared_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let migrations =
            [Migration { number: 1, sql: "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT" }];
        let writer = open_writer(&path, &migrations).expect("a new file");
        let reader = open_reader(&path).expect("the file");
        for connection in [writer, reader] {
            for limit in [10, 1, 20] {
                let sql = "SELECT x FROM a WHERE x > ?1 ORDER BY x LIMIT ?2";
                let mut statement = connection.prepare_cached(sql).expect("a statement");
                assert!(!statement.exists([7, limit]).expect("a read"));
                assert_eq!(
                    statement.get_status(StatementStatus::RePrepare),
                    0,
                    "with the limit {limit}"
                );
            }
        }
    }
}
