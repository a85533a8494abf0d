//! Looks for planted mistakes, seed by seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Config;
use crate::mistakes::Mistake;
use crate::run::{self, Report};
use crate::shrink;

pub(crate) mod exhaustive;

/// Plants each mistake in turn, and runs seeds until one exposes it. Returns false if a mistake
/// survives all seeds.
pub(crate) fn hunt(mistakes: &[Mistake], from: u64, seeds: u64, jobs: usize) -> bool {
    let found = Mutex::new(vec![None; mistakes.len()]);
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, mistakes.len()) {
            scope.spawn(|| {
                let next = || taken.fetch_add(1, Ordering::Relaxed);
                let nexts =
                    std::iter::repeat_with(next).map_while(|at| Some((at, mistakes.get(at)?)));
                for (at, mistake) in nexts {
                    let caught = first_broken(mistake, from, seeds);
                    found.lock().expect("nothing panics under this lock")[at] = caught;
                }
            });
        }
    });
    let found = found.into_inner().expect("all threads are gone");
    println!("{:<26} {:>14}  {:<10} what it is", "bug", "seeds to catch", "invariant");
    for (mistake, caught) in mistakes.iter().zip(&found) {
        let (after, invariant) = match caught {
            Some((after, report)) => (after.to_string(), invariant(report)),
            None => ("survives".to_owned(), ""),
        };
        println!("{:<26} {after:>14}  {invariant:<10} {}", mistake.name, mistake.what);
    }
    if let ([mistake], [Some((_, report))]) = (mistakes, found.as_slice()) {
        shrink::print(report, Some(mistake));
    }
    let caught = found.iter().flatten().count();
    println!("{caught} of {} planted bugs caught", mistakes.len());
    caught == mistakes.len()
}

/// The number of seeds until a violation, and the report of the last one.
fn first_broken(mistake: &Mistake, from: u64, seeds: u64) -> Option<(u64, Report)> {
    (from..from.saturating_add(seeds)).zip(1..).find_map(|(seed, after)| {
        let report = run::run(&Config::of(seed), mistake.wrappers, false);
        report.violation.is_some().then_some((after, report))
    })
}

fn invariant(report: &Report) -> &'static str {
    report.violation.as_ref().map_or("", |violation| violation.invariant)
}
