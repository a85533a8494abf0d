//! Mistakes planted in what is explored: a check that has never found one proves nothing.

use platform::fault;

use super::bounds::{self, Bounds};
use super::search::{Found, explore};

/// A mistake as `platform::planted!` calls it, and what the bounds can say of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mistake {
    pub(super) name: &'static str,
    what: &'static str,
    pub(super) place: Place,
}

/// Whose mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A decider's: the code under test itself makes it.
    Core,
    /// What stands around the deciders, which is modelled here: the model makes it at the same place.
    Shell,
    /// Out of reach, and why.
    Beyond(&'static str),
}

pub(super) const ALL: [Mistake; 12] = [
    at(Place::Shell, "answer_before_commit", "2xx is answered before the commit"),
    at(Place::Shell, "unknown_is_failed", "a commit of unknown fate is reported as failed"),
    at(Place::Shell, "publish_before_commit", "commands are published before the commit"),
    at(Place::Shell, "sweeper_stops", "the sweeper stops after the first publish"),
    at(Place::Core, "no_tombstone", "a release that came first leaves no tombstone"),
    at(Place::Core, "release_twice", "a release gives back twice"),
    at(Place::Shell, "stock_read_before_lock", "stock is read before the lock, written as an absolute value"),
    at(Place::Core, "deltas_not_summed", "the deltas of one row are not summed"),
    at(Place::Core, "forgets_answers", "Inventory forgets its answers after a while"),
    at(Place::Core, "no_compare_and_set", "an order moves on without compare-and-set"),
    at(
        Place::Beyond("nothing is acknowledged here, so nothing is tried for ever: messages come alone as well"),
        "bad_message_aborts_batch",
        "a bad message aborts its batch, which is retried for ever",
    ),
    at(Place::Core, "everything_rejected", "every order is rejected"),
];

const fn at(place: Place, name: &'static str, what: &'static str) -> Mistake {
    Mistake { name, what, place }
}

/// The one of this name, or all; nothing if there is no such one.
pub(super) fn find(name: &str) -> Option<&'static [Mistake]> {
    if name == "all" {
        return Some(&ALL);
    }
    let at = ALL.iter().position(|mistake| mistake.name == name)?;
    Some(&ALL[at..=at])
}

pub(super) fn names() -> Vec<&'static str> {
    ALL.iter().map(|mistake| mistake.name).collect()
}

/// Explores with each of the mistakes until one of its effects shows. False if one that is within reach survives.
pub(super) fn hunt(mistakes: &[Mistake], limit: u32) -> bool {
    println!("{:<26} {:>15} {:>6}  {:<10} what it is", "bug", "states to catch", "steps", "invariant");
    let (mut caught, mut within_reach, mut beyond) = (0, 0, Vec::new());
    for Mistake { name, what, place } in mistakes {
        if let Place::Beyond(why) = place {
            println!("{name:<26} {:>15} {:>6}  {:<10} {what}", "out of reach", "", "");
            beyond.push(format!("{name} is out of reach: {why}"));
            continue;
        }
        within_reach += 1;
        let Some((states, found)) = first_found(name, limit) else {
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
pub(super) fn first_found(name: &'static str, limit: u32) -> Option<(u64, Found)> {
    let mut states = 0;
    bounds::USUAL.iter().find_map(|bounds| {
        let explored = with(name, *bounds, limit);
        states += u64::from(explored.states);
        explored.found.map(|found| (states, found))
    })
}

fn with(name: &'static str, bounds: Bounds, limit: u32) -> super::search::Explored {
    fault::plant(Some(name));
    let explored = explore(bounds, limit);
    fault::plant(None);
    explored
}
