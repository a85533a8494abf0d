//! Every interleaving, within small bounds: the real cores, in every order in which things can happen to them.
//!
//! A seed picks one bad day out of endlessly many. Here nothing is picked: two orders, a unit or two, two replicas of
//! each service, and every order of requests, messages, commits, lost connections and crashes between them, breadth
//! first. The deciders are the services' own; [`model`] is what stands around them, in a few lines, and [`truth`] is
//! what must hold. The network is the set of all messages ever sent: any of them may come at any time, any number of
//! times, or never, which is loss, repetition, reordering and replay in one.

mod batches;
mod bounds;
mod calm;
mod cast;
mod choices;
mod hand;
mod hash;
mod mistakes;
mod model;
mod order_book;
mod panics;
mod search;
mod state;
mod step;
mod stock_book;
mod story;
#[cfg(test)]
mod tests;
mod truth;
mod wire;

use platform::clock::{Clock, SystemClock, Timestamp};

use crate::mistakes::Mistake;
use bounds::Bounds;

/// How much is explored.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Explore every interleaving within small bounds
    #[arg(long)]
    pub(crate) exhaustive: bool,
    /// Explore wider bounds: tens of millions of states, some minutes, some gigabytes
    #[arg(long, requires = "exhaustive")]
    pub(crate) large: bool,
    /// Stop at so many states for each of the bounds
    #[arg(long, requires = "exhaustive", value_name = "N")]
    pub(crate) states: Option<u32>,
}

/// Explores, or looks for planted mistakes, and prints what was found. False if a promise was broken, or one of the
/// mistakes survived.
pub(crate) fn run(args: &Args, planted: &[Mistake]) -> bool {
    let limit = args.states.unwrap_or(u32::MAX - 1);
    let bounds: &[Bounds] = if args.large { &bounds::WIDE } else { &bounds::USUAL };
    if planted.is_empty() { explore_all(bounds, limit) } else { mistakes::hunt(planted, bounds, limit) }
}

/// One after the other, until one of them shows a violation.
fn explore_all(all: &[Bounds], limit: u32) -> bool {
    let started = SystemClock.now();
    let (mut states, mut steps, mut violations, mut left_over) = (0, 0, 0, 0);
    for bounds in all {
        let explored = search::explore(*bounds, limit);
        states += u64::from(explored.states);
        steps += explored.steps;
        left_over += u64::from(explored.left_over);
        println!("{bounds}: {} states, at most {} steps away", explored.states, explored.depth);
        if explored.left_over > 0 {
            println!("  not all: at {limit} states it stopped, with the steps of {} not taken", explored.left_over);
        }
        if let Some(found) = explored.found {
            violations += 1;
            found.print();
            break;
        }
    }
    if left_over == 0 && violations == 0 {
        println!("nothing is left: these are all states within these bounds");
    }
    println!("{states} states, {steps} steps, {violations} violations, {} s", seconds_since(started));
    violations == 0
}

fn seconds_since(started: Timestamp) -> String {
    let ms = SystemClock.now().since(started).as_millis();
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}
