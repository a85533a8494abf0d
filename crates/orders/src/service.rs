//! The Order Service between its edges: commands in, durable answers out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::{OrderId, codec};
use faults::fault_point;
use orders_core::decide::{OrderCommand, OrderOutcome, Receipt, decide};
use orders_core::money::Currency;
use orders_core::order::Status;
use platform::batcher::{Batcher, Commit};
use platform::bus::Bus;
use platform::clock::{Clock, Ids, Timestamp};
use platform::failure::Failure;
use platform::relay::Outbox;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answered::{ANSWERED_SUBJECT, Answered};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::waiters::{Waiters, Waker};
use crate::worker::sweep::AnswerFeed;

/// How often a waiting request looks for itself, should no word of another replica have come.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the last look may take, beyond what the client has granted.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What the committer does with a batch: one transaction, and only then messages and wake-ups (R6).
#[derive(Debug)]
pub struct Commits {
    pub store: Arc<dyn Store>,
    pub bus: Arc<dyn Bus>,
    /// Names this replica to the others.
    pub replica: Uuid,
    pub outbox: Outbox,
    pub waiters: Arc<Waiters>,
    pub answer_feed: Arc<AnswerFeed>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Commit<OrderCommand, OrderOutcome> for Commits {
    async fn commit(&self, batch: Arc<[OrderCommand]>) -> Result<Vec<OrderOutcome>, Failure> {
        fault_point!("orders.before_begin", when batch.iter().any(OrderCommand::is_request));
        let decided = self.store.run(batch.clone(), decide).await?;
        fault_point!("orders.committed", when batch.iter().any(OrderCommand::is_request));
        fault_point!("settle.committed", when !batch.iter().all(OrderCommand::is_request));
        let now = self.clock.now();
        let answers = batch.iter().filter(|command| !command.is_request());
        let order_ids: Vec<OrderId> = answers.map(OrderCommand::order_id).collect();
        let settled_in = |outcome: &OrderOutcome| {
            let order_id = outcome.settled_from_received()?;
            Some(now.since(accepted_at(order_id)))
        };
        let quickest = decided.iter().filter_map(|one| settled_in(&one.outcome)).min();
        self.answer_feed.answered(order_ids.iter().copied(), quickest, now.0);
        let mut outcomes = Vec::with_capacity(decided.len());
        let mut messages = Vec::new();
        for one in decided {
            messages.extend(one.publish);
            if let OrderOutcome::Settled(receipt) = &one.outcome {
                self.waiters.settled(receipt);
            }
            self.metrics.count(&one.outcome, settled_in(&one.outcome));
            outcomes.push(one.outcome);
        }
        self.outbox.offer(codec::encode(&messages));
        if !order_ids.is_empty() {
            let answered = Answered { replica: self.replica, order_ids };
            self.bus.hint(ANSWERED_SUBJECT, answered.encode());
        }
        Ok(outcomes)
    }
}

/// A UUIDv7 tells when it was made, to the millisecond.
fn accepted_at(order_id: OrderId) -> Timestamp {
    let made = order_id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let micros = made.0.saturating_mul(1_000_000).saturating_add(u64::from(made.1 / 1000));
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// What the handlers stand on.
#[derive(Debug)]
pub struct Service {
    pub store: Arc<dyn Store>,
    pub batcher: Batcher<OrderCommand, OrderOutcome>,
    pub waiters: Arc<Waiters>,
    pub ids: Arc<dyn Ids>,
    /// Of orders that name none.
    pub currency: Currency,
    pub metrics: Arc<Metrics>,
    /// Cancelled when the service stops: whoever waits for an outcome is released at once (R19).
    pub stopping: CancellationToken,
}

impl Service {
    /// Waits until the order has left `receipt`'s state for one that waits for nothing, or the time
    /// is up.
    ///
    /// The newest receipt seen; never an error, since what was asked for is done already.
    pub async fn wait(&self, receipt: Receipt, wait: Duration) -> Receipt {
        if receipt.status.in_flight().is_none() {
            return receipt;
        }
        let (order_id, deadline) = (receipt.order_id, Instant::now() + wait);
        let mut listener = self.waiters.listen(order_id);
        let (mut newest, mut woken_by) = (receipt, Waker::Nobody);
        loop {
            // A commit brings the receipt along; whoever else woke us did not.
            if woken_by != Waker::Commit
                && let Some(found) = self.look(order_id, deadline).await
            {
                newest = found;
            }
            if newest.status.in_flight().is_none() || woken_by == Waker::Deadline {
                break;
            }
            woken_by = tokio::select! {
                biased;
                () = self.stopping.cancelled() => Waker::Deadline,
                settled = listener.settled() => match settled {
                    // Word of an earlier settlement may come late: what does not follow is looked up.
                    Some(settled) if settled.status.may_follow(Some(newest.status)) => {
                        newest = settled;
                        Waker::Commit
                    }
                    _ => Waker::Hint,
                },
                () = tokio::time::sleep_until(deadline) => Waker::Deadline,
                () = tokio::time::sleep(LOOK_AGAIN) => Waker::Timer,
            };
        }
        self.metrics.wait_ended(woken_by);
        newest
    }

    /// Nothing, too, if the database takes its time.
    async fn look(&self, order_id: OrderId, deadline: Instant) -> Option<Receipt> {
        tokio::select! {
            biased;
            found = self.store.receipt(order_id) => found.ok().flatten(),
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep_until(deadline + LAST_LOOK) => None,
        }
    }
}

/// What an order's state is called in an answer to a person.
pub fn message(status: Status) -> &'static str {
    match status {
        Status::Received => "Order successfully placed.",
        Status::Confirmed => "Order confirmed.",
        Status::Rejected => "Order rejected: not enough stock.",
        Status::Cancelling => "Cancellation requested.",
        Status::Cancelled => "Order cancelled.",
        Status::Fulfilling => "Fulfillment requested.",
        Status::Fulfilled => "Order fulfilled.",
    }
}
