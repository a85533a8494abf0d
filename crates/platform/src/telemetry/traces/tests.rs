use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};
use prometheus_client::registry::Registry;

use super::export::is_asked_for;
use super::reporting::{Lost, LostSpans, Progress};
use super::sampler::WithCommits;
use super::*;
use crate::telemetry::render;

pub(crate) const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(crate) const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Keeps what is exported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("the list").append(&mut batch);
        Ok(())
    }
}

impl Kept {
    pub(crate) fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut *self.0.lock().expect("the list"))
    }
}

/// Traces that are exported at once.
pub(crate) fn traces(root: Sampler) -> (Traces, Kept) {
    let kept = Kept::default();
    let sampler = Sampler::ParentBased(Box::new(root));
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .with_sampler(WithCommits(Box::new(sampler)))
        .build();
    (Traces::new(&provider), kept)
}

pub(crate) fn context(traceparent: &str) -> SpanContext {
    read(traceparent).expect("a trace context")
}

#[test]
fn a_process_that_was_not_asked_for_traces_makes_no_span() {
    assert!(current().is_none());
    assert_eq!(of_request(), None);
}

#[test]
fn traces_are_asked_for_by_an_endpoint_unless_they_are_turned_off() {
    let asked = |variables: &[(&'static str, &'static str)]| {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        is_asked_for(|name| variables.get(name).map(|value| (*value).to_owned()))
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces");
    assert!(!asked(&[]) && !asked(&[("OTEL_SERVICE_NAME", "shop")]));
    assert!(asked(&[endpoint]) && asked(&[of_traces]));
    assert!(asked(&[endpoint, ("OTEL_SDK_DISABLED", "false")]));
    assert!(!asked(&[endpoint, ("OTEL_SDK_DISABLED", "True")]));
    assert!(!asked(&[of_traces, ("OTEL_TRACES_EXPORTER", "none")]));
}

#[test]
fn a_span_continues_the_trace_of_its_parent() {
    let (traces, kept) = traces(Sampler::AlwaysOff);
    let parent = context(SAMPLED);
    let span = traces.begin(Kind::Server, "POST /x".to_owned(), Some(&parent));
    let child = read_sampled(&span.traceparent()).expect("a trace that is exported");
    assert_eq!((child.trace_id(), child.span_id()), (parent.trace_id(), span.context().span_id()));
    drop(span);
    let [span] = &kept.take()[..] else { panic!("one span") };
    assert_eq!((span.name.as_ref(), span.parent_span_id), ("POST /x", parent.span_id()));
}

#[test]
fn a_client_that_does_not_want_its_trace_exported_is_obeyed() {
    let (traces, kept) = traces(Sampler::AlwaysOn);
    let parent = context(NOT_SAMPLED);
    let span = traces.begin(Kind::Server, "POST /x".to_owned(), Some(&parent));
    let goes_on = context(&span.traceparent());
    assert_eq!((goes_on.trace_id(), goes_on.is_sampled()), (parent.trace_id(), false));
    drop(span);
    assert_eq!(kept.take(), []);
}

#[test]
fn a_commit_is_exported_exactly_if_one_of_its_commands_is() {
    // Whatever is decided about new traces.
    for root in [Sampler::AlwaysOn, Sampler::AlwaysOff] {
        let (traces, kept) = traces(root);
        drop(traces.begin_linked("commit", vec![context(NOT_SAMPLED)]));
        assert_eq!(kept.take(), []);
        drop(traces.begin_linked("commit", vec![context(NOT_SAMPLED), context(SAMPLED)]));
        let [span] = &kept.take()[..] else { panic!("one span") };
        assert_eq!((span.links.len(), span.parent_span_id), (2, SpanId::INVALID));
        assert_ne!(span.span_context.trace_id(), context(SAMPLED).trace_id());
    }
}

#[test]
fn a_span_has_a_limited_number_of_links() {
    let (traces, kept) = traces(Sampler::AlwaysOn);
    drop(traces.begin_linked("commit", vec![context(SAMPLED); 2 * MAX_LINKS]));
    assert_eq!(kept.take()[0].links.len(), MAX_LINKS);
}

#[test]
fn a_trace_parent_is_read_only_if_it_is_valid() {
    assert_eq!(write(&context(SAMPLED)), SAMPLED);
    assert_eq!(write(&context(&format!("cc{}-more", &SAMPLED[2..]))), SAMPLED);
    assert_eq!(read_sampled(NOT_SAMPLED), None);
    for text in ["", "00", "00-1-2-01", &SAMPLED.replace('0', "x"), &SAMPLED[..52]] {
        assert_eq!(read(text), None, "{text}");
    }
    let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
    assert_eq!(read(zero), None);
}

#[tokio::test]
async fn a_request_is_known_to_what_its_handler_calls() {
    let request = context(SAMPLED);
    assert_eq!(within(request.clone(), async { of_request() }).await, Some(request));
    assert_eq!(within(context(NOT_SAMPLED), async { of_request() }).await, None);
}

/// Of an exporter with a queue of three, and the registry that it counts in.
fn progress() -> (Progress, Registry) {
    let mut registry = Registry::default();
    (Progress::new(3, LostSpans::new(&mut registry)), registry)
}

#[track_caller]
fn must_have_lost(registry: &Registry, refused: u64, dropped: u64) {
    let text = render(registry);
    for (reason, spans) in [("refused", refused), ("dropped", dropped)] {
        let line = format!("trace_spans_lost_total{{reason=\"{reason}\"}} {spans}");
        assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_spans_are_reported_once_a_minute_and_counted_at_once() {
    let (progress, registry) = progress();
    let export = |spans: u64, taken| {
        (0..spans).for_each(|_| progress.end());
        progress.exported(spans, taken)
    };
    assert_eq!(export(2, true), None, "nothing is lost");
    must_have_lost(&registry, 0, 0);
    progress.failed_because("refused".to_owned());
    let lost = Lost { refused: 2, dropped: 0, cause: Some("refused".to_owned()) };
    assert_eq!(export(2, false), Some(lost));
    assert_eq!((export(2, false), export(2, false)), (None, None), "within the minute");
    must_have_lost(&registry, 6, 0);
    tokio::time::advance(reporting::PERIOD).await;
    assert_eq!(export(1, false), Some(Lost { refused: 5, dropped: 0, cause: None }));
}

#[tokio::test(start_paused = true)]
async fn spans_beyond_the_queue_are_reported_as_dropped() {
    let (progress, registry) = progress();
    (0..10).for_each(|_| progress.end());
    // Of ten, two are taken and three wait.
    assert_eq!(progress.exported(2, true), Some(Lost { refused: 0, dropped: 5, cause: None }));
    tokio::time::advance(reporting::PERIOD).await;
    assert_eq!(progress.exported(3, true), None, "it was told");
    must_have_lost(&registry, 0, 5);
}
