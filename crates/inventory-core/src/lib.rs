//! The decisions of the Inventory Service, as pure functions without I/O, clock or randomness.
//!
//! [`decide::decide`] turns a batch of commands and the rows that they touch into outcomes and
//! changes. [`reservation`] has the table of states of a reservation, [`stock`] the levels and the
//! movements that explain them.
#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::missing_errors_doc)]

pub mod admin;
pub mod decide;
pub mod reservation;
pub mod stock;
