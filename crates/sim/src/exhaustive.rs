//! Explicit-state model checking: the real deciders in every interleaving, within small bounds.
//!
//! A seed samples one run out of endlessly many. The search samples nothing: it takes two orders, a
//! unit or two and two replicas of each service, and explores every order of requests, messages,
//! locks, commits, lost connections and crashes, breadth first. The deciders are the services' own;
//! [`model`] is the shell around them, and [`oracle`] holds the invariants. The network is the set
//! of all messages ever sent. Any of them may arrive at any time, any number of times, or never:
//! that is loss, repetition, reordering and replay in one. [`numbering`] is a search of its own: how
//! the entries of a journal get their numbers.

mod actors;
mod batch;
mod batches;
pub(crate) mod bounds;
mod counterexample;
mod enabled;
mod hash;
mod known;
mod ledger;
mod levels;
mod liveness;
mod local;
mod locks;
pub(crate) mod messages;
pub(crate) mod model;
pub(crate) mod numbering;
mod oracle;
pub(crate) mod orders_database;
mod panics;
mod registers;
pub(crate) mod requests;
pub(crate) mod search;
pub(crate) mod shell;
pub(crate) mod state;
mod stock_database;
mod stock_writes;
#[cfg(test)]
mod tests;
pub(crate) mod transition;

use std::fmt;

use platform::clock::{Clock, SystemClock, Timestamp};

use bounds::Bounds;
use search::{Explored, Found};
use shell::Shell;

/// How much is explored.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Explore every interleaving within small bounds
    #[arg(long)]
    pub(crate) exhaustive: bool,
    /// Explore wider bounds: tens of millions of states, some minutes, a gigabyte or two
    #[arg(long, requires = "exhaustive")]
    pub(crate) large: bool,
    /// Stop at so many states for each of the bounds
    #[arg(long, requires = "exhaustive", value_name = "N")]
    pub(crate) states: Option<u32>,
}

impl Args {
    pub(crate) fn bounds(&self) -> &'static [Bounds] {
        if self.large { &bounds::WIDE } else { &bounds::USUAL }
    }

    pub(crate) fn numbering_bounds(&self) -> &'static [numbering::Bounds] {
        if self.large { &numbering::WIDE } else { &numbering::USUAL }
    }

    /// How many states are explored at most for each of the bounds.
    pub(crate) fn limit(&self) -> u32 {
        self.states.unwrap_or(u32::MAX - 1)
    }
}

/// Explores all bounds, one after the other, until one of them shows a violation. Prints the
/// results, and returns false if there is a violation.
pub(crate) fn run(args: &Args) -> bool {
    let limit = args.limit();
    let mut sums = Sums { started: SystemClock.now(), states: 0, steps: 0, left_over: 0 };
    let services = |bounds: &Bounds| search::explore(*bounds, Shell::RIGHT, limit);
    let numbering = |bounds: &numbering::Bounds| numbering::explore(*bounds, None, limit);
    // The numbering is explored in seconds, and the services in a minute or more.
    let is_well = args.numbering_bounds().iter().all(|at| sums.add(at, &numbering(at), limit))
        && args.bounds().iter().all(|at| sums.add(at, &services(at), limit));
    sums.print(is_well);
    is_well
}

/// The sums over all bounds.
struct Sums {
    started: Timestamp,
    states: u64,
    steps: u64,
    left_over: u64,
}

impl Sums {
    /// Prints what was explored within these bounds. Returns false if there is a violation.
    fn add<M>(&mut self, bounds: &impl fmt::Display, explored: &Explored<M>, limit: u32) -> bool {
        self.states += u64::from(explored.states);
        self.steps += explored.steps;
        self.left_over += u64::from(explored.left_over);
        println!("{bounds}: {} states, at most {} steps away", explored.states, explored.depth);
        if explored.left_over > 0 {
            println!(
                "  not all: at {limit} states it stopped, with the steps of {} not taken",
                explored.left_over
            );
        }
        explored.found.iter().for_each(Found::print);
        explored.found.is_none()
    }

    fn print(&self, is_well: bool) {
        let Self { started, states, steps, left_over } = self;
        if *left_over == 0 && is_well {
            println!("nothing is left: these are all states within these bounds");
        }
        let violations = u8::from(!is_well);
        let seconds = seconds_since(*started);
        println!("{states} states, {steps} steps, {violations} violations, {seconds} s");
    }
}

fn seconds_since(started: Timestamp) -> String {
    let ms = SystemClock.now().since(started).as_millis();
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}
