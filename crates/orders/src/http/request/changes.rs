//! Parses the bodies of requests that change an accepted order.

use contract::{Digest, LocationId, MAX_LINES, ProductId};
use orders_core::changes::{RequestKey, Tracking};
use orders_core::decide::{Disposition, OrderRequest, ReturnLine, ShipmentLine, UnitsOfProduct};
use orders_core::money::Currency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::body::{self, Node, Object, Parsed, Reader};
use web::problem::{FaultCode, Problem};

use super::{MAX_REASON, id, money, quantity};

/// The longest reference of a payment or a refund, in characters.
const MAX_REFERENCE: usize = 200;
/// The longest name of a carrier, in characters.
const MAX_CARRIER: usize = 200;
/// The longest number of a carrier, in characters.
const MAX_NUMBER: usize = 100;
/// The longest address of a page about a shipment, in characters.
const MAX_URL: usize = 500;

/// A payment that the shop got.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewPayment {
    /// What tells the payment from others, such as the id of a charge. The same payment is recorded
    /// once.
    #[schema(example = "ch_3NqFkV2eZvKYlo2C", min_length = 1, max_length = 200)]
    reference: String,
    /// In the currency of the order; what the order costs if absent.
    #[schema(example = 69.97, exclusive_minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    amount: Option<f64>,
}

/// A refund that the shop made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewRefund {
    /// What tells the refund from others. The same refund is recorded once.
    #[schema(example = "re_1Nispe2eZvKYlo2C", min_length = 1, max_length = 200)]
    reference: String,
    /// In the currency of the order.
    #[schema(example = 29.99, exclusive_minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    amount: f64,
}

/// Units of an order to cancel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewCancellation {
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<NewCancellationLine>,
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Units of a product to cancel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewCancellationLine {
    #[schema(example = "789", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    product_id: String,
    #[schema(example = 1, minimum = 1, maximum = 1_000_000)]
    quantity: u32,
}

/// Units to ship.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewShipment {
    /// All units that the order holds if absent.
    #[schema(min_items = 1, max_items = 100)]
    lines: Option<Vec<NewShipmentLine>>,
    tracking: Option<NewTracking>,
}

/// Units of a product to ship.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewShipmentLine {
    #[schema(example = "789", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    product_id: String,
    /// The location that ships them; the locations that hold units for the order, in the order of
    /// its allocations, if absent.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    #[schema(example = 1, minimum = 1, maximum = 1_000_000)]
    quantity: u32,
}

/// How a customer follows a shipment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewTracking {
    #[schema(example = "Correios", min_length = 1, max_length = 200)]
    carrier: Option<String>,
    /// The carrier's number.
    #[schema(example = "BR123456789BR", min_length = 1, max_length = 100)]
    number: Option<String>,
    /// A page about the shipment.
    #[schema(
        example = "https://rastreamento.correios.com.br/app/?objeto=BR123456789BR",
        max_length = 500,
        pattern = "^https://[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?([/?#][!#$%&'()*+,./0-9:;=?@A-Z\\[\\]_a-z~-]*)?$"
    )]
    url: Option<String>,
}

/// Units that came back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewReturn {
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<NewReturnLine>,
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Units of a product that came back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the body to readers of the API")]
pub(in super::super) struct NewReturnLine {
    #[schema(example = "789", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    product_id: String,
    #[schema(example = 1, minimum = 1, maximum = 1_000_000)]
    quantity: u32,
    /// Where they came back to; where they were shipped from if absent. At a location that does not
    /// exist they are booked at the first location.
    #[schema(example = "main", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    location_id: Option<String>,
    disposition: DispositionView,
}

/// What becomes of units that came back: they can be sold again; they are on hand, and cannot be sold
/// until somebody has looked at them; they are not on hand.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Disposition)]
pub(in super::super) enum DispositionView {
    Restock,
    Quarantine,
    WriteOff,
}

/// Reads a payment of an order in this currency.
pub(in super::super) fn payment(
    object: &Object,
    currency: Currency,
) -> Result<OrderRequest, Problem> {
    let mut body = Reader::new(object);
    let reference = body.required("reference", body::text_not_blank(MAX_REFERENCE));
    let amount_minor = body.optional("amount", amount(currency));
    body.finish(|| Some(OrderRequest::Pay { reference: reference?, amount_minor }))
}

/// Reads a refund of an order in this currency.
pub(in super::super) fn refund(
    object: &Object,
    currency: Currency,
) -> Result<OrderRequest, Problem> {
    let mut body = Reader::new(object);
    let reference = body.required("reference", body::text_not_blank(MAX_REFERENCE));
    let amount_minor = body.required("amount", amount(currency));
    body.finish(|| {
        Some(OrderRequest::Refund { reference: reference?, amount_minor: amount_minor? })
    })
}

/// Reads a cancellation of units. `key` is the request's idempotency key.
pub(in super::super) fn cancellation(
    object: &Object,
    key: String,
) -> Result<OrderRequest, Problem> {
    let mut body = Reader::new(object);
    let lines = body.array("lines", 1..=MAX_LINES, |line| {
        let product_id = line.required("product_id", id());
        let quantity = line.required("quantity", quantity);
        Some(UnitsOfProduct { product_id: product_id?, quantity: quantity? })
    });
    let reason = body.optional("reason", body::text(MAX_REASON));
    body.finish(|| {
        let lines = lines?;
        let units = lines.iter().map(|line| (&line.product_id, line.quantity.get()));
        let digest = digest("cancel", (units.collect::<Vec<_>>(), &reason));
        Some(OrderRequest::CancelLines { key: RequestKey { key, digest }, lines, reason })
    })
}

/// Reads a shipment. `key` is the request's idempotency key.
pub(in super::super) fn shipment(
    object: Option<&Object>,
    key: String,
) -> Result<OrderRequest, Problem> {
    let empty = Object::default();
    let mut body = Reader::new(object.unwrap_or(&empty));
    let lines = body.optional_array("lines", 1..=MAX_LINES, |line| {
        let product_id = line.required("product_id", id::<ProductId>());
        let location_id = line.optional("location_id", id::<LocationId>());
        let quantity = line.required("quantity", quantity);
        Some(ShipmentLine { product_id: product_id?, location_id, quantity: quantity? })
    });
    let tracking = body.optional_object("tracking", read_tracking);
    let tracking = tracking.filter(|tracking| *tracking != Tracking::default());
    body.finish(|| {
        let units = lines.as_ref().map(|lines| {
            let line = |line: &ShipmentLine| {
                let ShipmentLine { product_id, location_id, quantity } = line;
                (product_id.clone(), location_id.clone(), quantity.get())
            };
            lines.iter().map(line).collect::<Vec<_>>()
        });
        let follow = tracking.as_ref().map(|its| (&its.carrier, &its.number, &its.url));
        let digest = digest("ship", (units, follow));
        Some(OrderRequest::Ship { key: RequestKey { key, digest }, lines, tracking })
    })
}

/// Reads how to follow a shipment, which replaces what was said before.
pub(in super::super) fn tracking(object: &Object) -> Result<Tracking, Problem> {
    let mut body = Reader::new(object);
    let tracking = read_tracking(&mut body);
    body.finish(|| tracking)
}

/// Reads a return. `key` is the request's idempotency key.
pub(in super::super) fn units_back(object: &Object, key: String) -> Result<OrderRequest, Problem> {
    let dispositions = Disposition::ALL.map(|disposition| (disposition.as_str(), disposition));
    let mut body = Reader::new(object);
    let lines = body.array("lines", 1..=MAX_LINES, |line| {
        let product_id = line.required("product_id", id::<ProductId>());
        let quantity = line.required("quantity", quantity);
        let location_id = line.optional("location_id", id::<LocationId>());
        let disposition = line.required("disposition", body::one_of(&dispositions));
        Some(ReturnLine {
            product_id: product_id?,
            quantity: quantity?,
            location_id,
            disposition: disposition?,
        })
    });
    let reason = body.optional("reason", body::text(MAX_REASON));
    body.finish(|| {
        let lines = lines?;
        let units = lines.iter().map(|line| {
            let ReturnLine { product_id, quantity, location_id, disposition } = line;
            (product_id, quantity.get(), location_id, disposition.as_str())
        });
        let digest = digest("return", (units.collect::<Vec<_>>(), &reason));
        Some(OrderRequest::Return { key: RequestKey { key, digest }, lines, reason })
    })
}

/// The digest of all that a request says: what it asks for, its lines in their order, the tracking
/// and the reason. The same key with anything else is another request. The history keeps it, so
/// what is hashed never changes.
fn digest(kind: &str, said: impl Serialize) -> Digest {
    let text = serde_json::to_vec(&(kind, said)).expect("texts and numbers always serialize");
    Digest::of(&text)
}

/// Reads an amount that was paid or refunded. It is never 0.
fn amount(currency: Currency) -> impl Fn(&Node) -> Parsed<i64> {
    move |node| money(node, currency, 1)
}

fn read_tracking(tracking: &mut Reader<'_>) -> Option<Tracking> {
    let carrier = tracking.optional("carrier", body::text_not_blank(MAX_CARRIER));
    let number = tracking.optional("number", body::text_not_blank(MAX_NUMBER));
    let url = tracking.optional("url", url);
    Some(Tracking { carrier, number, url })
}

/// Reads the address of a page, which people will open: `https`, a name without a user before it,
/// and nothing that would have to be escaped where it is shown.
fn url(node: &Node) -> Parsed<String> {
    let Node::String(text) = node else {
        return Err((FaultCode::WRONG_TYPE, format!("must be a string, not {}", node.kind())));
    };
    if text.len() > MAX_URL {
        return Err((FaultCode::OUT_OF_RANGE, format!("must have at most {MAX_URL} characters")));
    }
    if is_page(text) {
        Ok(text.clone())
    } else {
        Err((FaultCode::BAD_FORMAT, "must be an https address of plain ASCII".to_owned()))
    }
}

fn is_page(text: &str) -> bool {
    const PUNCTUATION: &[u8] = b"!#$%&'()*+,./:;=?@[]_~-";
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let (place, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (name, port) = place.split_once(':').unwrap_or((place, "443"));
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let is_path = |b: u8| b.is_ascii_alphanumeric() || PUNCTUATION.contains(&b);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 253
        && name.bytes().all(is_name)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && path.bytes().all(is_path)
}

#[cfg(test)]
mod tests;
