//! The deadlines of payments: asks orders to expire that were not paid in time (R25).
//!
//! A deadline is a row that says when. The worker leases rows that have passed and submits an
//! ordinary command for each whose order can be read. A payment that was decided before wins: the
//! command then changes nothing. Whatever is lost on the way, the row is due again some seconds
//! later.

use std::sync::Arc;
use std::time::Duration;

use orders_core::decide::{OrderCommand, OrderOutcome, RequestContext};
use platform::batcher::Batcher;
use platform::failure::{Chain, Failure, NotDone};
use platform::quarantine::{QuarantineKind, Quarantined};
use platform::telemetry::traces::Span;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::metrics::Metrics;
use crate::service::traced;
use crate::store::{DeadlineLease, LeasedDeadlines, OrderStore};

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

/// What a lease took, and when.
struct Leased {
    deadlines: LeasedDeadlines,
    at: Instant,
}

impl Leased {
    /// Whether more may be due than the lease took.
    fn is_full(&self) -> bool {
        self.deadlines.taken() >= MAX_LEASE as usize
    }
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
            let more = leased.as_ref().is_ok_and(Leased::is_full);
            match (leased, failing) {
                (Err(failure @ Failure::Fatal(_)), _) => return Err(failure),
                // Log only the first failure and the recovery.
                (Err(failure), false) => {
                    failing = true;
                    warn!(error = %Chain(&failure), "deadlines cannot be leased, retrying");
                }
                (Err(_), true) => {}
                (Ok(leased), was_failing) => {
                    if was_failing {
                        failing = false;
                        warn!("deadlines are leased again");
                    }
                    if !leased.deadlines.due.is_empty() {
                        let worker = self.clone();
                        in_flight.spawn(async move { worker.expire(leased).await });
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
        let leased = self.lease().await?;
        self.expire(leased).await
    }

    async fn lease(&self) -> Result<Leased, Failure> {
        let lease = DeadlineLease { limit: MAX_LEASE, push: LEASE };
        let deadlines = self.store.lease_deadlines(lease).await?;
        self.metrics.poisoned(deadlines.set_aside);
        Ok(Leased { deadlines, at: Instant::now() })
    }

    async fn expire(&self, leased: Leased) -> Result<usize, Failure> {
        let Leased { deadlines: LeasedDeadlines { due, .. }, at } = leased;
        let spans: Vec<_> = due.iter().map(|due| traced::expiry(due.order_id)).collect();
        let commands = due.iter().zip(&spans).map(|(due, span)| {
            let traceparent = span.as_ref().map(Span::traceparent);
            let context = RequestContext { actor: None, traceparent };
            OrderCommand::Expire { order_id: due.order_id, context }
        });
        let commands = commands.collect();
        let results = self.batcher.submit_all(commands, at + LEASE).await;
        let mut expired = 0;
        let mut aside = Vec::new();
        for ((due, span), result) in due.iter().zip(spans).zip(results) {
            if let (Some(mut span), Err(_)) = (span, &result) {
                span.fail("not_done");
            }
            match result {
                Ok(OrderOutcome::Expired(_)) => {
                    expired += 1;
                    self.metrics.expired_after(due.late + at.elapsed());
                }
                // The lease has read this order, so it was damaged since, or its change cannot be
                // written. Those of the others can (R16). Its deadline stays.
                Err(NotDone::Poisoned) => aside.push(Quarantined {
                    subject: Some(due.order_id.to_string()),
                    kind: QuarantineKind::Poisoned,
                    reason: "the order does not expire, also alone; see the log".to_owned(),
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
        self.metrics.poisoned(entries.len());
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
