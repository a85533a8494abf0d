//! End to end: every test starts the real program on a port and in a folder of its own, and speaks HTTP with it.
//!
//! [`shop`] and [`answer`] are all that know how; the tests say what must hold. Some print what they saw:
//! `cargo test -p lastro --test e2e -- --show-output`.
#![forbid(unsafe_code)]

mod answer;
mod api_table;
mod auditing;
mod bench;
mod clocks;
mod contention;
mod crash;
mod crashing;
mod docs;
mod faults;
mod form;
mod golden;
mod hostile;
mod inventory;
mod load;
mod log;
mod operations;
mod orders;
mod random;
mod shop;
mod wire;
