//! Traces (OpenTelemetry): spans of requests, messages and commits, which are exported over OTLP.
//!
//! Like the log, the traces are those of the process. Without an endpoint in the environment there
//! are none: [`current`] says so, and no span is made.
//!
//! A trace context travels as the text of a `traceparent` (W3C Trace Context): in the request, in
//! the row of the pending command, and in the messages. No span has a customer, a secret or a body.

use std::sync::OnceLock;

use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::trace::{Span as _, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

pub use export::{Exporter, start};
pub use reporting::LostSpans;

mod export;
mod reporting;
mod sampler;
#[cfg(test)]
pub(crate) mod tests;

/// The most links of a span: a commit may have more commands.
pub const MAX_LINKS: usize = 64;

/// The name of the instrumentation in every span.
const SCOPE: &str = "lastro";

static CURRENT: OnceLock<Traces> = OnceLock::new();

tokio::task_local! {
    /// The span of the request that a task handles.
    static REQUEST: SpanContext;
}

/// The traces of this process, if it exports any.
pub fn current() -> Option<&'static Traces> {
    CURRENT.get()
}

/// Makes spans.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
}

/// What a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that the service answers.
    Server,
    /// A message that the service publishes.
    Producer,
    /// A message that the service processes.
    Consumer,
    /// Work inside the service.
    Internal,
}

/// A piece of work that has begun. It ends when the span is dropped.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

impl Traces {
    fn new(provider: &SdkTracerProvider) -> Self {
        Self { tracer: provider.tracer(SCOPE) }
    }

    /// Begins a span. Without a parent it begins a trace.
    pub fn begin(&self, kind: Kind, name: String, parent: Option<&SpanContext>) -> Span {
        self.build(self.builder(kind, name), parent)
    }

    /// Begins a span that is no part of the traces that it links to. It is exported if one of those
    /// is. At most [`MAX_LINKS`] of the links are kept.
    pub fn begin_linked(&self, name: &'static str, links: Vec<SpanContext>) -> Span {
        let links = links.into_iter().take(MAX_LINKS).map(Link::with_context).collect();
        self.build(self.builder(Kind::Internal, name.to_owned()).with_links(links), None)
    }

    fn builder(&self, kind: Kind, name: String) -> SpanBuilder {
        self.tracer.span_builder(name).with_kind(match kind {
            Kind::Server => SpanKind::Server,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Internal => SpanKind::Internal,
        })
    }

    fn build(&self, builder: SpanBuilder, parent: Option<&SpanContext>) -> Span {
        let mut context = Context::new();
        if let Some(parent) = parent {
            context = context.with_remote_span_context(parent.clone());
        }
        Span(self.tracer.build_with_context(builder, &context))
    }
}

impl Span {
    /// The context that children and links name.
    pub fn context(&self) -> &SpanContext {
        self.0.span_context()
    }

    /// The context as messages and rows carry it.
    pub fn traceparent(&self) -> String {
        write(self.context())
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// Adds a link to a span of another trace.
    pub fn link(&mut self, to: &SpanContext) {
        self.0.add_link(to.clone(), Vec::new());
    }

    /// Notes that the work failed. `kind` is one of few words.
    pub fn fail(&mut self, kind: &'static str) {
        self.set("error.type", kind);
        self.0.set_status(Status::error(""));
    }
}

/// Reads a `traceparent`; `None` unless it is valid. Of a later version it reads what version 00 has.
pub fn read(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let _version = parts.next()?;
    let trace_id = TraceId::from_hex(parts.next().filter(|part| part.len() == 32)?).ok()?;
    let span_id = SpanId::from_hex(parts.next().filter(|part| part.len() == 16)?).ok()?;
    let flags = u8::from_str_radix(parts.next().filter(|part| part.len() == 2)?, 16).ok()?;
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// Reads a `traceparent` whose trace is exported.
pub fn read_sampled(traceparent: &str) -> Option<SpanContext> {
    read(traceparent).filter(SpanContext::is_sampled)
}

fn write(context: &SpanContext) -> String {
    let (trace_id, span_id) = (context.trace_id(), context.span_id());
    format!("00-{trace_id}-{span_id}-{:02x}", context.trace_flags())
}

/// Runs the handler of a request whose span this is: the commands that it submits belong to it.
pub async fn within<F: Future>(request: SpanContext, handler: F) -> F::Output {
    REQUEST.scope(request, handler).await
}

/// The span of the request that this task handles, if it has one that is exported.
pub fn of_request() -> Option<SpanContext> {
    REQUEST.try_with(Clone::clone).ok().filter(SpanContext::is_sampled)
}
