//! Which nodes reach the broker, and which listen for hints.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use crate::node::Node;

#[derive(Debug, Default)]
pub(crate) struct Network {
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    broker_is_away: bool,
    cut_off: BTreeSet<Node>,
    /// By subject.
    listeners: Vec<(String, Sender<Vec<u8>>)>,
}

impl Network {
    pub(crate) fn reaches_broker(&self, node: Node) -> bool {
        let links = self.links();
        !links.broker_is_away && !links.cut_off.contains(&node)
    }

    /// Cuts one replica off from the broker, or all of them.
    pub(crate) fn cut(&self, node: Option<Node>) {
        let mut links = self.links();
        match node {
            Some(node) => drop(links.cut_off.insert(node)),
            None => links.broker_is_away = true,
        }
    }

    /// Ends one cut.
    pub(crate) fn mend(&self, node: Option<Node>) {
        let mut links = self.links();
        match node {
            Some(node) => drop(links.cut_off.remove(&node)),
            None => links.broker_is_away = false,
        }
    }

    /// Ends all cuts.
    pub(crate) fn mend_all(&self) {
        let mut links = self.links();
        links.broker_is_away = false;
        links.cut_off.clear();
    }

    pub(crate) fn listen(&self, subject: &str, listener: Sender<Vec<u8>>) {
        self.links().listeners.push((subject.to_owned(), listener));
    }

    /// Sends a hint to all listeners of the subject that have room for it.
    pub(crate) fn hint(&self, subject: &str, payload: &[u8]) {
        self.links().listeners.retain(|(its, listener)| {
            let is_closed =
                || matches!(listener.try_send(payload.to_vec()), Err(TrySendError::Closed(_)));
            its != subject || !is_closed()
        });
    }

    /// Drops the listeners, which may hold the world.
    pub(crate) fn clear(&self) {
        let listeners = std::mem::take(&mut self.links().listeners);
        drop(listeners);
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().expect("nothing panics under this lock")
    }
}
