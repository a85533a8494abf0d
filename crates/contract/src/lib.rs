//! All that the two services say to each other: ids, the lines of an order, messages and their
//! encoding.
//!
//! The Order Service sends a [`commands::StockCommand`], the Inventory Service replies with an
//! [`answers::StockAnswer`]. Both travel in batches that [`codec`] writes and reads. Messages carry
//! a schema version. The directory `examples` keeps one example per message and version, and a test
//! reads every example.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod answers;
pub mod codec;
pub mod commands;
mod digest;
mod ids;
mod lines;

pub use codec::SCHEMA_VERSION;
pub use digest::Digest;
pub use ids::{BadId, LocationId, MAX_ID_LENGTH, OrderId, ProductId, is_id};
pub use lines::{BadLines, BadQuantity, MAX_LINES, Quantity, StockLine, StockLines};
