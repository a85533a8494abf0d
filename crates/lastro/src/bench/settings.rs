//! The command-line arguments of the bench, and the settings that they resolve to.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use platform::config::{BusUrl, UsageError};

use super::load::Loop;
use super::suite::SuiteArgs;
use super::wire::Endpoint;
use super::workload::{Popularity, Profile};
use crate::serve::{DatabaseArgs, Databases, UrlArgs};

const DEFAULT_CLIENTS: usize = 64;
const DEFAULT_CONNECTIONS: usize = 256;
const MAX_LINES: u32 = 100;
const PER_CENT: f64 = 100.0;

/// Put a load on the services and measure how they handle it
///
/// Without --url, the bench starts the services itself, in other processes and on empty databases,
/// and stops them afterwards. Without --rate, the loop is closed: a number of clients each send the
/// next order when the previous one is answered. This measures the highest throughput. With --rate,
/// the loop is open: orders arrive at random times at this rate, even if the services cannot keep
/// up. This measures the latency at that rate.
///
/// The bench exits with code 1 if an accepted order has no outcome, if `verify` finds a violation,
/// or if requests failed. Orders that an overloaded service refused (503 overloaded) do not count
/// as failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Orders per second, in an open loop
    #[arg(long, value_name = "N", conflicts_with = "clients", value_parser = positive)]
    rate: Option<f64>,
    /// Connections of the open loop; an order waits for a free one, and the wait counts as latency
    /// [default: 256]
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
    /// Clients of the closed loop [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    clients: Option<u16>,
    /// How long to send orders before measuring
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(super) warm_up: Duration,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    pub(super) duration: Duration,
    /// Number of products to create and to order: bench-0001, bench-0002, …
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) products: u32,
    /// How the orders choose products
    #[arg(long, value_enum, default_value = "uniform")]
    pub(super) popularity: Popularity,
    /// Exponent of --popularity zipf
    #[arg(long, value_name = "S", default_value = "1.0", value_parser = positive)]
    pub(super) zipf_exponent: f64,
    /// Lines per order, each one unit of a different product: a number or a range
    #[arg(long, value_name = "N|A-B", default_value = "1-5")]
    pub(super) lines: Lines,
    /// Units of each product to receive before the run; orders are rejected once a product is sold
    /// out
    #[arg(long, value_name = "UNITS", default_value = "1000000", value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub(super) stock: u64,
    /// Seed of the random orders; the same seed makes the same orders
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) seed: u64,
    /// Percentage of orders whose client waits for the outcome (Prefer: wait=30)
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = per_cent)]
    pub(super) settle_sample: f64,
    /// Percentage of orders that wait for their payment, and are then paid, shipped in two parts and
    /// partly returned
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = per_cent)]
    pub(super) changes: f64,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    pub(super) suite: SuiteArgs,
}

// clap would show a doc comment here as the description of the command.
#[derive(Clone, Debug, clap::Args)]
#[command(
    next_help_heading = "Services",
    mut_arg("orders_database_url", |arg| arg.help("With --url: database of the orders to audit")),
    mut_arg("inventory_database_url", |arg| arg.help("With --url: database of the stock to audit"))
)]
struct TargetArgs {
    /// Address of both services, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    url: Option<Endpoint>,
    /// Address of the Order Service [default: --url]
    #[arg(long, value_name = "URL")]
    orders_url: Option<Endpoint>,
    /// Address of the Inventory Service [default: --url]
    #[arg(long, value_name = "URL")]
    inventory_url: Option<Endpoint>,
    /// Address of /metrics of a process; repeat it for each process and replica [default: the
    /// services' addresses]
    #[arg(long, value_name = "URL")]
    metrics_url: Vec<Endpoint>,
    /// Without --url: keep the data in this new folder [default: a temporary folder]. With --url:
    /// the folder of the databases to audit
    #[arg(long, env = "LASTRO_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    urls: UrlArgs,
    /// Without --url: embedded: for one process, or nats://host:port for two. The broker must be
    /// empty and must serve nothing else, so no environment variable sets it [default: embedded:]
    #[arg(long, value_name = "URL")]
    bus_url: Option<BusUrl>,
}

/// The range of lines per order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines(pub(super) RangeInclusive<u32>);

impl FromStr for Lines {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (least.parse::<u32>(), most.parse::<u32>()) {
            (Ok(least), Ok(most)) if 1 <= least && least <= most && most <= MAX_LINES => {
                Ok(Self(least..=most))
            }
            _ => Err(UsageError(format!(
                "{text:?} is not a number of lines from 1 to {MAX_LINES}, such as 3 or 1-5"
            ))),
        }
    }
}

/// Parses a whole number with a unit: `500ms`, `30s`, `2m`.
fn time(text: &str) -> Result<Duration, UsageError> {
    let error =
        || UsageError(format!("{text:?} is not a time up to a day, such as 500ms, 30s or 2m"));
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err(error()),
    };
    // At most a day, so that no deadline overflows.
    let ms = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(unit_ms))
        .filter(|ms| *ms <= 86_400_000);
    ms.map(Duration::from_millis).ok_or_else(error)
}

fn some_time(text: &str) -> Result<Duration, UsageError> {
    time(text).and_then(|time| {
        if time.is_zero() {
            Err(UsageError("the time must be longer than 0".into()))
        } else {
            Ok(time)
        }
    })
}

fn positive(text: &str) -> Result<f64, UsageError> {
    let number = text.parse().ok().filter(|number| (0.001..=1_000_000.0).contains(number));
    number.ok_or_else(|| UsageError(format!("{text:?} is not a number from 0.001 to 1000000")))
}

fn per_cent(text: &str) -> Result<f64, UsageError> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let number = number.filter(|number| (0.0..=PER_CENT).contains(number));
    number.ok_or_else(|| UsageError(format!("{text:?} is not a percentage from 0 to 100")))
}

/// The services to put under load.
#[derive(Debug)]
pub(super) enum Target {
    /// Services that the bench starts.
    Own { folder: Option<PathBuf>, bus: Option<BusUrl> },
    /// Services that already run. `processes` are the metrics addresses by name; `databases` is
    /// none if the arguments do not name them.
    Given {
        orders: Endpoint,
        inventory: Endpoint,
        processes: Vec<(String, Endpoint)>,
        databases: Option<Databases>,
    },
}

impl Args {
    /// How orders arrive.
    pub(super) fn kind(&self) -> Loop {
        match self.rate {
            Some(rate) => Loop::Open {
                rate,
                connections: self.connections.map_or(DEFAULT_CONNECTIONS, usize::from),
            },
            None => Loop::Closed { clients: self.clients.map_or(DEFAULT_CLIENTS, usize::from) },
        }
    }

    /// What the orders look like.
    #[expect(clippy::float_arithmetic, reason = "a percentage becomes a fraction")]
    pub(super) fn profile(&self) -> Result<Profile, UsageError> {
        let Lines(lines) = self.lines.clone();
        if *lines.end() > self.products {
            let lines = lines.end();
            let products = self.products;
            return Err(UsageError(format!(
                "orders of {lines} lines need at least {lines} products, but --products is {products}"
            )));
        }
        Ok(Profile {
            seed: self.seed,
            products: self.products,
            popularity: self.popularity,
            zipf_exponent: self.zipf_exponent,
            lines,
            watched: self.settle_sample / PER_CENT,
            changed: self.changes / PER_CENT,
        })
    }

    /// The services to put under load.
    ///
    /// # Errors
    ///
    /// The arguments name only one service, or databases without the services that use them.
    pub(super) fn target(&self) -> Result<Target, UsageError> {
        let TargetArgs { url, orders_url, inventory_url, metrics_url, data_dir, bus_url, .. } =
            self.target.clone();
        match (orders_url.or(url.clone()), inventory_url.or(url)) {
            (None, None) if self.target.names_a_database() => Err(UsageError(
                "--orders-database-url and --inventory-database-url (or their environment variables) need --url, the \
                 address of the services that use these databases"
                    .to_owned(),
            )),
            (None, None) if metrics_url.is_empty() => Ok(Target::Own { folder: data_dir, bus: bus_url }),
            (Some(orders), Some(inventory)) => {
                let mut reported =
                    if metrics_url.is_empty() { vec![orders.clone(), inventory.clone()] } else { metrics_url };
                reported.dedup();
                let processes = reported.into_iter().map(|endpoint| (endpoint.to_string(), endpoint)).collect();
                Ok(Target::Given { orders, inventory, processes, databases: self.target.databases()? })
            }
            _ => Err(UsageError("name both services with --url, or with --orders-url and --inventory-url".to_owned())),
        }
    }
}

impl TargetArgs {
    fn names_a_database(&self) -> bool {
        self.urls.names_orders() || self.urls.names_inventory()
    }

    /// The databases of services that already run, if they are named.
    fn databases(&self) -> Result<Option<Databases>, UsageError> {
        let Self { data_dir, urls, .. } = self.clone();
        let named = data_dir.is_some() || (urls.names_orders() && urls.names_inventory());
        let args = DatabaseArgs { data_dir, urls };
        named.then(|| args.resolve(&platform::config::File::default())).transpose()
    }
}

#[cfg(test)]
mod tests;
