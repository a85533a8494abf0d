//! The replicas that serve requests, and how often each of them has started.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::Router;

use crate::node::Node;

#[derive(Debug, Default)]
pub(crate) struct Replicas {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    routers: BTreeMap<Node, Router>,
    starts: BTreeMap<Node, u64>,
}

impl Replicas {
    /// Counts a start of the replica. Returns its number, from 1.
    pub(crate) fn count_start(&self, node: Node) -> u64 {
        let mut known = self.known();
        let starts = known.starts.entry(node).or_default();
        *starts += 1;
        *starts
    }

    /// The replica serves requests from now on.
    pub(crate) fn serve(&self, node: Node, router: Router) {
        self.known().routers.insert(node, router);
    }

    /// The replica serves no requests until it has started again.
    pub(crate) fn remove(&self, node: Node) {
        self.known().routers.remove(&node);
    }

    pub(crate) fn router(&self, node: Node) -> Option<Router> {
        self.known().routers.get(&node).cloned()
    }

    /// Drops the routers, which hold the world.
    pub(crate) fn clear(&self) {
        let routers = std::mem::take(&mut self.known().routers);
        drop(routers);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics under this lock")
    }
}
