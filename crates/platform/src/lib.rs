//! Plumbing that both services stand on. It knows no order, no stock and no message: bytes go over the bus.
#![forbid(unsafe_code)]

pub mod clock;
pub mod sqlite;
pub mod relay;
pub mod lifecycle;
pub mod bus;
pub mod batcher;
pub mod body;
pub mod problem;
