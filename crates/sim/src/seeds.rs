//! Runs many seeds concurrently, and prints progress, coverage and violations.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use platform::clock::{Clock, SystemClock};

use crate::config::Config;
use crate::corpus;
use crate::coverage::Coverage;
use crate::run::{self, Report};
use crate::shrink;
use crate::table;
use crate::wrappers::Wrappers;

/// After this many violations no further seed is run.
const MAX_BROKEN: usize = 10;
/// This many seeds must reach everything that can be reached.
const SEEDS_THAT_REACH_ALL: u64 = 1000;
const PROGRESS_PERIOD_MS: i64 = 1000;

/// The sums over all worlds.
#[derive(Debug, Default)]
struct Tally {
    worlds: u64,
    /// The number of orders, and how many of them were ever confirmed and ever rejected.
    orders: [u64; 3],
    coverage: Coverage,
    broken: Vec<Report>,
}

/// Runs the worlds that failed once, and then `count` seeds. Returns false if there is a violation,
/// or if too little was reached.
pub(crate) fn run(from: u64, count: u64, jobs: usize) -> bool {
    let known = corpus::worlds();
    let known_count = known.len() as u64;
    println!(
        "{known_count} worlds that failed once, then {count} seeds from {from} on, {jobs} at a time"
    );
    let worlds = known.into_iter().chain((from..from.saturating_add(count)).map(Config::of));
    let mut progress =
        Progress { watch: Stopwatch::start(), count, known: known_count, printed_at_ms: 0 };
    let tally = side_by_side(worlds, jobs, |tally| progress.print(tally));
    progress.end();
    if let Some(first) = tally.broken.first() {
        shrink::print(first, None);
    }
    let missing = sum_up(&tally);
    let complains = count >= SEEDS_THAT_REACH_ALL && !missing.is_empty();
    missing.iter().for_each(|what| println!("not reached: {what}"));
    let (reached, all) = table::reached(&tally.coverage);
    let seeds = tally.worlds.saturating_sub(known_count);
    let broken = tally.broken.len();
    let seconds = progress.watch.seconds();
    println!("{seeds} seeds, {broken} violations, {reached}/{all} cells, {seconds} s");
    tally.broken.is_empty() && !complains
}

/// Prints the coverage. Returns what was not reached.
fn sum_up(tally: &Tally) -> Vec<String> {
    table::print(&tally.coverage);
    let [orders, confirmed, rejected] = tally.orders;
    let percent = |part: u64| part * 100 / orders.max(1);
    println!(
        "{orders} orders, {} % confirmed, {} % rejected",
        percent(confirmed),
        percent(rejected)
    );
    let mut missing = table::missing(&tally.coverage);
    if percent(confirmed) < 20 || percent(rejected) < 5 {
        missing.push("at least 20 % confirmed and 5 % rejected orders".to_owned());
    }
    missing
}

/// Runs worlds on `jobs` threads, until there are none left or too many have failed.
fn side_by_side(
    worlds: impl Iterator<Item = Config> + Send,
    jobs: usize,
    mut observe: impl FnMut(&Tally),
) -> Tally {
    let worlds = std::sync::Mutex::new(worlds);
    let enough = AtomicBool::new(false);
    let (sender, reports) = mpsc::channel();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let sender = sender.clone();
            let worlds = &worlds;
            let enough = &enough;
            scope.spawn(move || {
                let next = || worlds.lock().expect("taking the next one does not panic").next();
                while let Some(config) = next().filter(|_| !enough.load(Ordering::Relaxed)) {
                    sender
                        .send(run::run(&config, Wrappers::NONE, false))
                        .expect("the receiver waits for all");
                }
            });
        }
        drop(sender);
        for report in reports {
            tally.count(report);
            enough.store(tally.broken.len() >= MAX_BROKEN, Ordering::Relaxed);
            observe(&tally);
        }
    });
    tally
}

impl Tally {
    fn count(&mut self, report: Report) {
        self.worlds += 1;
        self.orders.iter_mut().zip(report.orders).for_each(|(sum, one)| *sum += one);
        self.coverage.add(report.coverage.clone());
        if let Some(violation) = &report.violation {
            println!(
                "seed {}: {} is violated: {}",
                report.config.seed, violation.invariant, violation.what
            );
            self.broken.push(report);
        }
    }
}

/// Prints the progress on standard error: on one line of a terminal, or rarely, on lines of its
/// own.
struct Progress {
    watch: Stopwatch,
    count: u64,
    /// Worlds that failed once come before the seeds.
    known: u64,
    printed_at_ms: i64,
}

impl Progress {
    fn print(&mut self, tally: &Tally) {
        let is_terminal = std::io::stderr().is_terminal();
        let period_ms = if is_terminal { PROGRESS_PERIOD_MS } else { 15 * PROGRESS_PERIOD_MS };
        let now_ms = self.watch.millis();
        if now_ms < self.printed_at_ms + period_ms {
            return;
        }
        self.printed_at_ms = now_ms;
        let seeds = tally.worlds.saturating_sub(self.known);
        let broken = tally.broken.len();
        let rate = i64::try_from(seeds * 1000).unwrap_or(i64::MAX) / now_ms.max(1);
        let filled = usize::try_from(seeds * 30 / self.count.max(1)).unwrap_or(30).min(30);
        let bar = format!("[{:<30}]", "=".repeat(filled));
        let line =
            format!("{bar} {seeds} of {} seeds, {rate} a second, {broken} violations", self.count);
        let mut out = std::io::stderr();
        // Standard error may be closed.
        let _ = if is_terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// Measures real time for the summary.
pub(crate) struct Stopwatch(i64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(SystemClock.now().0)
    }

    pub(crate) fn millis(&self) -> i64 {
        (SystemClock.now().0 - self.0) / 1000
    }

    pub(crate) fn seconds(&self) -> i64 {
        self.millis() / 1000
    }
}
