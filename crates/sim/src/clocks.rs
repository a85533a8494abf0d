//! The clocks of all nodes, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use platform::clock::Clock;
use tokio::time::Instant;

use crate::config::{Config, Fault};
use crate::node::{BEGINNING, Error, Node, NodeClock, any_error};
use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Clocks {
    began: Instant,
    are_wrong: bool,
    random: Random,
    databases: Arc<NodeClock>,
    replicas: Mutex<BTreeMap<Node, Arc<NodeClock>>>,
}

impl Clocks {
    pub(crate) fn new(config: &Config, began: Instant) -> Self {
        Self {
            began,
            are_wrong: config.has(Fault::Clocks),
            random: Random::of(config.seed, "Clocks"),
            databases: Arc::new(NodeClock::new(began, Error::Offset(0))),
            replicas: Mutex::default(),
        }
    }

    /// The clock that both databases share.
    pub(crate) fn databases(&self) -> Arc<NodeClock> {
        self.databases.clone()
    }

    pub(crate) fn of(&self, node: Node) -> Arc<NodeClock> {
        let new = || {
            let error =
                if self.are_wrong { any_error(&self.random, BEGINNING) } else { Error::Offset(0) };
            Arc::new(NodeClock::new(self.began, error))
        };
        self.replicas().entry(node).or_insert_with(new).clone()
    }

    /// Gives one clock another error. Returns the clock's node and the error.
    pub(crate) fn disturb(&self) -> (String, Error) {
        let error = any_error(&self.random, self.databases.now());
        let named = |(node, clock): (&Node, &Arc<NodeClock>)| (node.to_string(), clock.clone());
        let replicas: Vec<_> = self.replicas().iter().map(named).collect();
        let databases = ("the databases".to_owned(), self.databases.clone());
        let (whose, clock) =
            if self.random.chance(300) { &databases } else { self.random.pick(&replicas) };
        clock.set(error);
        (whose.clone(), error)
    }

    /// Keeps the errors of all clocks, and lets the stopped ones run.
    pub(crate) fn start_all(&self) {
        self.replicas().values().chain([&self.databases]).for_each(|clock| clock.start());
    }

    fn replicas(&self) -> MutexGuard<'_, BTreeMap<Node, Arc<NodeClock>>> {
        self.replicas.lock().expect("nothing panics under this lock")
    }
}
