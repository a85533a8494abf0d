//! Assembles the service from its parts, and runs it as a separate program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use contract::answers::ANSWERS_CHANNEL;
use contract::commands::COMMANDS_CHANNEL;
use faults::fault_point;
use orders_core::decide::{OrderCommand, OrderOutcome};
use orders_core::money::Currency;
use platform::admin::{AdminEntry, AdminLog};
use platform::audit::{AuditSequence, AuditState, Auditor, JournalAudit, ReadBudget};
use platform::batcher::{Batcher, Committer};
use platform::bus::Bus;
use platform::bus::nats::Channels;
use platform::clock::SystemClock;
use platform::config::{DatabaseUrl, Secret, TraceUrl, UsageError};
use platform::consumer::Consumer;
use platform::journal::{Journal, Numbering};
use platform::lifecycle::Stage;
use platform::log_limit::LogLimit;
use platform::pairing::{Identity, Pairing};
use platform::process::{
    BusArgs, CommonArgs, ProgramError, bus_url_help, listen_help, run_to_exit,
};
use platform::quarantine::QuarantineTable;
use platform::relay::{Attempt, Outbox, Relay};
use storage::admin_log;
use storage::backup::Source;
use storage::keys::KeyDatabase;
use storage::postgres::{Roles, Server, Time};
use web::feed::{Feed, Followed};
use web::notes::Notes;
use web::program::{Api, Context, Process, Program};

use crate::SERVICE;
use crate::audit::OrdersAudit;
use crate::http::{OrderEvents, RULES, own_codes, routes};
use crate::metrics::Metrics;
use crate::page::dashboard;
use crate::service::{Commits, Service};
use crate::store::postgres::{Postgres, SCHEMA};
use crate::store::sqlite::{MIGRATIONS, Sqlite};
use crate::store::{OrderAuditStore, OrderFeedStore, OrderStore};
use crate::waiters::Waiters;
use crate::worker::deadlines::Deadlines;
use crate::worker::health_check::HealthCheck;
use crate::worker::listen::AnswerListener;
use crate::worker::settle::Answers;
use crate::worker::sweep::{AnswerFeed, Sweeper};

/// The program. Its name is also the name of its consumer at the broker.
pub const PROGRAM: Program = Program {
    name: "order-service",
    summary: "The Order Service of Lastro: accepts customers' orders and stores them.",
    default_listen: "127.0.0.1:8081",
};
/// What it receives from, and what it publishes to.
pub const CHANNELS: Channels<'static> =
    Channels { receives: ANSWERS_CHANNEL, sends: COMMANDS_CHANNEL };
/// The check of `/readyz` for the table of API keys.
const KEYS_CHECK: &str = "orders database keys";
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

/// The adapters and settings that the service is assembled from.
#[derive(Debug)]
pub struct Dependencies {
    pub database: Opened,
    pub bus: Arc<dyn Bus>,
    /// What other auditors of this process have done, which the service reports with its own.
    pub audits: Vec<Arc<AuditState>>,
    /// The currency of orders that do not name one.
    pub currency: Currency,
}

/// The assembled service, not running yet. A process runs each worker as a task.
#[derive(Debug)]
pub struct Parts {
    pub relay: Relay,
    /// Clones share one queue.
    pub committer: Committer<OrderCommand, OrderOutcome>,
    pub consumer: Consumer<OrderCommand, OrderOutcome>,
    pub listener: AnswerListener,
    pub sweeper: Sweeper,
    pub deadlines: Deadlines,
    pub health_check: HealthCheck,
    pub numbering: Numbering,
    pub auditor: Auditor,
    pub notes: Notes,
    pub api: Api,
}

/// Assembles the service from its dependencies, in the context of its process.
pub fn assemble(dependencies: Dependencies, context: &mut Context) -> Parts {
    let Dependencies { database, bus, audits, currency } = dependencies;
    let Opened { store, audit, feed, journal, pairing, quarantine, admin_log } = database;
    let auditor = auditor(audit, context);
    let metrics = Arc::new(Metrics::new(&mut context.registry, context.metrics.clone()));
    let waiters = Arc::new(Waiters::default());
    let answer_feed = Arc::new(AnswerFeed::default());
    let replica = context.ids.uuid();
    let followed = Followed { database: pairing.id(), journal, tail: Arc::default() };
    let (outbox, relay) = relay(bus.clone(), answer_feed.clone(), metrics.clone());
    let commits = Commits {
        store: store.clone(),
        tail: followed.tail.clone(),
        bus: bus.clone(),
        replica,
        outbox,
        waiters: waiters.clone(),
        answer_feed: answer_feed.clone(),
        clock: context.clock.clone(),
        metrics: metrics.clone(),
    };
    let listener = listener(&commits);
    let sweeper = sweeper(&commits, context);
    let health_check = health_check(&commits, &pairing, &quarantine, context);
    let (batcher, committer) = batcher(commits, &metrics);
    let answers = Answers { store: store.clone() };
    let consumer = consumer(&bus, &pairing, &batcher, answers, context);
    let deadlines =
        Deadlines { store: store.clone(), batcher: batcher.clone(), metrics: metrics.clone() };
    let Followed { journal, tail, .. } = followed.clone();
    let numbering = Numbering { service: SERVICE, journal, tail };
    let (notes, refusals) = Notes::of(SERVICE, admin_log.clone(), context);
    let service = Service {
        store,
        feed: Feed::new(SERVICE, OrderEvents::new(feed), followed, context),
        batcher,
        waiters,
        answer_feed,
        quarantine,
        admin_log,
        audits: std::iter::once(auditor.state()).chain(audits).collect(),
        ids: context.ids.clone(),
        currency,
        metrics,
        stopping: context.stopping.clone(),
    };
    let api = context.api(SERVICE, routes(Arc::new(service)), RULES, own_codes(), Some(refusals));
    Parts {
        relay,
        committer,
        consumer,
        listener,
        sweeper,
        deadlines,
        health_check,
        numbering,
        auditor,
        notes,
        api,
    }
}

/// Receives Inventory's answers.
fn consumer(
    bus: &Arc<dyn Bus>,
    pairing: &Arc<Pairing>,
    batcher: &Batcher<OrderCommand, OrderOutcome>,
    answers: Answers,
    context: &Context,
) -> Consumer<OrderCommand, OrderOutcome> {
    Consumer {
        service: SERVICE,
        bus: bus.clone(),
        channel: ANSWERS_CHANNEL,
        pairing: pairing.clone(),
        batcher: batcher.clone(),
        inbox: Arc::new(answers),
        metrics: context.metrics.clone(),
        log_limit: LogLimit::default(),
    }
}

/// The queue of commands to publish, and the worker that publishes them.
fn relay(
    bus: Arc<dyn Bus>,
    answer_feed: Arc<AnswerFeed>,
    metrics: Arc<Metrics>,
) -> (Outbox, Relay) {
    let report = move |attempt: Attempt| {
        metrics.published(attempt);
        answer_feed.tried_to_publish(attempt.published > 0);
        fault_point!("orders.published");
    };
    Relay::new(bus, COMMANDS_CHANNEL, Box::new(report))
}

/// The queue of commands to decide, and the worker that commits them.
fn batcher(
    commits: Commits,
    metrics: &Arc<Metrics>,
) -> (Batcher<OrderCommand, OrderOutcome>, Committer<OrderCommand, OrderOutcome>) {
    let observe = metrics.clone();
    let observe = Arc::new(move |executed| observe.executed(executed));
    let (batcher, committer) = Batcher::new(Arc::new(commits), observe);
    metrics.queue(batcher.length());
    (batcher, committer)
}

/// Hears of the commits of other replicas.
fn listener(commits: &Commits) -> AnswerListener {
    let Commits { bus, replica, waiters, answer_feed, clock, .. } = commits;
    AnswerListener {
        bus: bus.clone(),
        replica: *replica,
        waiters: waiters.clone(),
        answer_feed: answer_feed.clone(),
        clock: clock.clone(),
    }
}

/// Sends commands again.
fn sweeper(commits: &Commits, context: &Context) -> Sweeper {
    let Commits { store, outbox, answer_feed, clock, metrics, .. } = commits;
    Sweeper {
        store: store.clone(),
        outbox: outbox.clone(),
        answer_feed: answer_feed.clone(),
        clock: clock.clone(),
        ids: context.ids.clone(),
        metrics: metrics.clone(),
    }
}

/// Tells the readiness probe and the metrics what the service stands on.
fn health_check(
    commits: &Commits,
    pairing: &Arc<Pairing>,
    quarantine: &Arc<dyn QuarantineTable>,
    context: &Context,
) -> HealthCheck {
    let Commits { store, bus, outbox, metrics, .. } = commits;
    HealthCheck {
        store: store.clone(),
        bus: bus.clone(),
        outbox: outbox.clone(),
        pairing: pairing.clone(),
        quarantine: quarantine.clone(),
        metrics: metrics.clone(),
        readiness: context.readiness.clone(),
    }
}

fn auditor(store: Arc<dyn OrderAuditStore>, context: &Context) -> Auditor {
    let audit = AuditSequence::new(vec![
        Box::new(OrdersAudit::new(store.clone(), ReadBudget::SHORT)),
        Box::new(JournalAudit::new(store, ReadBudget::SHORT)),
    ]);
    Auditor::new(SERVICE, Box::new(audit), context.metrics.audit.clone(), context.clock.clone())
}

/// Adds the service to a process: its workers, metrics and checks. Returns its API.
pub fn build(dependencies: Dependencies, process: &mut Process) -> Api {
    let parallel_batches = dependencies.database.store.parallel_batches();
    let Parts {
        relay,
        committer,
        consumer,
        listener,
        sweeper,
        deadlines,
        health_check,
        numbering,
        auditor,
        notes,
        api,
    } = assemble(dependencies, &mut process.context);
    let workers = &mut process.workers;
    workers.spawn(Stage::Relay, "the relay of commands", |token| relay.run(token));
    for _ in 0..parallel_batches {
        let committer = committer.clone();
        workers.spawn(Stage::Commit, "the committer of orders", |token| committer.run(token));
    }
    workers.spawn(Stage::Work, "the consumer of answers", |token| consumer.run(token));
    workers.spawn(Stage::Work, "the listener for other replicas", |token| listener.run(token));
    workers.spawn(Stage::Work, "the sweeper", |token| sweeper.run(token));
    workers.spawn(Stage::Work, "the worker of deadlines", |token| deadlines.run(token));
    workers.spawn(Stage::Work, "the health check of orders", |token| health_check.run(token));
    workers.spawn(Stage::Work, "the notes of the admin log of orders", |token| notes.run(token));
    workers.spawn(Stage::Work, "the numbering of orders", |token| numbering.run(token));
    workers.spawn(Stage::Work, "the auditor of orders", |token| auditor.run(token));
    api
}

/// The opened database of the service.
#[derive(Debug)]
pub struct Opened {
    /// Where orders are stored.
    pub store: Arc<dyn OrderStore>,
    pub audit: Arc<dyn OrderAuditStore>,
    /// What the event feed reads, and what numbers it (R29).
    pub feed: Arc<dyn OrderFeedStore>,
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
            workers.spawn(Stage::Close, "the file of orders", |token| keeper.run(note, token));
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
            process.workers.spawn(Stage::Work, "the check of the orders database", |token| {
                check.run("orders database writes", readiness, token)
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
) -> Result<(Arc<dyn OrderAuditStore>, Identity), ProgramError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            // The age of the backlog. PostgreSQL tells it by its own clock.
            let clock = Arc::new(SystemClock);
            let audit = Sqlite::open_for_audit(path, clock).map_err(ProgramError::failed)?;
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

/// The Order Service: accepts orders over HTTP and settles them with the Inventory Service over a
/// message bus
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
    /// Database of the orders [default: sqlite:data/orders.db]
    #[arg(long, env = "LASTRO_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<Secret>,
    /// A file that holds the URL of the database, for one with a password
    #[arg(long, env = "LASTRO_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    #[command(flatten)]
    bus: BusArgs,
    /// Currency of orders that do not name one [default: BRL]
    #[arg(long, env = "LASTRO_CURRENCY", value_name = "ISO 4217")]
    currency: Option<String>,
    /// Page that shows the trace {trace_id}, to which the dashboard links [default: none]
    #[arg(long, env = "LASTRO_TRACE_URL", value_name = "URL")]
    trace_url: Option<TraceUrl>,
}

/// Runs the service as a separate program until a signal.
///
/// # Errors
///
/// As [`web::program::run`].
pub async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { common, database_url, database_url_file, bus, currency, trace_url } = args;
    web::program::run(PROGRAM, &common, &KEYS, async |process, file| {
        let broker = bus.broker_between_processes(file)?;
        let database_url = file.secret("database_url", database_url, database_url_file)?;
        let database_url = database_url.map_or_else(|| "sqlite:data/orders.db".parse(), Ok)?;
        let currency = parse_currency(file.or(currency, "currency")?)?;
        let trace_url = file.or(trace_url, "trace_url")?;
        process.show(dashboard(currency, false, process.links(), trace_url));
        let database = open_store(&database_url, process).await?;
        if common.replace_peer {
            database.pairing.forget().await?;
        }
        let metrics = process.context.metrics.clone();
        let takes_over = common.replace_peer;
        let pairing = database.pairing.clone();
        let joining = broker.join(PROGRAM.name, pairing, CHANNELS, metrics, takes_over);
        let bus = Arc::new(joining.await?);
        let audits = Vec::new();
        Ok(build(Dependencies { database, bus, audits, currency }, process))
    })
    .await
}

/// Parses the currency of orders that do not name one; BRL if not configured.
///
/// # Errors
///
/// The code is not a currency of ISO 4217.
pub fn parse_currency(code: Option<String>) -> Result<Currency, UsageError> {
    let Some(code) = code else { return Ok(Currency::BRL) };
    code.parse().map_err(|error| UsageError(format!("currency {code:?} is {error}")))
}

/// Runs the program with the arguments of the command line.
pub fn main() -> ExitCode {
    run_to_exit(run)
}
