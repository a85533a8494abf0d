//! Mistakes planted in what is explored: a check that has never found one proves nothing.

use platform::fault;

use super::bounds::Bounds;
use super::search::{Explored, Found, explore};
use crate::mistakes::{Mistake, Place};

/// Explores with each of the mistakes until one of its effects shows. False if one that is within reach survives.
pub(super) fn hunt(mistakes: &[Mistake], within: &[Bounds], limit: u32) -> bool {
    println!("{:<26} {:>15} {:>6}  {:<10} what it is", "bug", "states to catch", "steps", "invariant");
    let (mut caught, mut within_reach, mut beyond) = (0, 0, Vec::new());
    for Mistake { name, what, place } in mistakes {
        if let Place::Beyond(why) = place {
            println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "out of reach", "", "");
            beyond.push(format!("{name} is out of reach: {why}"));
            continue;
        }
        within_reach += 1;
        let Some((states, found)) = first_found(name, within, limit) else {
            println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "survives", "", "");
            continue;
        };
        caught += 1;
        println!("{name:<26} {states:>15} {:>6}  {:<10} {what}", found.story.len(), found.violation.promise);
        if mistakes.len() == 1 {
            found.print();
        }
    }
    beyond.iter().for_each(|why| println!("{why}"));
    println!("{caught} of {within_reach} planted bugs caught that the bounds can express");
    caught == within_reach
}

/// How many states it took, and what the last one showed.
pub(super) fn first_found(name: &'static str, within: &[Bounds], limit: u32) -> Option<(u64, Found)> {
    let mut states = 0;
    within.iter().find_map(|bounds| {
        let explored = with(name, *bounds, limit);
        states += u64::from(explored.states);
        explored.found.map(|found| (states, found))
    })
}

fn with(name: &'static str, bounds: Bounds, limit: u32) -> Explored {
    fault::plant(Some(name));
    let explored = explore(bounds, limit);
    fault::plant(None);
    explored
}
