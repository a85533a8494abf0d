//! How often the system healed itself. Self-healing hides bugs: without the fault that calls for a
//! repair, there must be no repair.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use platform::quarantine::{QuarantineKind, Quarantined};

/// How often each repair happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Commands that the sweeper sent.
    pub(crate) resent: usize,
    /// Consumers that the watchdog created again.
    pub(crate) watchdog: usize,
    /// Messages in quarantine that could not be read.
    pub(crate) malformed: usize,
    /// Messages in quarantine that cannot follow from a healthy history.
    pub(crate) anomalies: usize,
}

/// Counts repairs, and garbage that is still to be quarantined.
#[derive(Debug, Default)]
pub(crate) struct RepairCounter {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    repairs: Repairs,
    garbage: BTreeSet<Vec<u8>>,
}

impl RepairCounter {
    pub(crate) fn count(&self, count: impl FnOnce(&mut Repairs)) {
        count(&mut self.counted().repairs);
    }

    pub(crate) fn repairs(&self) -> Repairs {
        self.counted().repairs
    }

    /// Notes that garbage was sent: these bytes must be in the quarantine in the end.
    pub(crate) fn expect_quarantined(&self, garbage: Vec<u8>) {
        self.counted().garbage.insert(garbage);
    }

    pub(crate) fn quarantined(&self, entry: &Quarantined) {
        let mut counted = self.counted();
        match entry.kind {
            QuarantineKind::Malformed => {
                counted.repairs.malformed += 1;
                counted.garbage.remove(&entry.bytes);
            }
            QuarantineKind::Anomaly => counted.repairs.anomalies += 1,
            // Found in the databases at the end, where the sweeper writes it by itself.
            QuarantineKind::Poisoned => {}
        }
    }

    /// How much of the garbage is not in the quarantine yet.
    pub(crate) fn garbage_left(&self) -> usize {
        self.counted().garbage.len()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().expect("nothing panics under this lock")
    }
}
