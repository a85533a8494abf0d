//! The span of a request, with the names of OpenTelemetry's conventions for HTTP.

use platform::telemetry::traces::{self, Kind, Span};

use super::{Asked, RequestId, TraceParent};
use crate::problem::Code;

/// Begins the span of a request of the API, as a part of the client's trace or of a new one. Returns
/// it with the trace context that the request has from now on.
///
/// There is no span if the process has no traces, if this one is not exported, or if the request is
/// none of the API: probes, scrapes and files make no traces.
pub(super) fn begin(
    asked: &Asked,
    request_id: &RequestId,
    client: TraceParent,
) -> (Option<Span>, TraceParent) {
    match span(asked, request_id, &client) {
        Some(span) => {
            let own = TraceParent(Some(span.traceparent()));
            (Some(span), own)
        }
        None => (None, client),
    }
}

fn span(asked: &Asked, request_id: &RequestId, client: &TraceParent) -> Option<Span> {
    let traces = traces::current()?;
    let route = asked.route.as_deref().filter(|route| route.starts_with("/api/"))?;
    let parent = client.0.as_deref().and_then(traces::read);
    let name = format!("{} {route}", asked.method);
    let mut span = traces.begin(Kind::Server, name, parent.as_ref());
    if !span.context().is_sampled() {
        return None;
    }
    let method = if asked.method == "other" { "_OTHER" } else { asked.method };
    span.set("http.request.method", method);
    span.set("http.route", route.to_owned());
    span.set("lastro.request_id", request_id.as_str().to_owned());
    Some(span)
}

/// Answers the request whose span this is.
pub(super) async fn answer<F: Future>(span: Option<&Span>, answering: F) -> F::Output {
    match span {
        Some(span) => traces::within(span.context().clone(), answering).await,
        None => answering.await,
    }
}

/// Ends the span of a request that was answered. By the conventions, only errors of the service are
/// errors of its span.
pub(super) fn end(mut span: Span, status: u16, code: Option<Code>) {
    span.set("http.response.status_code", i64::from(status));
    let code = code.map_or("no_code", Code::as_str);
    if status >= 500 {
        span.fail(code);
    } else if status >= 400 {
        span.set("error.type", code);
    }
}
