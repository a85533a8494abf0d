//! Opens connections: one that writes durably (R1), readers beside it, and those of an audit.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::OpenError;
use super::files::beside;
use super::migrate::{self, Migrated};
use crate::migration::Migration;

/// How long a statement waits for a lock that another process, such as `verify`, holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Memory for the pages that are used again and again.
const CACHE_KIB: i64 = 32 * 1024;
/// A log that has become larger is cut to this size when it begins anew.
const MAX_EMPTY_LOG_BYTES: i64 = 64 * 1024 * 1024;

/// Opens the one writing connection for the first time, and brings the schema up to date.
///
/// Frames that a crash left in the log may not have been synced, so they are checkpointed before
/// anything is read (R1).
///
/// # Errors
///
/// Returns an error if the file cannot be opened, is busy, cannot be written durably, or has a
/// schema that this program does not know.
pub fn open_writer(path: &Path, migrations: &[Migration]) -> Result<Connection, OpenError> {
    Ok(open_or_make(path, migrations, None)?.0)
}

/// Does the same; if `trace` shows that the database was made before, an empty one is refused.
pub(super) fn open_or_make(
    path: &Path,
    migrations: &[Migration],
    trace: Option<&Path>,
) -> Result<(Connection, Migrated), OpenError> {
    let mut connection = connect_writer(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    if !checkpoint(&connection).map_err(OpenError::engine(path))? {
        return Err(OpenError::unusable(
            path,
            &"another process keeps it busy; stop that process or try again",
        ));
    }
    let migrated = migrate::migrate(&mut connection, path, migrations, trace)?;
    if migrated != Migrated::Unchanged {
        // So that a copy of the file alone has its tables.
        checkpoint(&connection).map_err(OpenError::engine(path))?;
    }
    Ok((connection, migrated))
}

/// Copies the whole log into the file and empties it. Returns whether that was done: another
/// process that reads the file may be in the way.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        let busy: bool = row.get("busy")?;
        Ok(!busy)
    })
}

/// Lets a connection leave the log as it is when it is closed. Otherwise the last connection to
/// close would copy it into the file.
pub(super) fn leave_log(connection: &Connection) {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    debug_assert_eq!(set, Ok(true), "a setting of the connection alone");
}

/// Opens a writing connection whose commits are durable (R1). What this process left in the log was
/// synced.
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
    // The log is copied beside the commits.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", MAX_EMPTY_LOG_BYTES)?;
    keep_statements(connection)
}

/// Keeps prepared statements and their plans. Otherwise SQLite plans a statement with `LIMIT ?`
/// again on each use, since its plan could depend on the bound value.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Checks the settings that are in effect, not those that were asked for (R1).
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

/// Opens a connection that cannot write. Several may run beside the writer, also in other
/// processes.
///
/// # Errors
///
/// Returns an error if the file does not exist or cannot be opened.
pub fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let engine = OpenError::engine(path);
    // Not opened read-only: a reader of the log needs its shared memory, and may have to create it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&engine)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&engine)?;
    connection.pragma_update(None, "query_only", "on").map_err(&engine)?;
    keep_statements(&connection).map_err(&engine)?;
    Ok(connection)
}

/// Opens a reader for an audit, which leaves what a crashed service left in its log.
pub(super) fn open_auditor(path: &Path) -> Result<Connection, OpenError> {
    let connection = open_reader(path)?;
    if std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        leave_log(&connection);
    }
    Ok(connection)
}

/// Opens a reader of a database that another program owns.
///
/// # Errors
///
/// Returns an error if the file does not exist, cannot be opened, or has a schema that this program
/// does not know.
pub fn open_existing_reader(
    path: &Path,
    migrations: &[Migration],
) -> Result<Connection, OpenError> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::unusable(path, &"there is no such file")),
        Err(error) => return Err(OpenError::unusable(path, &error)),
    }
    let connection = open_auditor(path).map_err(of_a_reader)?;
    let has_tables = migrate::has_tables(&connection).map_err(OpenError::engine(path));
    if !has_tables.map_err(of_a_reader)? {
        return Err(OpenError::NoTables(path.to_owned()));
    }
    migrate::still_missing(&connection, path, migrations)?;
    Ok(connection)
}

/// SQLite names what it could not do, and not why.
fn of_a_reader(error: OpenError) -> OpenError {
    match error {
        OpenError::Engine { path, source }
            if matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ) =>
        {
            let reason = "this user may not read and write the file, its folder and the log, which reading needs, too; run it as the user of the service";
            OpenError::unusable(&path, &reason)
        }
        other => other,
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
