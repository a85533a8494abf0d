//! One measurement: a load on a shop, what its clients saw, and what the services counted.
#![expect(clippy::float_arithmetic, reason = "a rate is a fraction")]

use std::time::Duration;

use platform::process::ProgramError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::shop::Shop;
use super::{Scale, Suite};
use crate::bench::load::{Load, Loop, Stages};
use crate::bench::metrics::{Numbers, Scraper};
use crate::bench::tally::Tally;
use crate::bench::wire::Endpoint;
use crate::bench::workload::{Popularity, Profile, Workload};
use crate::bench::{Moment, settle};

/// Lines of an order, unless the row says otherwise.
const LINES: u32 = 2;
/// Longer than any run: it ends when enough orders were accepted.
const UNTIL_ENOUGH: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two looks at whether they were.
const PAUSE: Duration = Duration::from_millis(10);

/// The load of a measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    pub(super) kind: Loop,
    pub(super) popularity: Popularity,
    /// Lines of every order.
    pub(super) lines: u32,
    /// The fraction of orders whose client waits for the outcome.
    pub(super) watched: f64,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
}

impl Pressure {
    /// A closed loop of this many clients on all products alike.
    pub(super) fn clients(scale: &Scale, clients: usize) -> Self {
        Self {
            kind: Loop::Closed { clients },
            popularity: Popularity::Uniform,
            lines: LINES,
            watched: 0.0,
            warm_up: scale.warm_up,
            duration: scale.duration,
        }
    }

    /// Orders at this rate, whether the shop keeps up or not.
    pub(super) fn rate(scale: &Scale, rate: f64, duration: Duration) -> Self {
        let kind = Loop::Open { rate, connections: scale.connections };
        Self { kind, duration, ..Self::clients(scale, 0) }
    }

    fn workload(&self, scale: &Scale, seed: u64) -> Workload {
        Workload::new(Profile {
            seed,
            products: scale.products,
            popularity: self.popularity,
            zipf_exponent: 1.0,
            lines: self.lines..=self.lines,
            watched: self.watched,
            changed: 0.0,
        })
    }
}

/// Bodies of orders, for a load that makes its requests before it begins.
pub(super) fn bodies(scale: &Scale, count: usize) -> Vec<bytes::Bytes> {
    let mut workload = Pressure::clients(scale, 0).workload(scale, 1);
    (0..count).map(|_| workload.next().body).collect()
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// Accepted orders per second, as the clients saw them.
    pub(super) accepted_per_s: f64,
    /// The CPU time of the load itself per order.
    pub(super) load_us: f64,
}

/// What was measured at the services as well.
#[derive(Debug)]
pub(super) struct MeasuredShop {
    pub(super) seen: Measured,
    /// Confirmed orders per second, as the services counted them.
    pub(super) confirmed_per_s: f64,
    /// The CPU time of the services per accepted order.
    pub(super) services_us: f64,
    /// Orders of the whole load, warm-up included.
    pub(super) placed: u64,
    /// Those of them that were rejected.
    pub(super) rejected: u64,
    /// Orders that had no outcome when the measured time was over.
    pub(super) open: u64,
}

/// Loads a shop, and returns when every order has its outcome. Orders may be refused.
///
/// # Errors
///
/// A service does not answer, or lost an order.
pub(super) async fn strained(
    suite: &Suite,
    shop: &Shop,
    pressure: Pressure,
) -> Result<MeasuredShop, ProgramError> {
    let mut scraper = Scraper::new(&shop.processes());
    let before = scraper.scrape().await?;
    let load = start(suite, shop.entrances(), pressure);
    let sending = tokio::spawn(load.clone().run(pressure.kind, 1));
    let begin = Moment::at(load.times.measured, &mut scraper, &load.stop).await?;
    let end = Moment::at(load.times.end, &mut scraper, &load.stop).await?;
    sending.await.map_err(ProgramError::failed)?;
    let whole = settled(&mut scraper, &before, end.at).await?;
    let until_end = end.numbers.since(&before);
    let window = end.numbers.since(&begin.numbers);
    let seconds = end.numbers.at.duration_since(begin.numbers.at).as_secs_f64();
    let seen = seen(&load, end.cpu.saturating_sub(begin.cpu), pressure.duration);
    let orders = seen.tally.measured.accepted;
    Ok(MeasuredShop {
        confirmed_per_s: window.confirmed as f64 / seconds,
        services_us: per_order(cpu(&window), orders),
        placed: whole.placed,
        rejected: whole.rejected,
        open: until_end.placed.saturating_sub(until_end.settled()),
        seen,
    })
}

/// Loads a server that counts no orders.
///
/// # Errors
///
/// A request failed.
pub(super) async fn server(
    suite: &Suite,
    endpoint: Endpoint,
    pressure: Pressure,
) -> Result<Measured, ProgramError> {
    let load = start(suite, vec![endpoint], pressure);
    let sending = tokio::spawn(load.clone().run(pressure.kind, 1));
    tokio::time::sleep_until(load.times.measured).await;
    let begun = platform::telemetry::process::cpu_time();
    tokio::time::sleep_until(load.times.end).await;
    let used = platform::telemetry::process::cpu_time().saturating_sub(begun);
    sending.await.map_err(ProgramError::failed)?;
    let measured = seen(&load, used, pressure.duration);
    undisturbed(&measured.tally)?;
    Ok(measured)
}

/// A load that begins now.
fn start(suite: &Suite, entrances: Vec<Endpoint>, pressure: Pressure) -> std::sync::Arc<Load> {
    let workload = pressure.workload(&suite.scale, 1);
    let stages = Stages::new(pressure.warm_up, pressure.duration);
    Load::new(entrances, workload, stages, CancellationToken::new())
}

fn seen(load: &Load, cpu: Duration, duration: Duration) -> Measured {
    let tally = load.tally().clone();
    let orders = tally.measured.accepted;
    Measured {
        accepted_per_s: orders as f64 / duration.as_secs_f64(),
        load_us: per_order(cpu, orders),
        tally,
    }
}

/// Refuses a measurement in which orders were refused, failed, or were never sent.
fn undisturbed(tally: &Tally) -> Result<(), ProgramError> {
    let whole = &tally.whole;
    if whole.failed() + whole.shed + tally.unsent == 0 && whole.accepted > 0 {
        return Ok(());
    }
    let kinds: Vec<_> = whole.errors.keys().map(String::as_str).collect();
    Err(ProgramError::failed(format!(
        "of {} orders {} were accepted, {} shed, {} never sent, and {} failed {}",
        whole.sent + tally.unsent,
        whole.accepted,
        whole.shed,
        tally.unsent,
        whole.failed(),
        kinds.join(", ")
    )))
}

fn cpu(numbers: &Numbers) -> Duration {
    numbers.processes.iter().filter_map(|cost| cost.cpu).sum()
}

fn per_order(cpu: Duration, orders: u64) -> f64 {
    1e6 * cpu.as_secs_f64() / orders.max(1) as f64
}

/// Loads a shop that sends, accepts and confirms every order.
///
/// # Errors
///
/// As [`strained`], or an order was never sent, refused or rejected.
pub(super) async fn healthy(
    suite: &Suite,
    shop: &Shop,
    pressure: Pressure,
) -> Result<MeasuredShop, ProgramError> {
    let measured = strained(suite, shop, pressure).await?;
    undisturbed(&measured.seen.tally)?;
    if measured.rejected > 0 {
        let MeasuredShop { placed, rejected, .. } = measured;
        return Err(ProgramError::failed(format!("of {placed} orders {rejected} were rejected")));
    }
    Ok(measured)
}

/// Places this many orders with a closed loop of clients. Returns how many were accepted: a few
/// more, because every client gets its last answer.
///
/// # Errors
///
/// Orders were refused or failed.
pub(super) async fn accept(
    suite: &Suite,
    shop: &Shop,
    clients: usize,
    orders: u64,
) -> Result<u64, ProgramError> {
    let clients = Pressure::clients(&suite.scale, clients);
    let pressure = Pressure { warm_up: Duration::ZERO, duration: UNTIL_ENOUGH, ..clients };
    let load = start(suite, shop.entrances(), pressure);
    let sending = tokio::spawn(load.clone().run(pressure.kind, 1));
    while load.tally().whole.sent < orders {
        tokio::time::sleep(PAUSE).await;
    }
    load.stop.cancel();
    sending.await.map_err(ProgramError::failed)?;
    let tally = load.tally();
    undisturbed(&tally)?;
    Ok(tally.whole.accepted)
}

/// Places this many orders, and waits until they have their outcomes.
///
/// # Errors
///
/// As [`accept`], or an order was lost.
pub(super) async fn place(
    suite: &Suite,
    shop: &Shop,
    clients: usize,
    orders: u64,
) -> Result<(), ProgramError> {
    let mut scraper = Scraper::new(&shop.processes());
    let before = scraper.scrape().await?;
    accept(suite, shop, clients, orders).await?;
    settled(&mut scraper, &before, Instant::now()).await.map(|_| ())
}

/// Waits for the outcomes of all orders since `before`.
async fn settled(
    scraper: &mut Scraper,
    before: &Numbers,
    end: Instant,
) -> Result<Numbers, ProgramError> {
    let (after, _) = settle(scraper, before, end).await?;
    let whole = after.since(before);
    if whole.settled() == whole.placed {
        return Ok(whole);
    }
    Err(ProgramError::failed(format!(
        "of {} orders only {} have an outcome",
        whole.placed,
        whole.settled()
    )))
}
