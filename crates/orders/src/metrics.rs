//! What the Order Service counts. Never an order, a product or a customer as a label.

use contract::OrderId;
use orders_core::decide::OrderOutcome;
use orders_core::order::Status;
use platform::clock::Timestamp;
use platform::telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::SERVICE;
use crate::store::Backlog;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WakerLabel {
    by: &'static str,
}

/// What ended a wait for an outcome (`Prefer: wait`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waker {
    /// The outcome was there already.
    Nobody,
    /// The commit that brought it, in this replica.
    Commit,
    /// Word of another replica.
    Hint,
    /// A look now and then.
    Timer,
    /// The time that the client has granted is up, or the service stops.
    Deadline,
}

impl Waker {
    const ALL: [Self; 5] = [Self::Nobody, Self::Commit, Self::Hint, Self::Timer, Self::Deadline];

    fn label(self) -> WakerLabel {
        let by = match self {
            Self::Nobody => "nobody",
            Self::Commit => "commit",
            Self::Hint => "hint",
            Self::Timer => "timer",
            Self::Deadline => "deadline",
        };
        WakerLabel { by }
    }
}

/// The service's own numbers, beside those that both services share.
#[derive(Debug)]
pub struct Metrics {
    shared: telemetry::Metrics,
    placed: Counter,
    settled: Family<OutcomeLabel, Counter>,
    settle_seconds: Histogram,
    waits_ended: Family<WakerLabel, Counter>,
    pub commands_resent: Counter,
    commands_pending: Gauge,
    commands_oldest_age: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Metrics {
    /// Registers them all. Once per registry.
    pub fn new(registry: &mut Registry, shared: telemetry::Metrics) -> Self {
        let metrics = Self {
            shared,
            placed: Counter::default(),
            settled: Family::default(),
            // 1 ms to 9 h: from the usual case to a long outage.
            settle_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 26)),
            waits_ended: Family::default(),
            commands_resent: Counter::default(),
            commands_pending: Gauge::default(),
            commands_oldest_age: Gauge::default(),
        };
        registry.register("orders_placed", "Orders accepted", metrics.placed.clone());
        registry.register("orders_settled", "Orders by what became of them", metrics.settled.clone());
        let help = "Time from accepting an order to its being confirmed or rejected";
        registry.register_with_unit("order_settle", help, Unit::Seconds, metrics.settle_seconds.clone());
        let help = "Waits for an outcome, by what ended them";
        registry.register("order_waits_ended", help, metrics.waits_ended.clone());
        registry.register(
            "commands_resent",
            "Commands sent again for want of an answer",
            metrics.commands_resent.clone(),
        );
        registry.register("commands_pending", "Commands in flight", metrics.commands_pending.clone());
        let help = "Age of the oldest command in flight";
        registry.register_with_unit("commands_oldest_age", help, Unit::Seconds, metrics.commands_oldest_age.clone());
        for status in [Status::Confirmed, Status::Rejected, Status::Cancelled, Status::Fulfilled] {
            drop(metrics.settled.get_or_create(&OutcomeLabel { outcome: status.as_str() }));
        }
        for by in Waker::ALL {
            drop(metrics.waits_ended.get_or_create(&by.label()));
        }
        metrics.shared.start_at_zero(SERVICE, "answer");
        metrics
    }

    pub(crate) fn count(&self, outcome: &OrderOutcome, now: Timestamp) {
        match outcome {
            OrderOutcome::Placed(_) => {
                self.placed.inc();
            }
            OrderOutcome::Settled(receipt) => {
                self.settled.get_or_create(&OutcomeLabel { outcome: receipt.status.as_str() }).inc();
                if let Some(order_id) = outcome.settled_from_received() {
                    self.settle_seconds.observe(now.since(accepted_at(order_id)).as_secs_f64());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn wait_ended(&self, by: Waker) {
        self.waits_ended.get_or_create(&by.label()).inc();
    }

    pub(crate) fn batch(&self, commands: usize) {
        self.shared.batch(SERVICE, commands);
    }

    pub(crate) fn published(&self, batches: usize, got_through: bool) {
        self.shared.published(SERVICE, batches, got_through);
    }

    pub(crate) fn show(&self, backlog: Backlog) {
        self.commands_pending.set(i64::try_from(backlog.commands).unwrap_or(i64::MAX));
        self.commands_oldest_age.set(backlog.oldest_age.as_secs_f64());
    }
}

/// A UUIDv7 tells when it was made, to the millisecond.
pub(crate) fn accepted_at(order_id: OrderId) -> Timestamp {
    let made = order_id.0.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let micros = made.0.saturating_mul(1_000_000).saturating_add(u64::from(made.1 / 1000));
    Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}
