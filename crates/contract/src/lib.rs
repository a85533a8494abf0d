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
//!
//! A cancelled order sends revision 2 with 0 of each product, and Inventory replies that nothing is
//! allocated. If stock is short, Inventory replies to revision 1 that nothing is allocated, with one
//! [`Shortage`] per short product.
//!
//! Whatever the bus loses, repeats or reorders, the receiver compares revisions: the higher one
//! replaces the lower one, and the same one changes nothing. So neither service has to know what the
//! other one received before.
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
