//! What the Order Service can be asked to do.

use contract::answers::StockAnswer;
use contract::{Digest, OrderId};

use crate::order::Terms;

/// One thing that the Order Service is asked to do. A repeat of it is decided anew, and changes nothing twice.
#[derive(Clone, Debug)]
pub enum OrderCommand {
    Place(Box<Placement>),
    Cancel { order_id: OrderId, reason: Option<String>, traceparent: Option<String> },
    Fulfill { order_id: OrderId, traceparent: Option<String> },
    Settle(Box<StockAnswer>),
}

/// A validated request to place an order, with the id that it gets if it is new.
#[derive(Clone, Debug)]
pub struct Placement {
    pub order_id: OrderId,
    /// The client's `Idempotency-Key`.
    pub key: Option<String>,
    /// Of the validated request: what makes two requests the same.
    pub request_digest: Digest,
    pub terms: Terms,
    pub traceparent: Option<String>,
}

impl OrderCommand {
    /// The order that the command names, or would make.
    pub fn order_id(&self) -> OrderId {
        match self {
            Self::Place(placement) => placement.order_id,
            Self::Cancel { order_id, .. } | Self::Fulfill { order_id, .. } => *order_id,
            Self::Settle(answer) => answer.order_id,
        }
    }

    /// Whether somebody asks for it, and it is not Inventory that answers.
    pub fn is_request(&self) -> bool {
        !matches!(self, Self::Settle(_))
    }

    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Place(placement) => placement.key.as_deref(),
            _ => None,
        }
    }
}
