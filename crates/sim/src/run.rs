//! Runs one world, in a folder of its own, to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orders_core::status::Status;

use crate::boot;
use crate::config::Config;
use crate::coverage::{self, Coverage};
use crate::random::Random;
use crate::repairs::Repairs;
use crate::scenario;
use crate::states::Violation;
use crate::trace::Fingerprint;
use crate::world::World;
use crate::wrappers::Wrappers;

/// The result of a world.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) config: Config,
    pub(crate) violation: Option<Violation>,
    pub(crate) fingerprint: Fingerprint,
    /// The last lines of its trace, or all of them.
    pub(crate) trace: Vec<String>,
    pub(crate) coverage: Coverage,
    pub(crate) repairs: Repairs,
    /// The number of orders, and how many of them were ever confirmed and ever rejected.
    pub(crate) orders: [u64; 3],
}

impl Report {
    /// Prints the trace and the result.
    pub(crate) fn print(&self) {
        self.trace.iter().for_each(|line| println!("{line}"));
        println!("configuration: {}", self.config);
        let Fingerprint { hash, events } = self.fingerprint;
        println!("{events} events, fingerprint {hash:016x}; {:?}", self.repairs);
        match &self.violation {
            Some(violation) => println!("{} is violated: {}", violation.invariant, violation.what),
            None => println!("no violation"),
        }
    }
}

/// Runs a world. `wrappers` plant the mistake that its services make, if any.
pub(crate) fn run(config: &Config, wrappers: Wrappers, keeps_trace: bool) -> Report {
    (wrappers.begin)();
    coverage::begin(wrappers.decide_orders, wrappers.decide_stock);
    let running = Arc::new(std::sync::Mutex::new(None));
    let shared = running.clone();
    let ended =
        catch_unwind(AssertUnwindSafe(|| run_in_folder(config, wrappers, keeps_trace, &shared)));
    let world = running.lock().expect("nothing panics under this lock").take();
    ended.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let violation = Violation { invariant: "panic", what: text.unwrap_or_default() };
        let world: Option<Arc<World>> = world;
        report(config, world.as_deref(), Some(violation))
    })
}

fn run_in_folder(
    config: &Config,
    wrappers: Wrappers,
    keeps_trace: bool,
    running: &std::sync::Mutex<Option<Arc<World>>>,
) -> Report {
    let folder = folder();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads");
    let report = runtime.block_on(async {
        let world = World::new(config.clone(), wrappers, boot::boot, folder.path(), keeps_trace);
        *running.lock().expect("nothing panics under this lock") = Some(world.clone());
        let over = Arc::new(AtomicBool::new(false));
        let living = world.clone();
        let ends = over.clone();
        world.executor.spawn(None, async move {
            scenario::play(living).await;
            ends.store(true, Ordering::Relaxed);
        });
        let random = Random::of(config.seed, "order of steps");
        let ended = || over.load(Ordering::Relaxed) || world.monitor.has_failed();
        world.executor.run(&random, ended).await;
        let report = report(config, Some(&world), world.monitor.violation());
        world.dismantle();
        report
    });
    running.lock().expect("nothing panics under this lock").take();
    report
}

fn report(config: &Config, world: Option<&World>, violation: Option<Violation>) -> Report {
    let mut orders = [0; 3];
    if let (Some(world), None) = (world, &violation) {
        for row in world.monitor.databases().orders() {
            let was = |status| u64::from(row.was(status));
            orders = [
                orders[0] + 1,
                orders[1] + was(Status::Confirmed),
                orders[2] + was(Status::Rejected),
            ];
        }
    }
    Report {
        config: config.clone(),
        violation,
        fingerprint: world
            .map_or(Fingerprint { hash: 0, events: 0 }, |world| world.trace.fingerprint()),
        trace: world.map(|world| world.trace.lines()).unwrap_or_default(),
        coverage: coverage::take(),
        repairs: world.map(|world| world.repairs.repairs()).unwrap_or_default(),
        orders,
    }
}

/// A folder in memory if the machine has one: a world is deleted after its run, and needs no disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the seed has an effect, not the machine's clock, threads or memory.
    #[test]
    fn a_seed_run_twice_gives_the_same_trace() {
        for seed in 0..12 {
            let [once, twice] = [(); 2].map(|()| run(&Config::of(seed), Wrappers::NONE, true));
            assert_eq!(once.trace, twice.trace, "seed {seed}");
            assert_eq!(once.fingerprint, twice.fingerprint, "seed {seed}");
            assert!(once.fingerprint.events > 20, "seed {seed}");
        }
    }

    #[test]
    fn seeds_differ() {
        let [one, another] =
            [1, 2].map(|seed| run(&Config::of(seed), Wrappers::NONE, false).fingerprint);
        assert_ne!(one, another);
    }
}
