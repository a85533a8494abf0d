//! Row locks of transactions that are not over yet.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::node::Service;

#[derive(Debug, Default)]
pub(crate) struct Locks {
    rows: Mutex<BTreeSet<(Service, String)>>,
    unlocked: Notify,
}

impl Locks {
    pub(crate) fn lock(&self, service: Service, rows: &[String]) {
        self.rows().extend(rows.iter().map(|row| (service, row.clone())));
    }

    pub(crate) fn unlock(&self, service: Service, rows: &[String]) {
        self.rows().retain(|(its, row)| *its != service || !rows.contains(row));
        self.unlocked.notify_waiters();
    }

    /// Waits until none of the rows is locked.
    pub(crate) async fn until_unlocked(&self, service: Service, rows: &[String]) {
        loop {
            let unlocked = self.unlocked.notified();
            if !rows.iter().any(|row| self.rows().contains(&(service, row.clone()))) {
                return;
            }
            unlocked.await;
        }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeSet<(Service, String)>> {
        self.rows.lock().expect("nothing panics under this lock")
    }
}
