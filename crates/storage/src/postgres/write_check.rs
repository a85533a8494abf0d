//! Keeps the readiness probe up to date about whether a service can write.

use std::sync::Arc;
use std::time::Duration;

use platform::failure::{Chain, Failure};
use platform::readiness::{Health, Readiness};
use tokio_util::sync::CancellationToken;

use super::pool::Pool;

const PERIOD: Duration = Duration::from_secs(2);

/// A worker that begins a transaction now and then. A server may let a service read while it
/// refuses every connection that writes, for instance because commits would not be durable (R1).
#[derive(Debug)]
pub struct WriteCheck {
    pub(super) writers: Arc<Pool>,
}

impl WriteCheck {
    /// Checks until `shutdown`, and sets the readiness under this name.
    ///
    /// # Errors
    ///
    /// None at present: the service waits for its database.
    pub async fn run(
        self,
        name: &'static str,
        readiness: Readiness,
        shutdown: CancellationToken,
    ) -> Result<(), Failure> {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                health = self.tick() => {
                    readiness.set(name, health);
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(PERIOD) => {}
                    }
                }
            }
        }
        Ok(())
    }

    async fn tick(&self) -> Health {
        let written = async { self.writers.begin().await?.commit().await };
        match written.await {
            Ok(()) => Health::Up,
            Err(failure) => Health::Down(Chain(&failure).to_string()),
        }
    }
}
