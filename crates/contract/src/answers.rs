//! The answers that the Inventory Service publishes.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{LocationId, OrderId, ProductId};
use crate::lines::{Quantity, StockLines};

/// The channel of the bus on which the Inventory Service publishes answers.
pub const ANSWERS_CHANNEL: &str = "lastro.orders.answers";

/// Units of one product that are reserved for an order at one location.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Allocation {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// The location that holds the units, and ships them.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub location_id: LocationId,
    /// How many units; a part of the order's line, or all of it.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub quantity: Quantity,
}

/// Why a product was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortageReason {
    /// The product exists, and fewer units were available than requested.
    OutOfStock,
    /// The Inventory Service has no product with this id.
    UnknownProduct,
}

impl ShortageReason {
    /// The name in messages, tables and the API: `out_of_stock` or `unknown_product`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::UnknownProduct => "unknown_product",
        }
    }
}

/// A product of which too few units were available, over all locations, when the order was decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Shortage {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// How many units the order asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub requested: Quantity,
    /// How many units were available, summed over all locations; less than `requested`.
    pub available: i64,
    /// Why the product was short.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "out_of_stock"))]
    pub reason: ShortageReason,
}

/// What a stock command led to.
///
/// Each variant carries its own data, so an answer cannot carry the data of another outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum StockOutcome {
    /// Inventory reserved every line of the order.
    StockReserved {
        /// The reserved units, sorted by (product, location). The quantities of a product add up
        /// to its line.
        allocations: Vec<Allocation>,
    },
    /// Inventory reserved nothing, because at least one product was short.
    StockRejected {
        /// One entry per short product, sorted by product; never empty.
        shortages: Vec<Shortage>,
    },
    /// Nothing is reserved for the order any more, and nothing ever will be (R12).
    StockReleased,
    /// The reserved units have left the stock.
    StockShipped,
}

impl StockOutcome {
    /// The name of the variant, as messages, tables and metrics spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StockReserved { .. } => "StockReserved",
            Self::StockRejected { .. } => "StockRejected",
            Self::StockReleased => "StockReleased",
            Self::StockShipped => "StockShipped",
        }
    }
}

/// The answer to a [`StockCommand`](crate::commands::StockCommand).
///
/// Inventory repeats the answer each time the command is repeated (R12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockAnswer {
    /// The version in which the answer is written; that of the command (R16).
    pub schema: u32,
    /// What the command led to. In JSON, its members are members of the answer.
    #[serde(flatten)]
    pub outcome: StockOutcome,
    /// The order that the command was about.
    pub order_id: OrderId,
    /// The lines of the command.
    pub lines: StockLines,
    /// The digest of the command (R14).
    pub digest: Digest,
    /// The attempt that this answers, from 1. Information, never a filter (R16).
    pub attempt: u32,
    /// When Inventory first decided, in microseconds since 1970 UTC on its clock. A repeated answer
    /// has the same value.
    pub decided_at_micros: i64,
    /// When Inventory sent this answer, in microseconds since 1970 UTC on its clock.
    pub sent_at_micros: i64,
    /// The W3C trace context of the request that caused the command, if it had one.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_the_names_in_messages() {
        for reason in [ShortageReason::OutOfStock, ShortageReason::UnknownProduct] {
            assert_eq!(serde_json::to_value(reason).expect("JSON"), reason.as_str());
        }
        for outcome in [
            StockOutcome::StockReserved { allocations: Vec::new() },
            StockOutcome::StockRejected { shortages: Vec::new() },
            StockOutcome::StockReleased,
            StockOutcome::StockShipped,
        ] {
            assert_eq!(serde_json::to_value(&outcome).expect("JSON")["type"], outcome.name());
        }
    }
}
