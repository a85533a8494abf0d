//! Tells the log and the metrics when spans are not exported: at most one line a minute, however many
//! are lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::{info, warn};

/// How often lost spans are reported.
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// The counters of spans that were lost, in the registry of the program.
#[derive(Clone, Debug)]
pub struct LostSpans {
    refused: Counter,
    dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl LostSpans {
    pub(in crate::telemetry) fn new(registry: &mut Registry) -> Self {
        let lost = Family::<ReasonLabel, Counter>::default();
        let help = "Spans of traces that were not exported, as far as is known";
        registry.register("trace_spans_lost", help, lost.clone());
        let counter = |reason| lost.get_or_create(&ReasonLabel { reason }).clone();
        Self { refused: counter("refused"), dropped: counter("dropped") }
    }
}

/// Counts spans on their way.
#[derive(Debug)]
pub(super) struct Progress {
    /// Those that have ended.
    ended: AtomicU64,
    /// Those that the exporter took from the queue.
    taken: AtomicU64,
    /// The most that wait in the queue.
    queue: u64,
    lost: LostSpans,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the last call of the collector failed, in words that say more than those of the exporter.
    cause: Option<String>,
    /// Since the last line: those that the collector did not take.
    refused: u64,
    /// Since the start: those that found the queue full, as far as is known.
    dropped: u64,
    /// Those of them that a line has told of.
    told: u64,
    last_line: Option<Instant>,
    failing: bool,
}

/// What is to be said about spans that were lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) refused: u64,
    pub(super) dropped: u64,
    pub(super) cause: Option<String>,
}

impl Progress {
    pub(super) fn new(queue: u64, lost: LostSpans) -> Self {
        let (ended, taken) = (AtomicU64::default(), AtomicU64::default());
        Self { ended, taken, queue, lost, state: Mutex::default() }
    }

    /// Notes why a call of the collector failed.
    pub(super) fn failed_because(&self, cause: String) {
        self.state().cause = Some(cause);
    }

    /// Counts a span that has ended.
    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts spans that the exporter took, and returns what is to be said now.
    pub(super) fn exported(&self, spans: u64, taken_by_the_collector: bool) -> Option<Lost> {
        let taken = self.taken.fetch_add(spans, Ordering::Relaxed) + spans;
        let waiting = self.ended.load(Ordering::Relaxed).saturating_sub(taken);
        let mut state = self.state();
        // What waits beyond the queue was dropped; so many at least.
        let more = waiting.saturating_sub(self.queue).saturating_sub(state.dropped);
        state.dropped += more;
        self.lost.dropped.inc_by(more);
        if !taken_by_the_collector {
            state.refused += spans;
            self.lost.refused.inc_by(spans);
        } else if std::mem::take(&mut state.failing) {
            info!("spans are exported again");
        }
        state.failing |= !taken_by_the_collector;
        let is_quiet = state.refused == 0 && state.dropped == state.told;
        if is_quiet || state.last_line.is_some_and(|last| last.elapsed() < PERIOD) {
            return None;
        }
        state.last_line = Some(Instant::now());
        let dropped = state.dropped - state.told;
        state.told = state.dropped;
        let refused = std::mem::take(&mut state.refused);
        Some(Lost { refused, dropped, cause: state.cause.take() })
    }

    /// How many spans have ended and were not exported, or not taken by the collector.
    pub(super) fn waiting(&self) -> u64 {
        let taken = self.taken.load(Ordering::Relaxed);
        self.ended.load(Ordering::Relaxed).saturating_sub(taken)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it counts")
    }
}

/// Counts the spans that come to the queue behind it.
#[derive(Debug)]
pub(super) struct Counting<P> {
    pub(super) queue: P,
    pub(super) progress: Arc<Progress>,
}

impl<P: SpanProcessor> SpanProcessor for Counting<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.progress.end();
        }
        self.queue.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Logs what the exporter behind it does not export.
#[derive(Debug)]
pub(super) struct Reporting<E> {
    pub(super) exporter: E,
    pub(super) progress: Arc<Progress>,
}

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let exported = self.exporter.export(batch).await;
        if let Some(lost) = self.progress.exported(spans, exported.is_ok()) {
            let Lost { refused, dropped, cause } = lost;
            let reason = cause.or_else(|| exported.as_ref().err().map(ToString::to_string));
            warn!(refused, dropped, reason, "spans are lost, and requests are not affected");
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
