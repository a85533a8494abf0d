//! A body of `POST /api/orders` is read to the cent, or refused with faults that stand where they
//! are said to stand.

use orders::ReadOrder;
use orders_core::money::{Currency, MAX_TOTAL_MINOR};
use orders_core::order::Terms;
use serde_json::{Value, json};
use web::problem::{At, Code, FaultCode, MAX_FAULTS, Problem};

pub fn check(bytes: &[u8]) {
    // A second JSON reader. It may fail where numbers do not fit its floats.
    let other: Option<Value> = serde_json::from_slice(bytes).ok();
    match orders::read_order(bytes, Currency::BRL) {
        Ok(ReadOrder { terms, has_default_currency }) => {
            if let Some(other) = other {
                assert_eq!(other["customer_id"], terms.customer_id.as_str());
                assert_eq!(other["products"].as_array().map(Vec::len), Some(terms.lines.len()));
                assert_eq!(other["currency"].is_null(), has_default_currency);
                assert_eq!(other["payment"].is_null(), terms.payment.is_none());
            }
            check_sums(&terms);
            let again = orders::read_order(write(&terms).as_bytes(), Currency::BRL);
            assert_eq!(again.map(|again| again.terms), Ok(terms), "the order reads back the same");
        }
        Err(problem) => check_problem(&problem, other.as_ref()),
    }
}

fn check_sums(terms: &Terms) {
    assert!((1..=contract::MAX_LINES).contains(&terms.lines.len()));
    assert!(terms.lines.iter().all(|line| line.price_minor >= 0));
    let exact: i128 = terms
        .lines
        .iter()
        .map(|line| i128::from(line.quantity.get()) * i128::from(line.price_minor))
        .sum();
    assert_eq!(i128::from(terms.total_minor), exact);
    assert!(terms.total_minor <= MAX_TOTAL_MINOR);
    let units: i64 = terms.lines.iter().map(|line| line.quantity.units()).sum();
    assert_eq!(terms.ordered().total(), units);
}

fn check_problem(problem: &Problem, other: Option<&Value>) {
    match problem.code {
        Code::MALFORMED_JSON => assert_eq!(problem.faults.len(), 0),
        Code::INVALID_REQUEST => assert!((1..=MAX_FAULTS).contains(&problem.faults.len())),
        code => panic!("{code:?} must not be the answer to a body"),
    }
    for fault in &problem.faults {
        let At::Pointer(pointer) = &fault.at else { panic!("{fault:?} is not about the body") };
        if let Some(body) = other {
            let is_there = body.pointer(pointer).is_some();
            assert_eq!(is_there, fault.code != FaultCode::REQUIRED, "{fault:?}");
        }
    }
}

/// The JSON of an order, as a careful client writes it.
fn write(terms: &Terms) -> String {
    let lines = terms.lines.iter().map(|line| {
        let product = json!(line.product_id.as_str());
        let quantity = line.quantity.get();
        // The price is written as digits, because a float could round it.
        let price = terms.currency.format(line.price_minor);
        format!(r#"{{"product_id":{product},"quantity":{quantity},"price":{price}}}"#)
    });
    let lines: Vec<_> = lines.collect();
    let customer = json!(terms.customer_id.as_str());
    let currency = json!(terms.currency.code());
    let within = terms.payment.map(|payment| payment.within_s);
    let payment = within.map(|within_s| format!(r#","payment":{{"within_s":{within_s}}}"#));
    format!(
        r#"{{"customer_id":{customer},"currency":{currency},"products":[{}]{}}}"#,
        lines.join(","),
        payment.unwrap_or_default()
    )
}
