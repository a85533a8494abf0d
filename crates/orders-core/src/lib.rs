//! The decisions of the Order Service, as pure functions without I/O, clock or randomness.
//!
//! [`decide::decide`] turns a batch of commands and the rows that they touch into outcomes and
//! changes. [`order`] has the table of states, [`money`] the amounts. [`backoff`] and [`window`]
//! say when, and how many, unanswered commands are sent again.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod backoff;
pub mod decide;
pub mod money;
pub mod order;
pub mod window;
