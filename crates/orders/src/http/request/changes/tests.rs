use web::problem::At;

use super::*;

fn object(body: &str) -> Object {
    body::parse(body.as_bytes()).expect("JSON")
}

/// `pointer code` per fault, in the order of the problem.
fn faults<T: std::fmt::Debug>(read: Result<T, Problem>) -> Vec<String> {
    let problem = read.expect_err("must be refused");
    let places = problem.faults.iter().map(|fault| match &fault.at {
        At::Pointer(pointer) => format!("{pointer} {}", fault.code.as_str()),
        At::Parameter(name) => format!("{name}?"),
    });
    places.collect()
}

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

#[test]
fn an_amount_is_read_exactly_in_the_currency_of_the_order() {
    let paid = |code: &str, amount: &str| {
        let body = format!(r#"{{"reference": "ch_1", "amount": {amount}}}"#);
        match payment(&object(&body), currency(code)) {
            Ok(OrderRequest::Pay { amount_minor, .. }) => Ok(amount_minor),
            Ok(other) => panic!("{other:?}"),
            refused @ Err(_) => Err(faults(refused)),
        }
    };
    for (code, amount, minor) in [
        ("BRL", "69.97", Some(6997)),
        ("BRL", "6.997e1", Some(6997)),
        ("BRL", "69.970", Some(6997)),
        ("BRL", "0.01", Some(1)),
        ("BRL", "90071992547409.91", Some(9_007_199_254_740_991)),
        ("JPY", "1500.0", Some(1500)),
        ("KWD", "1.234", Some(1234)),
        ("BRL", "null", None),
    ] {
        assert_eq!(paid(code, amount), Ok(minor), "{amount} {code}");
    }
    for (code, amount, fault) in [
        ("BRL", "69.975", "/amount too_many_decimals"),
        ("JPY", "1.5", "/amount too_many_decimals"),
        ("BRL", "0", "/amount out_of_range"),
        ("BRL", "0.00", "/amount out_of_range"),
        ("BRL", "-1", "/amount out_of_range"),
        ("BRL", "1e400", "/amount out_of_range"),
        ("BRL", "90071992547409.92", "/amount out_of_range"),
        ("BRL", "\"69.97\"", "/amount wrong_type"),
    ] {
        assert_eq!(paid(code, amount), Err(vec![fault.to_owned()]), "{amount} {code}");
    }
}

#[test]
fn money_is_told_apart_by_its_reference() {
    for (body, expected) in [
        ("{}", &["/reference required"][..]),
        (r#"{"reference": ""}"#, &["/reference out_of_range"]),
        (
            r#"{"reference": 7, "method": "card"}"#,
            &["/reference wrong_type", "/method unknown_field"],
        ),
    ] {
        assert_eq!(faults(payment(&object(body), Currency::BRL)), expected, "{body}");
    }
    assert_eq!(
        faults(refund(&object("{}"), Currency::BRL)),
        ["/reference required", "/amount required"]
    );
}

#[test]
fn a_shipment_may_say_nothing_and_is_then_all_that_is_held() {
    for body in [None, Some("{}"), Some(r#"{"lines": null, "tracking": {"url": null}}"#)] {
        let object = body.map(object);
        let read = shipment(object.as_ref(), "K".to_owned()).expect("a shipment");
        let OrderRequest::Ship { key, lines: None, tracking: None } = read else {
            panic!("{read:?}")
        };
        assert_eq!(key.key, "K");
    }
}

#[test]
fn every_fault_of_a_change_is_reported_at_once() {
    let key = || "K".to_owned();
    let lines = r#"{"lines": [{"product_id": "..", "quantity": 0, "disposition": "sell"}, 7], "reason": 7, "x": 1}"#;
    assert_eq!(
        faults(cancellation(&object(lines), key())),
        [
            "/lines/0/product_id bad_format",
            "/lines/0/quantity out_of_range",
            "/lines/0/disposition unknown_field",
            "/lines/1 wrong_type",
            "/reason wrong_type",
            "/x unknown_field",
        ]
    );
    assert_eq!(
        faults(units_back(&object(lines), key())),
        [
            "/lines/0/product_id bad_format",
            "/lines/0/quantity out_of_range",
            "/lines/0/disposition bad_format",
            "/lines/1 wrong_type",
            "/reason wrong_type",
            "/x unknown_field",
        ]
    );
    let parcel =
        r#"{"lines": [{"location_id": "/"}], "tracking": {"number": " ", "url": "http://x"}}"#;
    assert_eq!(
        faults(shipment(Some(&object(parcel)), key())),
        [
            "/lines/0/location_id bad_format",
            "/lines/0/product_id required",
            "/lines/0/quantity required",
            "/tracking/number out_of_range",
            "/tracking/url bad_format",
        ]
    );
    let none = object(r#"{"lines": []}"#);
    assert_eq!(faults(cancellation(&none, key())), ["/lines out_of_range"]);
    assert_eq!(faults(shipment(Some(&none), key())), ["/lines out_of_range"]);
    assert_eq!(faults(units_back(&object("{}"), key())), ["/lines required"]);
}

#[test]
fn a_page_about_a_shipment_is_an_https_address_that_can_be_shown_as_it_is() {
    let read = |url: &str| tracking(&object(&serde_json::json!({ "url": url }).to_string()));
    for good in [
        "https://example.com",
        "https://example.com:8443/track?id=1&lang=pt#BR123",
        "https://xn--bcher-kva.example/%C3%A9",
        "https://a/[x]@'()*+,;=!$",
    ] {
        assert_eq!(read(good).expect(good).url.as_deref(), Some(good));
    }
    for bad in [
        "",
        "http://example.com",
        "HTTPS://example.com",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://.example.com",
        "https://user@example.com/",
        "https://example.com@evil.example/",
        "https://example.com:/",
        "https://example.com:123456/",
        "https://example.com:8o/",
        "https://b\u{fc}cher.example",
        "https://example.com/a b",
        "https://example.com/\"onclick",
        "https://example.com/<script>",
        "https://example.com\\@evil.example",
    ] {
        assert_eq!(faults(read(bad)), ["/url bad_format"], "{bad}");
    }
    let longest = format!("https://example.com/{}", "x".repeat(480));
    assert!(read(&longest).is_ok());
    assert_eq!(faults(read(&format!("{longest}x"))), ["/url out_of_range"]);
}

fn key_of(request: Result<OrderRequest, Problem>) -> RequestKey {
    match request.expect("a change") {
        OrderRequest::CancelLines { key, .. }
        | OrderRequest::Ship { key, .. }
        | OrderRequest::Return { key, .. } => key,
        other => panic!("{other:?} has no key"),
    }
}

/// Histories keep these digests for ever: they must not change with the program.
#[test]
fn the_digest_of_a_change_is_of_all_that_it_says_and_of_nothing_else() {
    let key = || "K".to_owned();
    let cancelled = |body: &str| key_of(cancellation(&object(body), key())).digest;
    let shipped = |body: &str| key_of(shipment(Some(&object(body)), key())).digest;
    let returned = |body: &str| key_of(units_back(&object(body), key())).digest;

    let two = r#"{"lines": [{"product_id": "A", "quantity": 1}, {"product_id": "B", "quantity": 2}], "reason": "late"}"#;
    assert_eq!(cancelled(two), Digest::of(br#"["cancel",[[["A",1],["B",2]],"late"]]"#));
    let spelled = r#"{"reason":"late","lines":[{"quantity":1.0,"product_id":"A"},{"quantity":2e0,"product_id":"B"}]}"#;
    assert_eq!(cancelled(spelled), cancelled(two));
    for other in [
        two.replace("late", "later"),
        two.replace(": 2", ": 3"),
        two.replace("\"B\"", "\"C\""),
        two.replace(r#", "reason": "late""#, ""),
        r#"{"lines": [{"product_id": "B", "quantity": 2}, {"product_id": "A", "quantity": 1}], "reason": "late"}"#.to_owned(),
    ] {
        assert_ne!(cancelled(&other), cancelled(two), "{other}");
    }

    let parcel = r#"{"lines": [{"product_id": "A", "quantity": 1}], "tracking": {"number": "N"}}"#;
    let hashed = br#"["ship",[[["A",null,1]],[null,"N",null]]]"#;
    assert_eq!(shipped(parcel), Digest::of(hashed));
    assert_eq!(shipped("{}"), Digest::of(br#"["ship",[null,null]]"#));
    assert_eq!(shipped(r#"{"tracking": {}}"#), shipped("{}"));
    let at_main = parcel.replace("\"quantity\"", "\"location_id\": \"main\", \"quantity\"");
    for other in [at_main, parcel.replace("\"N\"", "\"M\""), "{}".to_owned()] {
        assert_ne!(shipped(&other), shipped(parcel), "{other}");
    }

    let back = r#"{"lines": [{"product_id": "A", "quantity": 1, "disposition": "write_off"}]}"#;
    let hashed = br#"["return",[[["A",1,null,"write_off"]],null]]"#;
    assert_eq!(returned(back), Digest::of(hashed));
    assert_ne!(returned(&back.replace("write_off", "restock")), returned(back));
}
