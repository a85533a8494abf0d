//! The decisions of the Order Service, as pure functions without I/O, clock or randomness.
//!
//! [`decide::decide`] turns a batch of commands and the rows that they touch into outcomes and
//! changes. [`registers`] has what an order intends and has, [`mod@status`] the status function and
//! the table of requests, [`history`] the entries whose fold the registers are, [`changes`] what
//! clients did to the order, [`payment`] its balance, [`money`] amounts and currencies, and
//! [`mod@trace`] ids of traces.
//! [`backoff`] and [`window`] say when, and how many, unanswered commands are sent again.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod backoff;
pub mod changes;
pub mod decide;
pub mod history;
pub mod money;
pub mod order;
pub mod payment;
pub mod registers;
pub mod status;
pub mod trace;
mod units;
pub mod window;
