//! Logs on standard error, metrics for Prometheus, and traces.

use std::io::IsTerminal;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use checks::ReadinessNumbers;
pub use files::{Checkpoint, CheckpointResult, FileReport, FileState};
pub use metrics::{Metrics, RequestLabels, Unprocessed, Unverified};
pub use queues::QueueLength;

mod checks;
mod files;
mod metrics;
pub mod process;
mod queues;
pub mod traces;

/// The media type of [`render`]'s text.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The broker's client logs every attempt to connect, so only its errors are kept: the adapter logs
/// what matters.
const DEFAULT_LOG: &str = "info,async_nats=error";

/// Starts logging to standard error: `info` and above, or as `RUST_LOG` says. Further calls do
/// nothing.
///
/// On a terminal the lines are for people, with colours unless `NO_COLOR` is set; elsewhere they
/// are JSON.
pub fn init_logs() {
    let asked =
        std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty());
    let directives = asked.as_deref().unwrap_or(DEFAULT_LOG);
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(directives);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, as in tests, fails and changes nothing.
    let _ = if std::io::stderr().is_terminal() {
        lines.with_ansi(!no_color(std::env::var_os("NO_COLOR").as_deref())).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).try_init()
    };
}

/// Whether a value of `NO_COLOR` turns colours off: any but the empty one (no-color.org).
fn no_color(value: Option<&std::ffi::OsStr>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

/// Encodes the metrics as OpenMetrics text, which `/metrics` serves.
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
    fn any_value_of_no_color_but_the_empty_one_counts() {
        assert!(no_color(Some(OsStr::new("1"))) && no_color(Some(OsStr::new("0"))));
        assert!(!no_color(Some(OsStr::new(""))) && !no_color(None));
    }
}
