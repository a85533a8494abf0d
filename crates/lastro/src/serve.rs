//! Runs both services in one process, connected by an embedded bus or, if configured, by a broker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::audit::{Auditor, ReadBudget};
use platform::bus::embedded::Embedded;
use platform::bus::{ACK_WAIT, Bus};
use platform::clock::Clock;
use platform::config::{BusUrl, DatabaseUrl, File, UsageError};
use platform::lifecycle::Stage;
use platform::process::{CommonArgs, ProgramError, bus_between_processes};
use web::program::{Api, Process, Program};

use crate::audit::Agreement;

pub(crate) const PROGRAM: Program = Program {
    name: "lastro",
    summary: "Orders that are never lost, stock that is never oversold.",
    default_listen: "127.0.0.1:8080",
};
/// The keys that the settings file may have.
pub(crate) const KEYS: [&str; 4] =
    ["currency", "data_dir", "orders_database_url", "inventory_database_url"];
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
    /// Message bus between the services [default: embedded:]
    #[arg(long, env = "LASTRO_BUS_URL", value_name = "URL")]
    bus_url: Option<BusUrl>,
}

/// The command-line arguments that name the databases.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Folder of orders.db and inventory.db [default: ./data]
    #[arg(long, env = "LASTRO_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Database of the orders [default: sqlite:DATA_DIR/orders.db]
    #[arg(long, env = "LASTRO_ORDERS_DATABASE_URL", value_name = "URL")]
    pub(crate) orders_database_url: Option<DatabaseUrl>,
    /// Database of the stock [default: sqlite:DATA_DIR/inventory.db]
    #[arg(long, env = "LASTRO_INVENTORY_DATABASE_URL", value_name = "URL")]
    pub(crate) inventory_database_url: Option<DatabaseUrl>,
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
        let within = |name: &str| DatabaseUrl::Sqlite(folder.join(name));
        Self { orders: within("orders.db"), inventory: within("inventory.db") }
    }
}

impl DatabaseArgs {
    /// Resolves both databases: flags and environment variables win over the settings file.
    pub(crate) fn resolve(self, file: &File) -> Result<Databases, UsageError> {
        let Self { data_dir, orders_database_url, inventory_database_url } = self;
        // A folder from a flag or variable is not mixed with databases from the settings file.
        let of_file = if data_dir.is_some() { &File::default() } else { file };
        let folder = file.or(data_dir, "data_dir")?.unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        let default = Databases::in_folder(&folder);
        Ok(Databases {
            orders: of_file
                .or(orders_database_url, "orders_database_url")?
                .unwrap_or(default.orders),
            inventory: of_file
                .or(inventory_database_url, "inventory_database_url")?
                .unwrap_or(default.inventory),
        })
    }
}

/// Runs both services until a signal.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { common, databases, currency, bus_url } = args;
    web::program::run(PROGRAM, &common, &KEYS, async |process, file| {
        let bus_url = file.or(bus_url, "bus_url")?.unwrap_or(BusUrl::Embedded);
        let currency = file.or(currency, "currency")?;
        build(process, &databases.resolve(file)?, bus_url, currency).await
    })
    .await
}

/// Adds both services to a process, with the audit of both databases. Returns their API.
pub(crate) async fn build(
    process: &mut Process,
    databases: &Databases,
    bus_url: BusUrl,
    currency: Option<String>,
) -> Result<Api, ProgramError> {
    let currency = orders::parse_currency(currency)?;
    let clock: Arc<dyn Clock> = process.context.clock.clone();
    let [orders_bus, inventory_bus] = buses(bus_url, clock.clone()).await?;
    let (store, orders_audit) = orders::open_store(&databases.orders, process).await?;
    let parts =
        orders::Dependencies { store, audit: orders_audit.clone(), bus: orders_bus, currency };
    let orders = orders::build(parts, process);
    let (store, stock_audit) = inventory::open_store(&databases.inventory, process).await?;
    let parts = inventory::Dependencies { store, audit: stock_audit.clone(), bus: inventory_bus };
    let inventory = inventory::build(parts, process);
    // Each service audits its own database. This process has both and can compare them.
    let agreement = Agreement::new(orders_audit, stock_audit, ReadBudget::SHORT);
    let auditor = Auditor::new(
        PROGRAM.name,
        Box::new(agreement),
        process.context.metrics.audit.clone(),
        clock,
    );
    process.workers.spawn(Stage::Work, "the auditor of both services", |token| auditor.run(token));
    Ok(orders.merge(inventory))
}

/// The bus of each service: one queue in memory for both, or two connections to a broker, under the
/// same names as the two separate programs.
async fn buses(url: BusUrl, clock: Arc<dyn Clock>) -> Result<[Arc<dyn Bus>; 2], ProgramError> {
    if url == BusUrl::Embedded {
        let bus: Arc<dyn Bus> = Arc::new(Embedded::new(clock, ACK_WAIT));
        return Ok([bus.clone(), bus]);
    }
    let orders_bus = bus_between_processes(Some(url.clone()), orders::PROGRAM.name).await?;
    let inventory_bus = bus_between_processes(Some(url), inventory::PROGRAM.name).await?;
    Ok([orders_bus, inventory_bus])
}
