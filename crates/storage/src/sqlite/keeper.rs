//! The worker that looks after a file while its service runs.

use std::time::Duration;

use platform::failure::Failure;
use tokio_util::sync::CancellationToken;

use super::readers::Readers;
use super::writer::Writer;

/// How often the files are looked at. Each commit also looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Notices when somebody takes a database's files away (R18), and closes them when the process
/// ends, so that the file alone is complete (R19).
#[derive(Debug)]
pub struct Keeper {
    pub(super) writer: Writer,
    pub(super) readers: Readers,
}

impl Keeper {
    /// Looks at the files until `shutdown`, and closes them.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] if a file was deleted, moved or replaced, or if a call found that it
    /// cannot be trusted; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut kept = Ok(());
        while kept.is_ok() && !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => kept = self.tick(),
            }
        }
        self.close().await;
        kept
    }

    fn tick(&self) -> Result<(), Failure> {
        self.readers.broken().map_or(Ok(()), Err)?;
        self.writer.files().check().inspect_err(|failure| self.readers.note(failure))
    }

    /// The readers first: the last connection to close copies the log into the file.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close(self.readers.broken().is_none()).await;
    }
}
