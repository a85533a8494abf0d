//! Shrinks a failing world, as long as it violates the same invariant, until its trace is short.

use crate::config::Config;
use crate::mistakes::Mistake;
use crate::run::{self, Report};
use crate::wrappers::Wrappers;

/// The most worlds that are tried.
const MAX_TRIES: usize = 400;
/// Seeds that each smaller world is tried with.
const SEEDS: u64 = 5;

/// The report of the smallest world that was found, with its whole trace.
fn shrink(broken: &Report, wrappers: Wrappers) -> Report {
    let invariant = broken.violation.as_ref().map(|violation| violation.invariant);
    let breaks_it = |config: &Config| {
        let report = run::run(config, wrappers, false);
        report.violation.as_ref().map(|violation| violation.invariant) == invariant
    };
    let mut smallest = broken.config.clone();
    let mut tries = 0;
    'smaller: loop {
        // A smaller world takes another course, so the violation may need another seed.
        let smaller = smallest.smaller();
        let seeds = (0..SEEDS).map(|offset| broken.config.seed.wrapping_add(offset));
        let candidates =
            seeds.flat_map(|seed| smaller.iter().map(move |less| Config { seed, ..less.clone() }));
        for config in candidates {
            if tries == MAX_TRIES {
                break 'smaller;
            }
            tries += 1;
            if breaks_it(&config) {
                smallest = config;
                continue 'smaller;
            }
        }
        break;
    }
    run::run(&smallest, wrappers, true)
}

/// Prints the trace of the smallest world that violates the same invariant, and how to run it
/// again.
pub(crate) fn print(broken: &Report, planted: Option<&Mistake>) {
    let smallest = shrink(broken, planted.map_or(Wrappers::NONE, |mistake| mistake.wrappers));
    println!();
    println!("the shortest trace that was found of what seed {} shows:", broken.config.seed);
    smallest.print();
    let planted = planted.map(|mistake| format!(" --planted {}", mistake.name)).unwrap_or_default();
    println!("again: cargo run --release -p sim -- --seed '{}'{planted}", smallest.config);
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mistakes;

    #[test]
    fn a_broken_world_shrinks_to_a_smaller_one_that_breaks_the_same_invariant() {
        let [mistake] = mistakes::find("no_tombstone").expect("a mistake").services else {
            panic!("one mistake")
        };
        let wrappers = mistake.wrappers;
        let broken = (0..500).map(|seed| run::run(&Config::of(seed), wrappers, false));
        let broken =
            broken.into_iter().find(|report| report.violation.is_some()).expect("it is found");
        let smallest = shrink(&broken, wrappers);
        let invariant =
            |report: &Report| report.violation.as_ref().map(|violation| violation.invariant);
        assert_eq!(invariant(&smallest), invariant(&broken));
        let size = |config: &Config| {
            config.customers + config.requests + config.order_services + config.inventory_services
        };
        assert!(size(&smallest.config) < size(&broken.config), "{}", smallest.config);
    }
}
