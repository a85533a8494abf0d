//! Bodies that are not a JSON object, or that must not be read at all.

use serde_json::json;

use super::{ROUTES, Wary};
use testbed::JSON;

/// Bodies that are refused as a whole, with one fault.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let deep =
        |levels: usize| [b"{\"a\":".repeat(levels), b"1".to_vec(), b"}".repeat(levels)].concat();
    vec![
        ("nothing", Vec::new()),
        ("white space", b"   ".to_vec()),
        ("a truncated object", br#"{"customer_id": "C1", "products": ["#.to_vec()),
        ("a truncated string", br#"{"customer_id": "C"#.to_vec()),
        ("a trailing comma", br#"{"customer_id": "C1",}"#.to_vec()),
        ("single quotes", b"{'customer_id': 'C1'}".to_vec()),
        ("a comment", br#"{/* hi */}"#.to_vec()),
        ("NaN", br#"{"quantity": NaN}"#.to_vec()),
        ("a number with a leading zero", br#"{"quantity": 01}"#.to_vec()),
        ("trailing bytes", br#"{} {}"#.to_vec()),
        ("a trailing NUL", b"{}\0".to_vec()),
        ("a key twice", br#"{"name": "a", "name": "a"}"#.to_vec()),
        ("a key twice, escaped", br#"{"name": "a", "n\u0061me": "a"}"#.to_vec()),
        ("a key twice, deep inside", br#"{"products": [{"price": 1, "price": 2}]}"#.to_vec()),
        ("an array for the object", br#"[{"name": "a"}]"#.to_vec()),
        ("a string for the object", br#""name""#.to_vec()),
        ("null for the object", b"null".to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("bad UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec()),
        ("overlong UTF-8", b"{\"name\": \"\xc0\xaf\"}".to_vec()),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("a lone surrogate", br#"{"name": "\ud800"}"#.to_vec()),
        ("surrogates the wrong way round", br#"{"name": "\udc00\ud800"}"#.to_vec()),
        ("a lone surrogate as a key", br#"{"\udfff": 1}"#.to_vec()),
        ("33 levels", deep(33)),
        ("40 000 levels", deep(40_000)),
        ("40 000 levels that never end", b"[".repeat(40_000)),
        ("a control character in a string", b"{\"name\": \"a\nb\"}".to_vec()),
    ]
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_with_one_fault() {
    let wary = Wary::open().await;
    for route in ROUTES {
        for (what, body) in malformed() {
            let answer = wary.send(route, &[JSON], body).await;
            assert_eq!(
                (answer.verdict().as_str(), answer.faults().len()),
                ("400 malformed_json", 0),
                "{what} to {route:?}"
            );
            assert!(answer.text.len() < 1_000, "{what}: the answer repeats what was sent");
        }
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whatever_is_in_it() {
    let wary = Wary::open().await;
    let bodies: [(&str, Vec<u8>); 5] = [
        ("a string of 1 MB", format!(r#"{{"name": "{}"}}"#, "x".repeat(1 << 20)).into()),
        (
            "a million keys",
            (0..1_000_000).map(|n| format!(r#"{{"k{n}": {n}, "#)).collect::<String>().into(),
        ),
        ("100 000 levels", b"{\"a\":".repeat(100_000)),
        ("10 MB of white space", b" ".repeat(10 << 20)),
        ("one byte more than allowed", b" ".repeat((256 << 10) + 1)),
    ];
    for _ in 0..5 {
        for route in ROUTES {
            for (what, body) in &bodies {
                let answer = wary.shop.send(route.0, route.1, &[JSON], body.clone()).await;
                assert_eq!(answer.verdict(), "413 body_too_large", "{what} to {route:?}");
            }
        }
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused_before_it_is_read() {
    let wary = Wary::open().await;
    for route in ROUTES {
        for headers in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "application/json; charset=latin1")],
            &[JSON, JSON],
            &[JSON, ("content-encoding", "gzip")],
            &[JSON, ("content-encoding", "br, identity")],
        ] {
            let answer = wary.send(route, headers, "{").await;
            assert_eq!(answer.verdict(), "415 unsupported_media_type", "{headers:?} to {route:?}");
        }
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn at_most_a_hundred_faults_are_reported() {
    let wary = Wary::open().await;
    let many: serde_json::Map<_, _> = (0..15_000).map(|n| (format!("k{n:05}"), json!(n))).collect();
    let body = json!(many).to_string();
    for route in ROUTES {
        for _ in 0..20 {
            let answer = wary.send(route, &[JSON], body.clone()).await;
            let faults = answer.faults();
            assert_eq!((answer.verdict().as_str(), faults.len()), ("422 invalid_request", 100));
            assert_eq!(
                (faults[0].as_str(), faults[99].as_str()),
                ("/k00000 unknown_field", "/k00099 unknown_field")
            );
        }
    }
    wary.must_be_untouched().await;
}
