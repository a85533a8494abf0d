//! The few orders, products and deliveries that the bounds allow.

use contract::commands::StockCommand;
use contract::{Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::decide as stock;
use inventory_core::stock::{
    Cause, Deltas, Level, Movement, MovementKind, Product, RequestCause, RequestId,
};
use orders_core::money::Currency;
use orders_core::order::{OrderLine, Terms};
use uuid::Uuid;

use super::state::IDS;

/// The order of customer A: two requests with one key. Each brings an id, and at most one of them
/// is placed.
pub(super) const FIRST: u8 = 0;
pub(super) const TWIN: u8 = 1;
/// The order of customer B, from a request without a key.
pub(super) const OTHER: u8 = 2;
/// Deliveries of one unit each.
pub(super) const MAX_RECEIVES: u8 = 2;

const PRICE_MINOR: i64 = 1990;

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

pub(super) fn product_id() -> ProductId {
    "MUG".parse().expect("an id")
}

pub(super) fn location_id() -> LocationId {
    LocationId::main()
}

/// What the order asks for: one unit.
pub(super) fn terms() -> Terms {
    let quantity = Quantity::new(1).expect("a quantity");
    let mut terms = Terms {
        customer_id: "customer".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: PRICE_MINOR,
        lines: vec![OrderLine { product_id: product_id(), quantity, price_minor: PRICE_MINOR }],
        digest: Digest([0; 16]),
    };
    terms.digest = terms.stock_lines().digest();
    terms
}

/// The same digest for both requests with the one key: they place the same order.
pub(super) fn request_digest(order: u8) -> Digest {
    Digest::of(if order == OTHER { b"b" } else { b"a" })
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
    stock::MovementRequest {
        product_id: product_id(),
        location_id: location_id(),
        change: stock::Change::Receive(Quantity::new(1).expect("a quantity")),
        cause,
    }
}

pub(super) fn stock_command(command: StockCommand) -> stock::InventoryCommand {
    stock::InventoryCommand::Stock(Box::new(command))
}

/// The row of the product.
pub(super) fn product() -> Product {
    Product {
        product_id: product_id(),
        name: "Mug".to_owned(),
        low_stock_at: None,
        created_at_micros: 0,
        updated_at_micros: 0,
    }
}

/// The movement of a delivery, without the level after it, on which no decision depends.
pub(super) fn movement(number: u8) -> (RequestId, Movement) {
    let request = delivery(number);
    let movement = Movement {
        product_id: request.product_id,
        location_id: request.location_id,
        kind: MovementKind::Receive,
        deltas: Deltas { on_hand: 1, reserved: 0 },
        after: Level::default(),
        cause: Cause::Request(request.cause.clone()),
        created_at_micros: 0,
    };
    (request.cause.request_id, movement)
}
