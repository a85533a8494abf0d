//! Messaging and process plumbing that both services stand on. It knows no order, no stock and no message: bytes go over
//! the bus.
#![forbid(unsafe_code)]

pub mod audit;
pub mod batcher;
pub mod bus;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod failure;
pub mod lifecycle;
pub mod process;
pub mod quarantine;
pub mod readiness;
pub mod relay;
pub mod telemetry;
