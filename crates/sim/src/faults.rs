//! Which faults happen, and when they stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::{Config, Fault};
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Faults {
    /// How often each fault happens in a thousand cases, and the sequence that decides it.
    chances: BTreeMap<Fault, (u64, Random)>,
    have_stopped: AtomicBool,
}

impl Faults {
    pub(crate) fn new(config: &Config) -> Self {
        let chance = |fault: Fault| {
            let random = Random::of(config.seed, &format!("{fault:?}"));
            (fault, (config.per_mille(fault), random))
        };
        let chances = Fault::ALL.into_iter().map(chance).collect();
        Self { chances, have_stopped: AtomicBool::new(false) }
    }

    /// Whether the fault happens here and now.
    pub(crate) fn happens(&self, fault: Fault) -> bool {
        if self.have_stopped() {
            return false;
        }
        // Faults that stop a whole process may happen at every call of a port. They are rarer,
        // because nothing else would happen otherwise.
        let rarity = match fault {
            Fault::Crashes | Fault::DiskErrors => 8,
            Fault::Slowness => 3,
            _ => 1,
        };
        let (per_mille, random) = &self.chances[&fault];
        *per_mille > 0 && random.below(1000 * rarity) < *per_mille
    }

    /// Whether a fault of this world happens where there are few occasions for it.
    pub(crate) fn happens_often(&self, fault: Fault) -> bool {
        let (per_mille, random) = &self.chances[&fault];
        !self.have_stopped() && *per_mille > 0 && random.below(1000) < 100
    }

    pub(crate) fn stop(&self) {
        self.have_stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn have_stopped(&self) -> bool {
        self.have_stopped.load(Ordering::Relaxed)
    }
}
