//! The few orders, products and deliveries that the bounds allow.
//!
//! Customer A orders two mugs and a tee. Each of two locations has one mug, so the order is split.
//! Customer B orders a tee. The last customer may order a product that Inventory does not know
//! instead.

use contract::{Digest, Intent, LocationId, OrderId, ProductId, Quantity};
use inventory_core::admin::Requester;
use inventory_core::decide as stock;
use inventory_core::stock::{
    Cause, Deltas, Level, Location, Movement, MovementKind, Product, RequestCause, RequestId,
};
use orders_core::decide::{Placement, RequestContext};
use orders_core::money::Currency;
use orders_core::order::{OrderLine, PaymentTerms, Terms};
use uuid::Uuid;

use super::bounds::Bounds;
use super::state::IDS;

/// The order of customer A: two requests with one key. Each brings an id, and at most one of them
/// is placed.
pub(super) const FIRST: u8 = 0;
pub(super) const TWIN: u8 = 1;
/// The order of customer B, from a request without a key.
pub(super) const OTHER: u8 = 2;
/// Deliveries of one unit each.
pub(super) const MAX_RECEIVES: u8 = 2;
/// The stock keys: mugs at two locations, and tees at one of them.
pub(super) const KEYS: usize = 3;
/// The stock key of the product that both customers order and that is delivered.
pub(super) const TEES: usize = 2;
/// The products that Inventory knows.
pub(super) const PRODUCTS: [&str; 2] = [MUG, TEE];

pub(super) const MUG: &str = "MUG";
pub(super) const TEE: &str = "TEE";
const UNKNOWN: &str = "UNKNOWN";
const BACK: &str = "back";
const MAIN: &str = "main";
/// By product and location, as the deciders sort them.
const STOCK_KEYS: [(&str, &str); KEYS] = [(MUG, BACK), (MUG, MAIN), (TEE, MAIN)];
/// The price of a unit of any product.
pub(super) const PRICE_MINOR: i64 = 1990;

pub(super) fn name(order: u8) -> &'static str {
    match order {
        FIRST => "A",
        TWIN => "A'",
        _ => "B",
    }
}

pub(super) fn order_id(order: u8) -> OrderId {
    OrderId(Uuid::from_u128(u128::from(order) + 1))
}

/// The number of the order with this id.
pub(super) fn order_of(order_id: OrderId) -> u8 {
    (FIRST..=OTHER)
        .find(|order| self::order_id(*order) == order_id)
        .expect("the id of a known order")
}

/// Every order, with its index in the arrays of a state.
pub(super) fn orders() -> impl Iterator<Item = (u8, usize)> {
    (FIRST..=OTHER).zip(0..IDS)
}

/// The `Idempotency-Key` of the order's request.
pub(super) fn key(order: u8) -> Option<String> {
    (order != OTHER).then(|| "a".to_owned())
}

/// What the order asks for.
pub(super) fn terms(order: u8, bounds: Bounds) -> Terms {
    let lines = match order {
        FIRST | TWIN if bounds.unknown && bounds.orders == 1 => vec![line(UNKNOWN, 1)],
        FIRST | TWIN => vec![line(MUG, 2), line(TEE, 1)],
        _ if bounds.unknown => vec![line(UNKNOWN, 1)],
        _ => vec![line(TEE, 1)],
    };
    let total = |line: &OrderLine| line.quantity.units() * line.price_minor;
    Terms {
        customer_id: name(order)[..1].parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: lines.iter().map(total).sum(),
        lines,
        payment: bounds.pays().then_some(PaymentTerms { within_s: PaymentTerms::MIN_WITHIN_S }),
    }
}

fn line(product: &str, units: u32) -> OrderLine {
    OrderLine {
        product_id: product_id(product),
        quantity: quantity(units),
        price_minor: PRICE_MINOR,
    }
}

pub(super) fn product_id(product: &str) -> ProductId {
    product.parse().expect("an id")
}

pub(super) fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a quantity")
}

/// The request that places the order.
pub(super) fn placement(order: u8, bounds: Bounds) -> Placement {
    let terms = terms(order, bounds);
    let digest = Intent::placed(terms.ordered()).digest();
    Placement {
        order_id: order_id(order),
        key: key(order),
        terms,
        has_default_currency: false,
        digest,
        context: RequestContext::default(),
    }
}

pub(super) fn stock_key(index: usize) -> (ProductId, LocationId) {
    let (product, location) = STOCK_KEYS[index];
    (product_id(product), location.parse().expect("an id"))
}

/// The index of a stock key; `None` if it has no stock within the bounds.
pub(super) fn key_of(product_id: &ProductId, location_id: &LocationId) -> Option<usize> {
    let names = (product_id.as_str(), location_id.as_str());
    STOCK_KEYS.iter().position(|key| *key == names)
}

/// The units on hand at the start.
pub(super) fn units_at_start(bounds: Bounds) -> [u8; KEYS] {
    let mut units = [1; KEYS];
    units[TEES] = bounds.units;
    units
}

/// A delivery as a request to the Inventory Service. A repeat has the same id (R4).
pub(super) fn delivery(number: u8) -> stock::MovementRequest {
    let cause = RequestCause {
        request_id: RequestId([number; 16]),
        digest: Digest::of(&[number]),
        reason: None,
        reference: None,
        actor: None,
    };
    let (product_id, location_id) = stock_key(TEES);
    let change = stock::Change::Receive(quantity(1));
    stock::MovementRequest {
        product_id,
        location_id,
        change,
        cause,
        requester: Requester::default(),
    }
}

/// The row of a product; `None` if Inventory does not know it.
pub(super) fn product(product_id: &ProductId) -> Option<Product> {
    PRODUCTS.contains(&product_id.as_str()).then(|| Product {
        product_id: product_id.clone(),
        name: product_id.to_string(),
        low_stock_at: None,
        created_at_micros: 0,
        updated_at_micros: 0,
    })
}

/// The locations. The one whose id comes last serves orders first.
pub(super) fn locations() -> [Location; 2] {
    [(MAIN, 1), (BACK, 2)].map(|(id, priority)| Location {
        location_id: id.parse().expect("an id"),
        name: id.to_owned(),
        priority,
    })
}

/// The movement of a delivery, without what no decision depends on.
pub(super) fn movement(number: u8) -> (RequestId, Movement) {
    let request = delivery(number);
    let movement = Movement {
        previous: None,
        previous_of_product: None,
        product_id: request.product_id,
        location_id: request.location_id,
        kind: MovementKind::Receive,
        deltas: Deltas { on_hand: 1, ..Deltas::default() },
        after: Level::default(),
        cause: Cause::Request(request.cause.clone()),
        created_at_micros: 0,
    };
    (request.cause.request_id, movement)
}
