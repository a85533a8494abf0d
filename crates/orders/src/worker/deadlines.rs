//! The deadlines of payments: asks orders to expire that were not paid in time (R25).
//!
//! A deadline is a row that says when. The worker leases rows that have passed and submits an
//! ordinary command for each. A payment that was decided before wins: the command then changes
//! nothing. Whatever is lost on the way, the row is due again some seconds later.

use std::sync::Arc;
use std::time::Duration;

use orders_core::decide::{OrderCommand, OrderOutcome};
use platform::batcher::Batcher;
use platform::failure::{Chain, Failure, NotDone};
use platform::quarantine::{QuarantineKind, Quarantined};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::metrics::Metrics;
use crate::store::{DeadlineLease, DueDeadline, OrderStore};

/// The longest that a deadline waits for the worker.
const PERIOD: Duration = Duration::from_millis(500);
/// The most deadlines of one lease, so that requests get their turn at the writer.
const MAX_LEASE: u32 = 500;
/// The most leases whose commands are being decided. While one is committed, the next is taken.
const MAX_IN_FLIGHT: usize = 4;
/// How long a lease lasts. An order that is still reserved then is asked again.
const LEASE: Duration = Duration::from_secs(10);

/// A worker that lets orders expire.
#[derive(Clone, Debug)]
pub struct Deadlines {
    pub store: Arc<dyn OrderStore>,
    pub batcher: Batcher<OrderCommand, OrderOutcome>,
    pub metrics: Arc<Metrics>,
}

impl Deadlines {
    /// Looks for deadlines by a timer, and at once while more may be due than was taken, until
    /// `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut failing = false;
        let mut in_flight: JoinSet<Result<usize, Failure>> = JoinSet::new();
        while !shutdown.is_cancelled() {
            let leased = self.lease().await;
            let more = leased.as_ref().is_ok_and(|due| due.len() >= MAX_LEASE as usize);
            match (leased, failing) {
                (Err(failure @ Failure::Fatal(_)), _) => return Err(failure),
                // Log only the first failure and the recovery.
                (Err(failure), false) => {
                    failing = true;
                    warn!(error = %Chain(&failure), "deadlines cannot be leased, retrying");
                }
                (Err(_), true) => {}
                (Ok(due), was_failing) => {
                    if was_failing {
                        failing = false;
                        warn!("deadlines are leased again");
                    }
                    if !due.is_empty() {
                        let worker = self.clone();
                        in_flight.spawn(async move { worker.expire(due).await });
                    }
                }
            }
            let has_room = in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                Some(expired) = in_flight.join_next() => {
                    let expired = expired.expect("a task that is not aborted and does not panic")?;
                    debug!(expired, "orders were not paid in time");
                }
                () = std::future::ready(()), if has_room && more => {}
                () = tokio::time::sleep(PERIOD), if has_room => {}
            }
        }
        Ok(())
    }

    /// Takes one lease, and waits until its orders have expired. Returns how many did.
    ///
    /// # Errors
    ///
    /// Those of [`OrderStore::lease_deadlines`], and [`Failure::Fatal`].
    pub async fn tick(&self) -> Result<usize, Failure> {
        let due = self.lease().await?;
        self.expire(due).await
    }

    async fn lease(&self) -> Result<Vec<DueDeadline>, Failure> {
        let lease = DeadlineLease { limit: MAX_LEASE, push: LEASE };
        let due = self.store.lease_deadlines(lease).await?;
        due.iter().for_each(|due| self.metrics.deadline_leased(due.late));
        Ok(due)
    }

    async fn expire(&self, due: Vec<DueDeadline>) -> Result<usize, Failure> {
        let commands = due.iter().map(|due| OrderCommand::Expire(due.order_id)).collect();
        let results = self.batcher.submit_all(commands, Instant::now() + LEASE).await;
        let mut expired = 0;
        let mut aside = Vec::new();
        for (due, result) in due.iter().zip(results) {
            match result {
                Ok(OrderOutcome::Expired(_)) => expired += 1,
                // This order's rows are damaged; the rows of the others are not (R16). Its deadline
                // stays, and the audit names it.
                Err(NotDone::Poisoned) => aside.push(Quarantined {
                    subject: Some(due.order_id.to_string()),
                    kind: QuarantineKind::Poisoned,
                    reason: "the order cannot be read, and does not expire".to_owned(),
                    bytes: Vec::new(),
                }),
                // It was paid or cancelled meanwhile, or its deadline is due again soon.
                Ok(_) | Err(_) => {}
            }
        }
        self.set_aside(aside).await?;
        Ok(expired)
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        match self.store.quarantine(entries).await {
            Err(failure @ Failure::Fatal(_)) => Err(failure),
            Err(failure) => {
                error!(error = %Chain(&failure), "an order that does not expire cannot be set aside");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}
