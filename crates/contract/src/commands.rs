//! The command that the Order Service publishes.
//!
//! There is one command for everything that can happen to an order, because it says how the order
//! shall be and not what happened to it. An order of two lines, as it is placed:
//!
//! ```json
//! {"schema":1,"type":"AllocateStock","order_id":"01939c5e-6f70-7abc-8def-0123456789ab","revision":1,
//!  "wanted":[{"product_id":"456","quantity":1},{"product_id":"789","quantity":2}],
//!  "digest":"a772afc17ed7c8097edf4c19a73a1b8e","attempt":1,"sent_at_micros":1795804200000000}
//! ```
//!
//! Members that are empty or absent are left out: `shipped` until something shall be shipped, and
//! `traceparent` of a request that had none.

use serde::{Deserialize, Serialize, Serializer};

use crate::SCHEMA_VERSION;
use crate::allocation::Allocations;
use crate::digest::Digest;
use crate::ids::OrderId;
use crate::intent::Intent;
use crate::revision::Revision;
use crate::wanted::Wanted;

/// The channel of the bus on which the Order Service publishes commands.
pub const COMMANDS_CHANNEL: &str = "inventory.commands";

/// Asks Inventory to make the stock of one order what the order's intent says.
///
/// Inventory carries the intent out if its revision is above the one that it carried out last, and
/// replies with its facts in any case (R21).
///
/// The Order Service sends the command again, with a growing `attempt`, until Inventory answers it
/// (R8). Inventory takes a command whose digest is not that of its intent for an anomaly (R14).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub struct AllocateStock {
    /// The version in which the command is written; at most [`SCHEMA_VERSION`] after decoding.
    pub schema: u32,
    /// The order that the command is about.
    pub order_id: OrderId,
    /// The whole intent of the order. Its members are members of the message.
    pub intent: Intent,
    /// The digest of the intent, computed when the revision was made, and sent as stored (R14).
    pub digest: Digest,
    /// 1 for the first sending. Information, never a filter (R16).
    pub attempt: u32,
    /// When this attempt was sent, in microseconds since 1970 UTC on the sender's clock.
    pub sent_at_micros: i64,
    /// The W3C trace context of the request that caused the revision, if it had one.
    pub traceparent: Option<String>,
}

impl AllocateStock {
    /// The first sending of a revision, in the version of this build.
    pub fn first(order_id: OrderId, intent: Intent, digest: Digest, sent_at_micros: i64) -> Self {
        Self {
            schema: SCHEMA_VERSION,
            order_id,
            intent,
            digest,
            attempt: 1,
            sent_at_micros,
            traceparent: None,
        }
    }
}

/// The member `type`, by which a reader of the broker's messages tells them apart.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Type {
    AllocateStock,
}

/// The members of the message, in their order. Empty and absent members are left out.
#[derive(Deserialize)]
struct Wire {
    schema: u32,
    #[serde(rename = "type")]
    _kind: Type,
    order_id: OrderId,
    revision: Revision,
    wanted: Wanted,
    #[serde(default)]
    shipped: Allocations,
    digest: Digest,
    attempt: u32,
    sent_at_micros: i64,
    #[serde(default)]
    traceparent: Option<String>,
}

impl From<Wire> for AllocateStock {
    fn from(wire: Wire) -> Self {
        Self {
            schema: wire.schema,
            order_id: wire.order_id,
            intent: Intent { revision: wire.revision, wanted: wire.wanted, shipped: wire.shipped },
            digest: wire.digest,
            attempt: wire.attempt,
            sent_at_micros: wire.sent_at_micros,
            traceparent: wire.traceparent,
        }
    }
}

/// The same members, borrowed, so that writing a message copies nothing.
#[derive(Serialize)]
struct WireRef<'a> {
    schema: u32,
    #[serde(rename = "type")]
    kind: Type,
    order_id: OrderId,
    revision: Revision,
    wanted: &'a [crate::WantedLine],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shipped: &'a [crate::Allocation],
    digest: Digest,
    attempt: u32,
    sent_at_micros: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

impl Serialize for AllocateStock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = WireRef {
            schema: self.schema,
            kind: Type::AllocateStock,
            order_id: self.order_id,
            revision: self.intent.revision,
            wanted: self.intent.wanted.iter().as_slice(),
            shipped: &self.intent.shipped,
            digest: self.digest,
            attempt: self.attempt,
            sent_at_micros: self.sent_at_micros,
            traceparent: self.traceparent.as_deref(),
        };
        wire.serialize(serializer)
    }
}
