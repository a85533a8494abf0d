//! Well-formed bodies with wrong values: every fault is named, in the order of the document.

use super::{ROUTES, Wary};
use testbed::{Deployment, JSON};

/// A price or quantity as it is written, and the fault that it causes.
const LINES: [(&str, &str, &str); 31] = [
    ("quantity", "0", "out_of_range"),
    ("quantity", "-0", "out_of_range"),
    ("quantity", "-1", "out_of_range"),
    ("quantity", "0.5", "wrong_type"),
    ("quantity", "1e-3", "wrong_type"),
    ("quantity", "1e7", "out_of_range"),
    ("quantity", "1000001", "out_of_range"),
    ("quantity", "2147483648", "out_of_range"),
    ("quantity", "4294967297", "out_of_range"),
    ("quantity", "9223372036854775808", "out_of_range"),
    ("quantity", "18446744073709551617", "out_of_range"),
    ("quantity", "\"5\"", "wrong_type"),
    ("quantity", "null", "wrong_type"),
    ("quantity", "true", "wrong_type"),
    ("quantity", "[5]", "wrong_type"),
    ("price", "-1", "out_of_range"),
    ("price", "-0.01", "out_of_range"),
    ("price", "1e400", "out_of_range"),
    ("price", "1E-3", "too_many_decimals"),
    ("price", "0.001", "too_many_decimals"),
    ("price", "19.999", "too_many_decimals"),
    ("price", "29.949999999999999", "too_many_decimals"),
    ("price", "90071992547409.92", "out_of_range"),
    ("price", "99999999999999999999999999", "out_of_range"),
    ("price", "\"19.99\"", "wrong_type"),
    ("price", "{}", "wrong_type"),
    ("product_id", "789", "wrong_type"),
    ("product_id", "\"\"", "bad_format"),
    ("product_id", "null", "wrong_type"),
    ("colour", "\"red\"", "unknown_field"),
    ("a/b~c", "1", "unknown_field"),
];

/// A body with one line, of which `member` has `value`.
fn order_with(member: &str, value: &str) -> String {
    let members =
        [("product_id", "\"MUG\""), ("quantity", "1"), ("price", "1.00"), (member, value)];
    let start = members[..3].iter().filter(|(name, _)| *name != member);
    let line: Vec<_> =
        start.chain(&members[3..]).map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{\"customer_id\": \"C1\", \"products\": [{{{}}}]}}", line.join(", "))
}

#[tokio::test]
async fn a_quantity_or_a_price_that_is_none_is_refused() {
    let wary = Wary::open().await;
    for (member, value, fault) in LINES {
        let answer = wary.send(ROUTES[0], &[JSON], order_with(member, value)).await;
        assert_eq!(answer.verdict(), "422 invalid_request", "{member}: {value}");
        let pointer = member.replace('~', "~0").replace('/', "~1");
        assert_eq!(
            answer.faults(),
            [format!("/products/0/{pointer} {fault}")],
            "{member}: {value}"
        );
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn sums_are_refused_and_never_wrap() {
    let wary = Wary::open().await;
    let line = |quantity: &str, price: &str| {
        format!(r#"{{"product_id":"MUG","quantity":{quantity},"price":{price}}}"#)
    };
    for (lines, fault) in [
        (vec![line("2", "90071992547409.91")], "/products total_too_large"),
        (vec![line("1000000", "90071992547409.91")], "/products total_too_large"),
        (vec![line("1", "90071992547409.91"), line("1", "0.01")], "/products total_too_large"),
        (vec![line("1000000", "90071992547409.91"); 100], "/products total_too_large"),
        (vec![line("600000", "0"), line("400001", "0")], "/products/1/quantity out_of_range"),
        (vec![line("1", "1"); 101], "/products out_of_range"),
        (vec![], "/products out_of_range"),
    ] {
        let body = format!(r#"{{"customer_id":"C1","products":[{}]}}"#, lines.join(","));
        let answer = wary.send(ROUTES[0], &[JSON], body).await;
        assert_eq!(answer.verdict(), "422 invalid_request", "{lines:?}");
        assert_eq!(answer.faults()[0], fault);
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn the_same_product_on_two_lines_is_summed() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1_000_000).await;
    let id = shop.confirmed(&[("MUG", 600_000), ("MUG", 400_000)]).await;
    assert_eq!(shop.levels("MUG").await, [1_000_000, 1_000_000, 0]);
    assert_eq!(
        shop.order(&id).await["products"].as_array().map(Vec::len),
        Some(2),
        "the lines stay as they were sent"
    );
}

/// Invalid ids, as JSON strings.
const IDS: [&str; 16] = [
    "",
    " ",
    "a b",
    "a\\u0000",
    "a\\u001b[31m",
    "a\\u007f",
    "\\u202egnp.exe",
    "\\u200b",
    "\\ud83d\\ude00",
    "*",
    ">",
    "..",
    "-rf",
    "' OR 1=1 --",
    "../../etc/passwd",
    "C:\\\\windows",
];

#[tokio::test]
async fn an_id_that_is_none_is_refused_wherever_it_stands() {
    let wary = Wary::open().await;
    let too_long = "x".repeat(65);
    for id in IDS.iter().chain([&too_long.as_str()]) {
        let order = format!(
            r#"{{"products":[{{"product_id":"{id}","quantity":1,"price":1}}],"customer_id":"{id}"}}"#
        );
        let answer = wary.send(ROUTES[0], &[JSON], order).await;
        assert_eq!(answer.verdict(), "422 invalid_request", "{id}");
        assert_eq!(
            answer.faults(),
            ["/products/0/product_id bad_format", "/customer_id bad_format"],
            "{id}"
        );
        let movement = format!(r#"{{"kind":"receive","quantity":1,"location_id":"{id}"}}"#);
        let answer = wary.send(ROUTES[2], &[JSON], movement).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.faults()),
            ("422 invalid_request", vec!["/location_id bad_format".to_owned()]),
            "{id}"
        );
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn an_id_that_is_none_leads_nowhere_in_a_path() {
    let wary = Wary::open().await;
    let too_long = "x".repeat(65);
    for id in [
        "%20",
        "a%20b",
        "%00",
        "%1b",
        "%E2%80%AE",
        "*",
        "%3E",
        "-rf",
        "a%2F..%2Fb",
        "'",
        "a%5Cb",
        too_long.as_str(),
    ] {
        let path = format!("/api/inventory/products/{id}");
        let (name, receive) = (r#"{"name":"x"}"#, r#"{"kind":"receive","quantity":1}"#);
        for (method, path, body, verdict) in [
            ("PUT", path.clone(), name, "422 invalid_request"),
            ("PUT", format!("/api/inventory/locations/{id}"), name, "422 invalid_request"),
            ("GET", path.clone(), "", "404 product_not_found"),
            ("GET", format!("{path}/movements"), "", "404 product_not_found"),
            ("POST", format!("{path}/movements"), receive, "404 product_not_found"),
            ("GET", format!("/api/orders/{id}"), "", "404 order_not_found"),
            ("POST", format!("/api/orders/{id}/cancel"), "", "404 order_not_found"),
            ("GET", format!("/api/inventory/reservations/{id}"), "", "404 reservation_not_found"),
        ] {
            let answer = wary.send((method, &path), &[JSON], body).await;
            assert_eq!(answer.verdict(), verdict, "{method} {path}");
        }
    }
    let badly_encoded = wary.send(("GET", "/api/inventory/products/%FF"), &[], "").await;
    assert!((400..500).contains(&badly_encoded.status), "{badly_encoded:?}");
    assert_eq!(wary.shop.column("/api/inventory/locations", "location_id").await, ["main"]);
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn every_fault_of_a_body_is_named_in_the_order_of_the_document() {
    let wary = Wary::open().await;
    let order = r#"{"note": 1, "products": [{"price": "1", "quantity": 0, "x": 1}, 7, {"product_id": "MUG", "quantity": 1, "price": 0.001}], "currency": "brl"}"#;
    let product = r#"{"low_stock_at": 1.5, "stock": 7}"#;
    let movement = r#"{"reason": "a\u0000b", "reference": 5, "quantity": -1000001, "kind": "adjust", "at": "now"}"#;
    for (route, body, expected) in [
        (
            ROUTES[0],
            order,
            &[
                "/note unknown_field",
                "/products/0/price wrong_type",
                "/products/0/quantity out_of_range",
                "/products/0/x unknown_field",
                "/products/0/product_id required",
                "/products/1 wrong_type",
                "/currency unknown_currency",
                "/customer_id required",
            ][..],
        ),
        (
            ROUTES[1],
            product,
            &["/low_stock_at wrong_type", "/stock unknown_field", "/name required"],
        ),
        (
            ROUTES[2],
            movement,
            &[
                "/reason bad_format",
                "/reference wrong_type",
                "/quantity out_of_range",
                "/at unknown_field",
            ],
        ),
    ] {
        let answer = wary.send(route, &[JSON], body).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.faults()),
            ("422 invalid_request", expected.iter().map(|f| (*f).to_owned()).collect()),
            "{body}"
        );
    }
    wary.must_be_untouched().await;
}

#[tokio::test]
async fn a_text_that_no_person_wrote_is_refused() {
    let wary = Wary::open().await;
    let too_long = "é".repeat(201);
    for (text, code) in [
        ("a\\u0000b", "bad_format"),
        ("two\\nlines", "bad_format"),
        ("two\\u2028lines", "bad_format"),
        ("\\u202eright to left", "bad_format"),
        ("   ", "out_of_range"),
        ("\\u200b", "out_of_range"),
        ("\\u2060 \\ufeff", "out_of_range"),
        ("\\u0301", "out_of_range"),
        ("\\u3164", "out_of_range"),
        ("", "out_of_range"),
        (&too_long, "out_of_range"),
    ] {
        let product = format!(r#"{{"name":"{text}"}}"#);
        assert_eq!(
            wary.send(ROUTES[1], &[JSON], product).await.faults(),
            [format!("/name {code}")],
            "{text}"
        );
        let movement = format!(r#"{{"kind":"adjust","quantity":1,"reason":"{text}"}}"#);
        assert_eq!(
            wary.send(ROUTES[2], &[JSON], movement).await.faults(),
            [format!("/reason {code}")],
            "{text}"
        );
    }
    let longest = format!(r#"{{"name":"{}"}}"#, "é".repeat(200));
    assert_eq!(
        wary.send(("PUT", "/api/inventory/products/MUG"), &[JSON], longest).await.status,
        200
    );
    wary.must_be_untouched().await;
}
