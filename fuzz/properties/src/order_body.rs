//! A body of `POST /api/orders` is read to the cent, or refused with faults that stand where they
//! are said to stand.

use orders_core::money::{Currency, MAX_TOTAL_MINOR};
use orders_core::order::Terms;
use serde_json::{Value, json};
use web::problem::{At, Code, FaultCode, MAX_FAULTS, Problem};

pub fn check(bytes: &[u8]) {
    // Another reader of JSON. It has no word on numbers beyond its floats.
    let other: Option<Value> = serde_json::from_slice(bytes).ok();
    match orders::read_order(bytes, Currency::BRL) {
        Ok((terms, digest)) => {
            let other = other.expect("what is accepted is JSON to everybody");
            assert_eq!(other["customer_id"], terms.customer_id.as_str());
            assert_eq!(other["products"].as_array().map(Vec::len), Some(terms.lines.len()));
            check_sums(&terms);
            let again = orders::read_order(write(&terms).as_bytes(), Currency::BRL);
            assert_eq!(again, Ok((terms, digest)), "what was read reads back the same");
        }
        Err(problem) => check_problem(&problem, other.as_ref()),
    }
}

fn check_sums(terms: &Terms) {
    assert!((1..=contract::MAX_LINES).contains(&terms.lines.len()));
    assert!(terms.lines.iter().all(|line| line.price_minor >= 0));
    let exact: i128 =
        terms.lines.iter().map(|line| i128::from(line.quantity.get()) * i128::from(line.price_minor)).sum();
    assert_eq!(i128::from(terms.total_minor), exact);
    assert!(terms.total_minor <= MAX_TOTAL_MINOR);
    assert_eq!(terms.digest, terms.stock_lines().digest());
}

fn check_problem(problem: &Problem, other: Option<&Value>) {
    match problem.code {
        Code::MALFORMED_JSON => assert_eq!(problem.faults.len(), 0),
        Code::INVALID_REQUEST => assert!((1..=MAX_FAULTS).contains(&problem.faults.len())),
        code => panic!("{code:?} is no answer to a body"),
    }
    for fault in &problem.faults {
        let At::Pointer(pointer) = &fault.at else { panic!("{fault:?} is not about the body") };
        if let Some(body) = other {
            let is_there = body.pointer(pointer).is_some();
            assert_eq!(is_there, fault.code != FaultCode::REQUIRED, "{fault:?}");
        }
    }
}

/// The same order, as a careful client writes it.
fn write(terms: &Terms) -> String {
    let lines = terms.lines.iter().map(|line| {
        let (product, quantity) = (line.product_id.as_str(), line.quantity.get());
        // Its digits, and no float.
        let price = terms.currency.format(line.price_minor);
        format!(r#"{{"product_id":{},"quantity":{quantity},"price":{price}}}"#, json!(product))
    });
    let lines: Vec<_> = lines.collect();
    let (customer, currency) = (json!(terms.customer_id.as_str()), json!(terms.currency.code()));
    format!(r#"{{"customer_id":{customer},"currency":{currency},"products":[{}]}}"#, lines.join(","))
}
