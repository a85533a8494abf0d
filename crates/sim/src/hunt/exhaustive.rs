//! Looks for planted mistakes by exploring every interleaving.

use crate::exhaustive::Args;
use crate::exhaustive::bounds::Bounds;
use crate::exhaustive::search::{Found, explore};
use crate::exhaustive::shell::Shell;
use crate::mistakes::{Mistake, Reach};

/// Explores with each of the mistakes until a violation shows. Returns false if a mistake within
/// reach survives.
pub(crate) fn hunt(mistakes: &[Mistake], args: &Args) -> bool {
    println!(
        "{:<26} {:>15} {:>6}  {:<10} what it is",
        "bug", "states to catch", "steps", "invariant"
    );
    let mut caught = 0;
    let mut within_reach = 0;
    let mut beyond = Vec::new();
    for Mistake { name, what, reach, .. } in mistakes {
        let shell = match reach {
            Reach::Within(shell) => *shell,
            Reach::Beyond(why) => {
                println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "out of reach", "", "");
                beyond.push(format!("{name} is out of reach: {why}"));
                continue;
            }
        };
        within_reach += 1;
        let Some((states, found)) = first_found(shell, args.bounds(), args.limit()) else {
            println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "survives", "", "");
            continue;
        };
        caught += 1;
        println!(
            "{name:<26} {states:>15} {:>6}  {:<10} {what}",
            found.trace.len(),
            found.violation.invariant
        );
        if mistakes.len() == 1 {
            found.print();
        }
    }
    beyond.iter().for_each(|why| println!("{why}"));
    println!("{caught} of {within_reach} planted bugs caught that the bounds can express");
    caught == within_reach
}

/// The number of explored states until a violation, and the violation.
fn first_found(shell: Shell, within: &[Bounds], limit: u32) -> Option<(u64, Found)> {
    let mut states = 0;
    within.iter().find_map(|bounds| {
        let explored = explore(*bounds, shell, limit);
        states += u64::from(explored.states);
        explored.found.map(|found| (states, found))
    })
}

#[cfg(test)]
mod tests;
