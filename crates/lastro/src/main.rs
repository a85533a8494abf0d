//! The program `lastro`: both services in one process, and the tools around them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use platform::process::{bus_url_help, listen_help, run_to_exit};

mod admin_log;
mod audit;
mod backup;
mod bench;
mod client;
mod commands;
mod demo;
mod keys;
mod migrate;
mod operator;
mod output;
mod pair;
mod repair;
mod restore;
mod serve;
#[cfg(test)]
mod tests;
mod verify;

/// Orders that are never lost, stock that is never oversold
///
/// Without a command, lastro runs both services on 127.0.0.1:8080 with their data in ./data, until
/// Ctrl-C.
#[derive(Debug, Parser)]
#[command(
    name = "lastro",
    version,
    args_conflicts_with_subcommands = true,
    mut_arg("listen", |arg| arg.help(listen_help(serve::PROGRAM.default_listen))),
    mut_arg("bus_url", |arg| arg.help(bus_url_help("embedded:")))
)]
struct Cli {
    #[command(flatten)]
    serve: serve::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run both services on a sample catalogue in a temporary folder, and show what they do
    Demo(demo::Args),
    /// Check both databases against the invariants, even while the services run
    Verify(verify::Args),
    Bench(Box<bench::Args>),
    /// Show what people did by hand at both services, and which administrative requests were refused;
    /// from the databases, or over HTTP
    AdminLog(admin_log::Args),
    /// Copy both SQLite files as they are at one moment, even while the services run
    Backup(backup::Args),
    /// Put both files of a backup where the services look for them
    Restore(restore::Args),
    /// Let the stock do what orders say, or free the units of lost orders, after one database went
    /// back in time
    Repair(repair::Args),
    /// Make, list, replace and revoke API keys
    Keys(keys::Args),
    /// Migrate PostgreSQL schemas as their owner, for services whose role may not
    Migrate(migrate::Args),
    /// List, place, change and explain orders, over HTTP
    Orders(commands::orders::Args),
    /// List, create, move, count, import, export and explain products and their stock, over HTTP
    Stock(Box<commands::stock::Args>),
    /// List, create and change the locations of stock, over HTTP
    Locations(commands::locations::Args),
    /// List the commands that wait for Inventory's answer, over HTTP; `retry` sends one or all now
    Pending(commands::pending::Args),
    /// List, show, retry and discard messages that were set aside, over HTTP
    Quarantine(commands::quarantine::Args),
    /// Print what happened to orders or stock, over HTTP; with --follow as it happens
    Events(commands::events::Args),
    /// Print the completions of a shell
    Completions(commands::shell::Completions),
    /// Write the manual pages
    Man(commands::shell::Man),
    /// Run the Order Service alone
    #[command(hide = true)]
    OrderService(orders::Args),
    /// Run the Inventory Service alone
    #[command(hide = true)]
    InventoryService(inventory::Args),
    /// Answer as the Order Service does, and store nothing: what the bench compares with
    #[command(hide = true)]
    NullServer(bench::null_server::Args),
}

fn main() -> ExitCode {
    run_to_exit(async |cli: Cli| match cli.command {
        None => serve::run(cli.serve).await,
        Some(Command::Demo(args)) => demo::run(args).await,
        Some(Command::Verify(args)) => verify::run(args).await,
        Some(Command::Bench(args)) => bench::run(*args).await,
        Some(Command::AdminLog(args)) => admin_log::run(args).await,
        Some(Command::Backup(args)) => backup::run(args).await,
        Some(Command::Restore(args)) => restore::run(args).await,
        Some(Command::Repair(args)) => repair::run(args).await,
        Some(Command::Keys(args)) => keys::run(args).await,
        Some(Command::Migrate(args)) => migrate::run(args).await,
        Some(Command::Orders(args)) => commands::orders::run(args).await,
        Some(Command::Stock(args)) => commands::stock::run(*args).await,
        Some(Command::Locations(args)) => commands::locations::run(args).await,
        Some(Command::Pending(args)) => commands::pending::run(args).await,
        Some(Command::Quarantine(args)) => commands::quarantine::run(args).await,
        Some(Command::Events(args)) => commands::events::run(args).await,
        Some(Command::Completions(args)) => args.print(Cli::command()),
        Some(Command::Man(args)) => args.write(Cli::command()),
        Some(Command::OrderService(args)) => orders::run(args).await,
        Some(Command::InventoryService(args)) => inventory::run(args).await,
        Some(Command::NullServer(args)) => bench::null_server::run(args).await,
    })
}
