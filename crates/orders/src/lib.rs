//! The Order Service: takes customers' orders, keeps them, and sees each through to its outcome.
#![forbid(unsafe_code)]

pub mod core;
pub mod store;
