//! Assembles the service from its parts, and runs it as a separate program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use contract::answers::ANSWERS_CHANNEL;
use contract::commands::COMMANDS_CHANNEL;
use faults::fault_point;
use inventory_core::decide::{InventoryCommand, InventoryOutcome};
use platform::admin::{AdminEntry, AdminLog};
use platform::audit::{AuditSequence, Auditor, JournalAudit, ReadBudget};
use platform::batcher::{Batcher, Committer};
use platform::bus::Bus;
use platform::bus::nats::Channels;
use platform::clock::SystemClock;
use platform::config::{DatabaseUrl, Secret};
use platform::consumer::Consumer;
use platform::journal::{Journal, Numbering};
use platform::lifecycle::Stage;
use platform::log_limit::LogLimit;
use platform::pairing::{Identity, Pairing};
use platform::process::{
    BusArgs, CommonArgs, ProgramError, bus_url_help, listen_help, run_to_exit,
};
use platform::quarantine::QuarantineTable;
use platform::relay::{Outbox, Relay};
use storage::admin_log;
use storage::backup::Source;
use storage::keys::KeyDatabase;
use storage::postgres::{Roles, Server, Time};
use web::feed::{Feed, Followed};
use web::notes::Notes;
use web::program::{Api, Context, Process, Program};

use crate::SERVICE;
use crate::audit::InventoryAudit;
use crate::http::{Imports, RULES, Searches, StockEvents, own_codes, routes};
use crate::metrics::Metrics;
use crate::service::{Commits, Service};
use crate::store::postgres::{Postgres, SCHEMA};
use crate::store::sqlite::{MIGRATIONS, Sqlite};
use crate::store::{StockAuditStore, StockFeedStore, StockStore};
use crate::worker::execute::Commands;
use crate::worker::health_check::HealthCheck;

/// The program. Its name is also the name of its consumer at the broker.
pub const PROGRAM: Program = Program {
    name: "inventory-service",
    summary: "The Inventory Service of Lastro: owns the stock and reserves it for orders.",
    default_listen: "127.0.0.1:8082",
};
/// What it receives from, and what it publishes to.
pub const CHANNELS: Channels<'static> =
    Channels { receives: COMMANDS_CHANNEL, sends: ANSWERS_CHANNEL };
/// The check of `/readyz` for the table of API keys.
const KEYS_CHECK: &str = "inventory database keys";
/// The keys that the settings file may have: those of all programs, because they may share the
/// file.
const KEYS: [&str; 7] = [
    "currency",
    "data_dir",
    "orders_database_url",
    "orders_database_url_file",
    "inventory_database_url",
    "inventory_database_url_file",
    "trace_url",
];

/// The adapters that the service is assembled from.
#[derive(Debug)]
pub struct Dependencies {
    pub database: Opened,
    pub bus: Arc<dyn Bus>,
}

/// The assembled service, not running yet. A process runs each worker as a task.
#[derive(Debug)]
pub struct Parts {
    pub relay: Relay,
    pub committer: Committer<InventoryCommand, InventoryOutcome>,
    pub consumer: Consumer<InventoryCommand, InventoryOutcome>,
    pub health_check: HealthCheck,
    pub numbering: Numbering,
    pub auditor: Auditor,
    pub notes: Notes,
    pub api: Api,
}

/// Assembles the service from its dependencies, in the context of its process.
pub fn assemble(dependencies: Dependencies, context: &mut Context) -> Parts {
    let Dependencies { database, bus } = dependencies;
    let Opened { store, audit, feed, journal, pairing, quarantine, admin_log } = database;
    let auditor = auditor(audit.clone(), context);
    let metrics = Arc::new(Metrics::new(&mut context.registry, context.metrics.clone()));
    let (outbox, relay) = relay(bus.clone(), metrics.clone());
    let followed = Followed { database: pairing.id(), journal, tail: Arc::default() };
    let commits = Commits {
        store: store.clone(),
        tail: followed.tail.clone(),
        outbox: outbox.clone(),
        metrics: metrics.clone(),
    };
    let (batcher, committer) = batcher(commits, &metrics);
    let consumer = Consumer {
        service: SERVICE,
        bus: bus.clone(),
        channel: COMMANDS_CHANNEL,
        pairing: pairing.clone(),
        batcher: batcher.clone(),
        inbox: Arc::new(Commands { store: store.clone() }),
        metrics: context.metrics.clone(),
        log_limit: LogLimit::default(),
    };
    let health_check = HealthCheck {
        store: store.clone(),
        bus,
        outbox,
        pairing,
        quarantine: quarantine.clone(),
        metrics: metrics.clone(),
        readiness: context.readiness.clone(),
    };
    let authenticator = context.authenticator_of(SERVICE);
    let imports = Imports::new(metrics.imports.clone(), authenticator, context.stopping.clone());
    let (notes, refusals) = Notes::of(SERVICE, admin_log.clone(), context);
    let numbering = numbering(&followed);
    let service = Service {
        store,
        audit,
        auditor: auditor.state(),
        quarantine,
        admin_log,
        feed: Feed::new(SERVICE, StockEvents(feed), followed, context),
        batcher,
        ids: context.ids.clone(),
        searches: Searches::default(),
        imports,
    };
    let routes = routes(Arc::new(service));
    let api = context.api(SERVICE, routes, RULES, own_codes(), Some(refusals));
    Parts { relay, committer, consumer, health_check, numbering, auditor, notes, api }
}

/// The worker that numbers the journal.
fn numbering(followed: &Followed) -> Numbering {
    let Followed { journal, tail, .. } = followed.clone();
    Numbering { service: SERVICE, journal, tail }
}

/// The queue of answers to publish, and the worker that publishes them.
fn relay(bus: Arc<dyn Bus>, metrics: Arc<Metrics>) -> (Outbox, Relay) {
    let report = move |attempt| {
        metrics.published(attempt);
        fault_point!("inventory.published");
    };
    Relay::new(bus, ANSWERS_CHANNEL, Box::new(report))
}

/// The queue of commands to decide, and the worker that commits them.
fn batcher(
    commits: Commits,
    metrics: &Arc<Metrics>,
) -> (Batcher<InventoryCommand, InventoryOutcome>, Committer<InventoryCommand, InventoryOutcome>) {
    let observe = metrics.clone();
    let observe = Arc::new(move |executed| observe.executed(executed));
    let (batcher, committer) = Batcher::new(Arc::new(commits), observe);
    metrics.queue(batcher.length());
    (batcher, committer)
}

fn auditor(store: Arc<dyn StockAuditStore>, context: &Context) -> Auditor {
    let audit = AuditSequence::new(vec![
        Box::new(InventoryAudit::new(store.clone(), ReadBudget::SHORT)),
        Box::new(JournalAudit::new(store, ReadBudget::SHORT)),
    ]);
    Auditor::new(SERVICE, Box::new(audit), context.metrics.audit.clone(), context.clock.clone())
}

/// Adds the service to a process: its workers, metrics and checks. Returns its API.
pub fn build(dependencies: Dependencies, process: &mut Process) -> Api {
    let Parts { relay, committer, consumer, health_check, numbering, auditor, notes, api } =
        assemble(dependencies, &mut process.context);
    let workers = &mut process.workers;
    workers.spawn(Stage::Relay, "the relay of answers", |token| relay.run(token));
    workers.spawn(Stage::Commit, "the committer of stock", |token| committer.run(token));
    workers.spawn(Stage::Work, "the consumer of commands", |token| consumer.run(token));
    workers.spawn(Stage::Work, "the health check of stock", |token| health_check.run(token));
    workers.spawn(Stage::Work, "the notes of the admin log of stock", |token| notes.run(token));
    workers.spawn(Stage::Work, "the numbering of stock", |token| numbering.run(token));
    workers.spawn(Stage::Work, "the auditor of stock", |token| auditor.run(token));
    api
}

/// The opened database of the service.
#[derive(Debug)]
pub struct Opened {
    /// Where the stock is stored.
    pub store: Arc<dyn StockStore>,
    pub audit: Arc<dyn StockAuditStore>,
    /// What the event feed reads, and what numbers it (R29).
    pub feed: Arc<dyn StockFeedStore>,
    pub journal: Arc<dyn Journal>,
    /// Which database this is, and from which one it takes messages (R31).
    pub pairing: Arc<Pairing>,
    /// The messages that were set aside.
    pub quarantine: Arc<dyn QuarantineTable>,
    /// What people changed by hand.
    pub admin_log: Arc<dyn AdminLog>,
}

/// Opens the adapter that the URL's scheme names. Adds the worker that looks after the database to
/// the process.
///
/// # Errors
///
/// The database cannot be used: unreachable, damaged, not durable, or of another version.
pub async fn open_store(url: &DatabaseUrl, process: &mut Process) -> Result<Opened, ProgramError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let clock = process.context.clock.clone();
            let sqlite = Sqlite::open(path, clock).map_err(ProgramError::failed)?;
            let keeper = sqlite.keeper();
            let metrics = process.context.metrics.clone();
            let note = move |report| metrics.file(SERVICE, report);
            let workers = &mut process.workers;
            workers.spawn(Stage::Close, "the file of stock", |token| keeper.run(note, token));
            let pairing = sqlite.pairing().await?;
            process.add_keys(SERVICE, KEYS_CHECK, sqlite.keys()).await?;
            let audit = Arc::new(sqlite.audit());
            let (journal, quarantine) = (sqlite.journal(), sqlite.quarantine_table());
            let admin_log = sqlite.admin_log();
            let store = Arc::new(sqlite);
            let feed = store.clone();
            Ok(Opened { store, audit, feed, journal, quarantine, admin_log, pairing })
        }
        DatabaseUrl::Postgres(text) => {
            let server = Server::at(text, &url.to_string(), PROGRAM.name)?;
            let postgres =
                Postgres::open(server, Time::Server).await.map_err(ProgramError::failed)?;
            let check = postgres.write_check();
            let readiness = process.context.readiness.clone();
            process.workers.spawn(Stage::Work, "the check of the inventory database", |token| {
                check.run("inventory database writes", readiness, token)
            });
            let pairing = postgres.pairing().await?;
            process.add_keys(SERVICE, KEYS_CHECK, postgres.keys()).await?;
            let audit = Arc::new(postgres.audit());
            let (journal, quarantine) = (postgres.journal(), postgres.quarantine_table());
            let admin_log = postgres.admin_log();
            let store = Arc::new(postgres);
            let feed = store.clone();
            Ok(Opened { store, audit, feed, journal, quarantine, admin_log, pairing })
        }
    }
}

/// Opens the database of a service for reading only, and tells what it says about itself. The
/// service may be running.
///
/// # Errors
///
/// The database does not exist, is unreachable, or is of another version.
pub async fn open_for_audit(
    url: &DatabaseUrl,
) -> Result<(Arc<dyn StockAuditStore>, Identity), ProgramError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let audit = Sqlite::open_for_audit(path).map_err(ProgramError::failed)?;
            let identity = audit.identity().await?;
            Ok((Arc::new(audit), identity))
        }
        DatabaseUrl::Postgres(text) => {
            let server = Server::at(text, &url.to_string(), "lastro verify")?;
            let audit = Postgres::open_for_audit(server).await.map_err(ProgramError::failed)?;
            let identity = audit.identity().await?;
            Ok((Arc::new(audit), identity))
        }
    }
}

/// Finds the API keys of the service, for the tool that changes them. The service may be running.
///
/// # Errors
///
/// The database does not exist, is unreachable, or is of another version.
pub async fn open_keys(url: &DatabaseUrl) -> Result<KeyDatabase, ProgramError> {
    KeyDatabase::open(url, &SCHEMA, MIGRATIONS).await
}

/// Opens an existing database of the service to carry commands out past the bus. A file must not be
/// in use.
pub(crate) async fn open_to_repair(url: &DatabaseUrl) -> Result<Box<dyn StockStore>, ProgramError> {
    open_for_audit(url).await?;
    match url {
        DatabaseUrl::Sqlite(path) => {
            let opened = Sqlite::open(path, Arc::new(SystemClock));
            Ok(Box::new(opened.map_err(ProgramError::failed)?))
        }
        DatabaseUrl::Postgres(text) => {
            let server = Server::at(text, &url.to_string(), "lastro repair")?;
            let opened = Postgres::open(server, Time::Server).await;
            Ok(Box::new(opened.map_err(ProgramError::failed)?))
        }
    }
}

/// Opens the file of the service to copy it. The service may be running.
///
/// # Errors
///
/// The URL names no file, or the file does not exist or is of another version.
pub fn open_for_backup(url: &DatabaseUrl) -> Result<Source, ProgramError> {
    Source::at(url, MIGRATIONS)
}

/// Reads the newest entries of the admin log, newest first. The service may be running.
///
/// # Errors
///
/// The database does not exist, is unreachable, or is of another version.
pub async fn admin_log(url: &DatabaseUrl, limit: u32) -> Result<Vec<AdminEntry>, ProgramError> {
    admin_log::newest(url, &SCHEMA, MIGRATIONS, limit).await
}

/// Migrates a PostgreSQL schema as its owner, and gives the roles of the service and of an audit
/// their privileges.
///
/// # Errors
///
/// The URL is not one of PostgreSQL, the database is unreachable or of a later version, or a role
/// could do more than it is granted.
pub async fn migrate(
    url: &DatabaseUrl,
    service: Option<&str>,
    reader: Option<&str>,
) -> Result<(), ProgramError> {
    storage::postgres::migrate_at(url, &SCHEMA, Roles { service, reader }).await
}

/// The Inventory Service: owns the stock and answers the Order Service's commands over a message
/// bus
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM.name,
    version,
    mut_arg("listen", |arg| arg.help(listen_help(PROGRAM.default_listen))),
    mut_arg("bus_url", |arg| arg.help(bus_url_help("nats://127.0.0.1:4222")))
)]
pub struct Args {
    #[command(flatten)]
    common: CommonArgs,
    /// Database of the stock [default: sqlite:data/inventory.db]
    #[arg(long, env = "LASTRO_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<Secret>,
    /// A file that holds the URL of the database, for one with a password
    #[arg(long, env = "LASTRO_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    #[command(flatten)]
    bus: BusArgs,
}

/// Runs the service as a separate program until a signal.
///
/// # Errors
///
/// As [`web::program::run`].
pub async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { common, database_url, database_url_file, bus } = args;
    web::program::run(PROGRAM, &common, &KEYS, async |process, file| {
        let broker = bus.broker_between_processes(file)?;
        let database_url = file.secret("database_url", database_url, database_url_file)?;
        let database_url = database_url.map_or_else(|| "sqlite:data/inventory.db".parse(), Ok)?;
        let database = open_store(&database_url, process).await?;
        if common.replace_peer {
            database.pairing.forget().await?;
        }
        let metrics = process.context.metrics.clone();
        let takes_over = common.replace_peer;
        let pairing = database.pairing.clone();
        let joining = broker.join(PROGRAM.name, pairing, CHANNELS, metrics, takes_over);
        let bus = Arc::new(joining.await?);
        Ok(build(Dependencies { database, bus }, process))
    })
    .await
}

/// Runs the program with the arguments of the command line.
pub fn main() -> ExitCode {
    run_to_exit(run)
}
