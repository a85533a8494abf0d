//! A collector of spans (OTLP over HTTP), which tells the test what it got.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{PATIENCE, eventually};

/// A span as the collector got it. Ids are hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedSpan {
    /// The name of the service.
    pub service: String,
    pub name: String,
    /// `Server`, `Producer`, `Consumer` or `Internal`.
    pub kind: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty if it begins the trace.
    pub parent_span_id: String,
    /// The ids of the spans that it links to.
    pub links: Vec<String>,
    /// The attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether it says that it failed.
    pub failed: bool,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<CollectedSpan>,
    headers: Vec<String>,
    hangs: bool,
}

/// A collector at a port of its own.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state.clone()));
        Self { port, state, _accepting: accepting }
    }

    /// The endpoint, as `OTEL_EXPORTER_OTLP_ENDPOINT` names it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it takes requests and does not answer.
    pub fn hang(&self) {
        self.state().hangs = true;
    }

    /// The spans that came so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.state().spans.clone()
    }

    /// The headers of the requests that came so far, in lower case.
    pub fn headers(&self) -> Vec<String> {
        self.state().headers.clone()
    }

    /// Waits for a span of this trace with this name.
    pub async fn span(&self, trace_id: &str, name: &str) -> CollectedSpan {
        let what = format!("{name} of the trace {trace_id}");
        eventually(PATIENCE, &what, async || {
            let is_it = |span: &&CollectedSpan| span.trace_id == trace_id && span.name == name;
            self.state().spans.iter().find(is_it).cloned()
        })
        .await
    }

    /// Waits for a span with this id.
    pub async fn span_with_id(&self, span_id: &str) -> CollectedSpan {
        eventually(PATIENCE, &format!("the span {span_id}"), async || {
            self.state().spans.iter().find(|span| span.span_id == span_id).cloned()
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(answer(stream, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request, and closes the connection.
async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).expect("a body with a length");
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    if state.lock().expect("no panic").hangs {
        tokio::time::sleep(Duration::from_secs(600)).await;
        return;
    }
    let is_expected = head.starts_with("post /v1/traces ")
        && head.contains("\r\ncontent-type: application/x-protobuf\r\n");
    let status = if is_expected { "200 OK" } else { "404 Not Found" };
    if is_expected {
        let request = ExportTraceServiceRequest::decode(&body[..]).expect("a request of OTLP");
        let mut state = state.lock().expect("no panic");
        state.spans.extend(spans(request));
        state.headers.push(head);
    }
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // The client may have gone away.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn spans(request: ExportTraceServiceRequest) -> Vec<CollectedSpan> {
    let mut found = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let service = attributes(resource.attributes).remove("service.name").unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        found.extend(spans.map(|span| CollectedSpan {
            service: service.clone(),
            kind: format!("{:?}", SpanKind::try_from(span.kind).expect("a kind")),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_span_id: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            attributes: attributes(span.attributes),
            failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            name: span.name,
        }));
    }
    found
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
