//! Checks the invariants while the world runs, and keeps the first violation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use contract::OrderId;

use crate::databases::Databases;
use crate::invariants::{self, Pair};
use crate::journals::OrderJournal;
use crate::ledgers;
use crate::states::Violation;
use crate::trace::Trace;
use crate::version::Versions;

#[derive(Debug)]
pub(crate) struct Monitor {
    trace: Arc<Trace>,
    databases: Mutex<Databases>,
    /// The rows of each order when it was checked last.
    checked: Mutex<BTreeMap<OrderId, Pair>>,
    journal: Mutex<OrderJournal>,
    violation: Mutex<Option<Violation>>,
}

impl Monitor {
    /// Monitors the databases in `folder`, which exist already.
    pub(crate) fn new(folder: &Path, trace: Arc<Trace>, versions: Versions) -> Self {
        let databases = Databases::open(folder, versions).expect("the files are there");
        let databases = Mutex::new(databases);
        Self {
            trace,
            databases,
            checked: Mutex::default(),
            journal: Mutex::default(),
            violation: Mutex::default(),
        }
    }

    pub(crate) fn databases(&self) -> MutexGuard<'_, Databases> {
        self.databases.lock().expect("nothing panics under this lock")
    }

    /// Checks orders right after a commit, in both databases at one moment.
    pub(crate) fn check_orders(&self, order_ids: impl Iterator<Item = OrderId>) {
        let databases = self.databases();
        self.require(self.journal().read_on(&databases));
        for order_id in order_ids.collect::<BTreeSet<_>>() {
            self.require(self.check_order(&databases, order_id));
        }
    }

    fn check_order(&self, databases: &Databases, order_id: OrderId) -> Result<(), Violation> {
        let pair = invariants::check_order(databases, order_id)?;
        self.journal().check(order_id, pair.order.as_ref())?;
        let mut checked = self.checked.lock().expect("nothing panics under this lock");
        match checked.insert(order_id, pair.clone()) {
            Some(before) => invariants::check_growth(&before, &pair),
            None => Ok(()),
        }
    }

    /// Checks every order that was ever there.
    pub(crate) fn check_all_orders(&self) {
        let of_orders = self.databases().orders().into_iter().map(|row| row.order_id);
        let of_reservations = self.databases().reservations().into_iter().map(|row| row.order_id);
        let checked = self.checked.lock().expect("nothing panics under this lock");
        let seen: Vec<OrderId> = checked.keys().copied().collect();
        drop(checked);
        self.check_orders(of_orders.chain(of_reservations).chain(seen));
    }

    /// Checks all stock right after a commit.
    pub(crate) fn check_stock(&self) {
        self.require(ledgers::check(&self.databases()));
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

    fn journal(&self) -> MutexGuard<'_, OrderJournal> {
        self.journal.lock().expect("nothing panics under this lock")
    }

    fn first(&self) -> MutexGuard<'_, Option<Violation>> {
        self.violation.lock().expect("nothing panics under this lock")
    }
}
