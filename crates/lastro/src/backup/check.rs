//! Whether two copied files are sound, and all that `lastro verify` checks.

use std::path::PathBuf;

use platform::config::DatabaseUrl;
use platform::process::ProgramError;
use storage::backup::check_file;
use tokio_util::sync::CancellationToken;

use super::interrupted;
use crate::audit::Report;
use crate::serve::Databases;
use crate::verify::verify;

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
        let file = file.clone();
        let is_over = shutdown.clone();
        let checking = move || check_file(&file, move || is_over.is_cancelled());
        let checked = tokio::task::spawn_blocking(checking).await.map_err(ProgramError::failed)?;
        if shutdown.is_cancelled() {
            return Err(interrupted());
        }
        checked?;
    }
    let [orders, inventory] = files.clone().map(DatabaseUrl::Sqlite);
    let databases = Databases { orders, inventory };
    tokio::select! {
        report = verify(&databases) => report,
        () = shutdown.cancelled() => Err(interrupted()),
    }
}
