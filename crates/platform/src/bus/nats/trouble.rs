//! What is known to be wrong with the channels although the broker can be reached.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tracing::{info, warn};

/// What a trouble is about. A later finding about the same replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The settings of the stream, or that it is missing.
    Stream,
    /// The settings of the consumer, or that it is missing.
    Consumer,
    /// What the broker answers to messages that are published.
    Publishing,
}

/// The troubles of all channels: one line each, for an operator.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeMap<(String, About), String>>);

impl Troubles {
    /// Replaces what is known about a channel by the newest finding; `None` if nothing is wrong.
    /// Logs what is new.
    pub(super) fn note(&self, channel: &str, about: About, trouble: Option<String>) {
        let mut known = self.0.lock().expect("nothing panics under this lock");
        let key = (channel.to_owned(), about);
        match trouble {
            Some(trouble) => {
                if known.get(&key) != Some(&trouble) {
                    warn!(channel, trouble, "trouble with the broker");
                }
                known.insert(key, trouble);
            }
            None => {
                if let Some(trouble) = known.remove(&key) {
                    info!(channel, trouble, "trouble with the broker is over");
                }
            }
        }
    }

    /// All troubles.
    pub(super) fn all(&self) -> Vec<String> {
        let known = self.0.lock().expect("nothing panics under this lock");
        let mut all: Vec<String> = Vec::new();
        for trouble in known.values() {
            if !all.contains(trouble) {
                all.push(trouble.clone());
            }
        }
        all
    }
}
