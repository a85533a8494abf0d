//! `lastro bench --suite`: measures by itself, on servers of its own, what the project claims about
//! its speed, and prints one table of ratios. A ratio to what the same machine does otherwise says
//! the same on every machine; a number of orders per second does not.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use platform::process::ProgramError;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::progress;
use rows::Row;
use servers::{Installed, Postgres};
use shop::{Data, Form};
use table::Table;

mod flood;
mod loader;
mod measure;
mod naive;
pub(crate) mod null_server;
mod peak;
mod resources;
mod rows;
mod servers;
mod shop;
mod table;

// clap would show a doc comment here as the description of the command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Suite")]
pub(super) struct SuiteArgs {
    /// Measure everything that the project claims about its speed, one row after the other, on
    /// throwaway servers and data in a temporary folder. Takes hours, and needs PostgreSQL and NATS
    #[arg(long, conflicts_with_all = ["rate", "connections", "clients", "warm_up", "duration", "products",
        "popularity", "zipf_exponent", "lines", "stock", "seed", "settle_sample", "changes", "url", "orders_url",
        "inventory_url", "metrics_url", "bus_url"])]
    pub(super) suite: bool,
    /// Only this row; repeat it for several
    #[arg(long, value_enum, value_name = "ROW", requires = "suite")]
    row: Vec<Row>,
    /// Short and few measurements, which show only that the suite works
    #[arg(long, requires = "suite")]
    quick: bool,
    /// How often each row is measured; the table shows medians [default: 3, with --quick 1]
    #[arg(long, value_name = "N", requires = "suite", value_parser = clap::value_parser!(u16).range(1..=99))]
    runs: Option<u16>,
    /// Stored orders of the rows `stored` and `start` [default: 5000000, with --quick 20000]
    #[arg(long, value_name = "N", requires = "suite", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    stored_orders: Option<u64>,
}

/// How long and how large the measurements are.
#[derive(Clone, Debug)]
struct Scale {
    runs: u16,
    warm_up: Duration,
    duration: Duration,
    products: u32,
    /// Locations that have all products in stock.
    locations: u32,
    /// Connections of an open loop.
    connections: usize,
    /// One step of the search for the peak, how long the peak must be held, and how close the
    /// bounds of the search must be.
    probe: Duration,
    hold: Duration,
    precision: f64,
    /// How long the overload lasts.
    flood: Duration,
    /// Stored orders: few and many.
    few: u64,
    many: u64,
    /// Orders of the row `memory`, and of the backlog of the row `drain`.
    long: u64,
    backlog: u64,
}

impl Scale {
    fn of(args: &SuiteArgs) -> Self {
        let seconds = Duration::from_secs;
        let scale = match args.quick {
            false => Self {
                runs: 3,
                warm_up: seconds(5),
                duration: seconds(30),
                products: 1_000,
                locations: 1,
                connections: 512,
                probe: seconds(8),
                hold: seconds(30),
                precision: 1.05,
                flood: seconds(20),
                few: 10_000,
                many: 5_000_000,
                long: 1_000_000,
                backlog: 500_000,
            },
            true => Self {
                runs: 1,
                warm_up: Duration::from_millis(200),
                duration: Duration::from_millis(1_000),
                products: 100,
                locations: 1,
                connections: 256,
                probe: Duration::from_millis(500),
                hold: Duration::from_millis(500),
                precision: 1.5,
                flood: Duration::from_millis(1_000),
                few: 1_000,
                many: 20_000,
                long: 5_000,
                backlog: 5_000,
            },
        };
        Self {
            runs: args.runs.unwrap_or(scale.runs),
            many: args.stored_orders.unwrap_or(scale.many),
            ..scale
        }
    }
}

/// A run of the suite.
#[derive(Debug)]
struct Suite {
    quick: bool,
    scale: Scale,
    stop: CancellationToken,
    /// The servers, if a row needs them. Dropped before the folder that they write to.
    servers: Option<(Installed, Postgres)>,
    /// Data with many stored orders, which two rows use.
    stored: Vec<(Form, Data)>,
    /// The peaks that were found.
    peaks: Vec<(Form, f64)>,
    numbers: u32,
    row: &'static str,
    folder: TempDir,
}

/// Measures the rows, and prints the table.
///
/// # Errors
///
/// A program is not installed, a row failed (the others are printed), or a signal came. A target
/// that is missed is no error.
pub(super) async fn run(
    args: &SuiteArgs,
    json: bool,
    stop: CancellationToken,
) -> Result<(), ProgramError> {
    let table = tokio::select! {
        table = measure_rows(args, stop.clone()) => table?,
        // Dropping the measurement ends all servers and services.
        () = stop.cancelled() => return Err(ProgramError::failed("interrupted")),
    };
    // A closed pipe is no error.
    let mut out = std::io::stdout();
    let _ = if json { writeln!(out, "{:#}", table.json()) } else { write!(out, "{table}") };
    match table.failed.as_slice() {
        [] => Ok(()),
        failed => Err(ProgramError::failed(failed.join("; "))),
    }
}

async fn measure_rows(args: &SuiteArgs, stop: CancellationToken) -> Result<Table, ProgramError> {
    let rows = args.rows();
    let mut suite = Suite::begin(args, &rows, stop).await?;
    let mut table = Table { quick: args.quick, lines: Vec::new(), failed: Vec::new() };
    for row in rows {
        suite.row = row.name();
        match row.measure(&mut suite).await {
            Ok(lines) => table.lines.extend(lines),
            // The rows before it took hours, and those after it may succeed.
            Err(error) => {
                let failed = format!("row {}: {error}", row.name());
                progress::say(&failed);
                table.failed.push(failed);
            }
        }
    }
    suite.end().await?;
    Ok(table)
}

impl SuiteArgs {
    /// The rows to measure, in the order of the table.
    fn rows(&self) -> Vec<Row> {
        let mut rows = Row::all();
        rows.retain(|row| self.row.is_empty() || self.row.contains(row));
        rows
    }
}

impl Suite {
    async fn begin(
        args: &SuiteArgs,
        rows: &[Row],
        stop: CancellationToken,
    ) -> Result<Self, ProgramError> {
        let installed = match rows.iter().any(|row| row.needs_servers()) {
            true => Some(Installed::find()?),
            false => None,
        };
        let folder = tempfile::tempdir().map_err(ProgramError::failed)?;
        if !args.quick {
            resources::refuse_memory(folder.path())?;
        }
        let servers = match installed {
            Some(installed) => {
                progress::say("starting PostgreSQL");
                let postgres = Postgres::start(&installed, folder.path()).await?;
                Some((installed, postgres))
            }
            None => None,
        };
        Ok(Self {
            quick: args.quick,
            scale: Scale::of(args),
            stop,
            servers,
            stored: Vec::new(),
            peaks: Vec::new(),
            numbers: 0,
            row: "",
            folder,
        })
    }

    /// Removes what the rows shared.
    async fn end(mut self) -> Result<(), ProgramError> {
        for (_, data) in std::mem::take(&mut self.stored) {
            data.discard(&self).await?;
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn postgres(&self) -> &Postgres {
        &self.servers.as_ref().expect("the row said that it needs servers").1
    }

    fn installed(&self) -> &Installed {
        &self.servers.as_ref().expect("the row said that it needs servers").0
    }

    /// A number that no other data has.
    fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// Prints the present step.
    fn say(&self, what: &str) {
        progress::say(&format!("{}: {what}", self.row));
    }
}
