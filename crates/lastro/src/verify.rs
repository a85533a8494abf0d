//! `lastro verify`: audits both databases beside their services, prints the findings, and fails if
//! an invariant is violated.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use inventory::store::StockAuditStore;
use orders::store::OrderAuditStore;
use platform::audit::{Audit, AuditNumbers, Findings, Invariant, Progress, ReadBudget, pause};
use platform::clock::{Clock, SystemClock, SystemIds};
use platform::config::{File, ListenAddr};
use platform::failure::{Chain, Failure};
use platform::lifecycle::on_signal;
use platform::process::{COMMON_KEYS, DEFAULT_IDLE_TIMEOUT, ProgramError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use web::program::Context;
use web::{Site, bind, serve_probes};

use crate::audit::{Report, audit_once, audits};
use crate::output::note;
use crate::pair::refuse_strangers;
use crate::serve::{DatabaseArgs, Databases, KEYS};

/// The label `service` of the numbers of `--watch`.
const WATCH: &str = "verify";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    databases: DatabaseArgs,
    /// Also demand that no command is in flight
    #[arg(long)]
    settled: bool,
    /// Go on until a signal, a few rows at a time, with a line for every round
    #[arg(long, conflicts_with = "settled")]
    watch: bool,
    /// With --watch: an address for /metrics, /livez and /readyz
    #[arg(long, requires = "watch", value_name = "HOST:PORT")]
    metrics_listen: Option<ListenAddr>,
    /// The configuration file [default: ./lastro.toml, if it is there]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// A database cannot be read, or an invariant is violated or not checked to the end.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let databases =
        args.databases.resolve(&File::load(args.config, &[&COMMON_KEYS[..], &KEYS].concat())?)?;
    if args.watch {
        return watch(&databases, args.metrics_listen, on_signal().map_err(ProgramError::failed)?)
            .await;
    }
    let (orders, inventory) = open_and_name(&databases).await?;
    let report = audit_once(orders, inventory).await?;
    // The reader may close the pipe: the exit code reports the result.
    let _ = write!(std::io::stdout(), "{report}");
    if !report.has_no_violation() {
        return Err(violated());
    }
    if !report.is_clean() {
        let what = "an invariant was not checked to the end; verify again when less changes";
        return Err(ProgramError::failed(what));
    }
    if args.settled && report.backlog.commands > 0 {
        return Err(ProgramError::failed("commands are still in flight"));
    }
    Ok(())
}

fn violated() -> ProgramError {
    ProgramError::failed("an invariant is violated")
}

/// Audits both databases. The services may be running.
///
/// # Errors
///
/// A database cannot be read.
pub(crate) async fn verify(databases: &Databases) -> Result<Report, ProgramError> {
    let (orders, inventory) = open(databases).await?;
    Ok(audit_once(orders, inventory).await?)
}

type Opened = (Arc<dyn OrderAuditStore>, Arc<dyn StockAuditStore>);

/// Also says which databases they are: those of another shop may have no violations either.
async fn open_and_name(databases: &Databases) -> Result<Opened, ProgramError> {
    let opened = open(databases).await?;
    note(format_args!("databases: {} and {}", databases.orders, databases.inventory));
    Ok(opened)
}

async fn open(databases: &Databases) -> Result<Opened, ProgramError> {
    let (orders, of_orders) = orders::open_for_audit(&databases.orders).await?;
    let (inventory, of_stock) = inventory::open_for_audit(&databases.inventory).await?;
    refuse_strangers(of_orders, of_stock)?;
    Ok((orders, inventory))
}

/// Audits both databases round after round until `shutdown`, at the pace of the auditors inside the
/// services. Prints and counts each violation when it is found. Without a metrics address, a closed
/// standard output ends it as well. A database that is away may come back.
///
/// # Errors
///
/// The metrics address is taken, a database can no longer be trusted, or an invariant was violated
/// in some round.
async fn watch(
    databases: &Databases,
    metrics_listen: Option<ListenAddr>,
    shutdown: CancellationToken,
) -> Result<(), ProgramError> {
    let (orders, inventory) = open_and_name(databases).await?;
    let mut audits = audits(orders, inventory, ReadBudget::SHORT);
    let serves_numbers = metrics_listen.is_some();
    let numbers = numbers(metrics_listen, &audits.invariants(), shutdown.clone()).await?;
    let mut rounds = Rounds::begin();
    let mut failing = false;
    loop {
        let step_began = Instant::now();
        let mut findings = Findings::default();
        let progress = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            progress = audits.step(&mut findings) => progress,
        };
        numbers.count(WATCH, &findings, &progress, SystemClock.now());
        let mut lines = rounds.absorb(findings);
        match &progress {
            Err(failure @ Failure::Fatal(_)) => return Err(failure.clone().into()),
            Err(failure) if !failing => {
                eprintln!("read failed, retrying: {}", Chain(failure));
            }
            Ok(Progress::RoundOver) => lines.push(rounds.next()),
            _ => {}
        }
        failing = progress.is_err();
        if print(&lines).is_err() && !serves_numbers {
            break;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(pause(&progress, step_began.elapsed())) => {}
        }
    }
    if rounds.were_clean { Ok(()) } else { Err(violated()) }
}

fn print(lines: &[String]) -> std::io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(std::io::stdout(), "{line}"))
}

/// The counters, which are served if there is an address for them.
async fn numbers(
    listen: Option<ListenAddr>,
    invariants: &[Invariant],
    shutdown: CancellationToken,
) -> Result<AuditNumbers, ProgramError> {
    let Some(address) = listen else { return Ok(AuditNumbers::default()) };
    let site = Arc::new(Site::new(&address, true, &[], &[])?);
    let listener = bind(&address).await.map_err(ProgramError::failed)?;
    let address = listener.local_addr().map_err(ProgramError::failed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(SystemIds::new(clock.clone()));
    let context = Context::new(clock, ids.clone());
    let context = context.at(site);
    let numbers = context.metrics.audit.clone();
    numbers.start_at_zero(WATCH, invariants);
    // Standard output may be closed, because an operator may want only the metrics.
    let _ = writeln!(std::io::stdout(), "metrics at http://{address}/metrics");
    let router = context.probes_alone(WATCH);
    tokio::spawn(serve_probes(listener, router, ids, DEFAULT_IDLE_TIMEOUT, shutdown));
    Ok(numbers)
}

/// The rounds of a watch.
#[derive(Debug)]
struct Rounds {
    /// The number of the round that is under way, from 1.
    number: u64,
    began: Instant,
    report: Report,
    /// Whether no round has found a violation.
    were_clean: bool,
}

impl Rounds {
    fn begin() -> Self {
        Self { number: 1, began: Instant::now(), report: Report::default(), were_clean: true }
    }

    /// Adds the findings of a step. Returns a line for each violation that the report names.
    fn absorb(&mut self, findings: Findings) -> Vec<String> {
        let named = self.report.absorb(findings);
        self.were_clean &= self.report.has_no_violation();
        named.into_iter().map(|(invariant, offender)| format!("{invariant}  {offender}")).collect()
    }

    /// Ends the round and begins the next one. Returns the summary of the one that ended.
    fn next(&mut self) -> String {
        let summary = self.summary();
        self.number += 1;
        self.began = Instant::now();
        self.report = Report::default();
        summary
    }

    /// `round 3: 1204 rows, 0 violations, 0.8 s`
    fn summary(&self) -> String {
        let Self { number, began, report, .. } = self;
        let broken = report.findings().filter(|(_, _, violations)| *violations > 0);
        let broken: Vec<_> =
            broken.map(|(name, _, violations)| format!("{name}: {violations}")).collect();
        let which =
            if broken.is_empty() { String::new() } else { format!(" ({})", broken.join(", ")) };
        let violations: u64 = report.findings().map(|(_, _, violations)| violations).sum();
        let rows = report.rows;
        let seconds = began.elapsed().as_secs_f64();
        format!("round {number}: {rows} rows, {violations} violations{which}, {seconds:.1} s")
    }
}
