//! The metrics of the Order Service. No label names an order, a product or a customer.

use std::time::Duration;

use orders_core::decide::OrderOutcome;
use orders_core::status::{Purpose, Status};
use platform::batcher::Executed;
use platform::relay::Attempt;
use platform::telemetry::{self, QueueLength, Unprocessed};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::SERVICE;
use crate::store::{Backlog, Overdue};
use crate::waiters::Waker;

/// The outcome of an answer to changes.
const AMENDED: &str = "amended";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WakerLabel {
    by: &'static str,
}

/// The service's own metrics, beside those that both services share.
#[derive(Debug)]
pub struct Metrics {
    shared: telemetry::Metrics,
    placed: Counter,
    settled: Family<OutcomeLabel, Counter>,
    settle_seconds: Histogram,
    waits_ended: Family<WakerLabel, Counter>,
    expired: Counter,
    expired_late: Histogram,
    deadlines_due: Gauge,
    deadlines_late: Gauge<f64, std::sync::atomic::AtomicU64>,
    pub commands_resent: Counter,
    commands_pending: Gauge,
    commands_oldest_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    refunds_due: Gauge,
}

impl Metrics {
    /// Registers the metrics. Call it once per registry.
    pub fn new(registry: &mut Registry, shared: telemetry::Metrics) -> Self {
        let metrics = Self {
            shared,
            placed: Counter::default(),
            settled: Family::default(),
            // From 1 ms, the usual case, to 9 h, a long outage.
            settle_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 26)),
            waits_ended: Family::default(),
            expired: Counter::default(),
            // From 10 ms to 23 h, a long outage.
            expired_late: Histogram::new(exponential_buckets(0.01, 2.0, 24)),
            deadlines_due: Gauge::default(),
            deadlines_late: Gauge::default(),
            commands_resent: Counter::default(),
            commands_pending: Gauge::default(),
            commands_oldest_age: Gauge::default(),
            refunds_due: Gauge::default(),
        };
        metrics.register(registry);
        metrics.start_at_zero();
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("orders_placed", "Orders accepted", self.placed.clone());
        registry.register("orders_settled", "Orders by outcome", self.settled.clone());
        let help = "Time from accepting an order to confirming or rejecting it";
        let seconds = self.settle_seconds.clone();
        registry.register_with_unit("order_settle", help, Unit::Seconds, seconds);
        let help = "Requests that waited for an outcome, by what ended the wait";
        registry.register("order_waits_ended", help, self.waits_ended.clone());
        let help = "Orders that were not paid in time, and whose units are released";
        registry.register("orders_expired", help, self.expired.clone());
        let help = "Time from the deadline of a payment to asking the order to expire";
        let late = self.expired_late.clone();
        registry.register_with_unit("orders_expiry_delay", help, Unit::Seconds, late);
        let help = "Deadlines of payments that have passed while their orders are still reserved";
        registry.register("orders_deadlines_due", help, self.deadlines_due.clone());
        let help = "How long ago the first of these deadlines passed";
        let late = self.deadlines_late.clone();
        registry.register_with_unit("orders_deadlines_late", help, Unit::Seconds, late);
        let help = "Commands that the sweeper sent: again, or because they found no room in the window and in memory before";
        registry.register("commands_resent", help, self.commands_resent.clone());
        let help = "Commands that wait for Inventory's answer";
        registry.register("commands_pending", help, self.commands_pending.clone());
        let help = "Age of the oldest command that waits for Inventory's answer";
        let age = self.commands_oldest_age.clone();
        registry.register_with_unit("commands_oldest_age", help, Unit::Seconds, age);
        let help = "Orders that owe their customers money, up to 1000";
        registry.register("orders_refund_due", help, self.refunds_due.clone());
    }

    /// Creates the counters at zero: an alert on an increase would miss the first count of a
    /// counter that appears with it.
    fn start_at_zero(&self) {
        for status in [
            Status::Reserved,
            Status::Confirmed,
            Status::Rejected,
            Status::Cancelled,
            Status::Fulfilled,
            Status::Expired,
        ] {
            drop(self.settled.get_or_create(&OutcomeLabel { outcome: status.as_str() }));
        }
        drop(self.settled.get_or_create(&OutcomeLabel { outcome: AMENDED }));
        for by in Waker::ALL {
            drop(self.waits_ended.get_or_create(&WakerLabel { by: by.as_str() }));
        }
        self.shared.start_at_zero(SERVICE, "answer");
    }

    /// Counts an outcome. `settled_in` is how long the order waited for Inventory's first answer,
    /// if this outcome is that answer.
    pub(crate) fn count(&self, outcome: &OrderOutcome, settled_in: Option<Duration>) {
        match outcome {
            OrderOutcome::Placed(_) => {
                self.placed.inc();
            }
            OrderOutcome::Expired(_) => {
                self.expired.inc();
            }
            OrderOutcome::Settled { receipt, purpose } => {
                // A change leaves most orders in the status that they had.
                let outcome = match purpose {
                    Purpose::Amend => AMENDED,
                    _ => receipt.status.as_str(),
                };
                self.settled.get_or_create(&OutcomeLabel { outcome }).inc();
                if let Some(took) = settled_in {
                    self.settle_seconds.observe(took.as_secs_f64());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn wait_ended(&self, by: Waker) {
        self.waits_ended.get_or_create(&WakerLabel { by: by.as_str() }).inc();
    }

    pub(crate) fn executed(&self, executed: Executed) {
        self.shared.executed(SERVICE, executed);
    }

    pub(crate) fn queue(&self, length: QueueLength) {
        self.shared.queue(SERVICE, length);
    }

    pub(crate) fn show_quarantine(&self, entries: u64) {
        self.shared.quarantine_entries(SERVICE, entries);
    }

    pub(crate) fn published(&self, attempt: Attempt) {
        self.shared.published(SERVICE, attempt);
    }

    /// Counts how long after its deadline an order was asked to expire.
    pub(crate) fn expired_after(&self, late: Duration) {
        self.expired_late.observe(late.as_secs_f64());
    }

    /// Counts orders that were set aside because they cannot be read, or cannot be changed.
    pub(crate) fn poisoned(&self, orders: usize) {
        (0..orders).for_each(|_| self.shared.unprocessed(SERVICE, Unprocessed::Poisoned));
    }

    pub(crate) fn show_overdue(&self, overdue: Overdue) {
        self.deadlines_due.set(i64::try_from(overdue.deadlines).unwrap_or(i64::MAX));
        self.deadlines_late.set(overdue.late.as_secs_f64());
    }

    pub(crate) fn show_refunds_due(&self, orders: u64) {
        self.refunds_due.set(i64::try_from(orders).unwrap_or(i64::MAX));
    }

    pub(crate) fn show(&self, backlog: Backlog) {
        self.commands_pending.set(i64::try_from(backlog.commands).unwrap_or(i64::MAX));
        self.commands_oldest_age.set(backlog.oldest_age.as_secs_f64());
    }
}
