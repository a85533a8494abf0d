use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;

use axum::Extension;
use axum::body::Body;
use axum::routing::{get, post};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame};
use platform::clock::{ManualClock, SystemIds, Timestamp};
use platform::config::ListenAddr;
use platform::process::LimitSettings;
use platform::rate::Rate;
use platform::telemetry::render;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::{Json, MAX_BODY_BYTES};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn edge(service: &'static str, registry: &mut Registry) -> Edge {
    let ids = SystemIds::new(Arc::new(ManualClock::at(Timestamp(1_795_804_200_000_000))));
    Edge::new(service, Metrics::new(registry, "1"), Arc::new(ids))
}

fn routes() -> Router {
    let who = |Extension(id): Extension<RequestId>, Extension(trace): Extension<TraceParent>| async move {
        axum::Json(serde_json::json!({"id": id.as_str(), "trace": trace.0}))
    };
    Router::new()
        .route("/who/{name}", get(who))
        .route("/panic", get(|| async { panic!("a secret: {}", 42) as StatusCode }))
        .route("/stuck", get(std::future::pending::<StatusCode>))
        .route("/busy", get(|| async { Problem::new(Code::OVERLOADED, "too busy") }))
        .route("/bare", get(|| async { (StatusCode::BAD_GATEWAY, "some text") }))
        .route(
            "/own",
            get(|| async {
                [(header::CACHE_CONTROL, "max-age=1"), (header::CONTENT_SECURITY_POLICY, "x")]
            }),
        )
        .route(
            "/json",
            post(|Json(object): Json| async move { object.members().count().to_string() }),
        )
}

async fn ask(request: Request) -> Answer {
    answer_of(edge("test", &mut Registry::default()).wrap(routes()), request).await
}

async fn answer_of(router: Router, request: Request) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

fn get_of(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

/// Checks what every problem must have, and returns its status and code.
fn check_problem(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(answer.body["status"], answer.status.as_u16());
    assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    let length = answer
        .headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().unwrap().parse().unwrap());
    assert!(length.is_none_or(|length: usize| length == answer.body.to_string().len()));
    assert!(answer.body["errors"].is_array());
    (answer.status.as_u16(), answer.body["code"].as_str().unwrap())
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    assert_eq!(check_problem(&ask(get_of("/nothing")).await), (404, "not_found"));
    let answer = ask(get_of("/who/%ff/")).await;
    assert_eq!(check_problem(&answer), (404, "not_found"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("ends with a slash"), "{detail}");
}

#[tokio::test]
async fn an_unsupported_method_is_a_problem_that_lists_the_supported_ones() {
    let answer = ask(Request::delete("/json").body(Body::empty()).unwrap()).await;
    assert_eq!(check_problem(&answer), (405, "method_not_allowed"));
    assert_eq!(answer.headers[header::ALLOW], "POST");
}

#[tokio::test]
async fn a_panic_costs_its_request_and_reveals_nothing() {
    let answer = ask(get_of("/panic")).await;
    assert_eq!(check_problem(&answer), (500, "internal"));
    assert!(!answer.body.to_string().contains("secret"));
}

/// Time is paused: it jumps to the next timer when there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_leaves_the_outcome_unknown() {
    let answer = ask(get_of("/stuck")).await;
    assert_eq!(check_problem(&answer), (503, "outcome_unknown"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_bare_error_of_a_library_becomes_a_problem() {
    assert_eq!(check_problem(&ask(get_of("/bare")).await), (500, "internal"));
}

#[tokio::test]
async fn a_good_request_id_and_trace_are_kept_and_bad_ones_replaced() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/who/a").header("x-request-id", "r-1").header("traceparent", trace);
    let answer = ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["x-request-id"], "r-1");
    assert_eq!(answer.body, serde_json::json!({"id": "r-1", "trace": trace}));

    let request =
        Request::get("/who/a").header("x-request-id", "r 1").header("traceparent", "00-1-2-3");
    let answer = ask(request.body(Body::empty()).unwrap()).await;
    let made = answer.headers["x-request-id"].to_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(made).unwrap().get_version_num(), 7);
    assert_eq!(answer.body, serde_json::json!({"id": made, "trace": null}));
}

#[tokio::test]
async fn a_problem_names_the_trace_of_its_request_if_it_is_in_one() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let request = Request::get("/nothing").header("traceparent", trace).body(Body::empty());
    let answer = ask(request.unwrap()).await;
    assert_eq!(answer.body["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(ask(get_of("/nothing")).await.body.get("trace_id"), None);
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_may_bring_its_own_policy() {
    for path in ["/who/a", "/nothing", "/panic"] {
        let headers = ask(get_of(path)).await.headers;
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], NOTHING_IS_A_PAGE, "{path}");
    }
    let headers = ask(get_of("/own")).await.headers;
    assert_eq!(
        (&headers[header::CACHE_CONTROL], &headers[header::CONTENT_SECURITY_POLICY]),
        (&"max-age=1".parse().unwrap(), &"x".parse().unwrap())
    );
}

#[tokio::test]
async fn a_body_that_is_refused_is_a_problem() {
    let json = |body: String| {
        Request::post("/json").header("content-type", "application/json").body(body.into()).unwrap()
    };
    assert_eq!(check_problem(&ask(json("{".into())).await), (400, "malformed_json"));
    assert_eq!(
        check_problem(&ask(json(" ".repeat(MAX_BODY_BYTES + 1))).await),
        (413, "body_too_large")
    );
    let text =
        Request::post("/json").header("content-type", "text/plain").body("{}".into()).unwrap();
    assert_eq!(check_problem(&ask(text).await), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn requests_are_counted_by_pattern_and_never_by_path() {
    let mut registry = Registry::default();
    let router = edge("test", &mut registry).wrap(routes());
    let invented = Request::builder().method("BREW").uri("/who/a").body(Body::empty()).unwrap();
    for request in [
        get_of("/who/a"),
        get_of("/who/b"),
        get_of("/x1"),
        get_of("/x2"),
        get_of("/busy"),
        invented,
    ] {
        router.clone().oneshot(request).await.unwrap();
    }
    let text = render(&registry);
    for line in [
        r#"http_server_request_duration_seconds_count{service="test",method="GET",route="/who/{name}",status="200"} 2"#,
        r#"http_server_request_duration_seconds_count{service="test",method="GET",route="none",status="404"} 2"#,
        r#"http_server_request_duration_seconds_count{service="test",method="GET",route="/busy",status="503"} 1"#,
        r#"http_server_request_duration_seconds_count{service="test",method="other",route="/who/{name}",status="405"} 1"#,
        r#"requests_shed_total{service="test"} 1"#,
    ] {
        assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn two_wrapped_services_can_be_merged_into_one_router() {
    let mut of_one = Registry::default();
    let mut of_two = Registry::default();
    let one = edge("one", &mut of_one).wrap(Router::new().route("/one", get(|| async { "1" })));
    let two = edge("two", &mut of_two).wrap(Router::new().route("/two", get(|| async { "2" })));
    let both = one.merge(two);
    for (path, body) in [("/one", 1), ("/two", 2)] {
        assert_eq!(answer_of(both.clone(), get_of(path)).await.body, body);
    }
    assert_eq!(check_problem(&answer_of(both, get_of("/three")).await), (404, "not_found"));
    assert!(!render(&of_one).contains("status=\"404\""));
    assert!(render(&of_two).contains("status=\"404\""));
}

#[tokio::test]
async fn an_address_has_only_so_many_requests_in_flight_and_probes_are_not_among_them() {
    let settings = LimitSettings { address_requests: Some(2), ..LimitSettings::default() };
    let limits = Arc::new(Limits::new(&settings).expect("limits"));
    let routes = Router::new()
        .route("/stuck", get(std::future::pending::<StatusCode>))
        .route("/livez", get(|| async {}));
    let edge = edge("test", &mut Registry::default());
    let router = edge.guarded_by(Guard::open(&[]), limits).wrap(routes);
    let from = |address: [u8; 4], path: &str| {
        let mut request = get_of(path);
        request.extensions_mut().insert(Origin { address: address.into(), slot: None });
        answer_of(router.clone(), request)
    };
    let (one, two) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let (mut first, mut second) = (Box::pin(from(one, "/stuck")), Box::pin(from(one, "/stuck")));
    assert!(is_pending(&mut first).await && is_pending(&mut second).await);
    let refused = from(one, "/stuck").await;
    assert_eq!(check_problem(&refused), (429, "rate_limited"));
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert!(refused.body["detail"].as_str().unwrap().contains("the limit is 2"));
    assert_eq!(from(one, "/livez").await.status, 200);
    assert_eq!(check_problem(&from(two, "/nothing").await), (404, "not_found"));
    // A client that gives up does not count any more.
    drop(first);
    assert_eq!(check_problem(&from(one, "/nothing").await), (404, "not_found"));
}

/// Time is paused, so that nothing becomes due meanwhile.
#[tokio::test(start_paused = true)]
async fn a_request_for_another_site_counts_for_its_address_unless_it_is_a_probe() {
    let address_rate = Rate::new(1, Some(2));
    let settings = LimitSettings { address_rate, ..LimitSettings::default() };
    let limits = Arc::new(Limits::new(&settings).expect("limits"));
    let listen: ListenAddr = "127.0.0.1:8080".parse().expect("an address");
    let site = Site::new(&listen, false, &["shop.example".to_owned()], &[]).expect("a site");
    let edge = edge("test", &mut Registry::default()).at(Arc::new(site));
    let routes = Router::new().route("/livez", get(|| async {}));
    let router = edge.guarded_by(Guard::open(&[]), limits).wrap(routes);
    for (path, expected) in [
        ("/livez", (421, "misdirected_request")),
        ("/x", (421, "misdirected_request")),
        ("/x", (421, "misdirected_request")),
        ("/x", (429, "rate_limited")),
        ("/livez", (421, "misdirected_request")),
    ] {
        let mut request = get_of(path);
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("other.example"));
        request.extensions_mut().insert(Origin { address: [192, 0, 2, 1].into(), slot: None });
        assert_eq!(check_problem(&answer_of(router.clone(), request).await), expected, "{path}");
    }
}

/// Time is paused: it jumps ahead while a body is waited for.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_of_a_request_that_is_one_too_many() {
    let address_rate = Rate::new(1, Some(1));
    let settings = LimitSettings { address_rate, ..LimitSettings::default() };
    let limits = Arc::new(Limits::new(&settings).expect("limits"));
    let edge = edge("test", &mut Registry::default());
    let router = edge.guarded_by(Guard::open(&[]), limits).wrap(routes());
    let started = Instant::now();
    for (path, expected) in [("/who/a", 200), ("/json", 429)] {
        let mut request = get_of(path);
        if expected == 429 {
            *request.method_mut() = Method::POST;
            *request.body_mut() = Body::new(NeverArrives);
        }
        request.extensions_mut().insert(Origin { address: [192, 0, 2, 1].into(), slot: None });
        let answer = answer_of(router.clone(), request).await;
        assert_eq!(answer.status, expected);
        let closes = answer.headers.get(header::CONNECTION).is_some_and(|value| value == "close");
        assert_eq!(closes, expected == 429);
    }
    assert!(started.elapsed().is_zero());
}

struct NeverArrives;

impl HttpBody for NeverArrives {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

async fn is_pending(future: &mut (impl Future<Output = Answer> + Unpin)) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending()))
        .await
}
