//! What the Order Service decides, as pure functions: no I/O, no clock, no randomness.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod decide;
pub mod money;
pub mod order;
pub mod window;
