//! All that the two services say to each other: ids, the registers of an order, messages and their
//! encoding.
//!
//! The Order Service owns the [`Intent`] of an order and sends it whole in a
//! [`commands::AllocateStock`]. The Inventory Service owns the [`Facts`] and replies with them,
//! whole, in an [`answers::StockAllocated`]. A [`Revision`] says which intent the facts answer; no
//! message carries a difference (R20).
//!
//! Messages travel in batches that [`codec`] writes and reads. They carry a schema version. The
//! directory `examples` keeps one example per message and version, and a test reads every example.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

mod allocation;
pub mod answers;
pub mod codec;
pub mod commands;
mod digest;
mod facts;
mod ids;
mod intent;
mod quantity;
mod revision;
mod wanted;

pub use allocation::{Allocation, Allocations, BadAllocations, MAX_ALLOCATIONS};
pub use codec::SCHEMA_VERSION;
pub use digest::Digest;
pub use facts::{Facts, Shortage, ShortageReason};
pub use ids::{BadId, LocationId, MAX_ID_LENGTH, OrderId, ProductId, is_id};
pub use intent::Intent;
pub use quantity::{BadQuantity, Quantity};
pub use revision::{BadRevision, Revision};
pub use wanted::{BadWanted, MAX_LINES, Wanted, WantedLine};
