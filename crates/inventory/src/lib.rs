//! The Inventory Service: owns the stock. It alone decides availability (R15).
#![forbid(unsafe_code)]

mod http;
mod metrics;
mod repair;
mod run;

pub mod audit;
pub mod service;
pub mod store;
pub mod worker;

use platform::pairing::Names;

pub use http::EVENT_TYPES;
pub use http::{Counted, Row, RowFault, read_rows};
pub use repair::{Repair, release_rest};
pub use run::{
    Args, CHANNELS, Dependencies, Opened, PROGRAM, Parts, admin_log, assemble, build, main,
    migrate, open_for_audit, open_for_backup, open_keys, open_store, run,
};

/// The names of both services at the broker (R31).
pub const NAMES: Names = Names { own: SERVICE, peer: "orders" };
/// The service's name in metrics and logs.
pub const SERVICE: &str = "inventory";
