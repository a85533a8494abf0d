//! Faults under load: whatever the fault, the invariants hold once it is over.
//!
//! The programs under test are built with the feature `fault-points`, so that a test can choose
//! where they die.

mod broker;
mod changes;
mod channels;
mod checkpoints;
mod clocks;
mod crash_points;
mod large_messages;
mod messages;
mod panics;
mod slow_clients;
