//! The versions of both databases: what was read at one version need not be read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::node::Service;

/// The version of a database, which is another one after every commit that changed it. Clones share
/// it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version(Arc<AtomicI64>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Versions {
    pub(crate) orders: Version,
    pub(crate) inventory: Version,
}

impl Version {
    pub(crate) fn set(&self, version: i64) {
        self.0.store(version, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Versions {
    pub(crate) fn of(&self, service: Service) -> &Version {
        match service {
            Service::Orders => &self.orders,
            Service::Inventory => &self.inventory,
        }
    }
}
