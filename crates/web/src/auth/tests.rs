use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use platform::clock::{Clock, SystemClock, SystemIds, Timestamp};
use platform::config::File;
use platform::keys::{KeyMode, KeyRecord, Keyring, KeysFileError, NewKey, change};
use platform::process::LimitSettings;
use platform::rate::Rate;
use platform::telemetry::Metrics;
use platform::tokens::{OidcArgs, Tokens};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::{PathItem, Paths};

use super::*;
use crate::edge::Edge;
use crate::limits::Limits;
use crate::requester::Origin;

const RULES: &[Rule] = &[
    Rule::open("/open"),
    Rule::documentation("/docs"),
    Rule::needs("GET", "/api/things", &[Scope::StockRead]).also_of_one_customer(),
    Rule::needs("POST", "/api/things", &[Scope::StockRead, Scope::CatalogWrite]),
    Rule::needs_one_of("PUT", "/api/things", &[Scope::StockReceive, Scope::StockAdjust]),
];

struct Fixture {
    _folder: tempfile::TempDir,
    guard: Guard,
    key: String,
}

impl Fixture {
    /// A guard that knows one key.
    fn new(scopes: &[Scope], customer_id: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.toml");
        let key = NewKey::generate(KeyMode::Test).expect("random numbers");
        let record = KeyRecord {
            id: key.id.clone(),
            name: "till".to_owned(),
            scopes: scopes.to_vec(),
            customer_id: customer_id.map(str::to_owned),
            mode: KeyMode::Test,
            rate: None,
            burst: None,
            sha256: key.hash,
            created_at: Timestamp(0),
            not_after: SystemClock.now().after(Duration::from_secs(3600)),
            previous: None,
            revoked_at: None,
        };
        change(&path, |keys| {
            keys.push(record);
            Ok::<_, KeysFileError>(())
        })
        .expect("written");
        let ring = Keyring::open(&path, Arc::new(SystemClock)).expect("a key");
        let guard = Guard::new(Authenticator::new(Some(Arc::new(ring)), None), true, RULES);
        Self { _folder: folder, guard, key: key.text }
    }

    fn asked(&self, method: &str, path: &str, authorization: &[&str]) -> Result<(), Problem> {
        let mut request = Request::builder().method(method).uri(path);
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let route = ["/open", "/docs", "/api/things", "/api/unlisted"];
        let route = route.into_iter().find(|route| *route == request.uri().path());
        let verdict = self.guard.admit(&request, route, false);
        verdict.expect("it does not wait").1.map(|_| ())
    }

    fn with_key(&self, method: &str, path: &str) -> Result<(), &'static str> {
        let asked = self.asked(method, path, &[&format!("Bearer {}", self.key)]);
        asked.map_err(|problem| problem.code.as_str())
    }

    fn without_key(&self, method: &str, path: &str) -> Result<(), &'static str> {
        self.asked(method, path, &[]).map_err(|problem| problem.code.as_str())
    }
}

#[test]
fn without_a_key_only_open_routes_answer_and_nothing_tells_which_others_exist() {
    let at = Fixture::new(&[Scope::StockRead], None);
    let refused = Err("unauthenticated");
    for (method, path, expected) in [
        ("GET", "/open", Ok(())),
        ("HEAD", "/open", Ok(())),
        ("GET", "/docs", Ok(())),
        ("GET", "/nothing", Ok(())),
        ("GET", "/api/things", refused),
        ("DELETE", "/api/things", refused),
        ("GET", "/api/nothing", refused),
        ("GET", "/api", refused),
        ("POST", "/open", refused),
    ] {
        assert_eq!(at.without_key(method, path), expected, "{method} {path}");
    }
}

#[test]
fn the_documentation_may_ask_for_a_key() {
    let at = Fixture::new(&[Scope::StockRead], None);
    let guard = Guard::new(at.guard.authenticator.clone(), false, RULES);
    let at = Fixture { guard, ..at };
    assert_eq!(at.without_key("GET", "/docs"), Err("unauthenticated"));
    assert_eq!(at.with_key("GET", "/docs"), Ok(()));
}

#[test]
fn a_key_opens_the_routes_of_its_scopes_and_a_route_without_a_rule_is_for_nobody() {
    let forbidden = Err("forbidden");
    let reader = Fixture::new(&[Scope::StockRead], None);
    let editor = Fixture::new(&[Scope::StockRead, Scope::CatalogWrite], None);
    let receiver = Fixture::new(&[Scope::StockReceive], None);
    let customer = Fixture::new(&[Scope::StockRead], Some("C1"));
    for (method, path, expected) in [
        ("GET", "/api/things", [Ok(()), Ok(()), forbidden, Ok(())]),
        ("HEAD", "/api/things", [Ok(()), Ok(()), forbidden, Ok(())]),
        ("POST", "/api/things", [forbidden, Ok(()), forbidden, forbidden]),
        ("PUT", "/api/things", [forbidden, forbidden, Ok(()), forbidden]),
        // The router answers 405 and 404.
        ("DELETE", "/api/things", [Ok(()); 4]),
        ("GET", "/api/nothing", [Ok(()); 4]),
        ("GET", "/api/unlisted", [forbidden; 4]),
    ] {
        let asked = [&reader, &editor, &receiver, &customer].map(|at| at.with_key(method, path));
        assert_eq!(asked, expected, "{method} {path}");
    }
}

#[test]
fn a_refusal_says_what_to_show_and_not_why_the_key_is_wrong() {
    let at = Fixture::new(&[Scope::StockRead], None);
    let key = &at.key;
    let other = NewKey::generate(KeyMode::Test).expect("random numbers").text;
    let [other, basic, valid] =
        [format!("Bearer {other}"), format!("Basic {key}"), format!("Bearer {key}")];
    let sent = "Bearer realm=\"lastro\", error=\"invalid_token\"";
    for (authorization, challenge) in [
        (&[][..], "Bearer realm=\"lastro\""),
        (&[other.as_str()], sent),
        (&["Bearer x"], sent),
        (&["Bearer"], sent),
        (&[basic.as_str()], sent),
        (&[valid.as_str(), valid.as_str()], sent),
    ] {
        let problem = at.asked("GET", "/api/things", authorization).expect_err("refused");
        let needs = "send a valid API key as Authorization: Bearer";
        assert_eq!((problem.code, problem.detail.as_str()), (Code::UNAUTHENTICATED, needs));
        let response = axum::response::IntoResponse::into_response(problem);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], challenge, "{authorization:?}");
    }
    let problem = at.asked("POST", "/api/things", &[&format!("bearer  {key}")]).expect_err("403");
    assert_eq!(problem.document("r").required_scope, Some("catalog:write"));
    let response = axum::response::IntoResponse::into_response(problem);
    let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().expect("text").to_owned();
    assert!(challenge.ends_with("error=\"insufficient_scope\", scope=\"catalog:write\""));
}

#[test]
fn a_refusal_names_what_the_service_accepts() {
    let keys = Fixture::new(&[Scope::StockRead], None).guard.authenticator.keys;
    for (keys, tokens, accepted) in [
        (keys.clone(), None, "API key"),
        (None, Some(tokens()), "access token"),
        (keys, Some(tokens()), "API key or access token"),
    ] {
        let guard = Guard::new(Authenticator::new(keys, tokens), true, RULES);
        let at = Fixture { guard, ..Fixture::new(&[Scope::StockRead], None) };
        for authorization in [&[][..], &["Bearer x"]] {
            let problem = at.asked("GET", "/api/things", authorization).expect_err("refused");
            let needs = format!("send a valid {accepted} as Authorization: Bearer");
            assert_eq!(problem.detail, needs, "{authorization:?}");
        }
    }
}

#[test]
fn a_key_in_the_url_is_refused_whatever_else_is_sent() {
    let at = Fixture::new(&[Scope::StockRead], None);
    let path = format!("/api/things?key={}", at.key);
    assert_eq!(at.with_key("GET", &path), Err("unauthenticated"));
}

/// Tokens of an issuer whose keys were not fetched yet.
fn tokens() -> Arc<Tokens> {
    let args = OidcArgs {
        oidc_issuer: Some("https://id.example.com".to_owned()),
        oidc_audience: Some("lastro".to_owned()),
        ..OidcArgs::default()
    };
    let settings = args.resolve(&File::default()).expect("settings").expect("an issuer");
    Arc::new(Tokens::new(settings, Arc::new(SystemClock)).expect("settings"))
}

#[test]
fn keys_and_tokens_are_told_apart_by_their_form() {
    let of_keys = Fixture::new(&[Scope::StockRead], None);
    let keys = of_keys.guard.authenticator.keys.clone();
    let key = of_keys.key;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k1"}"#);
    let token = format!("{header}.e30.e30");
    let with = |keys, tokens| {
        let guard = Guard::new(Authenticator::new(keys, tokens), true, RULES);
        let at = Fixture { guard, ..Fixture::new(&[Scope::StockRead], None) };
        [&key, &token, "x", "a.b"].map(|sent| {
            let asked = at.asked("GET", "/api/things", &[&format!("Bearer {sent}")]);
            asked.map_err(|problem| problem.code.as_str())
        })
    };
    let (refused, unavailable) = (Err("unauthenticated"), Err("storage_unavailable"));
    assert_eq!(with(keys.clone(), None), [Ok(()), refused, refused, refused]);
    assert_eq!(with(None, Some(tokens())), [refused, unavailable, refused, refused]);
    assert_eq!(with(keys, Some(tokens())), [Ok(()), unavailable, refused, refused]);
    assert_eq!(with(None, None), [Ok(()); 4]);
}

/// A service that asks for tokens, whose issuer does not answer.
fn asks_for_tokens(limits: &LimitSettings) -> Router {
    let ids = Arc::new(SystemIds::new(Arc::new(SystemClock)));
    let edge = Edge::new("test", Metrics::new(&mut Registry::default(), "0"), ids);
    let guard = Guard::new(Authenticator::new(None, Some(tokens())), true, PROBES);
    let limits = Arc::new(Limits::new(limits).expect("limits"));
    let routes =
        Router::new().route("/livez", get(|| async {})).route("/metrics", get(|| async {}));
    edge.guarded_by(guard, limits).wrap(routes)
}

/// A request with a token that is signed with an unknown key.
fn with_unknown_key(path: &str) -> Request {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k1"}"#);
    let request = Request::get(path).header("host", "shop");
    let request = request.header("authorization", format!("Bearer {header}.e30.e30"));
    let mut request = request.body(Body::empty()).expect("a request");
    request.extensions_mut().insert(Origin { address: [192, 0, 2, 1].into(), slot: None });
    request
}

/// Time is paused, and passes only while something waits for it.
#[tokio::test(start_paused = true)]
async fn a_probe_does_not_wait_for_a_key_of_the_issuer() {
    let router = asks_for_tokens(&LimitSettings::default());
    for (path, status, waits) in [("/livez", 200, false), ("/metrics", 503, true)] {
        let started = Instant::now();
        let answer = router.clone().oneshot(with_unknown_key(path)).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), !started.elapsed().is_zero()), (status, waits));
    }
}

/// The statuses of five requests with an unknown key at the same time, and whether they waited.
async fn five_at_once(router: &Router) -> Vec<(u16, bool)> {
    let started = Instant::now();
    let mut asked = JoinSet::new();
    for _ in 0..5 {
        let router = router.clone();
        asked.spawn(async move {
            let answer = router.oneshot(with_unknown_key("/metrics")).await;
            (answer.expect("an answer").status().as_u16(), !started.elapsed().is_zero())
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_unstable();
    answers
}

#[tokio::test(start_paused = true)]
async fn an_address_has_only_so_many_requests_that_wait_for_a_key_of_the_issuer() {
    let limits = LimitSettings { address_requests: Some(2), ..LimitSettings::default() };
    let router = asks_for_tokens(&limits);
    let (refused, unavailable) = ((429, false), (503, true));
    // The second time, the address has none in flight.
    for _ in 0..2 {
        let answers = five_at_once(&router).await;
        assert_eq!(answers, [refused, refused, refused, unavailable, unavailable]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_verified_now_counts_for_its_address() {
    let address_rate = Rate::new(1, Some(2));
    let router = asks_for_tokens(&LimitSettings { address_rate, ..LimitSettings::default() });
    let (refused, unavailable) = ((429, true), (503, true));
    let answers = five_at_once(&router).await;
    assert_eq!(answers, [refused, refused, refused, unavailable, unavailable]);
}

#[test]
fn a_token_in_the_url_is_refused_whatever_else_is_sent() {
    let at = Fixture::new(&[Scope::StockRead], None);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://id.example.com"}"#);
    for name in ["access_token", "q"] {
        let path = format!("/api/things?{name}=eyJh.{claims}.x");
        assert_eq!(at.with_key("GET", &path), Err("unauthenticated"), "{path}");
    }
    assert_eq!(at.with_key("GET", "/api/things?q=a.b.c"), Ok(()));
}

#[test]
#[should_panic(expected = "no rule says who may GET /api/other")]
fn a_route_that_no_rule_names_is_a_mistake() {
    let operation = OperationBuilder::new().build();
    let paths = Paths::builder().path("/api/other", PathItem::new(HttpMethod::Get, operation));
    let mut api = OpenApi::builder().paths(paths.build()).build();
    describe_rules(&mut api, RULES);
}
