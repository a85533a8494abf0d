//! The simulator.
#![forbid(unsafe_code)]

mod exhaustive;

use std::process::ExitCode;

fn main() -> ExitCode {
    exhaustive::run()
}
