//! Direct reads of a service's database, and damage to it past all of its protection.

use std::path::Path;

use rusqlite::Connection;

use crate::PATIENCE;

/// Writes into a SQLite file past its triggers, checks and foreign keys. Returns how many rows the
/// last statement wrote.
///
/// # Panics
///
/// Panics if the statement changed nothing.
#[track_caller]
pub fn write_past(file: &Path, sql: &str) -> u64 {
    let connection = Connection::open(file).expect("the file");
    connection.busy_timeout(PATIENCE).expect("a timeout");
    let guards = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
    let drop_guards: Option<String> =
        connection.query_row(guards, [], |row| row.get(0)).expect("triggers");
    connection
        .execute_batch("PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off")
        .expect("no constraints");
    connection.execute_batch(&drop_guards.unwrap_or_default()).expect("no triggers");
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(connection.total_changes() > 0, "{sql} changes nothing");
    connection.changes()
}

/// How many entries of each kind are in the quarantine of a service's SQLite file, repeats
/// included.
///
/// # Panics
///
/// Panics if the file is not the database of a service.
#[track_caller]
pub fn quarantined(file: &Path) -> Vec<(String, i64)> {
    let connection = Connection::open(file).expect("the file");
    connection.busy_timeout(PATIENCE).expect("a timeout");
    let sql = "SELECT kind, sum(count) AS times FROM quarantine GROUP BY kind ORDER BY kind";
    let mut statement = connection.prepare(sql).expect("the table");
    let rows =
        statement.query_map([], |row| Ok((row.get("kind")?, row.get("times")?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}
