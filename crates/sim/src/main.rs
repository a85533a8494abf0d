//! The simulator.
#![forbid(unsafe_code)]

mod exhaustive;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Cli {
    #[command(flatten)]
    exhaustive: exhaustive::Args,
}

fn main() -> ExitCode {
    exhaustive::run(&Cli::parse().exhaustive)
}
