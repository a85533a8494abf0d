//! A bus on which every message arrives five times, in any order, with old ones in between.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

use faults::{STORM, VARIABLE};

use crate::bus::{Bus, BusError, Delivery, DeliveryTag, Hints};

const COPIES: usize = 5;
/// A line of the log says that there is a storm, once so many more messages have gone out on a channel than were published.
const TOLD_AT: usize = 50;
/// Old messages that are kept, to come again.
const MAX_OLD: usize = 1_000;

/// The bus in a storm, if one was asked for.
pub fn around(bus: Arc<dyn Bus>) -> Arc<dyn Bus> {
    if std::env::var(VARIABLE).is_ok_and(|value| value == STORM) {
        return Arc::new(Storm { bus, channels: Mutex::default() });
    }
    bus
}

#[derive(Debug)]
struct Storm {
    bus: Arc<dyn Bus>,
    channels: Mutex<HashMap<String, Air>>,
}

impl Storm {
    fn on<T>(&self, channel: &str, change: impl FnOnce(&mut Air) -> T) -> T {
        change(self.channels.lock().expect("nothing panics under this lock").entry(channel.to_owned()).or_default())
    }
}

/// What is in the air on one channel.
#[derive(Debug, Default)]
struct Air {
    /// Copies that go out with a later publish, or are lost if there is none.
    waiting: Vec<Vec<u8>>,
    old: Vec<Vec<u8>>,
    /// How many more have gone out than were published.
    more: usize,
}

impl Air {
    /// What goes out instead of `messages`.
    fn stir(&mut self, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let Self { waiting, old, .. } = self;
        for message in messages {
            waiting.extend(std::iter::repeat_n(message.clone(), COPIES));
            if let Some(again) = old.get(random(old.len())) {
                waiting.push(again.clone());
            }
            if old.len() == MAX_OLD {
                old.swap_remove(random(MAX_OLD));
            }
            old.push(message.clone());
        }
        let count = waiting.len().div_ceil(2).max(messages.len());
        (0..count)
            .map(|_| {
                let at = random(waiting.len());
                waiting.swap_remove(at)
            })
            .collect()
    }

    fn went_out(&mut self, channel: &str, more: usize) {
        let before = self.more;
        self.more += more;
        if before < TOLD_AT && self.more >= TOLD_AT {
            warn!("a storm on {channel}: {TOLD_AT} messages more have gone out than were published");
        }
    }
}

/// Any number below `bound`, or 0.
fn random(bound: usize) -> usize {
    let hash = RandomState::new().hash_one(bound);
    usize::try_from(hash % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
}

#[async_trait]
impl Bus for Storm {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Result<(), BusError> {
        let stirred = self.on(channel, |air| air.stir(&messages));
        let more = stirred.len() - messages.len();
        self.bus.publish(channel, stirred).await?;
        self.on(channel, |air| air.went_out(channel, more));
        Ok(())
    }

    async fn receive(&self, channel: &str, max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        self.bus.receive(channel, max, wait).await
    }

    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.bus.extend(channel, tags).await
    }

    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.bus.ack(channel, tags).await
    }

    fn hint(&self, subject: &str, word: Vec<u8>) {
        self.bus.hint(subject, word);
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.bus.hints(subject).await
    }

    fn trouble(&self) -> Option<String> {
        self.bus.trouble()
    }
}
