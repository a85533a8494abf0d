//! What the Order Service publishes.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::OrderId;
use crate::lines::StockLines;

/// Where commands are published.
pub const COMMANDS_CHANNEL: &str = "lastro.inventory.commands";

/// What the Order Service can ask of the stock of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StockCommandKind {
    ReserveStock,
    ReleaseStock,
    ShipStock,
}

impl StockCommandKind {
    pub const ALL: [Self; 3] = [Self::ReserveStock, Self::ReleaseStock, Self::ShipStock];

    /// As messages and tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReserveStock => "ReserveStock",
            Self::ReleaseStock => "ReleaseStock",
            Self::ShipStock => "ShipStock",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A command, sent again and again with a growing `attempt` until it is answered (R8).
///
/// **Errors:** a digest that is not that of the lines, or not that of the reservation, is an anomaly (R14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommand {
    pub schema: u32,
    #[serde(rename = "type")]
    pub kind: StockCommandKind,
    pub order_id: OrderId,
    pub lines: StockLines,
    pub digest: Digest,
    /// 1 for the first sending. Information, never a filter (R16).
    pub attempt: u32,
    /// Microseconds since the epoch, on the sender's clock.
    pub sent_at_micros: i64,
    /// W3C trace context of the request that caused the command.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_messages_have_and_read_back() {
        for kind in StockCommandKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
            assert_eq!(StockCommandKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(StockCommandKind::parse("StealStock"), None);
    }
}
