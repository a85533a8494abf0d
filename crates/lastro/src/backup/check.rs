//! Whether two copied files are sound, and all that `lastro verify` checks.

use std::path::{Path, PathBuf};

use platform::config::DatabaseUrl;
use platform::process::ProgramError;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::interrupted;
use crate::audit::Report;
use crate::serve::Databases;
use crate::verify::verify;

/// How many steps of a statement are executed between two looks at the signal.
const STEPS_BETWEEN_LOOKS: i32 = 100_000;

/// Checks the files of the orders and of the stock, which no service uses.
///
/// # Errors
///
/// A file is damaged or cannot be read, or a signal came.
pub(super) async fn pair(
    files: &[PathBuf; 2],
    shutdown: &CancellationToken,
) -> Result<Report, ProgramError> {
    for file in files {
        let (file, shutdown) = (file.clone(), shutdown.clone());
        let checking = tokio::task::spawn_blocking(move || sound(&file, &shutdown));
        checking.await.map_err(ProgramError::failed)??;
    }
    let [orders, inventory] = files.clone().map(DatabaseUrl::Sqlite);
    let databases = Databases { orders, inventory };
    tokio::select! {
        report = verify(&databases) => report,
        () = shutdown.cancelled() => Err(interrupted()),
    }
}

/// Checks every page of a file, and what its tables say of each other.
fn sound(path: &Path, shutdown: &CancellationToken) -> Result<(), ProgramError> {
    let failed = |error: rusqlite::Error| damaged(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let signal = shutdown.clone();
    let looking =
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || signal.is_cancelled()));
    looking.map_err(failed)?;
    let read = |sql| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let checked = read("PRAGMA integrity_check(1)");
    if shutdown.is_cancelled() {
        return Err(interrupted());
    }
    match checked.map_err(failed)?.as_str() {
        "ok" => {}
        found => return Err(damaged(path, &found)),
    }
    match connection.prepare("PRAGMA foreign_key_check").and_then(|mut rows| rows.exists([])) {
        Ok(false) => Ok(()),
        Ok(true) => Err(damaged(path, &"a row names one that is not there")),
        Err(error) => Err(failed(error)),
    }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> ProgramError {
    ProgramError::failed(format_args!(
        "the copy {} is damaged, and so may be the database: {error}",
        path.display()
    ))
}
