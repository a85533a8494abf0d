//! The metrics that every service has.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::files::{FileMetrics, FileReport};
use super::process;
use super::queues::{QueueLength, Queues};
use super::traces::LostSpans;
use crate::audit::AuditNumbers;
use crate::batcher::Executed;
use crate::relay::Attempt;

/// The metrics that every service has, labelled with the service's name.
///
/// Clones share them. A service registers its own metrics in the same registry. No label names a
/// single thing, such as an order or a customer.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    batches: Family<ServiceLabel, Histogram, fn() -> Histogram>,
    commits: Family<ServiceLabel, Histogram, fn() -> Histogram>,
    queues: Queues,
    quarantined: Family<KindLabels, Counter>,
    quarantine_entries: Family<ServiceLabel, Gauge>,
    anomalies: Family<KindLabels, Counter>,
    shed: Family<ServiceLabel, Counter>,
    published: Family<PublishedLabels, Counter>,
    unverified: Family<ReasonLabels, Counter>,
    bus_messages: Family<ChannelLabel, Gauge>,
    files: FileMetrics,
    api_keys_expiring: Family<ExpiringLabels, Gauge>,
    feed_streams: Family<ServiceLabel, Gauge>,
    feed_events_sent: Family<ServiceLabel, Counter>,
    /// The metrics of the auditors.
    pub audit: AuditNumbers,
    /// The counters of the exporter of traces.
    pub lost_spans: LostSpans,
}

/// The labels of an answered request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The name of the service that answered.
    pub service: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The pattern of the path, such as `/api/orders/{order_id}`, or `none`; never the path.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServiceLabel {
    pub(super) service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    service: &'static str,
    kind: &'static str,
}

/// Why a message was not processed: the label `kind` of `quarantine_messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprocessed {
    /// The bytes cannot be decoded.
    Malformed,
    /// The command fails even when it is executed alone.
    Poisoned,
    /// The message is of a newer version. It is dropped, not set aside.
    UnknownVersion,
    /// Another deployment sent it (R31). All messages of its delivery are dropped, and count as
    /// one.
    Foreign,
    /// It was to be set aside, and the quarantine is full. It is counted under its own kind as well.
    NotKept,
}

impl Unprocessed {
    const ALL: [Self; 5] =
        [Self::Malformed, Self::Poisoned, Self::UnknownVersion, Self::Foreign, Self::NotKept];

    fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Poisoned => "poisoned",
            Self::UnknownVersion => "unknown_version",
            Self::Foreign => "foreign",
            Self::NotKept => "not_kept",
        }
    }
}

/// Why a batch of messages has no valid signature: the label `reason` of `bus_unverified`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// It has none.
    Unsigned,
    /// It names a key that the service does not know.
    UnknownKey,
    /// It is not what that key signs for this subject, sender and payload, or is no signature.
    Invalid,
}

impl Unverified {
    const ALL: [Self; 3] = [Self::Unsigned, Self::UnknownKey, Self::Invalid];

    /// Returns the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown_key",
            Self::Invalid => "invalid",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    service: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PublishedLabels {
    service: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiringLabels {
    source: &'static str,
    within: &'static str,
}

impl Metrics {
    /// Registers the metrics. Call it once per registry; `version` is that of the program.
    pub fn new(registry: &mut Registry, version: &'static str) -> Self {
        // Requests take from 0.5 ms to 16 s, and batches have from 1 to 2048 commands.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let sizes: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 2.0, 12));
        let metrics = Self {
            requests: Family::new_with_constructor(seconds),
            batches: Family::new_with_constructor(sizes),
            commits: Family::new_with_constructor(seconds),
            queues: Queues::default(),
            quarantined: Family::default(),
            quarantine_entries: Family::default(),
            anomalies: Family::default(),
            shed: Family::default(),
            published: Family::default(),
            unverified: Family::default(),
            bus_messages: Family::default(),
            files: FileMetrics::new(registry),
            api_keys_expiring: Family::default(),
            feed_streams: Family::default(),
            feed_events_sent: Family::default(),
            audit: AuditNumbers::new(registry),
            lost_spans: LostSpans::new(registry),
        };
        metrics.register(registry);
        let build = Info::new([("version", version)]);
        registry.register("build", "The version of the running program", build);
        registry.register_collector(Box::new(process::ProcessNumbers));
        registry.register_collector(Box::new(metrics.queues.clone()));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let help = "Time from receiving a request's headers to sending the response's headers";
        let seconds = self.requests.clone();
        registry.register_with_unit("http_server_request_duration", help, Unit::Seconds, seconds);
        registry.register("batch_size", "Commands per commit", self.batches.clone());
        let help = "Time of one attempt to load, decide and commit a batch, failed ones included";
        let seconds = self.commits.clone();
        registry.register_with_unit("commit_duration", help, Unit::Seconds, seconds);
        let help =
            "Messages that could not be processed, repeats included; investigate any increase";
        registry.register("quarantine_messages", help, self.quarantined.clone());
        let help = "Messages in the quarantine that nobody has discarded yet";
        registry.register("quarantine_entries", help, self.quarantine_entries.clone());
        let help = "Messages that cannot occur in a healthy system; investigate any increase";
        registry.register("anomalies", help, self.anomalies.clone());
        let help = "Requests refused because of overload";
        registry.register("requests_shed", help, self.shed.clone());
        let help = "Batches of messages published to the bus, by result; messages of failed ones are sent again";
        registry.register("bus_published", help, self.published.clone());
        let help =
            "Batches of messages received without a valid signature; investigate any increase";
        registry.register("bus_unverified", help, self.unverified.clone());
        let help = "Messages of a channel that the broker holds, which are not acknowledged yet";
        registry.register("bus_messages", help, self.bus_messages.clone());
        let help = "API keys that end soon; their owners need new ones";
        registry.register("api_keys_expiring", help, self.api_keys_expiring.clone());
        let help = "Streams of events that are open";
        registry.register("feed_streams", help, self.feed_streams.clone());
        let help = "Events that were sent to readers of the feed, on pages and in streams";
        registry.register("feed_events_sent", help, self.feed_events_sent.clone());
    }

    /// Creates a service's counters at zero: an alert on an increase would miss the first count of
    /// a counter that appears with it.
    ///
    /// `consumed` is what the messages are called that the service consumes.
    pub fn start_at_zero(&self, service: &'static str, consumed: &'static str) {
        drop(self.shed.get_or_create(&ServiceLabel { service }));
        for result in ["ok", "failed"] {
            drop(self.published.get_or_create(&PublishedLabels { service, result }));
        }
        for why in Unverified::ALL {
            let reason = why.as_str();
            drop(self.unverified.get_or_create(&ReasonLabels { service, reason }));
        }
        for why in Unprocessed::ALL {
            let kind = why.as_str();
            drop(self.quarantined.get_or_create(&KindLabels { service, kind }));
        }
        drop(self.anomalies.get_or_create(&KindLabels { service, kind: consumed }));
        drop(self.commits.get_or_create(&ServiceLabel { service }));
    }

    /// Observes an answered request and how long it took.
    pub fn request(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).observe(took.as_secs_f64());
    }

    /// Observes a batch that was executed, and how long each attempt took.
    pub fn executed(&self, service: &'static str, executed: Executed) {
        let label = ServiceLabel { service };
        match executed {
            Executed::Begun { commands } => {
                let commands = u32::try_from(commands).unwrap_or(u32::MAX);
                self.batches.get_or_create(&label).observe(f64::from(commands));
            }
            Executed::Attempted { took } => {
                self.commits.get_or_create(&label).observe(took.as_secs_f64());
            }
        }
    }

    /// Shows the length of a service's queue of commands from now on.
    pub fn queue(&self, service: &'static str, length: QueueLength) {
        self.queues.add(service, length);
    }

    /// Sets how many messages are in a service's quarantine that nobody has discarded.
    pub fn quarantine_entries(&self, service: &'static str, entries: u64) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.quarantine_entries.get_or_create(&ServiceLabel { service }).set(entries);
    }

    /// Counts a message that was not processed.
    pub fn unprocessed(&self, service: &'static str, why: Unprocessed) {
        let kind = why.as_str();
        self.quarantined.get_or_create(&KindLabels { service, kind }).inc();
    }

    /// Counts a message of this kind that cannot occur in a healthy system.
    pub fn anomaly(&self, service: &'static str, kind: &'static str) {
        self.anomalies.get_or_create(&KindLabels { service, kind }).inc();
    }

    /// Counts batches that were published, or that failed to be.
    pub fn published(&self, service: &'static str, attempt: Attempt) {
        for (result, batches) in [("ok", attempt.published), ("failed", attempt.failed)] {
            let labels = PublishedLabels { service, result };
            self.published.get_or_create(&labels).inc_by(batches as u64);
        }
    }

    /// Counts a batch of messages that was received without a valid signature.
    pub fn unverified(&self, service: &'static str, why: Unverified) {
        let reason = why.as_str();
        self.unverified.get_or_create(&ReasonLabels { service, reason }).inc();
    }

    /// Sets how many messages the broker holds of a channel.
    pub fn bus_messages(&self, channel: &str, messages: u64) {
        let messages = i64::try_from(messages).unwrap_or(i64::MAX);
        let label = ChannelLabel { channel: channel.to_owned() };
        self.bus_messages.get_or_create(&label).set(messages);
    }

    /// Notes what is reported of a service's SQLite file.
    pub fn file(&self, service: &'static str, report: FileReport) {
        self.files.note(service, report);
    }

    /// Sets how many keys of a source end within [`EXPIRES_SOON`](crate::keys::EXPIRES_SOON).
    pub fn api_keys_expiring(&self, source: &'static str, keys: usize) {
        let labels = ExpiringLabels { source, within: "14d" };
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.api_keys_expiring.get_or_create(&labels).set(keys);
    }

    /// Creates the numbers of a service's feed at zero.
    pub fn feed_starts_at_zero(&self, service: &'static str) {
        drop(self.feed_streams.get_or_create(&ServiceLabel { service }));
        drop(self.feed_events_sent.get_or_create(&ServiceLabel { service }));
    }

    /// Counts a stream of events as open.
    pub fn feed_stream_opened(&self, service: &'static str) {
        self.feed_streams.get_or_create(&ServiceLabel { service }).inc();
    }

    /// Counts a stream of events as open no longer.
    pub fn feed_stream_closed(&self, service: &'static str) {
        self.feed_streams.get_or_create(&ServiceLabel { service }).dec();
    }

    /// Counts events that are sent to readers.
    pub fn feed_events_sent(&self, service: &'static str, events: usize) {
        self.feed_events_sent.get_or_create(&ServiceLabel { service }).inc_by(events as u64);
    }

    /// Counts a request that was answered `overloaded`.
    pub fn shed(&self, service: &'static str) {
        self.shed.get_or_create(&ServiceLabel { service }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::{Checkpoint, CheckpointResult, FileState};
    use super::*;
    use crate::telemetry::render;

    #[test]
    fn the_metrics_have_the_names_and_labels_that_dashboards_rely_on() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, "1.2.3");
        let labels = RequestLabels {
            service: "orders",
            method: "GET",
            route: "/x/{id}".into(),
            status: 200,
        };
        metrics.request(&labels, Duration::from_millis(3));
        metrics.executed("orders", Executed::Begun { commands: 3 });
        metrics.executed("orders", Executed::Attempted { took: Duration::from_millis(3) });
        metrics.queue("orders", Box::new(|| 7));
        metrics.quarantine_entries("orders", 2);
        metrics.bus_messages("orders.answers", 5);
        metrics.unprocessed("orders", Unprocessed::Malformed);
        metrics.anomaly("inventory", "anomaly");
        metrics.shed("orders");
        metrics.published("orders", Attempt { published: 2, failed: 0 });
        metrics.unverified("orders", Unverified::UnknownKey);
        let state = FileState { log_bytes: 4096, ..FileState::default() };
        metrics.file("orders", FileReport::State(state));
        let took = Duration::from_millis(30);
        let result = CheckpointResult::Partial;
        let checkpoint = Checkpoint { result, took, pages_left: 12 };
        metrics.file("orders", FileReport::Checkpoint(checkpoint));
        metrics.api_keys_expiring("file", 2);
        metrics.feed_stream_opened("orders");
        metrics.feed_events_sent("orders", 50);
        let text = render(&registry);
        for line in [
            r#"http_server_request_duration_seconds_count{service="orders",method="GET",route="/x/{id}",status="200"} 1"#,
            r#"batch_size_bucket{le="4.0",service="orders"} 1"#,
            r#"quarantine_messages_total{service="orders",kind="malformed"} 1"#,
            r#"anomalies_total{service="inventory",kind="anomaly"} 1"#,
            r#"requests_shed_total{service="orders"} 1"#,
            r#"bus_published_total{service="orders",result="ok"} 2"#,
            r#"bus_unverified_total{service="orders",reason="unknown_key"} 1"#,
            r#"commit_duration_seconds_bucket{le="0.004",service="orders"} 1"#,
            r#"commands_queued{service="orders"} 7"#,
            r#"quarantine_entries{service="orders"} 2"#,
            r#"bus_messages{channel="orders.answers"} 5"#,
            r#"sqlite_log_bytes{service="orders"} 4096"#,
            r#"sqlite_checkpoints_total{service="orders",result="partial"} 1"#,
            r#"sqlite_checkpoints_total{service="orders",result="failed"} 0"#,
            r#"sqlite_checkpoint_seconds_count{service="orders"} 1"#,
            r#"sqlite_checkpoint_pages_left{service="orders"} 12"#,
            r#"api_keys_expiring{source="file",within="14d"} 2"#,
            r#"feed_streams{service="orders"} 1"#,
            r#"feed_events_sent_total{service="orders"} 50"#,
            r#"build_info{version="1.2.3"} 1"#,
        ] {
            assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_counter_stands_at_zero_before_it_counts() {
        let mut registry = Registry::default();
        Metrics::new(&mut registry, "1").start_at_zero("orders", "anomaly");
        let text = render(&registry);
        for line in [
            r#"requests_shed_total{service="orders"} 0"#,
            r#"quarantine_messages_total{service="orders",kind="malformed"} 0"#,
            r#"anomalies_total{service="orders",kind="anomaly"} 0"#,
            r#"bus_unverified_total{service="orders",reason="unsigned"} 0"#,
        ] {
            assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
        }
    }
}
