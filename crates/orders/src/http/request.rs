//! Parses the bodies of requests into the types of the core.

use contract::{BadWanted, ProductId, Quantity, Wanted};
use orders_core::money::{Currency, MAX_TOTAL_MINOR, total};
use orders_core::order::{CustomerId, OrderLine, Terms};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use web::body::{self, Node, NotExact, Object, Parsed, Reader};
use web::problem::{FaultCode, Problem};

use super::codes;

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

/// An order to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body to readers of the API; bodies are read by `Reader`, fault by fault"
)]
pub(super) struct NewOrder {
    #[schema(example = "123456", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    customer_id: String,
    /// ISO 4217 code; the shop's default currency if absent.
    #[schema(example = "BRL", pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    #[schema(min_items = 1, max_items = 100)]
    products: Vec<NewOrderLine>,
}

/// One product of an order to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(super) struct NewOrderLine {
    #[schema(example = "789", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    product_id: String,
    /// At most 1 000 000, also for all lines of one product together.
    #[schema(example = 2, minimum = 1, maximum = 1_000_000)]
    quantity: u32,
    /// Price per unit, with at most as many decimals as the currency has; trailing zeros do not
    /// count.
    #[schema(example = 19.99, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    price: f64,
}

/// Why the customer or the shop cancels the order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(super) struct Cancellation {
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// What a body of `POST /api/orders` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOrder {
    /// The content of the order.
    pub terms: Terms,
    /// Whether the body names no currency.
    pub has_default_currency: bool,
}

/// Reads a body of `POST /api/orders`.
///
/// # Errors
///
/// 400 if the body is not a JSON object, 422 with every fault.
pub fn read_order(body: &[u8], default_currency: Currency) -> Result<ReadOrder, Problem> {
    plain_order(body, default_currency)
        .map_or_else(|| order(&body::parse(body)?, default_currency), Ok)
}

/// The body of an order in which nothing is unusual.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainOrder<'a> {
    customer_id: &'a str,
    currency: Option<&'a str>,
    #[serde(borrow)]
    products: Vec<PlainLine<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainLine<'a> {
    product_id: &'a str,
    quantity: u32,
    /// As it is written: a float never holds a price.
    #[serde(borrow)]
    price: &'a RawValue,
}

/// Reads an order in one pass, as almost every order can be. Whatever is unusual, such as a fault
/// or an escape in a text, is left to [`order`], which finds the same terms, or every fault.
fn plain_order(body: &[u8], default_currency: Currency) -> Option<ReadOrder> {
    // The list of products. serde would read another array as an object, by position.
    if body.iter().filter(|byte| **byte == b'[').count() != 1 {
        return None;
    }
    let PlainOrder { customer_id, currency, products } = serde_json::from_slice(body).ok()?;
    let has_default_currency = currency.is_none();
    let currency = currency.map_or(Some(default_currency), |code| code.parse().ok())?;
    let read = |line: PlainLine<'_>| {
        Some(OrderLine {
            product_id: line.product_id.parse().ok()?,
            quantity: Quantity::new(line.quantity).ok()?,
            price_minor: price_minor(line.price.get(), currency).ok()?,
        })
    };
    let lines: Vec<OrderLine> = products.into_iter().map(read).collect::<Option<_>>()?;
    Wanted::sum(lines.iter().map(|line| (line.product_id.clone(), line.quantity))).ok()?;
    let total_minor =
        total(lines.iter().map(|line| (line.quantity.get(), line.price_minor))).ok()?;
    let customer_id = customer_id.parse().ok()?;
    let terms = Terms { customer_id, currency, total_minor, lines, payment: None };
    Some(ReadOrder { terms, has_default_currency })
}

/// Reads an order to place, or returns every fault.
fn order(object: &Object, default_currency: Currency) -> Result<ReadOrder, Problem> {
    let mut body = Reader::new(object);
    let customer_id = body.required("customer_id", id::<CustomerId>());
    let named = body.optional("currency", currency);
    // None for an unknown currency: decimals and totals cannot be checked then.
    let has_default_currency = matches!(object.get("currency"), None | Some(Node::Null));
    let currency = if has_default_currency { Some(default_currency) } else { named };
    let lines = body.array("products", 1..=contract::MAX_LINES, |line| {
        let product_id = line.required("product_id", id::<ProductId>());
        let quantity = line.required("quantity", quantity);
        let price_minor =
            line.required("price", price(currency.unwrap_or(default_currency), currency.is_some()));
        Some(OrderLine { product_id: product_id?, quantity: quantity?, price_minor: price_minor? })
    });
    let total_minor =
        lines.as_deref().filter(|_| currency.is_some()).and_then(|lines| sums(&mut body, lines));
    body.finish(|| {
        let terms = Terms {
            customer_id: customer_id?,
            currency: currency?,
            total_minor: total_minor?,
            lines: lines?,
            payment: None,
        };
        Some(ReadOrder { terms, has_default_currency })
    })
}

/// Reads the reason of a cancellation.
pub(super) fn cancellation(object: Option<&Object>) -> Result<Option<String>, Problem> {
    let Some(object) = object else { return Ok(None) };
    let mut body = Reader::new(object);
    let reason = body.optional("reason", body::text(MAX_REASON));
    body.finish(|| Some(reason))
}

/// Reads an optional body that must not have members.
pub(super) fn nothing(object: Option<&Object>) -> Result<(), Problem> {
    object.map_or(Ok(()), |object| Reader::new(object).finish(|| Some(())))
}

/// Checks the rules that concern all lines together. Returns the total in minor units.
fn sums(body: &mut Reader<'_>, lines: &[OrderLine]) -> Option<i64> {
    let total_minor = total(lines.iter().map(|line| (line.quantity.get(), line.price_minor)));
    if total_minor.is_err() {
        let detail = format!("must have a total of at most {MAX_TOTAL_MINOR} minor units");
        body.refuse("/products", codes::TOTAL_TOO_LARGE, detail);
    }
    let ordered = Wanted::sum(lines.iter().map(|line| (line.product_id.clone(), line.quantity)));
    match &ordered {
        Err(BadWanted::TooMany(product_id)) => {
            let last = lines.iter().rposition(|line| line.product_id == *product_id).unwrap_or(0);
            let detail =
                format!("must be at most {} over all lines of {product_id}", Quantity::MAX);
            body.refuse(&format!("/products/{last}/quantity"), FaultCode::OUT_OF_RANGE, detail);
        }
        // The reader has added a fault for a wrong number of lines.
        Err(BadWanted::Count | BadWanted::Unsorted) | Ok(_) => {}
    }
    ordered.ok().and(total_minor.ok())
}

fn id<T: std::str::FromStr<Err = contract::BadId>>() -> impl Fn(&Node) -> Parsed<T> {
    |node| match node {
        Node::String(text) => id_text(text),
        other => Err((FaultCode::WRONG_TYPE, format!("must be a string, not {}", other.kind()))),
    }
}

/// An id as a parameter of a query string or a member of a body.
pub(super) fn id_text<T: std::str::FromStr<Err = contract::BadId>>(text: &str) -> Parsed<T> {
    const RULE: &str = "must be 1 to 64 letters, digits, dots, underscores or hyphens, and start with a letter or a digit";
    text.parse().map_err(|_| (FaultCode::BAD_FORMAT, RULE.to_owned()))
}

fn currency(node: &Node) -> Parsed<Currency> {
    match node {
        Node::String(text) => text.parse().map_err(|_| {
            (codes::UNKNOWN_CURRENCY, "must be an ISO 4217 currency code, such as BRL".to_owned())
        }),
        other => Err((FaultCode::WRONG_TYPE, format!("must be a string, not {}", other.kind()))),
    }
}

fn quantity(node: &Node) -> Parsed<Quantity> {
    let units = body::integer(1..=i64::from(Quantity::MAX))(node)?;
    u32::try_from(units)
        .ok()
        .and_then(|units| Quantity::new(units).ok())
        .ok_or_else(|| (FaultCode::OUT_OF_RANGE, format!("must be from 1 to {}", Quantity::MAX)))
}

fn price(currency: Currency, judge_decimals: bool) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| {
        let Node::Number(text) = node else {
            return Err((FaultCode::WRONG_TYPE, format!("must be a number, not {}", node.kind())));
        };
        match price_minor(text, currency) {
            Err(NotExact::Decimals) if !judge_decimals => Ok(0),
            Err(NotExact::Decimals) => Err((
                codes::TOO_MANY_DECIMALS,
                format!("must have at most {} decimals for {currency}", currency.decimals()),
            )),
            Err(NotExact::Range | NotExact::NotANumber) => Err((
                FaultCode::OUT_OF_RANGE,
                format!("must be from 0 to {MAX_TOTAL_MINOR} minor units"),
            )),
            Ok(minor) => Ok(minor),
        }
    }
}

/// Returns a price in minor units. Nothing is rounded: a price that was computed with floats, such
/// as `29.949999999999999`, is refused.
fn price_minor(number: &str, currency: Currency) -> Result<i64, NotExact> {
    let minor = body::scaled(number, currency.decimals())?;
    if (0..=MAX_TOTAL_MINOR).contains(&minor) { Ok(minor) } else { Err(NotExact::Range) }
}

#[cfg(test)]
mod tests {
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
        let (mut plain, mut unusual) = (0, 0);
        let mut compare = |body: &[u8]| match plain_order(body, Currency::BRL) {
            Some(read) => {
                assert_eq!(Ok(read), slow(body), "{}", String::from_utf8_lossy(body));
                plain += 1;
            }
            None => unusual += 1,
        };
        for example in [EXAMPLE, &example] {
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
            read(&format!(
                r#"{{"products": {products}, "currency": "{code}", "customer_id": "1"}}"#
            ))
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
}
