//! Faults under load, in every form of the shop: whatever broke, the invariants hold once it is over.
//!
//! The programs under test are built with `fault-points`, which tells them where to die; see `platform::fault`.

mod broker;
mod checkpoints;
mod clocks;
mod crash_points;
mod messages;
mod operator;
mod panics;
mod slow_clients;
