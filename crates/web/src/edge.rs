//! The middleware around all routes: it reads the request id and the trace context, refuses what
//! pages of other sites send, turns every error into a problem document, adds security headers,
//! counts the request and logs it.
//!
//! It is one layer, because each layer of tower costs about half a microsecond per request.

use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tokio::time::Instant;
use tracing::{debug, error, info};

pub use context::{RequestId, TraceParent};
pub use site::Site;

use platform::clock::Ids;
use platform::keys::Principal;
use platform::telemetry::{Metrics, RequestLabels};

use crate::anonymous::InFlight;
use crate::auth::{Access, Client, Guard, has_credential, is_probe};
use crate::json::discard_unread;
use crate::limits::{COST_OF_A_WRONG_KEY, Counted, Limits};
use crate::problem::{Code, Problem};
use crate::refusals::Refusals;
use crate::requester::Origin;
use crate::slots::Slot;

mod context;
mod site;
mod traced;

/// Far beyond every deadline inside a handler: a request that reaches it has found a bug.
const BACKSTOP: Duration = Duration::from_secs(60);
/// Stops a browser that shows a response of the API as a page from loading anything. Pages set
/// their own policy.
const NOTHING_IS_A_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

/// Wraps the routers of a service, whose name is a label of their metrics.
#[derive(Clone, Debug)]
pub struct Edge {
    service: &'static str,
    metrics: Metrics,
    ids: Arc<dyn Ids>,
    site: Arc<Site>,
    guard: Guard,
    limits: Arc<Limits>,
    refusals: Option<Refusals>,
}

impl Edge {
    /// The edge of `service`. `ids` makes request ids for clients that send none.
    pub fn new(service: &'static str, metrics: Metrics, ids: Arc<dyn Ids>) -> Self {
        let guard = Guard::open(&[]);
        let (site, limits) = (Arc::default(), Arc::default());
        Self { service, metrics, ids, site, guard, limits, refusals: None }
    }

    /// The same edge for a listener of its own.
    #[must_use]
    pub fn at(self, site: Arc<Site>) -> Self {
        Self { site, ..self }
    }

    /// The same edge with a guard that asks clients who they are, and with limits.
    #[must_use]
    pub(crate) fn guarded_by(self, guard: Guard, limits: Arc<Limits>) -> Self {
        Self { guard, limits, ..self }
    }

    /// The same edge that reports which administrative requests it refused.
    #[must_use]
    pub(crate) fn reporting(self, refusals: Option<Refusals>) -> Self {
        Self { refusals, ..self }
    }

    /// Wraps the routes that `router` has so far, and its fallback. Call it after adding all
    /// routes.
    ///
    /// Two wrapped routers can be merged; the router that is merged in counts the unknown paths.
    pub fn wrap(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), handle))
    }
}

async fn handle(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = RequestId::of(request.headers(), &*edge.ids);
    let trace_parent = TraceParent::of(request.headers());
    let asked = Asked::of(&request);
    let (span, trace_parent) = traced::begin(&asked, &request_id, trace_parent);
    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(trace_parent.clone());

    edge.limits.find_client(&mut request);
    let admission = match edge.admit(&request, &asked) {
        Ok(admission) => admission,
        Err(AwaitsKey(in_flight)) => {
            edge.guard.authenticator().learn_key(request.headers()).await;
            edge.identify(&request, &asked, in_flight)
        }
    };
    let address = request.extensions().get().map(|origin: &Origin| origin.address);
    let Admission { client, admitted, counted, in_flight } = admission;
    let mut response = match admitted {
        Ok(principal) => {
            let waiting = edge.limits.wait(&principal, &mut request);
            let reads = waiting.is_some() && request.method().is_safe();
            let authenticator = edge.guard.authenticator();
            let mut access =
                reads.then(|| Access::of(authenticator, request.headers(), &principal));
            request.extensions_mut().insert(principal);
            tokio::select! {
                biased;
                problem = ended(&mut access) => problem.into_response(),
                response = traced::answer(span.as_ref(), answer(request, next)) => response,
            }
        }
        Err(problem) => refuse(problem, request).await,
    };
    drop(in_flight);
    let problem = problem_in(&mut response, &asked.path);
    if let Some(problem) = &problem {
        if let (Code::FORBIDDEN, Client::WithKey(principal)) = (problem.code, &client) {
            edge.report_refusal((principal, address), &request_id, &asked, problem);
        }
        response = problem.render(request_id.as_str(), trace_parent.trace_id(), response);
        if problem.code == Code::BODY_TOO_LARGE {
            // The rest of the body would be read as the next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    finish_headers(response.headers_mut(), &request_id);
    if let Some(counted) = counted {
        counted.write(response.headers_mut());
    }
    let status = response.status().as_u16();
    let code = problem.map(|problem| problem.code);
    if let Some(span) = span {
        traced::end(span, status, code);
    }
    edge.record(asked, (&request_id, &trace_parent), status, code, started.elapsed());
    response
}

/// Waits until a client that waits for something to read is not let in any more. One that waits for
/// the outcome of its own change gets it.
async fn ended(access: &mut Option<Access>) -> Problem {
    match access {
        Some(access) => access.ended().await,
        None => std::future::pending().await,
    }
}

/// Answers a request that is not let in. What is left of its body would be read as the next request,
/// so the connection ends with the answer. Of a request that is one too many, nothing is read: a
/// client that still sends may lose the answer.
async fn refuse(problem: Problem, request: Request) -> Response {
    let is_one_too_many = matches!(problem.code, Code::RATE_LIMITED | Code::OVERLOADED);
    let mut response = problem.into_response();
    let (parts, body) = request.into_parts();
    if !body.is_end_stream() {
        if !is_one_too_many {
            discard_unread(&parts.headers, body).await;
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What is decided about a request before its handler sees it.
struct Admission {
    client: Client,
    admitted: Result<Arc<Principal>, Problem>,
    counted: Option<Counted>,
    /// The request in the count of its address, unless it counts for a key.
    in_flight: Option<InFlight>,
}

/// A request whose token is signed with a key that is unknown. While it waits for the keys of the
/// issuer, it counts for its address.
struct AwaitsKey(Option<InFlight>);

impl Admission {
    fn refused(client: Client, problem: Problem, counted: Option<Counted>) -> Self {
        Self { client, admitted: Err(problem), counted, in_flight: None }
    }
}

/// The handler's response, or a problem if the handler panics or hangs: a bug costs only its
/// request.
async fn answer(request: Request, next: Next) -> Response {
    match tokio::time::timeout(BACKSTOP, unwinding(next.run(request))).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            error!(panic = message_of(&*panic), "request handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => {
            error!(timeout_s = BACKSTOP.as_secs(), "request handler timed out");
            let detail = "the request took too long and may have taken effect; \
                          look up the result, or retry with the same Idempotency-Key";
            Problem::new(Code::OUTCOME_UNKNOWN, detail).into_response()
        }
    }
}

/// The future's output, or its panic.
async fn unwinding<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// The problem of an error response: the handler's own, or that of a bare status from the router.
fn problem_in(response: &mut Response, path: &str) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let code = Code::of_status(status);
    let detail = match code {
        Code::NOT_FOUND if path.ends_with('/') => {
            "no resource exists at this path, which ends with a slash; paths here have none at the end"
        }
        Code::NOT_FOUND => "no resource exists at this path; /openapi.json lists all paths",
        Code::METHOD_NOT_ALLOWED => {
            "the path does not support this method; the Allow header lists those that it supports"
        }
        other => other.title(),
    };
    Some(Problem::new(code, detail))
}

pub(crate) fn finish_headers(headers: &mut HeaderMap, request_id: &RequestId) {
    headers.insert(context::X_REQUEST_ID, request_id.to_header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let mut unless_set = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    unless_set(header::CACHE_CONTROL, "no-store");
    unless_set(header::CONTENT_SECURITY_POLICY, NOTHING_IS_A_PAGE);
}

/// The parts of a request that are recorded after its handler has consumed it.
struct Asked {
    method: &'static str,
    /// The pattern of its path; `None` if no route has it.
    route: Option<String>,
    path: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            method: method_name(request.method()),
            route: route.map(|route| route.as_str().to_owned()),
            path: path_for_logs(request.uri().path()),
        }
    }
}

impl Edge {
    /// Lets a request in, or says why not. Nothing of it was read but its headers.
    ///
    /// # Errors
    ///
    /// The request should wait for a key of the token issuer first.
    fn admit(&self, request: &Request, asked: &Asked) -> Result<Admission, AwaitsKey> {
        let slot = slot_of(request);
        if slot.is_some_and(|slot| slot.is_short()) && !is_probe(asked.route.as_deref()) {
            let detail = "all connections have a request in flight";
            let problem = Problem::new(Code::OVERLOADED, detail);
            return Ok(Admission::refused(Client::Uncounted, problem, None));
        }
        if let Err(problem) = self.site.check(request) {
            let client = Client::of_route(asked.route.as_deref());
            return Ok(self.count(request, client, Err(problem), None));
        }
        // The connections that are kept for probes are not held up.
        let may_wait = !slot.is_some_and(|slot| slot.is_spare());
        match self.guard.admit(request, asked.route.as_deref(), may_wait) {
            Some((client, admitted)) => Ok(self.count(request, client, admitted, None)),
            None => match self.limits.begin(request) {
                Ok(in_flight) => Err(AwaitsKey(in_flight)),
                Err(problem) => Ok(self.count(request, Client::WithoutKey, Err(problem), None)),
            },
        }
    }

    /// Lets a request in that has waited for a key of the token issuer, and was counted for its
    /// address meanwhile, or says why not.
    fn identify(&self, request: &Request, asked: &Asked, in_flight: Option<InFlight>) -> Admission {
        let identified = self.guard.admit(request, asked.route.as_deref(), false);
        let (client, admitted) = identified.expect("it does not wait again");
        self.count(request, client, admitted, in_flight)
    }

    /// Counts a request whose client is known, and which may be counted for its address already.
    ///
    /// A request with a valid key counts for the key alone: many clients may share an address.
    /// What a client may not do counts as well.
    fn count(
        &self,
        request: &Request,
        client: Client,
        admitted: Result<Arc<Principal>, Problem>,
        in_flight: Option<InFlight>,
    ) -> Admission {
        let counted = match &client {
            Client::Uncounted => Ok(None),
            Client::WithKey(principal) => {
                if let Some(slot) = slot_of(request) {
                    slot.shows_key();
                }
                Limits::count_key(principal, request)
            }
            Client::WithoutKey => self.limits.count_address(request, 1),
            Client::Rejected => {
                if let Some(slot) = slot_of(request) {
                    slot.shows_no_key();
                }
                self.limits.count_address(request, COST_OF_A_WRONG_KEY)
            }
        };
        let counted = match counted {
            Ok(counted) => counted,
            Err(refused) => {
                return Admission::refused(client, refused.problem(), Some(refused.0));
            }
        };
        let in_flight = match client {
            Client::Uncounted | Client::WithKey(_) => Ok(None),
            Client::WithoutKey | Client::Rejected if in_flight.is_some() => Ok(in_flight),
            Client::WithoutKey | Client::Rejected => self.limits.begin(request),
        };
        match in_flight {
            Ok(in_flight) => Admission { client, admitted, counted, in_flight },
            Err(problem) => Admission::refused(client, problem, counted),
        }
    }

    /// Reports that a client asked for what only an administrator may do.
    fn report_refusal(
        &self,
        client: (&Arc<Principal>, Option<IpAddr>),
        request_id: &RequestId,
        asked: &Asked,
        problem: &Problem,
    ) {
        let Some(refusals) = &self.refusals else { return };
        if self.guard.is_administrative(asked.method, asked.route.as_deref()) {
            let request = format!("{} {}", asked.method, asked.path);
            refusals.report(client, request_id, &request, problem.lacking_scope());
        }
    }

    fn record(
        &self,
        asked: Asked,
        (request_id, trace_parent): (&RequestId, &TraceParent),
        status: u16,
        code: Option<Code>,
        took: Duration,
    ) {
        let Asked { method, route, path } = asked;
        let request_id = request_id.as_str();
        let trace_id = trace_parent.trace_id();
        let code = code.map(Code::as_str);
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if status >= 500 {
            info!(
                service = self.service,
                request_id, trace_id, status, code, duration_us, "{method} {path} failed"
            );
        } else {
            debug!(
                service = self.service,
                request_id, trace_id, status, code, duration_us, "{method} {path}"
            );
        }
        if code == Some(Code::OVERLOADED.as_str()) {
            self.metrics.shed(self.service);
        }
        let route = route.unwrap_or_else(|| "none".to_owned());
        self.metrics.request(&RequestLabels { service: self.service, method, route, status }, took);
    }
}

fn slot_of(request: &Request) -> Option<&Arc<Slot>> {
    request.extensions().get().and_then(|origin: &Origin| origin.slot.as_ref())
}

/// The path, unless somebody put a key or a token into it.
fn path_for_logs(path: &str) -> String {
    if has_credential(path) { "(a path with a credential)".to_owned() } else { path.to_owned() }
}

/// The method as a label of metrics. Clients can invent methods, and labels must stay few.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
