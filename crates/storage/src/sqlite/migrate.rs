//! Brings a file's schema up to date.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::OpenError;
use crate::migration::{Applied, Migration, SchemaMismatch, missing};

/// What migrating did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migrated {
    /// The file was empty.
    Made,
    /// Steps were applied.
    Changed,
    /// All steps had been applied before.
    Unchanged,
}

/// Applies what is missing, all of it in one transaction. If `trace` shows that the database was
/// made before, an empty one is refused.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    trace: Option<&Path>,
) -> Result<Migrated, OpenError> {
    let engine = OpenError::engine(path);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&engine)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, checksum BLOB NOT NULL) STRICT",
        )
        .map_err(&engine)?;
    let missing = still_missing(&transaction, path, migrations)?;
    let migrated = match (missing.len(), trace) {
        (0, _) => Migrated::Unchanged,
        (missing, Some(trace)) if missing == migrations.len() => {
            return Err(OpenError::Missing { path: path.to_owned(), trace: trace.to_owned() });
        }
        (missing, None) if missing == migrations.len() => Migrated::Made,
        _ => Migrated::Changed,
    };
    for migration in missing {
        transaction.execute_batch(migration.sql).map_err(&engine)?;
        let row = (migration.number, migration.checksum());
        let remembered = "INSERT INTO schema_migrations (number, checksum) VALUES (?1, ?2)";
        transaction.execute(remembered, row).map_err(&engine)?;
    }
    transaction.commit().map_err(&engine)?;
    Ok(migrated)
}

/// The steps that the file has still to take.
///
/// # Errors
///
/// It is of a newer program, or of another.
pub(super) fn still_missing<'a>(
    connection: &Connection,
    path: &Path,
    migrations: &'a [Migration],
) -> Result<Vec<&'a Migration>, OpenError> {
    let applied = applied(connection).map_err(OpenError::engine(path))?;
    missing(migrations, &applied, 0).map_err(|misfit| match misfit {
        SchemaMismatch::Newer { found, known } => {
            OpenError::Newer { path: path.to_owned(), found, known }
        }
        SchemaMismatch::Changed { number } => OpenError::Changed { path: path.to_owned(), number },
    })
}

/// Whether any step was ever applied.
pub(super) fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) > 0 AS found FROM sqlite_schema WHERE name = 'schema_migrations'";
    connection.query_row(sql, [], |row| row.get("found"))
}

fn applied(connection: &Connection) -> rusqlite::Result<Applied> {
    let mut statement = connection.prepare("SELECT number, checksum FROM schema_migrations")?;
    let rows = statement.query_map([], |row| Ok((row.get("number")?, row.get("checksum")?)))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::open::{open_existing_reader, open_or_make, open_writer};
    use super::*;

    const FIRST: Migration = Migration { number: 1, sql: "CREATE TABLE a (x INTEGER) STRICT" };
    const SECOND: Migration = Migration { number: 2, sql: "ALTER TABLE a ADD COLUMN y INTEGER" };

    #[test]
    fn a_database_is_brought_up_to_date_step_by_step_and_keeps_its_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let connection = open_writer(&path, &[FIRST]).expect("a new file");
        connection.execute("INSERT INTO a (x) VALUES (7)", []).expect("a row");
        drop(connection);
        for _ in 0..2 {
            let connection = open_writer(&path, &[FIRST, SECOND]).expect("migrated");
            let row: (i64, Option<i64>) = connection
                .query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .expect("a row");
            assert_eq!(row, (7, None));
        }
    }

    #[test]
    fn an_empty_database_that_was_made_before_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let trace = folder.path().join("a.db.lock");
        Connection::open(&path).and_then(|empty| empty.execute_batch("VACUUM")).expect("a file");
        let refused = open_or_make(&path, &[FIRST], Some(&trace));
        assert!(matches!(refused, Err(OpenError::Missing { .. })), "{refused:?}");
        let made = |trace| open_or_make(&path, &[FIRST], trace).expect("a database").1;
        assert_eq!((made(None), made(Some(&trace))), (Migrated::Made, Migrated::Unchanged));
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        open_writer(&path, &[FIRST, SECOND]).expect("a new file");
        let refused = open_writer(&path, &[FIRST]).expect_err("older program");
        assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
        assert!(open_existing_reader(&path, &[FIRST]).is_err());
        assert!(open_existing_reader(&path, &[FIRST, SECOND]).is_ok());
    }

    #[test]
    fn a_migration_that_was_edited_after_it_was_applied_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        open_writer(&path, &[FIRST]).expect("a new file");
        let edited = Migration { sql: "CREATE TABLE b (x INTEGER) STRICT", ..FIRST };
        assert!(matches!(open_writer(&path, &[edited]), Err(OpenError::Changed { number: 1, .. })));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_with_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        std::fs::write(&path, "not a database, but long enough to look at").expect("a file");
        let refused = open_writer(&path, &[FIRST]).expect_err("no database").to_string();
        assert!(refused.contains("a.db") && !refused.contains('\n'), "{refused}");
    }
}
