//! Checks the invariants while the world runs, and keeps the first violation.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use contract::OrderId;

use crate::databases::Databases;
use crate::invariants;
use crate::states::Violation;
use crate::trace::Trace;

#[derive(Debug)]
pub(crate) struct Monitor {
    trace: Arc<Trace>,
    databases: Mutex<Databases>,
    violation: Mutex<Option<Violation>>,
}

impl Monitor {
    /// Monitors the databases in `folder`, which exist already.
    pub(crate) fn new(folder: &Path, trace: Arc<Trace>) -> Self {
        let databases = Databases::open(folder).expect("the files are there");
        Self { trace, databases: Mutex::new(databases), violation: Mutex::default() }
    }

    pub(crate) fn databases(&self) -> MutexGuard<'_, Databases> {
        self.databases.lock().expect("nothing panics under this lock")
    }

    /// Checks orders right after a commit, in both databases at one moment.
    pub(crate) fn check_orders(&self, order_ids: impl Iterator<Item = OrderId>) {
        let databases = self.databases();
        for order_id in order_ids.collect::<BTreeSet<_>>() {
            self.require(invariants::check_order(&databases, order_id));
        }
    }

    /// Checks all stock right after a commit.
    pub(crate) fn check_stock(&self) {
        self.require(invariants::check_stock(&self.databases()));
    }

    /// Records the violation, if the result is one. The world ends with the first.
    pub(crate) fn require(&self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.trace.event(|| format!("{} is violated: {}", violation.invariant, violation.what));
            self.first().get_or_insert(violation);
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.first().clone()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.first().is_some()
    }

    fn first(&self) -> MutexGuard<'_, Option<Violation>> {
        self.violation.lock().expect("nothing panics under this lock")
    }
}
