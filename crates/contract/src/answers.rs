//! The answer that the Inventory Service publishes.
//!
//! There is one answer to every command, because it says what the order has and not what was done.
//! The answer to the placement of an order of two lines:
//!
//! ```
//! use contract::answers::StockAllocated;
//!
//! let answer: StockAllocated = serde_json::from_str(r#"
//! {"schema":1,"type":"StockAllocated","order_id":"01939c5e-6f70-7abc-8def-0123456789ab","revision":1,
//!  "allocated":[{"product_id":"456","location_id":"main","quantity":1},
//!               {"product_id":"789","location_id":"main","quantity":2}],
//!  "digest":"a772afc17ed7c8097edf4c19a73a1b8e","attempt":1,
//!  "decided_at_micros":1795804200000500,"sent_at_micros":1795804200000600}
//! "#)?;
//! assert_eq!(answer.facts.allocated.total(), 3);
//! assert!(answer.facts.shortages.is_empty());
//! # Ok::<_, serde_json::Error>(())
//! ```
//!
//! The members, in the order in which they are written:
//!
//! | Member | JSON | |
//! |---|---|---|
//! | `schema` | integer | 1 |
//! | `type` | string | always `StockAllocated` |
//! | `order_id` | string | a UUID |
//! | `revision` | integer | from 1 |
//! | `allocated` | array of [`Allocation`](crate::Allocation) | empty if the order has nothing |
//! | `shortages` | array of [`Shortage`] | left out unless the order got nothing at this revision |
//! | `booked_at` | array of [`BookedAt`] | left out unless something came back to an unknown location |
//! | `digest` | string | 32 hexadecimal digits |
//! | `attempt` | integer | from 1 |
//! | `decided_at_micros`, `sent_at_micros` | integer | microseconds since 1970 UTC |
//! | `traceparent` | string | left out if there is none |

use serde::{Deserialize, Serialize, Serializer};

use crate::allocation::Allocations;
use crate::digest::Digest;
use crate::facts::{Facts, Shortage};
use crate::ids::OrderId;
use crate::returned::BookedAt;
use crate::revision::Revision;

/// The channel of the bus on which the Inventory Service publishes answers.
pub const ANSWERS_CHANNEL: &str = "orders.answers";

/// Says what an order has of the stock: the answer to an
/// [`AllocateStock`](crate::commands::AllocateStock).
///
/// Inventory repeats its facts whenever the command, or one of a lower revision, comes again (R21).
/// The answer to a command that was overtaken names a higher revision and another digest than the
/// command. If an answer is lost, the Order Service repeats the command, so Inventory keeps no list
/// of what it still has to send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub struct StockAllocated {
    /// The version in which the answer is written; that of the command (R16).
    pub schema: u32,
    /// The order.
    pub order_id: OrderId,
    /// All that the order has. `revision`, `allocated`, `shortages` and `booked_at` are members of
    /// the message.
    pub facts: Facts,
    /// The digest of the intent that Inventory carried out (R14). An answer of the current revision
    /// with another digest than the order's is an anomaly.
    pub digest: Digest,
    /// The attempt that this answers, from 1. Information, never a filter (R16).
    pub attempt: u32,
    /// When Inventory carried out the revision, in microseconds since 1970 UTC on its clock. A
    /// repeated answer has the same value. Orders keeps it in the history of the order.
    pub decided_at_micros: i64,
    /// When Inventory sent this answer, in microseconds since 1970 UTC on its clock.
    pub sent_at_micros: i64,
    /// The `traceparent` of the command (W3C Trace Context), if it had one, unchanged.
    pub traceparent: Option<String>,
}

/// The member `type`, by which a reader of the broker's messages tells them apart.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
enum Type {
    StockAllocated,
}

/// Says what an order has of the stock: the answer to an `AllocateStock`.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = StockAllocated))]
struct Wire {
    /// The version in which the message is written; that of the command.
    #[serde(deserialize_with = "crate::codec::known_version")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    schema: u32,
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    _kind: Type,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    order_id: OrderId,
    /// The number of the intent that Inventory carried out last.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    revision: Revision,
    /// All that the order has, sorted by product and location.
    #[cfg_attr(feature = "openapi", schema(
        value_type = Vec<crate::Allocation>, max_items = 4000,
    ))]
    allocated: Allocations,
    /// The products that were short; absent unless the order got nothing at this revision.
    #[serde(default)]
    shortages: Vec<Shortage>,
    /// Where returns to locations that Inventory does not know were booked; absent without such.
    #[serde(default)]
    booked_at: Vec<BookedAt>,
    /// The digest of that intent.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{32}$"))]
    digest: Digest,
    /// The number of the sending that this answers, from 1.
    attempt: u32,
    /// When Inventory carried the intent out, in microseconds since 1970 UTC on its clock.
    decided_at_micros: i64,
    /// Microseconds since 1970 UTC on the clock of the sender.
    sent_at_micros: i64,
    /// The `traceparent` of the command (W3C Trace Context), if it had one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    traceparent: Option<String>,
}

#[cfg(feature = "openapi")]
crate::described_as!(StockAllocated);

impl From<Wire> for StockAllocated {
    fn from(wire: Wire) -> Self {
        Self {
            schema: wire.schema,
            order_id: wire.order_id,
            facts: Facts {
                revision: wire.revision,
                allocated: wire.allocated,
                shortages: wire.shortages,
                booked_at: wire.booked_at,
            },
            digest: wire.digest,
            attempt: wire.attempt,
            decided_at_micros: wire.decided_at_micros,
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
    allocated: &'a [crate::Allocation],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shortages: &'a [Shortage],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    booked_at: &'a [BookedAt],
    digest: Digest,
    attempt: u32,
    decided_at_micros: i64,
    sent_at_micros: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

impl Serialize for StockAllocated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = WireRef {
            schema: self.schema,
            kind: Type::StockAllocated,
            order_id: self.order_id,
            revision: self.facts.revision,
            allocated: &self.facts.allocated,
            shortages: &self.facts.shortages,
            booked_at: &self.facts.booked_at,
            digest: self.digest,
            attempt: self.attempt,
            decided_at_micros: self.decided_at_micros,
            sent_at_micros: self.sent_at_micros,
            traceparent: self.traceparent.as_deref(),
        };
        wire.serialize(serializer)
    }
}
