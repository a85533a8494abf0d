//! The commands of the Order Service: requests of clients, and answers of Inventory.

use contract::answers::StockAllocated;
use contract::{Digest, LocationId, OrderId, ProductId, Quantity};

use crate::changes::{RequestKey, Tracking};
use crate::order::Terms;
use crate::trace::TraceId;

/// A command to the Order Service.
///
/// A repeated command is decided again and has its effect once.
#[derive(Clone, Debug)]
pub enum OrderCommand {
    /// A client places an order.
    Place(Box<Placement>),
    /// A client asks something of an accepted order.
    Request {
        /// The order.
        order_id: OrderId,
        /// What the client asks.
        request: Box<OrderRequest>,
        /// Who asks it.
        context: RequestContext,
    },
    /// The deadline of an order's payment has passed.
    Expire {
        /// The order.
        order_id: OrderId,
        /// The trace that the order expires in.
        context: RequestContext,
    },
    /// Inventory said what an order has.
    Settle(Box<StockAllocated>),
}

/// A validated request of a client about an accepted order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderRequest {
    /// To cancel the whole order.
    Cancel {
        /// Why, in the words of the client.
        reason: Option<String>,
    },
    /// To ship all that the order holds.
    Fulfill,
    /// To record the payment of the order. Recorded once per reference.
    Pay {
        /// What tells the payment from others.
        reference: String,
        /// The amount in minor units, from 1 to
        /// [`MAX_TOTAL_MINOR`](crate::money::MAX_TOTAL_MINOR); `None` for what is due.
        amount_minor: Option<i64>,
    },
    /// To record a refund. Recorded once per reference.
    Refund {
        /// What tells the refund from others.
        reference: String,
        /// The amount in minor units, from 1 to
        /// [`MAX_TOTAL_MINOR`](crate::money::MAX_TOTAL_MINOR).
        amount_minor: i64,
    },
    /// To cancel units that are not shipped.
    CancelLines {
        /// The key, which carries it out once.
        key: RequestKey,
        /// The units; at least one line.
        lines: Vec<UnitsOfProduct>,
        /// Why, in the words of the client.
        reason: Option<String>,
    },
    /// To ship units.
    Ship {
        /// The key, which carries it out once.
        key: RequestKey,
        /// The units; `None` for all that the order holds.
        lines: Option<Vec<ShipmentLine>>,
        /// How to follow the shipment.
        tracking: Option<Tracking>,
    },
    /// To say how to follow a shipment. Inventory is not asked.
    Track {
        /// The number of the shipment.
        shipment: u32,
        /// How to follow it from now on.
        tracking: Tracking,
    },
    /// To cancel a shipment whose units did not leave after all. They are held for the order again.
    CancelShipment {
        /// The number of the shipment.
        shipment: u32,
        /// Why, in the words of the client.
        reason: Option<String>,
    },
    /// To book units that came back.
    Return {
        /// The key, which carries it out once.
        key: RequestKey,
        /// The units; at least one line.
        lines: Vec<ReturnLine>,
        /// Why, in the words of the client.
        reason: Option<String>,
    },
}

/// Units of a product. Several lines may name the same product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitsOfProduct {
    /// The product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: Quantity,
}

/// Units to ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShipmentLine {
    /// The product.
    pub product_id: ProductId,
    /// The location that ships them; `None` for any that holds them, in the order of allocations.
    pub location_id: Option<LocationId>,
    /// How many units.
    pub quantity: Quantity,
}

/// Units that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnLine {
    /// The product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: Quantity,
    /// The location that they came back to; `None` for where they were shipped from.
    pub location_id: Option<LocationId>,
    /// What becomes of them.
    pub disposition: Disposition,
}

/// What becomes of a unit that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// It can be sold again.
    Restock,
    /// It is on hand, and cannot be sold until somebody has looked at it.
    Quarantine,
    /// It is not on hand.
    WriteOff,
}

impl Disposition {
    /// All dispositions, in the order of the variants.
    pub const ALL: [Self; 3] = [Self::Restock, Self::Quarantine, Self::WriteOff];

    /// The name in the API, in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restock => "restock",
            Self::Quarantine => "quarantine",
            Self::WriteOff => "write_off",
        }
    }
}

/// A validated request to place an order, and the id that the order gets if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The id of the new order. All retries of one request have the same id (R4).
    pub order_id: OrderId,
    /// The client's `Idempotency-Key`, if it sent one, behind the client that it belongs to.
    pub key: Option<String>,
    /// The content of the order. Requests with the same content ask for the same order.
    pub terms: Terms,
    /// Whether the client named no currency, so that the terms have the shop's default one.
    pub has_default_currency: bool,
    /// The digest of the order's first intent (R14).
    pub digest: Digest,
    /// Who places the order.
    pub context: RequestContext,
}

/// Where a request comes from. It does not change what is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// Who made the request, as the history shows it; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The W3C trace context of the request, if it had one.
    pub traceparent: Option<String>,
}

impl RequestContext {
    /// The trace of the request, if it is exported.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.traceparent.as_deref().and_then(TraceId::of)
    }
}

impl OrderCommand {
    /// The deadline of this order's payment has passed. The command is in no trace.
    pub fn expire(order_id: OrderId) -> Self {
        Self::Expire { order_id, context: RequestContext::default() }
    }

    /// The order that the command names, or that it makes if it is new.
    pub fn order_id(&self) -> OrderId {
        match self {
            Self::Place(placement) => placement.order_id,
            Self::Request { order_id, .. } | Self::Expire { order_id, .. } => *order_id,
            Self::Settle(answer) => answer.order_id,
        }
    }

    /// Whether a client sent the command, and neither Inventory nor the service itself.
    pub fn is_request(&self) -> bool {
        matches!(self, Self::Place(_) | Self::Request { .. })
    }

    /// Whether Inventory sent the command.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Settle(_))
    }

    /// Whether a client pays an order.
    pub fn is_payment(&self) -> bool {
        matches!(self, Self::Request { request, .. } if matches!(**request, OrderRequest::Pay { .. }))
    }

    /// Whether a client changes an order beside paying, cancelling and fulfilling it.
    pub fn is_change(&self) -> bool {
        let Self::Request { request, .. } = self else { return false };
        match **request {
            OrderRequest::Cancel { .. } | OrderRequest::Fulfill | OrderRequest::Pay { .. } => false,
            OrderRequest::Refund { .. }
            | OrderRequest::CancelLines { .. }
            | OrderRequest::Ship { .. }
            | OrderRequest::Track { .. }
            | OrderRequest::CancelShipment { .. }
            | OrderRequest::Return { .. } => true,
        }
    }

    /// Whether the deadline of an order's payment has passed.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Expire { .. })
    }

    /// The idempotency key of a placement; `None` for every other command.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Place(placement) => placement.key.as_deref(),
            _ => None,
        }
    }
}
