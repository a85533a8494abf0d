//! What the Inventory Service publishes.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{LocationId, OrderId, ProductId};
use crate::lines::{Quantity, StockLines};

/// Where answers are published.
pub const ANSWERS_CHANNEL: &str = "lastro.orders.answers";

/// Units of one product that one location gives to an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Allocation {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub location_id: LocationId,
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub quantity: Quantity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortageReason {
    OutOfStock,
    UnknownProduct,
}

impl ShortageReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::UnknownProduct => "unknown_product",
        }
    }
}

/// A product of which there was not enough, over all locations, when the order was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Shortage {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub requested: Quantity,
    pub available: i64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "out_of_stock"))]
    pub reason: ShortageReason,
}

/// What became of a command. The data rides in the variant, so an answer cannot carry the wrong one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum StockOutcome {
    /// Every line is held. Sorted by (product, location); the quantities of a product add up to its line.
    StockReserved { allocations: Vec<Allocation> },
    /// Nothing is held. One entry per short product, sorted by product; never empty.
    StockRejected { shortages: Vec<Shortage> },
    /// Nothing is held any more, whatever was before.
    StockReleased,
    /// What was held has left the shelf.
    StockShipped,
}

impl StockOutcome {
    /// As messages, tables and metrics spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StockReserved { .. } => "StockReserved",
            Self::StockRejected { .. } => "StockRejected",
            Self::StockReleased => "StockReleased",
            Self::StockShipped => "StockShipped",
        }
    }
}

/// An answer, repeated for every repeat of its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAnswer {
    pub schema: u32,
    #[serde(flatten)]
    pub outcome: StockOutcome,
    pub order_id: OrderId,
    pub lines: StockLines,
    pub digest: Digest,
    /// The attempt that this answers. Information, never a filter (R16).
    pub attempt: u32,
    /// When Inventory first decided this, in microseconds since the epoch on its clock; a repeat says the same.
    pub decided_at_micros: i64,
    /// Microseconds since the epoch, on the sender's clock.
    pub sent_at_micros: i64,
    /// W3C trace context of the request that caused the command.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_messages_have() {
        for reason in [ShortageReason::OutOfStock, ShortageReason::UnknownProduct] {
            assert_eq!(serde_json::to_value(reason).expect("JSON"), reason.as_str());
        }
        let (allocations, shortages) = (Vec::new(), Vec::new());
        for outcome in [
            StockOutcome::StockReserved { allocations },
            StockOutcome::StockRejected { shortages },
            StockOutcome::StockReleased,
            StockOutcome::StockShipped,
        ] {
            assert_eq!(serde_json::to_value(&outcome).expect("JSON")["type"], outcome.name());
        }
    }
}
