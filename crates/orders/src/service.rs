//! The core of the Order Service: it commits commands, publishes their messages, and lets requests
//! wait for outcomes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::OrderId;
use contract::codec::{self, Encoded, TooLarge};
use contract::commands::AllocateStock;
use faults::fault_point;
use orders_core::decide::{OrderCommand, OrderOutcome, Receipt, decide};
use orders_core::money::Currency;
use orders_core::status::Status;
use platform::admin::AdminLog;
use platform::audit::AuditState;
use platform::batcher::{Batcher, Commit, TracedCommand, TracedCommits};
use platform::bus::Bus;
use platform::clock::{Clock, Ids, Timestamp};
use platform::failure::Failure;
use platform::journal::Tail;
use platform::quarantine::QuarantineTable;
use platform::relay::{Offered, Outbox};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use web::feed::Feed;

use crate::answered::{ANSWERED_SUBJECT, Answered};
use crate::http::OrderEvents;
use crate::metrics::Metrics;
use crate::store::OrderStore;
use crate::waiters::{Waiters, Waker};
use crate::worker::sweep::AnswerFeed;

pub(crate) mod traced;

/// How often a waiting request reads the order itself, in case a hint of another replica was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the last read may take after the client's deadline.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Commits batches: one transaction, and only after it the messages and wake-ups (R6).
#[derive(Debug)]
pub struct Commits {
    pub store: Arc<dyn OrderStore>,
    /// Wakes the numbering of the journal (R29).
    pub tail: Arc<Tail>,
    pub bus: Arc<dyn Bus>,
    /// The id of this replica in hints to the others.
    pub replica: Uuid,
    pub outbox: Outbox,
    pub waiters: Arc<Waiters>,
    pub answer_feed: Arc<AnswerFeed>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Commit<OrderCommand, OrderOutcome> for Commits {
    fn linger(&self) -> Duration {
        self.store.linger()
    }

    async fn commit(&self, batch: Arc<[OrderCommand]>) -> Result<Vec<OrderOutcome>, Failure> {
        fault_point!("orders.before_begin", when batch.iter().any(OrderCommand::is_request));
        let decided = self.store.run(batch.clone(), decide).await;
        // Also after a commit of unknown fate.
        self.tail.committed();
        let decided = decided?;
        fault_point!("orders.committed", when batch.iter().any(OrderCommand::is_request));
        fault_point!("settle.committed", when batch.iter().any(OrderCommand::is_answer));
        fault_point!("pay.committed", when batch.iter().any(OrderCommand::is_payment));
        fault_point!("change.committed", when batch.iter().any(OrderCommand::is_change));
        fault_point!("expire.committed", when batch.iter().any(OrderCommand::is_deadline));
        let now = self.clock.now();
        let answers = batch.iter().filter(|command| command.is_answer());
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
            if let OrderOutcome::Settled { receipt, .. } = &one.outcome {
                self.waiters.settled(receipt);
            }
            self.metrics.count(&one.outcome, settled_in(&one.outcome));
            outcomes.push(one.outcome);
        }
        publish(&self.outbox, self.answer_feed.admit(messages, now.0));
        if !order_ids.is_empty() {
            let answered = Answered { replica: self.replica, order_ids };
            self.bus.hint(ANSWERED_SUBJECT, answered.encode());
        }
        Ok(outcomes)
    }

    fn traced(&self) -> Option<TracedCommits> {
        Some(TracedCommits { name: "commit orders", engine: self.store.engine() })
    }

    fn traced_command<'c>(&self, command: &'c OrderCommand) -> Option<TracedCommand<'c>> {
        Some(traced::command(command))
    }
}

/// Queues commands for publishing, and reports those that the bus takes in no size of batch.
pub(crate) fn publish(outbox: &Outbox, mut commands: Vec<AllocateStock>) {
    let spans = outbox.trace(&mut commands, traced::message);
    let Encoded { batches, counts, too_large } = codec::encode(&commands, outbox.max_bytes());
    let left_out = too_large.iter().map(|message| message.index).collect();
    outbox.offer(Offered { batches, counts, left_out, spans });
    for TooLarge { index, bytes } in too_large {
        outbox.too_large(&format!("order {}", commands[index].order_id), bytes);
    }
}

/// Returns when an order was accepted, which its UUIDv7 contains to the millisecond.
fn accepted_at(order_id: OrderId) -> Timestamp {
    let made = order_id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let micros = made.0.saturating_mul(1_000_000).saturating_add(u64::from(made.1 / 1000));
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// What the HTTP handlers use.
#[derive(Debug)]
pub struct Service {
    pub store: Arc<dyn OrderStore>,
    pub feed: Arc<Feed<OrderEvents>>,
    pub batcher: Batcher<OrderCommand, OrderOutcome>,
    pub waiters: Arc<Waiters>,
    pub answer_feed: Arc<AnswerFeed>,
    /// The messages that were set aside.
    pub quarantine: Arc<dyn QuarantineTable>,
    /// What people changed by hand.
    pub admin_log: Arc<dyn AdminLog>,
    /// What the auditors have done: its own first.
    pub audits: Vec<Arc<AuditState>>,
    pub ids: Arc<dyn Ids>,
    /// The currency of orders that do not name one.
    pub currency: Currency,
    pub metrics: Arc<Metrics>,
    /// Cancelled when the service stops, so that requests that wait for an outcome return (R19).
    pub stopping: CancellationToken,
}

impl Service {
    /// Waits until the order has no command in flight, or for `wait`, and returns the newest
    /// receipt.
    ///
    /// There is no error, since the command that the client sent is already committed.
    pub async fn wait(&self, receipt: Receipt, wait: Duration) -> Receipt {
        if !receipt.status.is_in_flight() {
            return receipt;
        }
        let order_id = receipt.order_id;
        let deadline = Instant::now() + wait;
        let mut listener = self.waiters.listen(order_id);
        let mut newest = receipt;
        let mut woken_by = Waker::Nobody;
        loop {
            // A commit sends the receipt; the other wakers do not.
            if woken_by != Waker::Commit
                && let Some(found) = self.look(order_id, deadline).await
            {
                newest = found;
            }
            if !newest.status.is_in_flight() || woken_by == Waker::Deadline {
                break;
            }
            woken_by = tokio::select! {
                biased;
                () = self.stopping.cancelled() => Waker::Deadline,
                settled = listener.settled() => match settled {
                    // A receipt may arrive late; read the order if this one is not newer.
                    Some(settled) if settled.last_seq > newest.last_seq => {
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

    /// Reads the order's receipt; `None` also if the database fails or takes too long.
    async fn look(&self, order_id: OrderId, deadline: Instant) -> Option<Receipt> {
        tokio::select! {
            biased;
            found = self.store.receipt(order_id) => found.ok().flatten(),
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep_until(deadline + LAST_LOOK) => None,
        }
    }
}

/// Returns the message for people about an order in this status.
pub fn message(status: Status) -> &'static str {
    match status {
        Status::Received => "Order successfully placed.",
        Status::Reserved => "Order reserved: payment is due.",
        Status::Confirmed => "Order confirmed.",
        Status::Rejected => "Order rejected: not enough stock.",
        Status::Amending => "Change requested.",
        Status::Cancelling => "Cancellation requested.",
        Status::Cancelled => "Order cancelled.",
        Status::Fulfilling => "Fulfillment requested.",
        Status::Fulfilled => "Order fulfilled.",
        Status::Expiring => "Payment deadline passed.",
        Status::Expired => "Order expired.",
        Status::Reviving => "Payment received; reserving again.",
    }
}
