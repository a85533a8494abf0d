//! All that the two services say to each other.
//!
//! The Order Service sends [`commands::StockCommand`]s, the Inventory Service answers with [`answers::StockAnswer`]s, both in
//! batches through [`codec`]. Whatever leaves here is versioned, and one stored example per message and version
//! (`examples/`) is read back for ever.
#![forbid(unsafe_code)]

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
