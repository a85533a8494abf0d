//! Faults under load: whatever broke, the invariants hold once it is over.
//!
//! The programs under test are built with the feature `fault-points`, and so can be told where to
//! die.

mod broker;
mod checkpoints;
mod clocks;
mod crash_points;
mod messages;
mod panics;
mod slow_clients;
