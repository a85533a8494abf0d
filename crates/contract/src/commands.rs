//! The commands that the Order Service publishes.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::OrderId;
use crate::lines::StockLines;

/// The channel of the bus on which the Order Service publishes commands.
pub const COMMANDS_CHANNEL: &str = "lastro.inventory.commands";

/// What the Order Service can ask of the stock of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StockCommandKind {
    /// Reserve every line of the order, or none.
    ReserveStock,
    /// Make the reserved units available again, and reserve nothing for this order from now on.
    ReleaseStock,
    /// Take the reserved units out of the stock.
    ShipStock,
}

impl StockCommandKind {
    /// All kinds, in the order of the variants.
    pub const ALL: [Self; 3] = [Self::ReserveStock, Self::ReleaseStock, Self::ShipStock];

    /// The name of the kind, as messages and tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReserveStock => "ReserveStock",
            Self::ReleaseStock => "ReleaseStock",
            Self::ShipStock => "ShipStock",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One command about the stock of one order.
///
/// The Order Service sends it again, with a growing `attempt`, until it is answered (R8). A command
/// is an anomaly if its digest is not the digest of its lines, or not that of the reservation
/// (R14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockCommand {
    /// The version in which the command is written; at most
    /// [`SCHEMA_VERSION`](crate::SCHEMA_VERSION) after decoding.
    pub schema: u32,
    /// What the command asks for. The member is called `type` in JSON.
    #[serde(rename = "type")]
    pub kind: StockCommandKind,
    /// The order that the command is about.
    pub order_id: OrderId,
    /// The lines of the order; the same in every command about it.
    pub lines: StockLines,
    /// The digest of the lines, computed when the order was accepted (R14).
    pub digest: Digest,
    /// 1 for the first sending. Information, never a filter (R16).
    pub attempt: u32,
    /// When this attempt was sent, in microseconds since 1970 UTC on the sender's clock.
    pub sent_at_micros: i64,
    /// The W3C trace context of the request that caused the command, if it had one.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_equal_the_names_in_messages_and_read_back() {
        for kind in StockCommandKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
            assert_eq!(StockCommandKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(StockCommandKind::parse("StealStock"), None);
    }
}
