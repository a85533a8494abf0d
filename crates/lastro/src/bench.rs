//! `lastro bench`: puts a load on the services, reports what the clients saw and what the services
//! counted, and audits the databases afterwards.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use platform::process::ProgramError;
use platform::telemetry::process::{cpu_time, resident_bytes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::serve::Databases;
use load::{Load, Stages};
use metrics::{Cost, Numbers, Scraper};
use own_services::OwnServices;
use report::{Report, Setting};
pub(crate) use settings::Args;
use settings::Target;
pub(crate) use suite::null_server;
use wire::Endpoint;
use workload::Workload;

mod catalogue;
mod load;
mod metrics;
mod own_services;
mod program;
mod progress;
mod report;
mod schedule;
mod settings;
mod signals;
mod suite;
mod tally;
mod wire;
mod workload;

/// How long no order may settle before the run stops waiting for the orders in flight.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
/// The time between two scrapes while orders settle.
const PAUSE: Duration = Duration::from_millis(50);

/// The services under load.
#[derive(Debug)]
struct Services {
    name: String,
    orders: Endpoint,
    inventory: Endpoint,
    processes: Vec<(String, Endpoint)>,
    /// The databases to audit; none if they are not named.
    databases: Option<Databases>,
}

/// Runs the bench and prints its report.
///
/// # Errors
///
/// The load could not run, or the report has problems; the report is printed in the second case.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    if args.suite.suite {
        let (stop, _) = signals::listen().map_err(ProgramError::failed)?;
        return suite::run(&args.suite, args.json, stop).await;
    }
    let profile = args.profile()?;
    let target = args.target()?;
    let (stop, abort) = signals::listen().map_err(ProgramError::failed)?;
    let running = async {
        let (services, own) = open(target).await?;
        let measured = measure(&args, &services, Workload::new(profile), stop).await;
        let closed = match own {
            Some(own) => own.close().await,
            None => Ok(()),
        };
        let report = match (measured, &closed) {
            (Ok(report), _) => report,
            // The death of a service is the cause of the failed measurement, so it comes first.
            (Err(error), Err(died)) => {
                return Err(ProgramError::failed(format!("{died}; {error}")));
            }
            (Err(error), Ok(())) => return Err(error),
        };
        // A closed pipe is no error: the exit code still reports the result.
        let mut out = std::io::stdout();
        let _ =
            if args.json { writeln!(out, "{:#}", report.json()) } else { write!(out, "{report}") };
        closed?;
        match report.problems().as_slice() {
            [] => Ok(()),
            problems => {
                Err(ProgramError::failed(format!("the run failed: {}", problems.join("; "))))
            }
        }
    };
    tokio::select! {
        ended = running => ended,
        // Dropping `running` kills the bench's own services.
        () = abort.cancelled() => Err(ProgramError::failed("interrupted")),
    }
}

/// The services under load, and those that the bench started and must close.
async fn open(target: Target) -> Result<(Services, Option<OwnServices>), ProgramError> {
    match target {
        Target::Given { orders, inventory, processes, databases } => {
            let name = if orders == inventory {
                orders.to_string()
            } else {
                format!("{orders} and {inventory}")
            };
            Ok((Services { name, orders, inventory, processes, databases }, None))
        }
        Target::Own { folder, bus } => {
            let own = OwnServices::open(folder, bus).await?;
            let services = Services {
                name: own.describe(),
                orders: own.orders(),
                inventory: own.inventory(),
                processes: own.processes(),
                databases: Some(own.databases().clone()),
            };
            Ok((services, Some(own)))
        }
    }
}

/// Stocks the products, sends the load, waits until all orders are settled, and audits the
/// databases.
async fn measure(
    args: &Args,
    services: &Services,
    workload: Workload,
    stop: CancellationToken,
) -> Result<Report, ProgramError> {
    progress::say(&format!("stocking {} products", args.products));
    catalogue::stock(&services.inventory, args.products, args.stock, 1).await?;
    let mut scraper = Scraper::new(&services.processes);
    let before = scraper.scrape().await?;

    let stages = Stages::new(args.warm_up, args.duration);
    let load = Load::new(vec![services.orders.clone()], workload, stages, stop.clone());
    let [begin, end] = send(args, services, &load, &mut scraper, &before).await?;

    progress::say("waiting until all orders are settled");
    let (after, settled_after) = settle(&mut scraper, &before, end.at).await?;
    let audit = audit(services).await?;
    let tally = load.tally().clone();
    Ok(Report {
        setting: setting(args, services),
        tally,
        whole: after.since(&before),
        window: end.numbers.since(&begin.numbers),
        between: end.numbers.at.duration_since(begin.numbers.at),
        lasted: end.at.saturating_duration_since(begin.at),
        interrupted: stop.is_cancelled(),
        own: Cost {
            process: "bench".to_owned(),
            cpu: Some(end.cpu.saturating_sub(begin.cpu)),
            resident_bytes: resident_bytes(),
        },
        settled_after,
        audit,
    })
}

/// Sends the load, and reports the progress meanwhile. Returns the start and the end of the measured
/// time.
async fn send(
    args: &Args,
    services: &Services,
    load: &Arc<Load>,
    scraper: &mut Scraper,
    before: &Numbers,
) -> Result<[Moment; 2], ProgramError> {
    let stages = load.times;
    let sending = tokio::spawn(load.clone().run(args.kind(), args.seed));
    let reporting =
        progress::report(load.clone(), stages, Scraper::new(&services.processes), before.clone());
    let reporting = tokio::spawn(reporting);
    let begin = Moment::at(stages.measured, scraper, &load.stop).await?;
    let end = Moment::at(stages.end, scraper, &load.stop).await?;
    sending.await.map_err(ProgramError::failed)?;
    reporting.abort();
    progress::end();
    Ok([begin, end])
}

/// Audits the databases, if they are named.
async fn audit(services: &Services) -> Result<Option<crate::audit::Report>, ProgramError> {
    let Some(databases) = &services.databases else { return Ok(None) };
    progress::say("auditing the databases");
    crate::verify::verify(databases).await.map(Some)
}

/// The start or the end of the measured time.
#[derive(Debug)]
struct Moment {
    at: Instant,
    numbers: Numbers,
    /// The CPU time of the bench until then.
    cpu: Duration,
}

impl Moment {
    /// Waits until `at`, or until the run is stopped, and scrapes the metrics.
    async fn at(
        at: Instant,
        scraper: &mut Scraper,
        stop: &CancellationToken,
    ) -> Result<Self, ProgramError> {
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = stop.cancelled() => {}
        }
        let cpu = cpu_time();
        Ok(Self { at: at.min(Instant::now()), numbers: scraper.scrape().await?, cpu })
    }
}

/// Waits until no order is in flight, or until no order settles any more. Returns the last numbers,
/// and the time from the end of the load until the last order settled. The metric of commands in
/// flight lags a little behind.
async fn settle(
    scraper: &mut Scraper,
    before: &Numbers,
    end: Instant,
) -> Result<(Numbers, Duration), ProgramError> {
    let mut settled = 0;
    let mut moved = Instant::now();
    loop {
        let now = scraper.scrape().await?;
        let whole = now.since(before);
        if whole.settled() > settled {
            settled = whole.settled();
            moved = now.at;
        }
        let done = whole.pending == 0 && whole.settled() >= whole.placed;
        if done || moved.elapsed() > SETTLE_PATIENCE {
            return Ok((now, moved.saturating_duration_since(end)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn setting(args: &Args, services: &Services) -> Setting {
    Setting {
        shop: services.name.clone(),
        kind: args.kind(),
        seed: args.seed,
        warm_up: args.warm_up,
        products: args.products,
        popularity: args.popularity,
        zipf_exponent: args.zipf_exponent,
        lines: (*args.lines.0.start(), *args.lines.0.end()),
        stock: args.stock,
        settle_sample: args.settle_sample,
        changes: args.changes,
    }
}
