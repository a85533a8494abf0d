//! Keeps the readiness probe up to date about the service's dependencies.

use std::sync::Arc;
use std::time::Duration;

use platform::bus::Bus;
use platform::failure::{Chain, Failure};
use platform::pairing::Pairing;
use platform::quarantine::QuarantineTable;
use platform::readiness::{Health, Readiness};
use platform::relay::Outbox;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::store::OrderStore;

const PERIOD: Duration = Duration::from_secs(2);
/// How many orders that owe money are counted at most.
const MAX_REFUNDS_DUE: u32 = 1000;

/// A worker that checks the database and the bus, and measures the backlog and the quarantine.
#[derive(Debug)]
pub struct HealthCheck {
    pub store: Arc<dyn OrderStore>,
    pub bus: Arc<dyn Bus>,
    pub outbox: Outbox,
    pub pairing: Arc<Pairing>,
    pub quarantine: Arc<dyn QuarantineTable>,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
}

impl HealthCheck {
    /// Checks until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        while !shutdown.is_cancelled() {
            self.tick().await?;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        Ok(())
    }

    /// Checks once. Reading the backlogs, which the metrics show, represents the database.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn tick(&self) -> Result<(), Failure> {
        let database = match self.measure().await {
            Ok(()) => Health::Up,
            Err(failure @ Failure::Fatal(_)) => return Err(failure),
            Err(failure) => Health::Down(Chain(&failure).to_string()),
        };
        self.readiness.set("orders database", database);
        self.readiness.set("orders bus", Health::of_bus(&*self.bus, &self.outbox, &self.pairing));
        Ok(())
    }

    async fn measure(&self) -> Result<(), Failure> {
        self.metrics.show(self.store.backlog().await?);
        self.metrics.show_overdue(self.store.overdue().await?);
        self.metrics.show_refunds_due(self.store.refunds_due(MAX_REFUNDS_DUE).await?);
        self.metrics.show_quarantine(self.quarantine.unseen().await?);
        Ok(())
    }
}
