use web::problem::At;

use super::*;

fn read(body: &str) -> Result<Terms, Problem> {
    read_order(body.as_bytes(), Currency::BRL).map(|read| read.terms)
}

/// `pointer code` per fault, in the order of the problem.
fn faults(body: &str) -> Vec<String> {
    let problem = read(body).expect_err("must be refused");
    let places = problem.faults.iter().map(|fault| match &fault.at {
        At::Pointer(pointer) => format!("{pointer} {}", fault.code.as_str()),
        At::Parameter(name) => format!("{name}?"),
    });
    places.collect()
}

const EXAMPLE: &str = r#"{"customer_id": "123456", "products": [{"product_id": "789", "quantity": 2, "price": 19.99}]}"#;

#[test]
fn the_example_order_is_read_to_the_cent() {
    let terms = read(EXAMPLE).expect("a good order");
    assert_eq!(
        (terms.customer_id.as_str(), terms.total_minor, terms.currency),
        ("123456", 3998, Currency::BRL)
    );
    assert_eq!(terms.lines[0].price_minor, 1999);
}

/// The example with any one byte left out, replaced or added.
#[test]
fn an_order_that_is_read_in_one_pass_is_what_the_slow_look_finds() {
    let slow = |body: &[u8]| order(&body::parse(body)?, Currency::BRL);
    let example = EXAMPLE.replace("\"123456\"", "\"1\", \"currency\": \"KWD\"");
    let with_payment = EXAMPLE.replace("]}", r#"], "payment": {"within_s": 900}}"#);
    let (mut plain, mut unusual) = (0, 0);
    let mut compare = |body: &[u8]| match plain_order(body, Currency::BRL) {
        Some(read) => {
            assert_eq!(Ok(read), slow(body), "{}", String::from_utf8_lossy(body));
            plain += 1;
        }
        None => unusual += 1,
    };
    for example in [EXAMPLE, &example, &with_payment] {
        compare(example.as_bytes());
        for at in 0..example.len() {
            for byte in *b" \"[]{}0-.,:e9xn\\\xe9" {
                for left_out in [0, 1] {
                    let (before, after) = example.as_bytes().split_at(at);
                    compare(&[before, &[byte], &after[left_out..]].concat());
                    compare(&[before, &after[left_out..]].concat());
                }
            }
        }
    }
    assert!(plain > 500 && unusual > 500, "{plain} plain, {unusual} unusual");
    for other in [
        r#"["1", null, [{"product_id": "a", "quantity": 1, "price": 1}]]"#,
        r#"{"customer_id": "1", "products": [["a", 1, 1]]}"#,
    ] {
        assert_eq!(plain_order(other.as_bytes(), Currency::BRL), None);
        assert!(read(other).is_err(), "{other}");
    }
}

#[test]
fn every_fault_of_an_order_is_reported_at_once() {
    let cases: [(&str, &[&str]); 9] = [
        ("{}", &["/customer_id required", "/products required"]),
        (
            r#"{"customer_id": "", "products": []}"#,
            &["/customer_id bad_format", "/products out_of_range"],
        ),
        (
            r#"{"customer_id": 7, "x": 1, "products": [{"product_id": "..", "quantity": 0, "price": -1, "y": 2}, 5]}"#,
            &[
                "/customer_id wrong_type",
                "/x unknown_field",
                "/products/0/product_id bad_format",
                "/products/0/quantity out_of_range",
                "/products/0/price out_of_range",
                "/products/0/y unknown_field",
                "/products/1 wrong_type",
            ],
        ),
        (
            r#"{"customer_id": "1", "products": [{"product_id": "a", "quantity": 1.5, "price": "5"}]}"#,
            &["/products/0/quantity wrong_type", "/products/0/price wrong_type"],
        ),
        (
            r#"{"customer_id": "1", "products": [{"product_id": "a", "quantity": 2147483648, "price": 1e400}]}"#,
            &["/products/0/quantity out_of_range", "/products/0/price out_of_range"],
        ),
        (
            r#"{"customer_id": "1", "products": [{"product_id": "a", "quantity": 1, "price": 19.999}]}"#,
            &["/products/0/price too_many_decimals"],
        ),
        (
            r#"{"customer_id": "1", "currency": "XXX", "products": [{"product_id": "a", "quantity": 1, "price": 0.1234}]}"#,
            &["/currency unknown_currency"],
        ),
        (
            r#"{"customer_id": "1", "products": [{"product_id": "a", "quantity": 1000000, "price": 90071992547409.91}]}"#,
            &["/products total_too_large"],
        ),
        (
            r#"{"customer_id": "1", "products": [{"product_id": "a", "quantity": 1000000, "price": 1}, {"product_id": "a", "quantity": 1, "price": 1}]}"#,
            &["/products/1/quantity out_of_range"],
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(faults(body), expected, "{body}");
    }
}

#[test]
fn decimals_are_those_of_the_orders_own_currency() {
    let in_currency = |code: &str, price: &str| {
        let products = format!(r#"[{{"product_id": "a", "quantity": 1, "price": {price}}}]"#);
        read(&format!(r#"{{"products": {products}, "currency": "{code}", "customer_id": "1"}}"#))
    };
    assert_eq!(in_currency("KWD", "1.234").expect("three decimals").total_minor, 1234);
    let too_many = in_currency("JPY", "1.5").expect_err("one decimal");
    assert_eq!(too_many.detail, "price must have at most 0 decimals for JPY");
    assert_eq!(in_currency("JPY", "1500").expect("no decimals").total_minor, 1500);
}

/// As the serialisers of six languages write them.
#[test]
fn numbers_count_by_their_value_and_not_by_their_notation() {
    for (quantity, price) in
        [("2.0", "19.990"), ("2E0", "1999e-2"), ("0.2e1", "0.1999E+2"), ("2.00", "1.999e1")]
    {
        let body = EXAMPLE.replace(": 2,", &format!(": {quantity},")).replace("19.99", price);
        assert_eq!(read(&body), read(EXAMPLE), "{body}");
    }
    let limits = [
        ("90071992547409.91", Ok(MAX_TOTAL_MINOR)),
        ("90071992547409.92", Err("out_of_range")),
        ("-0.01", Err("out_of_range")),
        ("29.949999999999999", Err("too_many_decimals")),
        ("0.001", Err("too_many_decimals")),
    ];
    for (price, expected) in limits {
        let body = EXAMPLE.replace("2,", "1,").replace("19.99", price);
        match expected {
            Ok(minor) => assert_eq!(read(&body).expect("a price").total_minor, minor),
            Err(code) => assert_eq!(faults(&body), [format!("/products/0/price {code}")]),
        }
    }
}

#[test]
fn two_requests_are_the_same_order_if_they_parse_to_the_same() {
    let terms = |body: &str| read(body).expect("a good order");
    let spaced = EXAMPLE.replace(' ', "\n ");
    assert_eq!(terms(EXAMPLE), terms(&spaced));
    assert_eq!(terms(EXAMPLE), terms(&EXAMPLE.replacen('{', r#"{"currency": "BRL", "#, 1)));
    for other in [
        EXAMPLE.replace("123456", "123457"),
        EXAMPLE.replace("789", "788"),
        EXAMPLE.replace(": 2", ": 3"),
        EXAMPLE.replace("19.99", "19.98"),
        EXAMPLE.replacen('{', r#"{"currency": "EUR", "#, 1),
    ] {
        assert_ne!(terms(EXAMPLE), terms(&other), "{other}");
    }
}

#[test]
fn a_cancellation_may_say_why_and_nothing_else() {
    let reason = |body: &str| cancellation(Some(&body::parse(body.as_bytes()).expect("JSON")));
    assert_eq!(cancellation(None), Ok(None));
    assert_eq!(reason("{}"), Ok(None));
    assert_eq!(reason(r#"{"reason": "late"}"#), Ok(Some("late".to_owned())));
    assert!(reason(r#"{"why": "late"}"#).is_err());
    assert!(reason(&format!(r#"{{"reason": "{}"}}"#, "x".repeat(201))).is_err());
}

#[test]
fn an_order_may_wait_for_its_payment_between_a_minute_and_a_week() {
    let with = |payment: &str| EXAMPLE.replacen('{', &format!(r#"{{"payment": {payment}, "#), 1);
    for (payment, within_s) in [
        (r#"{"within_s": 60}"#, Some(60)),
        (r#"{"within_s": 604800}"#, Some(604_800)),
        (r#"{"within_s": 9.0e2}"#, Some(900)),
        ("null", None),
    ] {
        let terms = read(&with(payment)).expect("a good order");
        assert_eq!(terms.payment.map(|payment| payment.within_s), within_s, "{payment}");
    }
    for (payment, fault) in [
        ("{}", "/payment/within_s required"),
        (r#"{"within_s": 59}"#, "/payment/within_s out_of_range"),
        (r#"{"within_s": 604801}"#, "/payment/within_s out_of_range"),
        (r#"{"within_s": 4294967356}"#, "/payment/within_s out_of_range"),
        (r#"{"within_s": 60.5}"#, "/payment/within_s wrong_type"),
        (r#"{"within_s": null}"#, "/payment/within_s wrong_type"),
        (r#"{"within_s": 60, "method": "card"}"#, "/payment/method unknown_field"),
        ("900", "/payment wrong_type"),
    ] {
        assert_eq!(faults(&with(payment)), [fault], "{payment}");
    }
    let plain = read(EXAMPLE).expect("a good order");
    assert_ne!(read(&with(r#"{"within_s": 60}"#)).expect("a good order"), plain);
}
