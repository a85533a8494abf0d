//! All that the two services say to each other: ids, the registers of an order, messages and their
//! encoding.
//!
//! The Order Service owns the [`Intent`] of an order and sends it whole in a
//! [`commands::AllocateStock`]. The Inventory Service owns the [`Facts`] and replies with them,
//! whole, in an [`answers::StockAllocated`]. A [`Revision`] says which intent the facts answer; no
//! message carries a difference (R20).
//!
//! # One order, as the services talk about it
//!
//! | Orders sends | Inventory replies |
//! |---|---|
//! | revision 1: wanted are 1 of 456 and 2 of 789 | revision 1: allocated are 1 of 456 and 2 of 789, at `main` |
//! | revision 2: the same is wanted, and all of it shall be shipped | revision 2: the same is allocated |
//! | revision 3: one unit of 789 came back and can be sold again | revision 3: the same is allocated |
//!
//! A cancelled order sends revision 2 with 0 of each product, and Inventory replies that nothing is
//! allocated. If stock is short, Inventory replies to revision 1 that nothing is allocated, with one
//! [`Shortage`] per short product. So it does to a later revision that wants more than the order
//! has: one that was expired, sent 0 of each product, and is paid after all.
//!
//! Whatever the bus loses, repeats or reorders, the receiver compares revisions: the higher one
//! replaces the lower one, and the same one changes nothing. So neither service has to know what the
//! other one received before.
//!
//! # What a receiver does with a message
//!
//! | The message | Inventory, with a command | Orders, with an answer |
//! |---|---|---|
//! | is of a higher revision than its own | carries it out, and answers | sets it aside: no order is behind Inventory (INV-5) |
//! | is of its own revision and digest | answers the same facts again | takes the facts, or drops a repeat |
//! | is of a lower revision | answers the facts that it has | drops it |
//! | contradicts what the receiver knows | sets it aside, and does not answer | sets it aside |
//! | is [`Malformed`](codec::Undecodable::Malformed) | sets it aside | sets it aside |
//! | is of an [`UnknownVersion`](codec::Undecodable::UnknownVersion) | drops and counts it | drops and counts it |
//!
//! *Sets aside* means that the message goes to the table `quarantine` with a reason, and changes
//! nothing else. The receiver acknowledges every one of these messages, after it has committed what
//! the table says (R16), so the broker does not deliver them again. The Order Service sends a
//! command again until Inventory answers its revision (R7, R8).
//!
//! # Bounds
//!
//! An order has at most [`MAX_LINES`] products of at most [`Quantity::MAX`] units each, and at most
//! [`MAX_ALLOCATIONS`] allocations. With the longest ids ([`MAX_ID_LENGTH`]), every message then fits
//! into 1 MiB, which is what NATS allows unless it is configured otherwise (R17).
//!
//! # Encoding
//!
//! Messages travel in batches that [`codec`] writes and reads. They carry a schema version. The
//! directory `examples` keeps one example per message and version, and a test reads every example.
//!
//! A message is a JSON object (RFC 8259). The writer keeps the order of the members and writes no
//! white space. The reader takes members in any order and ignores those that it does not know,
//! except in a line of `wanted`, which must have no others. A required member that is missing, and
//! a member that occurs twice or has the wrong type, make the message malformed. All numbers are
//! integers: `1.0` is malformed.
//!
//! Times are microseconds since 1970-01-01T00:00:00Z on the clock of the sender. The clocks of the
//! services need not agree: no decision depends on the times in messages. Until the year 2255 such
//! a number is below 2⁵³, so a reader that keeps numbers as doubles loses nothing.
//!
//! # Errors
//!
//! The errors `Bad…` say that a value breaks a rule. They depend on the value alone, so a retry
//! with the same value fails again. In a message, they make the message malformed; in a request,
//! the service refuses the request. Their texts are for people.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

/// Describes a message by its members on the wire.
#[cfg(feature = "openapi")]
macro_rules! described_as {
    ($message:ty) => {
        impl utoipa::PartialSchema for $message {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                <Wire as utoipa::PartialSchema>::schema()
            }
        }

        impl utoipa::ToSchema for $message {
            fn name() -> std::borrow::Cow<'static, str> {
                <Wire as utoipa::ToSchema>::name()
            }

            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
            ) {
                <Wire as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}
#[cfg(feature = "openapi")]
pub(crate) use described_as;

mod allocation;
pub mod answers;
pub mod codec;
pub mod commands;
mod digest;
mod facts;
mod ids;
mod intent;
mod quantity;
mod returned;
mod revision;
mod wanted;

pub use allocation::{Allocation, Allocations, BadAllocations, MAX_ALLOCATIONS};
pub use codec::SCHEMA_VERSION;
pub use digest::Digest;
pub use facts::{Facts, Shortage, ShortageReason};
pub use ids::{BadId, LocationId, MAX_ID_LENGTH, OrderId, ProductId, is_id};
pub use intent::Intent;
pub use quantity::{BadQuantity, Quantity};
pub use returned::{BadReturned, BookedAt, MAX_RETURNED, Returned, ReturnedUnits};
pub use revision::{BadRevision, Revision};
pub use wanted::{BadWanted, MAX_LINES, Wanted, WantedLine};

/// The channels between the services, at a broker without the name of the deployment in front.
pub const CHANNELS: [&str; 2] = [commands::COMMANDS_CHANNEL, answers::ANSWERS_CHANNEL];
