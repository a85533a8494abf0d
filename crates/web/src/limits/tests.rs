use axum::body::Body;
use platform::keys::KeyLimits;
use platform::rate::Rate;

use super::*;

fn limits(trusted: &[&str]) -> Limits {
    let address_rate = Rate::new(10, Some(3));
    let trusted_proxies = trusted.iter().map(|text| (*text).to_owned()).collect();
    let settings = LimitSettings { address_rate, trusted_proxies, ..LimitSettings::default() };
    Limits::new(&settings).expect("networks")
}

fn request(peer: &str, forwarded: &[&str]) -> Request {
    let peer = Origin { address: peer.parse().expect("an address"), slot: None };
    let mut request = Request::builder().uri("/").extension(peer);
    for value in forwarded {
        request = request.header(X_FORWARDED_FOR, *value);
    }
    request.body(Body::empty()).expect("a request")
}

#[test]
fn the_client_is_who_a_trusted_proxy_says_and_nobody_else_says() {
    let limits = limits(&["10.0.0.0/8", "192.0.2.1"]);
    for (peer, forwarded, expected) in [
        ("203.0.113.7", &[][..], "203.0.113.7"),
        ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", &["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", &["1.1.1.1", "\u{ff}, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", &["1.1.1.1", "\u{ff}"], "10.0.0.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
    ] {
        let mut request = request(peer, forwarded);
        limits.find_client(&mut request);
        let origin: &Origin = request.extensions().get().expect("an address");
        assert_eq!(origin.address.to_string(), expected, "{peer} {forwarded:?}");
    }
}

#[test]
fn what_is_no_network_is_no_trusted_proxy() {
    for wrong in ["", "10.0.0.0/33", "proxy.example.com", "*"] {
        let UsageError(line) = network(wrong).expect_err("refused");
        assert!(line.starts_with("trusted_proxies: ") && line.contains("10.0.0.0/8"), "{line}");
    }
}

/// Time is paused, so that nothing becomes due meanwhile.
#[tokio::test(start_paused = true)]
async fn a_request_too_many_is_told_when_to_come_back_and_what_the_limit_is() {
    let limits = limits(&[]);
    let ask = |cost| limits.count_address(&request("203.0.113.7", &[]), cost);
    for remaining in [2, 1, 0] {
        let mut headers = HeaderMap::new();
        ask(1).expect("admitted").expect("counted").write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"address\";q=10;w=1");
        let wait = u32::from(remaining == 0);
        assert_eq!(headers["ratelimit"], format!("\"address\";r={remaining};t={wait}"));
    }
    let problem = ask(1).expect_err("one too many").problem();
    assert_eq!((problem.code, problem.retry_after_s), (Code::RATE_LIMITED, Some(1)));
    assert!(problem.detail.contains("10 per second, and 3 at once"), "{}", problem.detail);
    assert!(limits.count_address(&request("203.0.113.8", &[]), 1).is_ok());
}

#[test]
fn a_request_that_finds_no_place_to_wait_is_answered_at_once() {
    let limits = Limits::default().with_waits(2);
    let anyone = Principal::anyone();
    let one = Arc::new(KeyLimits::new(None));
    let client = Principal { limits: Some(one.clone()), ..Principal::anyone() };
    let waiting = |principal: &Principal| {
        let mut request = request("203.0.113.7", &[]);
        request.headers_mut().insert(PREFER, HeaderValue::from_static("wait=5"));
        let waiting = limits.wait(principal, &mut request);
        assert_eq!(waiting.is_some(), request.headers().contains_key(PREFER));
        waiting
    };
    let first = waiting(&anyone).expect("a permit");
    let second = waiting(&client).expect("a permit");
    assert!(waiting(&anyone).is_none());
    drop((first, second));
    assert!(waiting(&anyone).is_some());
    let all_of_key = one.waits.clone().try_acquire_many_owned(KeyLimits::MAX_WAITS);
    assert!(all_of_key.is_ok() && waiting(&client).is_none());
    assert!(limits.wait(&anyone, &mut request("203.0.113.7", &[])).is_none());
}

#[test]
fn the_connections_of_a_trusted_proxy_count_for_nobody() {
    let settings = LimitSettings {
        address_connections: Some(1),
        trusted_proxies: vec!["10.0.0.0/8".to_owned()],
        ..LimitSettings::default()
    };
    let limits = Limits::new(&settings).expect("networks");
    let counts = |text: &str| limits.holder(text.parse().expect("an address")).is_some();
    assert!(counts("203.0.113.7"));
    assert!(!counts("10.0.0.1"));
    assert!(Limits::default().holder("203.0.113.7".parse().expect("an address")).is_none());
}
