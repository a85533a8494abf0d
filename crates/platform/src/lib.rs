//! Messaging and process plumbing for both services: batching, the bus, the audit's engine,
//! configuration, logs, metrics and traces, start-up and shutdown.
//!
//! This crate knows nothing of orders, stock or the messages between the services. It moves bytes.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod admin;
pub mod audit;
pub mod batcher;
pub mod bus;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod failure;
pub mod journal;
pub mod keys;
pub mod lifecycle;
pub mod log_limit;
mod outbound;
pub mod pairing;
pub mod process;
pub mod quarantine;
pub mod rate;
pub mod readiness;
pub mod relay;
pub mod telemetry;
pub mod tokens;
