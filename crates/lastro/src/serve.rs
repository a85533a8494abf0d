//! Both services in one process, joined by an embedded bus or, if so configured, by a broker.

use std::path::PathBuf;
use std::sync::Arc;

use platform::audit::{Auditor, ReadBudget};
use platform::bus::embedded::Embedded;
use platform::bus::{ACK_WAIT, Bus};
use platform::clock::Clock;
use platform::config::{BusUrl, DatabaseUrl, File, resolve};
use platform::fault;
use platform::lifecycle::{Stage, on_signal};
use platform::process::{Addresses, CommonArgs, ProgramError, bus_between_processes};
use platform::telemetry;
use web::program::{Api, Process, check_health};

use crate::verify::Agreement;

const NAME: &str = "lastro";
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_DATA_DIR: &str = "data";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) databases: DatabaseArgs,
    /// The currency of orders that name none [default: BRL]
    #[arg(long, env = "LASTRO_CURRENCY", value_name = "ISO 4217")]
    currency: Option<String>,
    /// What carries messages between the services [default: embedded:]
    #[arg(long, env = "LASTRO_BUS_URL", value_name = "URL")]
    bus_url: Option<BusUrl>,
}

/// Where the data is.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// The folder of orders.db and inventory.db [default: ./data]
    #[arg(long, env = "LASTRO_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where orders are kept [default: sqlite:DATA_DIR/orders.db]
    #[arg(long, env = "LASTRO_ORDERS_DATABASE_URL", value_name = "URL")]
    pub(crate) orders_database_url: Option<DatabaseUrl>,
    /// Where the stock is kept [default: sqlite:DATA_DIR/inventory.db]
    #[arg(long, env = "LASTRO_INVENTORY_DATABASE_URL", value_name = "URL")]
    pub(crate) inventory_database_url: Option<DatabaseUrl>,
}

/// The two databases.
#[derive(Clone, Debug)]
pub(crate) struct Databases {
    pub(crate) orders: DatabaseUrl,
    pub(crate) inventory: DatabaseUrl,
}

impl DatabaseArgs {
    /// Both databases in this folder.
    pub(crate) fn folder(data_dir: PathBuf) -> Self {
        Self { data_dir: Some(data_dir), ..Self::default() }
    }

    pub(crate) fn resolve(self, file: &File) -> Databases {
        // A folder that was named now is not mixed with databases that a file names.
        let named = self.data_dir.is_some();
        let of_file = |url: &Option<DatabaseUrl>| url.clone().filter(|_| !named);
        let folder = resolve(self.data_dir, file.data_dir.clone(), DEFAULT_DATA_DIR.into());
        let within = |name: &str| DatabaseUrl::Sqlite(folder.join(name));
        Databases {
            orders: resolve(self.orders_database_url, of_file(&file.orders_database_url), within("orders.db")),
            inventory: resolve(
                self.inventory_database_url,
                of_file(&file.inventory_database_url),
                within("inventory.db"),
            ),
        }
    }
}

/// Serves until a signal.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    telemetry::init_logs();
    let file = args.common.file()?;
    let addresses = args.common.addresses(&file, DEFAULT_LISTEN)?;
    if args.common.health_check {
        return check_health(&addresses).await;
    }
    let bus_url = resolve(args.bus_url, file.bus_url.clone(), BusUrl::Embedded);
    let currency = args.currency.or_else(|| file.currency.clone());
    let (process, api) = prepare(&addresses, &args.databases.resolve(&file), bus_url, currency).await?;
    process.serve(api, on_signal().map_err(ProgramError::failed)?).await
}

/// Both services, ready to serve.
pub(crate) async fn prepare(
    addresses: &Addresses,
    databases: &Databases,
    bus_url: BusUrl,
    currency: Option<String>,
) -> Result<(Process, Api), ProgramError> {
    let currency = orders::parse_currency(currency)?;
    let mut process = Process::begin(NAME, addresses).await?;
    let clock: Arc<dyn Clock> = process.context.clock.clone();
    let [of_orders, of_inventory] = buses(bus_url, clock.clone()).await?;
    let order_store = orders::open_store(&databases.orders, clock.clone()).await?;
    let parts = orders::Dependencies { store: order_store.clone(), bus: of_orders, currency };
    let orders = orders::build(parts, &mut process);
    let stock_store = inventory::open_store(&databases.inventory, clock.clone()).await?;
    let parts = inventory::Dependencies { store: stock_store.clone(), bus: of_inventory };
    let inventory = inventory::build(parts, &mut process);
    // Each service audits its own books; here are both, to be held against each other.
    let books = Agreement::new(order_store, stock_store, ReadBudget::SHORT);
    let auditor = Auditor::new(NAME, Box::new(books), process.context.metrics.clone(), clock);
    process.workers.spawn(Stage::Work, "the auditor of both services", |token| auditor.run(token));
    Ok((process, orders.merge(inventory)))
}

/// The bus, as each of the two services uses it: one queue in memory, or two connections to a broker, where they look
/// like the two programs that could run in their place.
async fn buses(url: BusUrl, clock: Arc<dyn Clock>) -> Result<[Arc<dyn Bus>; 2], ProgramError> {
    if url == BusUrl::Embedded {
        let bus = fault::around(Arc::new(Embedded::new(clock, ACK_WAIT)));
        return Ok([bus.clone(), bus]);
    }
    let of_orders = bus_between_processes(Some(url.clone()), orders::PROGRAM).await?;
    Ok([of_orders, bus_between_processes(Some(url), inventory::PROGRAM).await?])
}
