//! The simulator: the real code of both services, their databases, a broker and clients, on one
//! thread, driven by one seed.
#![forbid(unsafe_code)]

mod audit_reads;
mod boot;
mod broker;
mod client;
mod clocks;
mod config;
mod connection;
mod corpus;
mod coverage;
mod databases;
mod describe;
mod executor;
mod exhaustive;
mod faults;
mod fold;
mod history;
mod hunt;
mod invariants;
mod journals;
mod ledgers;
mod locks;
mod mistakes;
mod monitor;
mod network;
mod node;
mod port;
mod pre_state;
mod published;
mod random;
mod repairs;
mod replicas;
mod run;
mod scenario;
mod seeds;
mod shrink;
mod spoil;
mod states;
mod storage;
mod table;
mod trace;
mod verdict;
mod version;
mod workload;
mod world;
mod wrappers;

use std::process::ExitCode;

use clap::Parser;

use config::Config;
use mistakes::Planted;
use wrappers::Wrappers;

/// Simulates both services, their databases, a broker and clients under faults that a seed decides.
///
/// Exits with 1 if an invariant was violated.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Cli {
    /// How many seeds to run
    #[arg(long, default_value_t = 1000, value_name = "N")]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// Run one world and print its trace: a seed, or a whole configuration as the simulator prints
    /// it
    #[arg(long, value_name = "SEED", value_parser = config)]
    seed: Option<Config>,
    /// Plant a mistake in the services and look for it: its name, or `all`
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// Worlds that run side by side
    #[arg(long, default_value_t = cores(), value_name = "N")]
    jobs: usize,
    #[command(flatten)]
    exhaustive: exhaustive::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let planted = match cli.planted.as_deref().map(mistakes::find).transpose() {
        Ok(planted) => planted.unwrap_or_default(),
        Err(why) => return refuse(&why),
    };
    let Planted { services, numbering } = planted;
    let is_well = match (&cli.seed, services, numbering) {
        (_, [], []) if cli.exhaustive.exhaustive => exhaustive::run(&cli.exhaustive),
        _ if cli.exhaustive.exhaustive => hunt::exhaustive::hunt(planted, &cli.exhaustive),
        (_, [], [mistake]) => {
            return refuse(&format!("only with --exhaustive: {}", mistake.name));
        }
        (Some(config), [], _) => replay(config, Wrappers::NONE),
        (Some(config), [mistake], _) => replay(config, mistake.wrappers),
        (Some(_), ..) => return refuse("one world makes one mistake: --planted with its name"),
        (None, [], _) => seeds::run(cli.from, cli.seeds, cli.jobs),
        (None, mistakes, _) => hunt::hunt(mistakes, cli.from, cli.seeds, cli.jobs),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("sim: {why}");
    ExitCode::from(2)
}

/// Runs one world and prints its trace. Returns false if there is a violation.
fn replay(config: &Config, wrappers: Wrappers) -> bool {
    let report = run::run(config, wrappers, true);
    report.print();
    report.violation.is_none()
}

fn config(text: &str) -> Result<Config, String> {
    Config::parse(text).ok_or_else(|| "neither a seed nor a configuration".to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
