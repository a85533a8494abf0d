//! The Order Service: accepts customers' orders, stores them, and drives each one to its outcome.
#![forbid(unsafe_code)]

mod answered;
mod http;
mod metrics;
mod page;
mod run;
mod waiters;

pub mod audit;
pub mod service;
pub mod store;
pub mod worker;

use platform::pairing::Names;

pub use http::{EVENT_TYPES, ReadOrder, read_order, read_placement, write_receipt};
pub use page::dashboard;
pub use run::{
    Args, CHANNELS, Dependencies, Opened, PROGRAM, Parts, admin_log, assemble, build, main,
    migrate, open_for_audit, open_for_backup, open_keys, open_store, parse_currency, run,
};

/// The names of both services at the broker (R31).
pub const NAMES: Names = Names { own: SERVICE, peer: "inventory" };
/// The service's name in metrics and logs.
pub const SERVICE: &str = "orders";
