//! What is known to be wrong with the channels although the broker can be reached.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

/// A trouble that was not found again for this long is forgotten: what it is about was not tried
/// since. The slowest sender repeats its message three times in this time (R8).
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

/// What a trouble is about. A later finding about the same replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The settings of the stream, that it is missing, or that it does not answer.
    Stream,
    /// The settings of the consumer, or that it is missing.
    Consumer,
    /// That the stream has no room.
    Room,
    /// What the broker answers to messages that are published.
    Publishing,
    /// What the broker answers to requests for messages.
    Receiving,
    /// That the stream cannot be used any more, and an operator has to delete it.
    Deletion,
}

#[derive(Debug)]
struct Trouble {
    text: String,
    found: Instant,
}

/// The troubles of all channels: one line each, for an operator.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeMap<(String, About), Trouble>>);

impl Troubles {
    /// Replaces what is known about a channel by the newest finding; `None` if nothing is wrong.
    /// Logs what is new.
    pub(super) fn note(&self, channel: &str, about: About, trouble: Option<String>) {
        let mut known = self.0.lock().expect("nothing panics under this lock");
        let key = (channel.to_owned(), about);
        let before = known.remove(&key).map(|trouble| trouble.text);
        match (&before, &trouble) {
            (before, Some(text)) if before.as_ref() != Some(text) => {
                warn!(channel, trouble = text, "trouble with the broker");
            }
            (Some(text), None) => info!(channel, trouble = text, "trouble with the broker is over"),
            _ => {}
        }
        if let Some(text) = trouble {
            known.insert(key, Trouble { text, found: Instant::now() });
        }
    }

    /// All troubles.
    pub(super) fn all(&self) -> Vec<String> {
        let mut known = self.0.lock().expect("nothing panics under this lock");
        let now = Instant::now();
        known.retain(|_, trouble| now.duration_since(trouble.found) < FORGET_AFTER);
        known.values().map(|trouble| trouble.text.clone()).collect()
    }
}
