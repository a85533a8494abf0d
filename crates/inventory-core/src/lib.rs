//! What the Inventory Service decides, as pure functions: no I/O, no clock, no randomness.
#![forbid(unsafe_code)]

pub mod decide;
pub mod reservation;
pub mod stock;
