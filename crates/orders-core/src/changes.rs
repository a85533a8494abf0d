//! What clients did to an accepted order: shipments, returns and cancellations of lines.
//!
//! None of them is stored a second time. Each is the difference that its entry of the history makes
//! to a register.

use contract::{Allocations, Digest, ProductId, Quantity, Returned, Revision};

/// The `Idempotency-Key` of a change. Keys of changes belong to one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The key as the client sent it, behind the client that it belongs to.
    pub key: String,
    /// The digest of the request, by which a repeat is told from another request.
    pub digest: Digest,
}

/// A key that made an entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The key.
    pub key: RequestKey,
    /// The number of the entry.
    pub seq: u32,
}

/// How a customer follows a shipment, in the words of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// The carrier, at most 200 characters.
    pub carrier: Option<String>,
    /// The carrier's number, at most 100 characters.
    pub number: Option<String>,
    /// An `https` address, at most 500 characters.
    pub url: Option<String>,
}

/// Units that left the stock together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The number of the entry that made it: its id.
    pub seq: u32,
    /// The revision that ships it.
    pub revision: Revision,
    /// The units.
    pub lines: Allocations,
    /// How to follow it.
    pub tracking: Option<Tracking>,
    /// When it was requested, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// The revision that cancels it, if a client asked for that.
    pub cancelled_by: Option<Revision>,
}

/// The state of a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShipmentState {
    /// Inventory has not answered yet.
    Shipping,
    /// The units have left the stock.
    Shipped,
    /// A client cancelled it, and Inventory has not answered yet.
    Cancelling,
    /// The units are held for the order again.
    Cancelled,
}

impl ShipmentState {
    /// The name in the API, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shipping => "shipping",
            Self::Shipped => "shipped",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Shipment {
    /// The state of the shipment when Inventory has answered this revision of the order.
    pub fn state(&self, settled: Option<Revision>) -> ShipmentState {
        let answered = |revision| settled >= Some(revision);
        match self.cancelled_by {
            Some(revision) if answered(revision) => ShipmentState::Cancelled,
            Some(_) => ShipmentState::Cancelling,
            None if answered(self.revision) => ShipmentState::Shipped,
            None => ShipmentState::Shipping,
        }
    }
}

/// Units that came back from the customer together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The number of the entry that made it: its id.
    pub seq: u32,
    /// The revision that books it.
    pub revision: Revision,
    /// The units, and what became of them.
    pub lines: Returned,
    /// Why, in the words of the client, if it said so.
    pub reason: Option<String>,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
}

/// Units that a client cancelled, while others of the order were kept or shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The number of the entry that made it.
    pub seq: u32,
    /// The revision that releases the units.
    pub revision: Revision,
    /// The units, sorted by product.
    pub lines: Vec<(ProductId, Quantity)>,
    /// By how much the value of the order fell, in minor units.
    pub amount_minor: i64,
    /// Why, in the words of the client, if it said so.
    pub reason: Option<String>,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
}
