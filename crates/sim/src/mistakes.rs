//! Mistakes that a seed plants in the services: a simulator that has never found one proves nothing.

use std::sync::Mutex;

use crate::config::Config;
use crate::fleet::Turnstile;
use crate::run::{self, Outcome};
use crate::shrink;

/// A mistake that is one line away in the services' code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    /// As `platform::planted!` calls it.
    pub(crate) name: &'static str,
    what: &'static str,
}

const ALL: [Mistake; 12] = [
    Mistake { name: "answer_before_commit", what: "2xx is answered before the commit" },
    Mistake { name: "unknown_is_failed", what: "a commit of unknown fate is reported as failed" },
    Mistake { name: "publish_before_commit", what: "commands are published before the commit" },
    Mistake { name: "sweeper_stops", what: "the sweeper stops after the first publish" },
    Mistake { name: "no_tombstone", what: "a release that came first leaves no tombstone" },
    Mistake { name: "release_twice", what: "a release gives back twice" },
    Mistake { name: "stock_read_before_lock", what: "stock is read before the lock, written as an absolute value" },
    Mistake { name: "deltas_not_summed", what: "the deltas of one row are not summed" },
    Mistake { name: "forgets_answers", what: "Inventory forgets its answers after a while" },
    Mistake { name: "no_compare_and_set", what: "an order moves on without compare-and-set" },
    Mistake { name: "bad_message_aborts_batch", what: "a bad message aborts its batch, which is retried for ever" },
    Mistake { name: "everything_rejected", what: "every order is rejected" },
];

/// The one of this name, or all; nothing if there is no such one.
pub(crate) fn find(name: &str) -> Option<&'static [Mistake]> {
    if name == "all" {
        return Some(&ALL);
    }
    let at = ALL.iter().position(|mistake| mistake.name == name)?;
    Some(&ALL[at..=at])
}

pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|mistake| mistake.name).collect()
}

/// Plants each of them, and runs seeds until one shows it. False if one survives all seeds.
pub(crate) fn hunt(mistakes: &[Mistake], from: u64, seeds: u64, jobs: usize) -> bool {
    let found = Mutex::new(vec![None; mistakes.len()]);
    let turnstile = Turnstile::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, mistakes.len()) {
            scope.spawn(|| {
                let next = || usize::try_from(turnstile.next()).ok().and_then(|at| Some((at, mistakes.get(at)?)));
                while let Some((at, mistake)) = next() {
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
