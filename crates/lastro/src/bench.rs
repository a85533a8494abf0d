//! `lastro bench`: a load on a shop, what clients saw of it, what the services counted, and whether the books are right
//! afterwards.

use std::io::Write;
use std::time::Duration;

use platform::process::ProgramError;
use platform::telemetry::process::{cpu_time, resident_bytes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::serve::Databases;
use load::{Load, Stages};
use metrics::{Cost, Numbers, Scraper};
use report::{Report, Setting};
pub(crate) use settings::Args;
use settings::Target;
use shop::Shop;
use wire::Endpoint;
use workload::Workload;

mod catalogue;
mod load;
mod metrics;
mod progress;
mod report;
mod schedule;
mod settings;
mod shop;
mod signals;
mod tally;
mod wire;
mod workload;

/// How long nothing may be settled before the run gives up waiting for what is in flight.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(50);

/// What the load is put on.
#[derive(Debug)]
struct Market {
    name: String,
    orders: Endpoint,
    inventory: Endpoint,
    processes: Vec<(String, Endpoint)>,
    /// None: nobody said where the databases are.
    databases: Option<Databases>,
}

/// **Errors:** the shop could not be put under load, or the run was not as it should be; what was measured is printed
/// all the same.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let taste = args.taste()?;
    let target = args.target()?;
    let (stop, abort) = signals::listen().map_err(ProgramError::failed)?;
    let running = async {
        let (market, own) = open(target).await?;
        let measured = measure(&args, &market, Workload::new(taste), stop).await;
        let closed = match own {
            Some(shop) => shop.close().await,
            None => Ok(()),
        };
        let report = match (measured, &closed) {
            (Ok(report), _) => report,
            // A shop that died is the cause, and what could not be measured then is only the consequence.
            (Err(error), Err(died)) => return Err(ProgramError::failed(format!("{died}; {error}"))),
            (Err(error), Ok(())) => return Err(error),
        };
        // A closed pipe is the reader's choice; the exit code tells all the same.
        let mut out = std::io::stdout();
        let _ = if args.json { writeln!(out, "{:#}", report.json()) } else { write!(out, "{report}") };
        closed?;
        match report.problems().as_slice() {
            [] => Ok(()),
            problems => Err(ProgramError::failed(format!("the run failed: {}", problems.join("; ")))),
        }
    };
    tokio::select! {
        ended = running => ended,
        // The shop is killed where it is dropped.
        () = abort.cancelled() => Err(ProgramError::failed("interrupted")),
    }
}

/// The shop, and what must be closed afterwards if it is one of our own.
async fn open(target: Target) -> Result<(Market, Option<Shop>), ProgramError> {
    match target {
        Target::Given { orders, inventory, processes, databases } => {
            let name = if orders == inventory { orders.to_string() } else { format!("{orders} and {inventory}") };
            Ok((Market { name, orders, inventory, processes, databases }, None))
        }
        Target::Own { folder, bus } => {
            let shop = Shop::open(folder, bus).await?;
            let market = Market {
                name: shop.describe(),
                orders: shop.orders(),
                inventory: shop.inventory(),
                processes: shop.processes(),
                databases: Some(shop.databases().clone()),
            };
            Ok((market, Some(shop)))
        }
    }
}

/// Stocks the shop, puts the load on it, waits until everything is settled, and checks the books.
async fn measure(
    args: &Args,
    market: &Market,
    workload: Workload,
    stop: CancellationToken,
) -> Result<Report, ProgramError> {
    progress::say(&format!("stocking {} products", args.products));
    catalogue::stock(&market.inventory, args.products, args.stock).await?;
    let mut scraper = Scraper::new(&market.processes);
    let before = scraper.scrape().await?;

    let stages = Stages::new(args.warm_up, args.duration);
    let load = Load::new(market.orders.clone(), workload, stages, stop.clone());
    let sending = tokio::spawn(load.clone().run(args.kind(), args.seed));
    let teller = progress::tell(load.clone(), stages, Scraper::new(&market.processes), before.clone());
    let teller = tokio::spawn(teller);
    let begin = Moment::at(stages.measured, &mut scraper, &stop).await?;
    let end = Moment::at(stages.end, &mut scraper, &stop).await?;
    sending.await.map_err(ProgramError::failed)?;
    teller.abort();
    progress::end();

    progress::say("waiting until all orders are settled");
    let (after, settled_after) = settle(&mut scraper, &before, end.at).await?;
    let audit = match &market.databases {
        Some(databases) => {
            progress::say("auditing the databases");
            Some(crate::audit::audit(databases).await?)
        }
        None => None,
    };
    let tally = load.tally().clone();
    Ok(Report {
        setting: setting(args, market),
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

/// One edge of the measured time.
#[derive(Debug)]
struct Moment {
    at: Instant,
    numbers: Numbers,
    /// What the bench itself has cost until then.
    cpu: Duration,
}

impl Moment {
    /// Waits until it is time, or until the run is to stop.
    async fn at(at: Instant, scraper: &mut Scraper, stop: &CancellationToken) -> Result<Self, ProgramError> {
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = stop.cancelled() => {}
        }
        let cpu = cpu_time();
        Ok(Self { at: at.min(Instant::now()), numbers: scraper.scrape().await?, cpu })
    }
}

/// Waits until nothing is in flight, or nothing moves any more. How it stands then, and how long after the end of the
/// load the last order was settled; the services tell of commands in flight a little later.
async fn settle(scraper: &mut Scraper, before: &Numbers, end: Instant) -> Result<(Numbers, Duration), ProgramError> {
    let (mut settled, mut moved) = (0, Instant::now());
    loop {
        let now = scraper.scrape().await?;
        let whole = now.since(before);
        if whole.settled() > settled {
            (settled, moved) = (whole.settled(), now.at);
        }
        let done = whole.pending == 0 && whole.settled() >= whole.placed;
        if done || moved.elapsed() > SETTLE_PATIENCE {
            return Ok((now, moved.saturating_duration_since(end)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn setting(args: &Args, market: &Market) -> Setting {
    Setting {
        shop: market.name.clone(),
        kind: args.kind(),
        seed: args.seed,
        warm_up: args.warm_up,
        products: args.products,
        popularity: args.popularity,
        zipf_exponent: args.zipf_exponent,
        lines: (*args.lines.0.start(), *args.lines.0.end()),
        stock: args.stock,
        settle_sample: args.settle_sample,
    }
}
