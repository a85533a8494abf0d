//! Parses the bodies of requests into the types of the core.

use std::ops::RangeInclusive;

use contract::{BadWanted, ProductId, Quantity, Wanted};
use orders_core::money::{Currency, MAX_TOTAL_MINOR, total};
use orders_core::order::{CustomerId, OrderLine, PaymentTerms, Terms};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use web::body::{self, Node, NotExact, Object, Parsed, Reader};
use web::problem::{FaultCode, Problem};

use super::codes;

pub(super) mod changes;

/// The longest reason, in characters.
const MAX_REASON: usize = 200;
/// How long an order may wait for its payment, in seconds.
const WITHIN_S: RangeInclusive<u32> = PaymentTerms::MIN_WITHIN_S..=PaymentTerms::MAX_WITHIN_S;

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
    /// If given, the order waits for its payment once its units are reserved.
    payment: Option<NewPaymentTerms>,
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

/// How an order that is to be placed is paid.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(super) struct NewPaymentTerms {
    /// How long the units are reserved, in seconds: a minute to a week. Then the order expires,
    /// unless it is paid.
    #[schema(example = 900, minimum = 60, maximum = 604_800)]
    within_s: u32,
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
    payment: Option<PlainPaymentTerms>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainPaymentTerms {
    within_s: u32,
}

/// Reads an order in one pass, as almost every order can be. Whatever is unusual, such as a fault
/// or an escape in a text, is left to [`order`], which finds the same terms, or every fault.
fn plain_order(body: &[u8], default_currency: Currency) -> Option<ReadOrder> {
    // The list of products. serde would read another array as an object, by position.
    if body.iter().filter(|byte| **byte == b'[').count() != 1 {
        return None;
    }
    let PlainOrder { customer_id, currency, products, payment } =
        serde_json::from_slice(body).ok()?;
    let has_default_currency = currency.is_none();
    let currency = currency.map_or(Some(default_currency), |code| code.parse().ok())?;
    let read = |line: PlainLine<'_>| {
        Some(OrderLine {
            product_id: line.product_id.parse().ok()?,
            quantity: Quantity::new(line.quantity).ok()?,
            price_minor: money_minor(line.price.get(), currency, 0).ok()?,
        })
    };
    let lines: Vec<OrderLine> = products.into_iter().map(read).collect::<Option<_>>()?;
    Wanted::sum(lines.iter().map(|line| (line.product_id.clone(), line.quantity))).ok()?;
    let total_minor =
        total(lines.iter().map(|line| (line.quantity.get(), line.price_minor))).ok()?;
    let payment = match payment {
        Some(PlainPaymentTerms { within_s }) => {
            Some(WITHIN_S.contains(&within_s).then_some(PaymentTerms { within_s })?)
        }
        None => None,
    };
    let customer_id = customer_id.parse().ok()?;
    let terms = Terms { customer_id, currency, total_minor, lines, payment };
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
    let payment = body.optional_object("payment", |payment| {
        let range = i64::from(*WITHIN_S.start())..=i64::from(*WITHIN_S.end());
        let within_s = payment.required("within_s", body::integer(range))?;
        Some(PaymentTerms { within_s: u32::try_from(within_s).ok()? })
    });
    let total_minor =
        lines.as_deref().filter(|_| currency.is_some()).and_then(|lines| sums(&mut body, lines));
    body.finish(|| {
        let terms = Terms {
            customer_id: customer_id?,
            currency: currency?,
            total_minor: total_minor?,
            lines: lines?,
            payment,
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

/// Reads a price. Its decimals are not judged if the currency is not known.
fn price(currency: Currency, judge_decimals: bool) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| match money(node, currency, 0) {
        Err((codes::TOO_MANY_DECIMALS, _)) if !judge_decimals => Ok(0),
        read => read,
    }
}

/// Reads an amount of money of at least `least` minor units.
fn money(node: &Node, currency: Currency, least: i64) -> Parsed<i64> {
    let Node::Number(text) = node else {
        return Err((FaultCode::WRONG_TYPE, format!("must be a number, not {}", node.kind())));
    };
    money_minor(text, currency, least).map_err(|wrong| match wrong {
        NotExact::Decimals => (
            codes::TOO_MANY_DECIMALS,
            format!("must have at most {} decimals for {currency}", currency.decimals()),
        ),
        NotExact::Range | NotExact::NotANumber => (
            FaultCode::OUT_OF_RANGE,
            format!("must be from {least} to {MAX_TOTAL_MINOR} minor units"),
        ),
    })
}

/// Returns an amount in minor units. Nothing is rounded: an amount that was computed with floats,
/// such as `29.949999999999999`, is refused.
fn money_minor(number: &str, currency: Currency, least: i64) -> Result<i64, NotExact> {
    let minor = body::scaled(number, currency.decimals())?;
    if (least..=MAX_TOTAL_MINOR).contains(&minor) { Ok(minor) } else { Err(NotExact::Range) }
}

#[cfg(test)]
mod tests;
