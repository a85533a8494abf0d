//! What a process tells about itself: log lines on standard error, and numbers for whoever scrapes.

use std::io::IsTerminal;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub mod process;

use crate::audit::AuditNumbers;

/// The media type of [`render`]'s text.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The broker's client tells of every attempt to connect; the adapter tells when that changes
/// something.
const DEFAULT_LOG: &str = "info,async_nats=error";

/// Starts logging, once per process: `info` and above, or what `RUST_LOG` says. Lines for people on
/// a terminal (colours unless `NO_COLOR` is set), JSON for machines elsewhere.
pub fn init_logs() {
    let asked =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty());
    let directives = asked.as_deref().unwrap_or(DEFAULT_LOG);
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(directives);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, as tests make them, changes nothing.
    let _ = if std::io::stderr().is_terminal() {
        lines.with_ansi(!no_color(std::env::var_os("NO_COLOR").as_deref())).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).try_init()
    };
}

/// Source: no-color.org: any value but the empty one.
fn no_color(value: Option<&std::ffi::OsStr>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

/// The numbers that both services count, told apart by a label where they share a process. What
/// only one of them counts, it registers in the same registry.
///
/// Clones share their numbers. No label ever names an order, a product or a customer.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    batches: Family<ServiceLabel, Histogram, fn() -> Histogram>,
    quarantined: Family<KindLabels, Counter>,
    anomalies: Family<KindLabels, Counter>,
    shed: Family<ServiceLabel, Counter>,
    published: Family<PublishedLabels, Counter>,
    pub audit: AuditNumbers,
}

/// What is told about a request, once it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    pub service: &'static str,
    pub method: &'static str,
    /// The pattern of the path, never the path: `/api/orders/{order_id}`, or `none`.
    pub route: String,
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    service: &'static str,
    kind: &'static str,
}

/// Why a message was not processed: the label `kind` of `quarantine_messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprocessed {
    /// Its bytes are no message.
    Malformed,
    /// Its command fails even alone.
    Poisoned,
    /// It is from a newer program. Dropped, not set aside.
    UnknownVersion,
}

impl Unprocessed {
    const ALL: [Self; 3] = [Self::Malformed, Self::Poisoned, Self::UnknownVersion];

    fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Poisoned => "poisoned",
            Self::UnknownVersion => "unknown_version",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PublishedLabels {
    service: &'static str,
    result: &'static str,
}

impl Metrics {
    /// Registers them all. Once per registry.
    pub fn new(registry: &mut Registry, version: &'static str) -> Self {
        // 0.5 ms to 16 s, and 1 to 2048: what a request and a batch can be.
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let sizes: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 2.0, 12));
        let metrics = Self {
            requests: Family::new_with_constructor(seconds),
            batches: Family::new_with_constructor(sizes),
            quarantined: Family::default(),
            anomalies: Family::default(),
            shed: Family::default(),
            published: Family::default(),
            audit: AuditNumbers::new(registry),
        };
        let help = "Time from a request's headers to its answer's";
        registry.register_with_unit(
            "http_server_request_duration",
            help,
            Unit::Seconds,
            metrics.requests.clone(),
        );
        registry.register("batch_size", "Commands that shared one commit", metrics.batches.clone());
        let help = "Messages set aside because nobody could process them, repeats included";
        registry.register("quarantine_messages", help, metrics.quarantined.clone());
        let help = "Messages that cannot occur in a healthy system: zero, or somebody must look";
        registry.register("anomalies", help, metrics.anomalies.clone());
        registry.register(
            "requests_shed",
            "Requests refused because of too much load",
            metrics.shed.clone(),
        );
        let help = "Batches of messages offered to the bus; what failed is sent again";
        registry.register("bus_published", help, metrics.published.clone());
        registry.register("build", "The program that runs", Info::new([("version", version)]));
        registry.register_collector(Box::new(process::ProcessNumbers));
        metrics
    }

    /// Lets a service's counters stand at zero from the start: an alert on an increase misses the
    /// first one of a counter that appears with it.
    ///
    /// `consumed` is what the messages are that the service consumes.
    pub fn start_at_zero(&self, service: &'static str, consumed: &'static str) {
        drop(self.shed.get_or_create(&ServiceLabel { service }));
        for result in ["ok", "failed"] {
            drop(self.published.get_or_create(&PublishedLabels { service, result }));
        }
        for why in Unprocessed::ALL {
            let kind = why.as_str();
            drop(self.quarantined.get_or_create(&KindLabels { service, kind }));
        }
        drop(self.anomalies.get_or_create(&KindLabels { service, kind: consumed }));
    }

    pub fn request(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).observe(took.as_secs_f64());
    }

    pub fn batch(&self, service: &'static str, commands: usize) {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX);
        self.batches.get_or_create(&ServiceLabel { service }).observe(f64::from(commands));
    }

    /// A message was not processed.
    pub fn unprocessed(&self, service: &'static str, why: Unprocessed) {
        let kind = why.as_str();
        self.quarantined.get_or_create(&KindLabels { service, kind }).inc();
    }

    /// A message of this kind cannot occur in a healthy system.
    pub fn anomaly(&self, service: &'static str, kind: &'static str) {
        self.anomalies.get_or_create(&KindLabels { service, kind }).inc();
    }

    /// So many batches were offered to the bus.
    pub fn published(&self, service: &'static str, batches: usize, got_through: bool) {
        let result = if got_through { "ok" } else { "failed" };
        self.published.get_or_create(&PublishedLabels { service, result }).inc_by(batches as u64);
    }

    /// The edge calls it for every answer `overloaded`.
    pub fn shed(&self, service: &'static str) {
        self.shed.get_or_create(&ServiceLabel { service }).inc();
    }
}

/// The text that `/metrics` serves.
pub fn render(registry: &Registry) -> String {
    let mut out = String::new();
    text::encode(&mut out, registry).expect("a string takes everything");
    out
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

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
        metrics.batch("orders", 3);
        metrics.unprocessed("orders", Unprocessed::Malformed);
        metrics.anomaly("inventory", "anomaly");
        metrics.shed("orders");
        metrics.published("orders", 2, true);
        let text = render(&registry);
        for line in [
            r#"http_server_request_duration_seconds_count{service="orders",method="GET",route="/x/{id}",status="200"} 1"#,
            r#"batch_size_bucket{le="4.0",service="orders"} 1"#,
            r#"quarantine_messages_total{service="orders",kind="malformed"} 1"#,
            r#"anomalies_total{service="inventory",kind="anomaly"} 1"#,
            r#"requests_shed_total{service="orders"} 1"#,
            r#"bus_published_total{service="orders",result="ok"} 2"#,
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
        ] {
            assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn any_value_of_no_color_but_the_empty_one_counts() {
        assert!(no_color(Some(OsStr::new("1"))) && no_color(Some(OsStr::new("0"))));
        assert!(!no_color(Some(OsStr::new(""))) && !no_color(None));
    }
}
