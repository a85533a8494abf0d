//! Mistakes that a seed plants in the services: a simulator that has never found one proves nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Config;
use crate::run::{self, Outcome};
use crate::shrink;

/// A mistake that is one line away in the services' code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    /// As `platform::planted!` calls it.
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) place: Place,
}

/// Whose mistake it is where every interleaving is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A decider's: the code under test itself makes it.
    Core,
    /// What stands around the deciders, which is modelled there: the model makes it at the same place.
    Shell,
    /// Out of reach there, and why.
    Beyond(&'static str),
}

pub(crate) const ALL: [Mistake; 12] = [
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

/// The one of this name, or `all`.
///
/// **Errors:** there is no such one; says which there are.
pub(crate) fn find(name: &str) -> Result<&'static [Mistake], String> {
    if name == "all" {
        return Ok(&ALL);
    }
    let at = ALL.iter().position(|mistake| mistake.name == name);
    at.map(|at| &ALL[at..=at]).ok_or_else(|| {
        let names = ALL.map(|mistake| mistake.name);
        format!("there is no such mistake; those there are: all, {}", names.join(", "))
    })
}

/// Plants each of them, and runs seeds until one shows it. False if one survives all seeds.
pub(crate) fn hunt(mistakes: &[Mistake], from: u64, seeds: u64, jobs: usize) -> bool {
    let found = Mutex::new(vec![None; mistakes.len()]);
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, mistakes.len()) {
            scope.spawn(|| {
                let next = || taken.fetch_add(1, Ordering::Relaxed);
                let nexts = std::iter::repeat_with(next).map_while(|at| Some((at, mistakes.get(at)?)));
                for (at, mistake) in nexts {
                    let caught = first_broken(mistake.name, from, seeds);
                    found.lock().expect("nothing panics under this lock")[at] = caught;
                }
            });
        }
    });
    let found = found.into_inner().expect("all threads are gone");
    println!("{:<26} {:>14}  {:<10} what it is", "bug", "seeds to catch", "invariant");
    for (mistake, caught) in mistakes.iter().zip(&found) {
        let (after, promise) = match caught {
            Some((after, outcome)) => (after.to_string(), promise(outcome)),
            None => ("survives".to_owned(), ""),
        };
        println!("{:<26} {after:>14}  {promise:<10} {}", mistake.name, mistake.what);
    }
    if let ([mistake], [Some((_, outcome))]) = (mistakes, found.as_slice()) {
        shrink::tell(outcome, Some(mistake.name));
    }
    let caught = found.iter().flatten().count();
    println!("{caught} of {} planted bugs caught", mistakes.len());
    caught == mistakes.len()
}

/// How many seeds it took, and what the last one showed.
fn first_broken(planted: &'static str, from: u64, seeds: u64) -> Option<(u64, Outcome)> {
    (from..from.saturating_add(seeds)).zip(1..).find_map(|(seed, after)| {
        let outcome = run::run(&Config::of(seed), Some(planted), false);
        outcome.violation.is_some().then_some((after, outcome))
    })
}

fn promise(outcome: &Outcome) -> &'static str {
    outcome.violation.as_ref().map_or("", |violation| violation.promise)
}
