//! Starts and stops the export of spans over OTLP (HTTP, protobuf), as the environment says.
//!
//! The variables are those of the OpenTelemetry specification, and mostly the SDK reads them. A
//! queue of limited size and one thread export the spans, so no request waits for the collector.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::{Key, Value};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Config, SdkTracerProvider};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::reporting::{Counting, LostSpans, Progress, Reporting};
use super::sampler::WithCommits;
use super::{CURRENT, Traces};
use crate::config::UsageError;
use crate::failure::Chain;
use crate::outbound;

/// How long the shutdown waits for the collector: less than closing the databases may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);
/// How long an answer of the collector may take, as in the specification.
const PATIENCE: Duration = Duration::from_secs(10);
/// A collector answers with a few bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The size of the queue that the SDK makes unless `OTEL_BSP_MAX_QUEUE_SIZE` is set.
const QUEUE: u64 = 2048;

/// A worker that exports what is left when the process stops.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    progress: Arc<Progress>,
}

/// Starts to make and export spans, if the environment names an endpoint
/// (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`) and does not turn it off
/// (`OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none`). `program` is the name of the service
/// unless the environment has another one; `lost` counts spans that are not exported.
///
/// To be called once, on a runtime that lives as long as the process.
///
/// # Errors
///
/// A variable has a value that cannot be used.
pub fn start(program: &str, lost: LostSpans) -> Result<Option<Exporter>, UsageError> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if !is_asked_for(environment) {
        return Ok(None);
    }
    let of_traces = |rest: &str| {
        environment(&format!("OTEL_EXPORTER_OTLP_TRACES_{rest}"))
            .or_else(|| environment(&format!("OTEL_EXPORTER_OTLP_{rest}")))
    };
    if let Some(protocol) = of_traces("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
        return Err(UsageError(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: spans are exported over http/protobuf only"
        )));
    }
    let queue = environment("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|size| size.parse().ok());
    let progress = Arc::new(Progress::new(queue.unwrap_or(QUEUE), lost));
    let patience = of_traces("TIMEOUT").and_then(|millis| millis.parse().ok());
    let authorities = of_traces("CERTIFICATE");
    let authorities = authorities.as_deref().map(Path::new);
    let connector = outbound::connector("OTEL_EXPORTER_OTLP_CERTIFICATE", authorities)?;
    let collector = Collector {
        client: Client::builder(TokioExecutor::new()).build(connector),
        runtime: Handle::current(),
        patience: patience.map_or(PATIENCE, Duration::from_millis),
        progress: progress.clone(),
    };
    let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
    let exporter = exporter.map_err(|error| {
        UsageError(format!("spans cannot be exported, see OTEL_EXPORTER_OTLP_…: {error}"))
    })?;
    let exporter = Reporting { exporter, progress: progress.clone() };
    let queue = BatchSpanProcessor::builder(exporter).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Counting { queue, progress: progress.clone() })
        .with_sampler(WithCommits(Config::default().sampler))
        .with_resource(resource(program))
        .build();
    if CURRENT.set(Traces::new(&provider)).is_err() {
        return Err(UsageError("the export of spans was started twice".to_owned()));
    }
    info!("spans are exported over OTLP");
    Ok(Some(Exporter { provider, progress }))
}

/// Whether the environment asks for spans.
pub(super) fn is_asked_for(environment: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| {
        environment(name).is_some_and(|set| set.trim().eq_ignore_ascii_case(value))
    };
    let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let has_endpoint = endpoints.into_iter().any(|name| environment(name).is_some());
    has_endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// What the environment says about the process, whose name is that of the program otherwise.
fn resource(program: &str) -> Resource {
    let resource = Resource::builder().build();
    let name = resource.get(&Key::from_static_str("service.name"));
    match name {
        Some(Value::String(name)) if !name.as_str().starts_with("unknown_service") => resource,
        _ => Resource::builder().with_service_name(program.to_owned()).build(),
    }
}

impl Exporter {
    /// Waits for the shutdown, and then exports what is left, for a few seconds at most.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        shutdown.cancelled().await;
        let Self { provider, progress } = self;
        let stopping = move || provider.shutdown_with_timeout(FLUSH_LIMIT);
        // The thread of the exporter is not waited for longer, nor is this one.
        let stopped = timeout(2 * FLUSH_LIMIT, tokio::task::spawn_blocking(stopping)).await;
        if !matches!(stopped, Ok(Ok(Ok(())))) {
            let waiting = progress.waiting();
            let limit_s = FLUSH_LIMIT.as_secs();
            warn!(waiting, limit_s, "the last spans were not exported in time");
        }
        Ok(())
    }
}

/// Sends requests to the collector. The exporter's thread has no runtime, so they are sent on that of
/// the process.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    patience: Duration,
    progress: Arc<Progress>,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, patience) = (self.client.clone(), self.patience);
        let sending = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(parts, body))
        };
        let in_time = async move {
            match timeout(patience, sending).await {
                Ok(sent) => sent,
                Err(_) => Err(HttpError::from(format!("no answer within {patience:?}"))),
            }
        };
        let sent = self.runtime.spawn(in_time).await;
        let answer = sent.unwrap_or_else(|gone| Err(gone.into()));
        match &answer {
            Err(error) => self.progress.failed_because(Chain(&**error).to_string()),
            Ok(answer) if !answer.status().is_success() => {
                self.progress.failed_because(format!("the collector answered {}", answer.status()));
            }
            Ok(_) => {}
        }
        answer
    }
}
