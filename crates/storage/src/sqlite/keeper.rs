//! The worker that looks after a file while its service runs.

use std::sync::Arc;
use std::time::Duration;

use platform::failure::Failure;
use platform::telemetry::FileReport;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::readers::Readers;
use super::writer::Writer;

/// How often the files are looked at. Each commit also looks.
const PERIOD: Duration = Duration::from_secs(1);
/// A log of this size is worth a warning. A checkpoint is due at an eighth of it (`DUE_PAGES`).
const LARGE_LOG_BYTES: u64 = 256 * 1024 * 1024;

/// Notices when somebody takes a database's files away (R18), and closes them when the process
/// ends, so that the file alone is complete (R19).
#[derive(Debug)]
pub struct Keeper {
    pub(super) writer: Writer,
    pub(super) readers: Readers,
}

impl Keeper {
    /// Looks at the files until `shutdown`, and closes them. Reports their state and their
    /// checkpoints.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] if a file was deleted, moved or replaced, or if a call found that it
    /// cannot be trusted; the process must end (R18).
    pub async fn run(
        self,
        report: impl Fn(FileReport) + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) -> Result<(), Failure> {
        let (mut kept, mut growth) = (Ok(()), Growth::default());
        let report = Arc::new(report);
        let of_checkpoint = report.clone();
        let observe = move |checkpoint| of_checkpoint(FileReport::Checkpoint(checkpoint));
        self.writer.files().observe(observe);
        while kept.is_ok() && !shutdown.is_cancelled() {
            let state = self.writer.files().state();
            report(FileReport::State(state));
            let bytes = state.log_bytes;
            if growth.is_worth_a_warning(bytes) {
                let path = self.writer.files().path().display();
                warn!(%path, mib = bytes / 1024 / 1024, "the log of the database grows, because a program has been reading the same snapshot for long, or the disk is full; end that program, such as sqlite3 or a backup, or make room, and the log shrinks");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => kept = self.tick(),
            }
        }
        self.close().await;
        // The thread that copies the log may have failed meanwhile.
        kept.and_then(|()| self.readers.broken().map_or(Ok(()), Err))
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

/// Warns of a log that has become large, and again each time that it has doubled.
#[derive(Debug, Default)]
struct Growth {
    warned_at: u64,
}

impl Growth {
    fn is_worth_a_warning(&mut self, bytes: u64) -> bool {
        if bytes < LARGE_LOG_BYTES {
            self.warned_at = 0;
            return false;
        }
        let worth = bytes >= 2 * self.warned_at;
        if worth {
            self.warned_at = bytes;
        }
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_warned_of_once_and_each_time_it_has_doubled() {
        let mut growth = Growth::default();
        let mut worth = |mib: u64| growth.is_worth_a_warning(mib * 1024 * 1024);
        let sizes = [0, 32, 255, 256, 300, 511, 512, 1000, 1024, 300, 64, 255, 257];
        let warned: Vec<_> = sizes.into_iter().filter(|mib| worth(*mib)).collect();
        assert_eq!(warned, [256, 512, 1024, 257]);
    }
}
