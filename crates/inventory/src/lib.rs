//! The Inventory Service: owns the stock. It alone decides availability (R15).
#![forbid(unsafe_code)]

mod http;
mod metrics;
mod run;

pub mod audit;
pub mod service;
pub mod store;
pub mod worker;

pub use run::{
    Args, Dependencies, PROGRAM, Parts, assemble, build, main, migrate, open_for_audit, open_store,
    run,
};

/// The service's name in metrics and logs.
pub const SERVICE: &str = "inventory";
