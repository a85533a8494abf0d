//! The broker: a work-queue stream and one durable consumer per channel, after JetStream, and the
//! transit before them, in which messages are delayed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::bus::watchdog::{MAX_UNACKNOWLEDGED, Seen};
use platform::bus::{ACK_WAIT, Delivery, DeliveryTag};
use platform::pairing::DatabaseId;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::random::Random;

/// The bytes of a message, and the database that sent it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) sender: DatabaseId,
    pub(crate) payload: Arc<[u8]>,
}

/// A database of another deployment.
pub(crate) const STRANGER: DatabaseId = DatabaseId(Uuid::from_u128(1));

/// Which part of a channel is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wipe {
    /// The stream and its consumer.
    Everything,
    /// The stream. Its consumer stays, at a sequence that the stream no longer has.
    Stream,
    /// The consumer.
    Consumer,
}

/// All channels.
#[derive(Debug)]
pub(crate) struct Broker {
    channels: Mutex<HashMap<&'static str, Channel>>,
    random: Random,
    /// Notified when a message was sent, or when a delivery became possible.
    pub(crate) stirred: Notify,
}

#[derive(Debug, Default)]
struct Channel {
    /// Messages in transit, by their arrival and a number.
    transit: BTreeMap<(Instant, u64), Message>,
    stream: Stream,
    consumer: Option<Consumer>,
    /// All messages that were ever published.
    log: Vec<Message>,
    last_number: u64,
}

#[derive(Debug, Default)]
struct Stream {
    messages: BTreeMap<u64, Message>,
    last_sequence: u64,
}

#[derive(Debug, Default)]
struct Consumer {
    delivered_sequence: u64,
    deliveries: u64,
    /// When each delivered message is delivered again, by its sequence.
    unacknowledged: BTreeMap<u64, Instant>,
}

impl Message {
    /// Other bytes of the same sender.
    pub(crate) fn with(&self, payload: &[u8]) -> Self {
        Self { sender: self.sender, payload: payload.into() }
    }
}

impl Broker {
    pub(crate) fn new(random: Random) -> Self {
        Self { channels: Mutex::default(), random, stirred: Notify::new() }
    }

    /// Logs a published message, whether or not it will arrive.
    pub(crate) fn remember(&self, channel: &str, message: &Message) {
        self.with(channel, |channel| channel.log.push(message.clone()));
    }

    /// Sends a message that arrives after a delay.
    pub(crate) fn send(&self, channel: &str, message: &Message, after: Duration) {
        self.with(channel, |channel| {
            channel.last_number += 1;
            channel.transit.insert((Instant::now() + after, channel.last_number), message.clone());
        });
        self.stirred.notify_waiters();
    }

    /// Publishes this many of the logged messages again, at most. Returns how many.
    pub(crate) fn replay(&self, channel: &str, count: usize) -> usize {
        let old: Vec<Message> = self.with(channel, |channel| {
            let any = |_| (!channel.log.is_empty()).then(|| self.random.pick(&channel.log).clone());
            (0..count).filter_map(any).collect()
        });
        old.iter().for_each(|message| self.send(channel, message, self.random.millis(0..=200)));
        old.len()
    }

    pub(crate) fn log(&self, channel: &str) -> Vec<Message> {
        self.with(channel, |channel| channel.log.clone())
    }

    /// Delivers up to `max` messages. Returns them, and when the next delivery may be possible.
    pub(crate) fn take(&self, channel: &str, max: usize) -> (Vec<Delivery>, Option<Instant>) {
        let now = Instant::now();
        self.with(channel, |channel| {
            channel.land(now);
            (channel.deliver(max, now), channel.next_event())
        })
    }

    pub(crate) fn extend(&self, channel: &str, tags: &[DeliveryTag]) {
        let until = Instant::now() + ACK_WAIT;
        self.with(channel, |channel| {
            for number in tags.iter().filter_map(number) {
                let waiting = channel
                    .consumer
                    .as_mut()
                    .and_then(|consumer| consumer.unacknowledged.get_mut(&number));
                waiting.into_iter().for_each(|at| *at = until);
            }
        });
    }

    pub(crate) fn ack(&self, channel: &str, tags: &[DeliveryTag]) {
        self.with(channel, |channel| {
            for number in tags.iter().filter_map(number) {
                let Some(consumer) = &mut channel.consumer else { continue };
                if consumer.unacknowledged.remove(&number).is_some() {
                    channel.stream.messages.remove(&number);
                }
            }
        });
    }

    pub(crate) fn wipe(&self, channel: &str, what: Wipe) {
        self.with(channel, |channel| {
            if matches!(what, Wipe::Everything | Wipe::Stream) {
                channel.stream = Stream::default();
            }
            match what {
                Wipe::Everything | Wipe::Consumer => channel.consumer = None,
                // The broker cannot deliver again what the stream has lost.
                Wipe::Stream => {
                    channel
                        .consumer
                        .iter_mut()
                        .for_each(|consumer| consumer.unacknowledged.clear());
                }
            }
        });
        self.stirred.notify_waiters();
    }

    /// The numbers that the watchdog compares.
    pub(crate) fn seen(&self, channel: &str) -> Seen {
        self.with(channel, |channel| {
            let Stream { messages, last_sequence } = &channel.stream;
            let consumer = channel.consumer.as_ref();
            let delivered_sequence = consumer.map_or(0, |consumer| consumer.delivered_sequence);
            Seen {
                messages: messages.len() as u64,
                first_sequence: messages
                    .first_key_value()
                    .map_or(last_sequence + 1, |(first, _)| *first),
                last_sequence: *last_sequence,
                delivered_sequence,
                deliveries: consumer.map_or(0, |consumer| consumer.deliveries),
                undelivered: messages.range(delivered_sequence + 1..).count() as u64,
                unacknowledged: consumer.map_or(0, |consumer| consumer.unacknowledged.len()) as u64,
            }
        })
    }

    /// The number of messages that are in transit or not acknowledged.
    pub(crate) fn held(&self, channel: &str) -> usize {
        self.with(channel, |channel| channel.stream.messages.len() + channel.transit.len())
    }

    fn with<T>(&self, channel: &str, work: impl FnOnce(&mut Channel) -> T) -> T {
        let name = match channel {
            contract::commands::COMMANDS_CHANNEL => contract::commands::COMMANDS_CHANNEL,
            _ => contract::answers::ANSWERS_CHANNEL,
        };
        work(self.channels.lock().expect("nothing panics under this lock").entry(name).or_default())
    }
}

impl Channel {
    /// Moves messages that have arrived into the stream.
    fn land(&mut self, now: Instant) {
        while let Some(first) = self.transit.first_entry()
            && first.key().0 <= now
        {
            self.stream.last_sequence += 1;
            self.stream.messages.insert(self.stream.last_sequence, first.remove());
        }
    }

    fn deliver(&mut self, max: usize, now: Instant) -> Vec<Delivery> {
        let consumer = self.consumer.get_or_insert_default();
        consumer.unacknowledged.retain(|number, _| self.stream.messages.contains_key(number));
        let again =
            consumer.unacknowledged.iter().filter(|(_, at)| **at <= now).map(|(number, _)| *number);
        let first = self
            .stream
            .messages
            .range(consumer.delivered_sequence + 1..)
            .map(|(number, _)| *number);
        let room = usize::try_from(MAX_UNACKNOWLEDGED).unwrap_or(usize::MAX)
            - consumer.unacknowledged.len();
        let numbers: Vec<u64> = again.chain(first.take(room)).take(max).collect();
        let delivery = |number: u64| {
            consumer.deliveries += 1;
            consumer.delivered_sequence = consumer.delivered_sequence.max(number);
            consumer.unacknowledged.insert(number, now + ACK_WAIT);
            let Message { sender, payload } = &self.stream.messages[&number];
            let tag = DeliveryTag(number.to_string().into());
            Delivery { payload: payload.to_vec(), sender: Some(*sender), tag }
        };
        numbers.into_iter().map(delivery).collect()
    }

    fn next_event(&self) -> Option<Instant> {
        let landing = self.transit.first_key_value().map(|((at, _), _)| *at);
        let again =
            self.consumer.iter().flat_map(|consumer| consumer.unacknowledged.values().copied());
        again.chain(landing).min()
    }
}

fn number(tag: &DeliveryTag) -> Option<u64> {
    tag.0.parse().ok()
}
