//! Looks for planted mistakes by exploring every interleaving.

use crate::exhaustive::Args;
use crate::exhaustive::numbering::{self, Flaw};
use crate::exhaustive::search::{Explored, Found, explore};
use crate::exhaustive::shell::Shell;
use crate::mistakes::{Mistake, Planted, Reach};

/// Explores with each of the mistakes until a violation shows. Returns false if a mistake within
/// reach survives.
pub(crate) fn hunt(planted: Planted, args: &Args) -> bool {
    println!(
        "{:<26} {:>15} {:>6}  {:<10} what it is",
        "bug", "states to catch", "steps", "invariant"
    );
    let prints_trace = planted.services.len() + planted.numbering.len() == 1;
    let (mut caught, mut within_reach) = (0, 0);
    let mut row = |name: &str, what: &str, found: Option<(u64, Found)>| {
        within_reach += 1;
        let Some((states, found)) = found else {
            println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "survives", "", "");
            return;
        };
        caught += 1;
        let (steps, invariant) = (found.trace.len(), found.violation.invariant);
        println!("{name:<26} {states:>15} {steps:>6}  {invariant:<10} {what}");
        if prints_trace {
            found.print();
        }
    };
    let mut beyond = Vec::new();
    for Mistake { name, what, reach, .. } in planted.services {
        match reach {
            Reach::Within(shell) => row(name, what, first_found(*shell, args)),
            Reach::Beyond(why) => {
                println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "out of reach", "", "");
                beyond.push(format!("{name} is out of reach: {why}"));
            }
        }
    }
    for numbering::Mistake { name, what, flaw } in planted.numbering {
        row(name, what, first_found_in_numbering(*flaw, args));
    }
    beyond.iter().for_each(|why| println!("{why}"));
    println!("{caught} of {within_reach} planted bugs caught that the bounds can express");
    caught == within_reach
}

/// The number of explored states until a violation, and the violation.
fn first_found(shell: Shell, args: &Args) -> Option<(u64, Found)> {
    first(args.bounds(), |bounds| explore(*bounds, shell, args.limit()))
}

/// As [`first_found`].
fn first_found_in_numbering(flaw: Flaw, args: &Args) -> Option<(u64, Found)> {
    first(args.numbering_bounds(), |bounds| numbering::explore(*bounds, Some(flaw), args.limit()))
}

fn first<B, M>(within: &[B], explore: impl Fn(&B) -> Explored<M>) -> Option<(u64, Found)> {
    let mut states = 0;
    within.iter().find_map(|bounds| {
        let explored = explore(bounds);
        states += u64::from(explored.states);
        explored.found.map(|found| (states, found))
    })
}

#[cfg(test)]
mod tests;
