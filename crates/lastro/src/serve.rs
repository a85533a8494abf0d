//! Runs both services in one process, connected by an embedded bus or, if configured, by a broker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::audit::{Auditor, ReadBudget};
use platform::bus::embedded::Embedded;
use platform::bus::nats::Broker;
use platform::bus::{ACK_WAIT, Bus};
use platform::clock::Clock;
use platform::config::{DatabaseUrl, File, Secret, TraceUrl, UsageError};
use platform::lifecycle::Stage;
use platform::pairing::Pairing;
use platform::process::{BusArgs, CommonArgs, ProgramError};
use platform::telemetry::Metrics;
use web::program::{Api, Process, Program};

use crate::audit::Agreement;
use crate::pair::pair;

pub(crate) const PROGRAM: Program = Program {
    name: "lastro",
    summary: "Orders that are never lost, stock that is never oversold.",
    default_listen: "127.0.0.1:8080",
};
/// The keys that the settings file may have.
pub(crate) const KEYS: [&str; 7] = [
    "currency",
    "data_dir",
    "orders_database_url",
    "orders_database_url_file",
    "inventory_database_url",
    "inventory_database_url_file",
    "trace_url",
];
const DEFAULT_DATA_DIR: &str = "data";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) databases: DatabaseArgs,
    /// Currency of orders that do not name one [default: BRL]
    #[arg(long, env = "LASTRO_CURRENCY", value_name = "ISO 4217")]
    currency: Option<String>,
    /// Page that shows the trace {trace_id}, to which the dashboard links [default: none]
    #[arg(long, env = "LASTRO_TRACE_URL", value_name = "URL")]
    trace_url: Option<TraceUrl>,
    #[command(flatten)]
    bus: BusArgs,
}

/// The command-line arguments that name the databases.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Folder of orders.db and inventory.db [default: ./data]
    #[arg(long, env = "LASTRO_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) urls: UrlArgs,
}

/// The command-line arguments that name each database by its URL.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct UrlArgs {
    /// Database of the orders [default: sqlite:DATA_DIR/orders.db]
    #[arg(long, env = "LASTRO_ORDERS_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    orders_database_url: Option<Secret>,
    /// A file that holds the URL of the database of the orders, for one with a password
    #[arg(long, env = "LASTRO_ORDERS_DATABASE_URL_FILE", value_name = "FILE")]
    orders_database_url_file: Option<PathBuf>,
    /// Database of the stock [default: sqlite:DATA_DIR/inventory.db]
    #[arg(long, env = "LASTRO_INVENTORY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    inventory_database_url: Option<Secret>,
    /// A file that holds the URL of the database of the stock, for one with a password
    #[arg(long, env = "LASTRO_INVENTORY_DATABASE_URL_FILE", value_name = "FILE")]
    inventory_database_url_file: Option<PathBuf>,
}

impl UrlArgs {
    pub(crate) fn names_orders(&self) -> bool {
        self.orders_database_url.is_some() || self.orders_database_url_file.is_some()
    }

    pub(crate) fn names_inventory(&self) -> bool {
        self.inventory_database_url.is_some() || self.inventory_database_url_file.is_some()
    }

    /// The URLs of the orders and of the stock, as far as they are given: flags and environment
    /// variables win over the settings file.
    pub(crate) fn resolve(self, file: &File) -> Result<[Option<DatabaseUrl>; 2], UsageError> {
        let Self {
            orders_database_url: orders,
            orders_database_url_file: orders_file,
            inventory_database_url: inventory,
            inventory_database_url_file: inventory_file,
        } = self;
        Ok([
            file.secret("orders_database_url", orders, orders_file)?,
            file.secret("inventory_database_url", inventory, inventory_file)?,
        ])
    }
}

/// The two databases.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    pub(crate) orders: DatabaseUrl,
    pub(crate) inventory: DatabaseUrl,
}

impl Databases {
    /// The SQLite files of both databases in this folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let within = |name: &str| DatabaseUrl::file(&folder.join(name));
        Self { orders: within("orders.db"), inventory: within("inventory.db") }
    }
}

impl DatabaseArgs {
    /// Whether a flag or a variable names a database.
    pub(crate) fn names_any(&self) -> bool {
        self.data_dir.is_some() || self.urls.names_orders() || self.urls.names_inventory()
    }

    /// The databases of the orders and of the stock that are named. With a flag or a variable for
    /// the URL of one, it is that one alone, wherever else the other is named; so it is if the
    /// settings file has the URL of one and no folder is named.
    pub(crate) fn named(self, file: &File) -> Result<[Option<DatabaseUrl>; 2], UsageError> {
        if self.urls.names_orders() || self.urls.names_inventory() {
            return self.urls.resolve(&File::default());
        }
        let of_file = if self.data_dir.is_some() { &File::default() } else { file };
        let urls = self.urls.clone().resolve(of_file)?;
        let folder = file.or(self.data_dir.clone(), "data_dir")?;
        if folder.is_none() && urls.iter().any(Option::is_some) {
            return Ok(urls);
        }
        let Databases { orders, inventory } = self.resolve(file)?;
        Ok([Some(orders), Some(inventory)])
    }

    /// Resolves both databases: flags and environment variables win over the settings file.
    pub(crate) fn resolve(self, file: &File) -> Result<Databases, UsageError> {
        let Self { data_dir, urls } = self;
        // A folder from a flag or variable is not mixed with databases from the settings file.
        let of_file = if data_dir.is_some() { &File::default() } else { file };
        let folder = file.or(data_dir, "data_dir")?.unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        let default = Databases::in_folder(&folder);
        let [orders, inventory] = urls.resolve(of_file)?;
        Ok(Databases {
            orders: orders.unwrap_or(default.orders),
            inventory: inventory.unwrap_or(default.inventory),
        })
    }
}

/// Runs both services until a signal.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { common, databases, currency, trace_url, bus } = args;
    web::program::run(PROGRAM, &common, &KEYS, async |process, file| {
        let settings = Settings {
            broker: bus.broker(file)?,
            currency: file.or(currency, "currency")?,
            trace_url: file.or(trace_url, "trace_url")?,
            databases: databases.resolve(file)?,
            replaces_peer: common.replace_peer,
            is_demo: false,
        };
        build(process, settings).await
    })
    .await
}

/// What both services are assembled from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) databases: Databases,
    /// What connects the services; `None` for queues in memory.
    pub(crate) broker: Option<Broker>,
    /// The currency of orders that name none.
    pub(crate) currency: Option<String>,
    /// Where people look at a trace.
    pub(crate) trace_url: Option<TraceUrl>,
    /// Whether the databases begin anew to know each other.
    pub(crate) replaces_peer: bool,
    /// Whether people may place test orders.
    pub(crate) is_demo: bool,
}

/// Adds both services to a process, with the audit of both databases. Returns their API.
pub(crate) async fn build(process: &mut Process, settings: Settings) -> Result<Api, ProgramError> {
    let Settings { databases, broker, currency, trace_url, replaces_peer, is_demo } = settings;
    let currency = orders::parse_currency(currency)?;
    process.show(orders::dashboard(currency, is_demo, process.links(), trace_url));
    let clock: Arc<dyn Clock> = process.context.clock.clone();
    let orders = orders::open_store(&databases.orders, process).await?;
    let stock = inventory::open_store(&databases.inventory, process).await?;
    let pairings = [&orders.pairing, &stock.pairing];
    pair(pairings, replaces_peer).await?;
    let [orders_bus, inventory_bus] = match broker {
        None => buses_in_memory(pairings, clock.clone()),
        Some(broker) => buses_at(broker, pairings, &process.context.metrics, replaces_peer).await?,
    };
    // Each service audits its own database. This process has both and can compare them.
    let agreement = Agreement::new(orders.audit.clone(), stock.audit.clone(), ReadBudget::SHORT);
    let auditor = Auditor::new(
        PROGRAM.name,
        Box::new(agreement),
        process.context.metrics.audit.clone(),
        clock,
    );
    let audits = vec![auditor.state()];
    let parts = orders::Dependencies { database: orders, bus: orders_bus, audits, currency };
    let orders = orders::build(parts, process);
    let parts = inventory::Dependencies { database: stock, bus: inventory_bus };
    let inventory = inventory::build(parts, process);
    process.workers.spawn(Stage::Work, "the auditor of both services", |token| auditor.run(token));
    Ok(orders.merge(inventory))
}

/// Both ends of one queue in memory.
fn buses_in_memory(
    [orders, stock]: [&Arc<Pairing>; 2],
    clock: Arc<dyn Clock>,
) -> [Arc<dyn Bus>; 2] {
    let orders_bus = Embedded::new(clock, ACK_WAIT, orders.id());
    let inventory_bus = orders_bus.end_of(stock.id());
    [Arc::new(orders_bus), Arc::new(inventory_bus)]
}

/// Two connections to a broker, under the same names as the two separate programs.
async fn buses_at(
    broker: Broker,
    [orders, stock]: [&Arc<Pairing>; 2],
    metrics: &Metrics,
    replaces_peer: bool,
) -> Result<[Arc<dyn Bus>; 2], ProgramError> {
    let join = async |service: Program, channels, pairing: &Arc<Pairing>| {
        let broker = broker.clone();
        let metrics = metrics.clone();
        broker.join(service.name, pairing.clone(), channels, metrics, replaces_peer).await
    };
    let orders_bus = join(orders::PROGRAM, orders::CHANNELS, orders).await?;
    let inventory_bus = join(inventory::PROGRAM, inventory::CHANNELS, stock).await?;
    Ok([Arc::new(orders_bus), Arc::new(inventory_bus)])
}
