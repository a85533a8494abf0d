//! The worker that looks after a file while its service runs.

use platform::failure::Failure;
use tokio_util::sync::CancellationToken;

use super::readers::Readers;
use super::writer::Writer;

/// Closes a file when the process ends, so that the file alone is complete (R19).
#[derive(Debug)]
pub struct Keeper {
    pub(super) writer: Writer,
    pub(super) readers: Readers,
}

impl Keeper {
    /// Waits for `shutdown`, and closes the file.
    ///
    /// # Errors
    ///
    /// None at present.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        shutdown.cancelled().await;
        self.close().await;
        Ok(())
    }

    /// The readers first: the last connection to close copies the log into the file.
    async fn close(&self) {
        self.readers.close().await;
        self.writer.close(self.readers.broken().is_none()).await;
    }
}
