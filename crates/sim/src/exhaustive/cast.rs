//! The few things that the bounds allow to exist, and what may be asked about them.

use contract::commands::StockCommand;
use contract::{Digest, LocationId, OrderId, ProductId, Quantity};
use inventory_core::decide as stock;
use inventory_core::stock::{RequestCause, RequestId};
use orders_core::decide as order;
use orders_core::money::Currency;
use orders_core::order::{OrderLine, Terms};
use uuid::Uuid;

use super::state::IDS;
use super::wire::Wire;

/// The order of customer A: two requests with one key, of which each brings an id; one of them may win.
pub(super) const FIRST: u8 = 0;
pub(super) const TWIN: u8 = 1;
/// The order of customer B, from a request without a key.
pub(super) const OTHER: u8 = 2;
/// Deliveries of one unit each.
pub(super) const MAX_RECEIVES: u8 = 2;

const PRICE_MINOR: i64 = 1990;

/// What a person asks for, by the number of the order or of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Place(u8),
    Cancel(u8),
    Fulfill(u8),
    Receive(u8),
}

/// The 2xx that a person gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The order with this id is yours.
    Placed(u8),
    Cancelled(u8),
    Fulfilled(u8),
    Received(u8),
}

/// One command of a batch: a request that waits at the replica, or a message that the network has just brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Request(Request),
    Message(u8),
}

/// **Shape:** one or two; the first is there.
pub(super) type Batch = [Option<Item>; 2];

impl Request {
    /// A number of its own that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Place(order) => 1 + order,
            Self::Cancel(order) => 5 + order,
            Self::Fulfill(order) => 9 + order,
            Self::Receive(delivery) => 13 + delivery,
        }
    }

    pub(super) fn shown(self) -> String {
        match self {
            Self::Place(order) => format!("place {}", name(order)),
            Self::Cancel(order) => format!("cancel {}", name(order)),
            Self::Fulfill(order) => format!("fulfill {}", name(order)),
            Self::Receive(delivery) => format!("receive delivery {}", delivery + 1),
        }
    }
}

impl Told {
    /// A number of its own that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Placed(order) => 1 + order,
            Self::Cancelled(order) => 5 + order,
            Self::Fulfilled(order) => 9 + order,
            Self::Received(delivery) => 13 + delivery,
        }
    }
}

impl Item {
    /// A number of its own that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Request(request) => request.code(),
            Self::Message(message) => 32 + message,
        }
    }
}

/// A batch as a story tells it.
pub(super) fn shown(batch: Batch, wire: &Wire) -> String {
    let shown = |item| match item {
        Item::Request(request) => request.shown(),
        Item::Message(number) => wire.name(number),
    };
    let items: Vec<_> = batch.into_iter().flatten().map(shown).collect();
    format!("[{}]", items.join(", "))
}

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

/// Which of the few orders this is.
pub(super) fn order_of(order_id: OrderId) -> u8 {
    (FIRST..=OTHER).find(|order| self::order_id(*order) == order_id).expect("an id of the cast")
}

pub(super) fn orders() -> impl Iterator<Item = (u8, usize)> {
    (FIRST..=OTHER).zip(0..IDS)
}

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

/// What the Order Service is asked.
pub(crate) fn order_command(request: Request) -> order::OrderCommand {
    match request {
        Request::Place(order) => order::OrderCommand::Place(Box::new(order::Placement {
            order_id: order_id(order),
            key: key(order),
            request_digest: request_digest(order),
            terms: terms(),
            traceparent: None,
        })),
        Request::Cancel(order) => order::OrderCommand::Cancel { order_id: order_id(order), reason: None, traceparent: None },
        Request::Fulfill(order) => order::OrderCommand::Fulfill { order_id: order_id(order), traceparent: None },
        Request::Receive(_) => unreachable!("nobody tells the Order Service what came in"),
    }
}

/// The same for both requests with the one key: they are the same order.
pub(super) fn request_digest(order: u8) -> Digest {
    Digest::of(if order == OTHER { b"b" } else { b"a" })
}

/// A delivery, as the Inventory Service is told of it: always under the same id (R4).
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
