//! The commands of the Order Service: requests of clients, and answers of Inventory.

use contract::answers::StockAllocated;
use contract::{Digest, OrderId};

use crate::order::Terms;

/// A command to the Order Service.
///
/// A repeated command is decided again and has its effect once.
#[derive(Clone, Debug)]
pub enum OrderCommand {
    /// A client places an order.
    Place(Box<Placement>),
    /// A client cancels an order.
    Cancel {
        /// The order.
        order_id: OrderId,
        /// Why, in the words of the client.
        reason: Option<String>,
        /// Who cancels it.
        context: RequestContext,
    },
    /// A client fulfills an order: its units leave the stock.
    Fulfill {
        /// The order.
        order_id: OrderId,
        /// Who fulfills it.
        context: RequestContext,
    },
    /// Inventory said what an order has.
    Settle(Box<StockAllocated>),
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

impl OrderCommand {
    /// The order that the command names, or that it makes if it is new.
    pub fn order_id(&self) -> OrderId {
        match self {
            Self::Place(placement) => placement.order_id,
            Self::Cancel { order_id, .. } | Self::Fulfill { order_id, .. } => *order_id,
            Self::Settle(answer) => answer.order_id,
        }
    }

    /// Whether a client sent the command, and not Inventory.
    pub fn is_request(&self) -> bool {
        !matches!(self, Self::Settle(_))
    }

    /// The idempotency key of a placement; `None` for every other command.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Place(placement) => placement.key.as_deref(),
            _ => None,
        }
    }
}
