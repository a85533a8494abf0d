//! Messages that are delivered five times, shuffled and late, with old messages in between.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::operator::{ANSWERS, COMMANDS, Operator};
use crate::{Nats, PATIENCE, Random, eventually};

/// How often each message is delivered.
const COPIES: usize = 5;
/// The smallest number of surplus messages on a channel that counts as a storm.
const STORM: usize = 50;
/// How many old messages are kept for another delivery.
const MAX_OLD: usize = 1_000;

/// What a storm does to the messages of one channel.
#[derive(Debug)]
pub struct Storm {
    random: Random,
    /// Copies that are sent later.
    waiting: Vec<Vec<u8>>,
    old: Vec<Vec<u8>>,
    more: usize,
}

impl Storm {
    /// A storm that has not begun.
    pub fn new(random: Random) -> Self {
        Self { random, waiting: Vec::new(), old: Vec::new(), more: 0 }
    }

    /// The messages to send in place of `messages`: at least as many.
    pub fn instead_of(&mut self, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        for message in messages {
            self.take_up(message, COPIES);
        }
        let gust = self.gust(messages.len());
        self.more += gust.len() - messages.len();
        gust
    }

    /// The messages to send in addition to a message that was already sent.
    pub fn beside(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        self.take_up(message, COPIES - 1);
        let gust = self.gust(0);
        self.more += gust.len();
        gust
    }

    /// The messages that are still to be sent when the storm ends.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
        self.more += self.waiting.len();
        std::mem::take(&mut self.waiting)
    }

    /// Fails the test unless many more messages were sent than were published.
    pub fn must_have_raged(&self) {
        assert!(self.more >= STORM, "only {} surplus messages were sent: no storm", self.more);
    }

    fn take_up(&mut self, message: &[u8], copies: usize) {
        self.waiting.extend(std::iter::repeat_n(message.to_vec(), copies));
        if !self.old.is_empty() {
            let again = self.random.index(self.old.len());
            self.waiting.push(self.old[again].clone());
        }
        if self.old.len() == MAX_OLD {
            self.old.swap_remove(self.random.index(MAX_OLD));
        }
        self.old.push(message.to_vec());
    }

    /// Takes a random half of the waiting messages, and at least `least`.
    fn gust(&mut self, least: usize) -> Vec<Vec<u8>> {
        let count = self.waiting.len().div_ceil(2).max(least);
        let any = |_| self.waiting.swap_remove(self.random.index(self.waiting.len()));
        (0..count).map(any).collect()
    }
}

/// A storm on both channels of a broker, which sends every message that others publish again and
/// again.
#[derive(Debug)]
pub struct StormAtBroker {
    operator: Arc<Operator>,
    channels: Vec<(&'static str, Arc<Mutex<Storm>>)>,
    raging: JoinSet<()>,
}

impl StormAtBroker {
    /// Begins a storm.
    pub async fn on(broker: &Nats, random: &mut Random) -> Self {
        let operator = Arc::new(Operator::of(broker).await);
        let mut channels = Vec::new();
        let mut raging = JoinSet::new();
        for channel in [COMMANDS, ANSWERS] {
            let storm = Arc::new(Mutex::new(Storm::new(random.fork())));
            channels.push((channel, storm.clone()));
            // The operator's connection does not receive its own messages.
            let mut messages = operator.client.subscribe(channel).await.expect("a subscription");
            let client = operator.client.clone();
            raging.spawn(async move {
                while let Some(message) = messages.next().await {
                    let headers = message.headers.expect("a message names its sender");
                    let gust = lock(&storm).beside(&message.payload);
                    for copy in gust {
                        let sent =
                            client.publish_with_headers(channel, headers.clone(), copy.into());
                        sent.await.expect("sent");
                    }
                }
            });
        }
        operator.client.flush().await.expect("the broker answers");
        Self { operator, channels, raging }
    }

    /// Ends the storm: sends the waiting messages and waits until the services have taken all of
    /// them. Fails the test if there was no storm.
    pub async fn end(mut self) {
        self.raging.shutdown().await;
        for (channel, storm) in &self.channels {
            let rest = lock(storm).rest();
            for copy in rest {
                self.operator.publish(channel, copy).await;
            }
            lock(storm).must_have_raged();
        }
        eventually(PATIENCE, "everything is consumed", async || {
            (self.operator.open_messages().await == 0).then_some(())
        })
        .await;
    }
}

fn lock(storm: &Mutex<Storm>) -> std::sync::MutexGuard<'_, Storm> {
    storm.lock().expect("nothing panics under this lock")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tally(messages: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
        let mut tally = BTreeMap::new();
        for message in messages {
            *tally.entry(message).or_default() += 1;
        }
        tally
    }

    #[test]
    fn each_message_comes_five_times_and_old_ones_come_once_more() {
        let mut storm = Storm::new(Random::seeded("storm"));
        let messages: Vec<_> = (0..=99_u8).map(|number| vec![number]).collect();
        let mut gone: Vec<_> = messages
            .iter()
            .flat_map(|message| storm.instead_of(std::slice::from_ref(message)))
            .collect();
        gone.extend(storm.rest());
        assert_ne!(gone.iter().take(100).collect::<Vec<_>>(), messages.iter().collect::<Vec<_>>());
        // Each message but the first brings an old message with it.
        assert_eq!(gone.len(), 5 * 100 + 99);
        let tally = tally(gone);
        assert!(tally.len() == 100 && tally.values().all(|times| *times >= 5), "{tally:?}");
        storm.must_have_raged();
    }

    #[test]
    fn beside_a_message_come_four_more() {
        let mut storm = Storm::new(Random::seeded("storm"));
        let mut gone = storm.beside(b"a");
        gone.extend(storm.rest());
        assert_eq!(tally(gone), BTreeMap::from([(b"a".to_vec(), 4)]));
    }
}
