//! The command that the Order Service publishes.
//!
//! There is one command for everything that can happen to an order, because it says how the order
//! shall be and not what happened to it. An order of two lines, as it is placed:
//!
//! ```
//! use contract::commands::AllocateStock;
//!
//! let command: AllocateStock = serde_json::from_str(r#"
//! {"schema":1,"type":"AllocateStock","order_id":"01939c5e-6f70-7abc-8def-0123456789ab","revision":1,
//!  "wanted":[{"product_id":"456","quantity":1},{"product_id":"789","quantity":2}],
//!  "digest":"a772afc17ed7c8097edf4c19a73a1b8e","attempt":1,"sent_at_micros":1795804200000000}
//! "#)?;
//! assert_eq!(command.intent.wanted.total(), 3);
//! // Inventory checks this first (R14).
//! assert_eq!(command.digest, command.intent.digest());
//! # Ok::<_, serde_json::Error>(())
//! ```
//!
//! The members, in the order in which they are written:
//!
//! | Member | JSON | |
//! |---|---|---|
//! | `schema` | integer | 1 |
//! | `type` | string | always `AllocateStock` |
//! | `order_id` | string | a UUID |
//! | `revision` | integer | from 1 |
//! | `wanted` | array of [`WantedLine`](crate::WantedLine) | every product of the order, also with 0 units |
//! | `shipped` | array of [`Allocation`](crate::Allocation) | left out until something shall be shipped |
//! | `returned` | array of [`ReturnedUnits`](crate::ReturnedUnits) | left out until something came back |
//! | `digest` | string | 32 hexadecimal digits |
//! | `attempt` | integer | from 1 |
//! | `sent_at_micros` | integer | microseconds since 1970 UTC |
//! | `traceparent` | string | left out if the request had none |

use serde::{Deserialize, Serialize, Serializer};

use crate::SCHEMA_VERSION;
use crate::allocation::Allocations;
use crate::digest::Digest;
use crate::ids::OrderId;
use crate::intent::Intent;
use crate::returned::Returned;
use crate::revision::Revision;
use crate::wanted::Wanted;

/// The channel of the bus on which the Order Service publishes commands.
pub const COMMANDS_CHANNEL: &str = "inventory.commands";

/// Asks Inventory to make the stock of one order what the order's intent says.
///
/// Inventory carries the intent out if its revision is above the one that it carried out last. It
/// replies with its facts whether it did or not (R21). It does not answer an anomaly.
///
/// The Order Service sends the command again, with a growing `attempt`, until Inventory answers it
/// (R8). Each attempt carries the newest revision, so several changes during an outage are one
/// command (R21). Inventory takes a command whose digest is not that of its intent for an anomaly
/// (R14).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub struct AllocateStock {
    /// The version in which the command is written; at most [`SCHEMA_VERSION`] after decoding.
    pub schema: u32,
    /// The order that the command is about.
    pub order_id: OrderId,
    /// The whole intent of the order. `revision`, `wanted`, `shipped` and `returned` are members of
    /// the message.
    pub intent: Intent,
    /// The digest of the intent, computed when the revision was made, and sent as stored (R14).
    pub digest: Digest,
    /// The number of this sending: 1 for the first one of a revision. Information, never a filter
    /// (R16).
    pub attempt: u32,
    /// When this attempt was sent, in microseconds since 1970 UTC on the sender's clock.
    pub sent_at_micros: i64,
    /// The `traceparent` of the request that caused the revision (W3C Trace Context), if it had a
    /// valid one. The HTTP edge checks it, and limits it to 255 bytes; this crate does not.
    pub traceparent: Option<String>,
}

impl AllocateStock {
    /// The first sending of a revision, in the version of this build and without `traceparent`.
    ///
    /// `digest` is what is stored for the revision: [`Intent::digest`], computed when it was made.
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
enum Type {
    AllocateStock,
}

/// Asks Inventory to make the stock of one order what the order's intent says.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = AllocateStock))]
struct Wire {
    /// The version in which the message is written.
    #[serde(deserialize_with = "crate::codec::known_version")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    schema: u32,
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    _kind: Type,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    order_id: OrderId,
    /// The number of the intent, from 1. The higher one replaces the lower one.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    revision: Revision,
    /// Every product of the order, sorted by id, also with 0 units.
    #[cfg_attr(feature = "openapi", schema(
        value_type = Vec<crate::WantedLine>, min_items = 1, max_items = 100,
    ))]
    wanted: Wanted,
    /// What shall be shipped, sorted by product and location; absent until something shall be.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(
        value_type = Vec<crate::Allocation>, max_items = 4000,
    ))]
    shipped: Allocations,
    /// What came back, sorted by product and location; absent until something did.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(
        value_type = Vec<crate::ReturnedUnits>, max_items = 1000,
    ))]
    returned: Returned,
    /// The digest of the intent.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{32}$"))]
    digest: Digest,
    /// The number of this sending, from 1.
    attempt: u32,
    /// Microseconds since 1970 UTC on the clock of the sender.
    sent_at_micros: i64,
    /// The `traceparent` of the request (W3C Trace Context), if it had one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    traceparent: Option<String>,
}

#[cfg(feature = "openapi")]
crate::described_as!(AllocateStock);

impl From<Wire> for AllocateStock {
    fn from(wire: Wire) -> Self {
        Self {
            schema: wire.schema,
            order_id: wire.order_id,
            intent: Intent {
                revision: wire.revision,
                wanted: wire.wanted,
                shipped: wire.shipped,
                returned: wire.returned,
            },
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    returned: &'a [crate::ReturnedUnits],
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
            returned: &self.intent.returned,
            digest: self.digest,
            attempt: self.attempt,
            sent_at_micros: self.sent_at_micros,
            traceparent: self.traceparent.as_deref(),
        };
        wire.serialize(serializer)
    }
}
