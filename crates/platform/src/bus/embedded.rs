//! The bus inside one process: bounded queues in memory, empty after every start.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, broadcast};

use super::{Bus, BusError, Delivery, DeliveryTag, Hints, MAX_CHANNEL_BYTES, Published};
use crate::clock::{Clock, Timestamp};
use crate::pairing::DatabaseId;

/// One service's end of a bus in the memory of this process.
///
/// The bus holds at most [`MAX_CHANNEL_BYTES`] per channel and loses everything when the process
/// ends.
#[derive(Debug)]
pub struct Embedded {
    sender: DatabaseId,
    queues: Arc<Queues>,
}

#[derive(Debug)]
struct Queues {
    clock: Arc<dyn Clock>,
    ack_wait: Duration,
    channels: Mutex<HashMap<String, Queue>>,
    arrived: Notify,
    listeners: Mutex<HashMap<String, broadcast::Sender<Vec<u8>>>>,
}

/// How many hints a listener may fall behind before it misses some.
const MAX_HINTS: usize = 64;

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<(u64, Message)>,
    /// By number: when the message was delivered, and the message.
    delivered: BTreeMap<u64, (Timestamp, Message)>,
    bytes: usize,
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Message {
    sender: DatabaseId,
    payload: Vec<u8>,
}

impl Embedded {
    /// Makes a bus that delivers a message again unless it is acknowledged within `ack_wait`,
    /// measured by `clock`. Returns the end of the service with the database `sender`.
    pub fn new(clock: Arc<dyn Clock>, ack_wait: Duration, sender: DatabaseId) -> Self {
        let queues = Queues {
            clock,
            ack_wait,
            channels: Mutex::default(),
            arrived: Notify::new(),
            listeners: Mutex::default(),
        };
        Self { sender, queues: Arc::new(queues) }
    }

    /// Returns another service's end of the same bus.
    #[must_use]
    pub fn end_of(&self, sender: DatabaseId) -> Self {
        Self { sender, queues: self.queues.clone() }
    }
}

impl Queues {
    fn with<T>(&self, channel: &str, work: impl FnOnce(&mut Queue) -> T) -> T {
        let mut channels = self.channels.lock().expect("no call on a queue panics");
        if !channels.contains_key(channel) {
            channels.insert(channel.to_owned(), Queue::default());
        }
        work(channels.get_mut(channel).expect("just made"))
    }
}

impl Queue {
    fn push(&mut self, message: Message) -> Result<(), BusError> {
        let bytes = message.payload.len();
        if bytes > MAX_CHANNEL_BYTES {
            return Err(BusError::TooLarge { bytes });
        }
        if self.bytes + bytes > MAX_CHANNEL_BYTES {
            return Err(BusError::Full);
        }
        self.bytes += bytes;
        self.last_number += 1;
        self.ready.push_back((self.last_number, message));
        Ok(())
    }

    fn take(&mut self, max: usize, now: Timestamp, ack_wait: Duration) -> Vec<Delivery> {
        // A clock that was set back must not delay a message for ever: one delivered "in the
        // future" is overdue as well.
        let late = |at: Timestamp| now >= at.after(ack_wait) || now < at;
        let overdue: Vec<u64> = self
            .delivered
            .iter()
            .filter(|(_, (at, _))| late(*at))
            .map(|(number, _)| *number)
            .take(max)
            .collect();
        for number in overdue.into_iter().rev() {
            if let Some((_, message)) = self.delivered.remove(&number) {
                self.ready.push_front((number, message));
            }
        }
        let count = max.min(self.ready.len());
        let taken: Vec<_> = self.ready.drain(..count).collect();
        self.delivered
            .extend(taken.iter().map(|(number, message)| (*number, (now, message.clone()))));
        let delivery = |(number, Message { sender, payload }): (u64, _)| Delivery {
            payload,
            sender: Some(sender),
            tag: DeliveryTag(number.to_string().into()),
        };
        taken.into_iter().map(delivery).collect()
    }

    fn extend(&mut self, tag: &DeliveryTag, now: Timestamp) {
        let message = tag.0.parse().ok().and_then(|number: u64| self.delivered.get_mut(&number));
        message.into_iter().for_each(|(at, _)| *at = now);
    }

    fn forget(&mut self, tag: &DeliveryTag) {
        let message = tag.0.parse().ok().and_then(|number| self.delivered.remove(&number));
        self.bytes -= message.map_or(0, |(_, message)| message.payload.len());
    }
}

#[async_trait]
impl Bus for Embedded {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        let sender = self.sender;
        let published = self.queues.with(channel, |queue| {
            let message = |payload| Message { sender, payload };
            messages.into_iter().map(|payload| queue.push(message(payload))).collect()
        });
        self.queues.arrived.notify_waiters();
        published
    }

    fn max_bytes(&self, _channel: &str) -> usize {
        MAX_CHANNEL_BYTES
    }

    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let Queues { clock, ack_wait, arrived, .. } = &*self.queues;
        let take = || self.queues.with(channel, |queue| queue.take(max, clock.now(), *ack_wait));
        // Listen before looking, so that a message that arrives in between is not missed.
        let arrived = arrived.notified();
        tokio::pin!(arrived);
        arrived.as_mut().enable();
        let ready = take();
        if !ready.is_empty() || wait.is_zero() {
            return Ok(ready);
        }
        // Look again whether woken or not: unacknowledged messages may have become due.
        let _ = tokio::time::timeout(wait, arrived).await;
        Ok(take())
    }

    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        let now = self.queues.clock.now();
        self.queues.with(channel, |queue| tags.iter().for_each(|tag| queue.extend(tag, now)));
        Ok(())
    }

    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.queues.with(channel, |queue| tags.iter().for_each(|tag| queue.forget(tag)));
        Ok(())
    }

    fn hint(&self, subject: &str, hint: Vec<u8>) {
        if let Some(listeners) =
            self.queues.listeners.lock().expect("no call panics under this lock").get(subject)
        {
            // Without listeners, the hint is lost.
            let _ = listeners.send(hint);
        }
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        let mut listeners = self.queues.listeners.lock().expect("no call panics under this lock");
        let sender =
            listeners.entry(subject.to_owned()).or_insert_with(|| broadcast::channel(MAX_HINTS).0);
        let hints = stream::unfold(sender.subscribe(), async |mut receiver| {
            loop {
                match receiver.recv().await {
                    Ok(hint) => return Some((hint, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Ok(hints.boxed())
    }

    fn trouble(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{ACK_WAIT, all};
    use crate::clock::SystemClock;
    use crate::pairing::tests::id;

    async fn fresh(ack_wait: Duration) -> Arc<dyn Bus> {
        Arc::new(Embedded::new(Arc::new(SystemClock), ack_wait, id(1)))
    }

    crate::bus::laws::bus_laws!(fresh);

    #[tokio::test]
    async fn a_delivery_names_the_end_that_published_it() {
        let one = Embedded::new(Arc::new(SystemClock), ACK_WAIT, id(1));
        let two = one.end_of(id(2));
        all(one.publish("a", vec![vec![1]]).await).expect("room");
        all(two.publish("a", vec![vec![2]]).await).expect("room");
        let received = one.receive("a", 10, Duration::ZERO).await.expect("messages");
        let senders: Vec<_> = received.into_iter().map(|its| (its.payload, its.sender)).collect();
        assert_eq!(senders, [(vec![1], Some(id(1))), (vec![2], Some(id(2)))]);
    }

    #[tokio::test]
    async fn a_full_channel_refuses_and_never_waits() {
        let bus = fresh(Duration::from_secs(30)).await;
        let mib = vec![0; 1024 * 1024];
        for _ in 0..64 {
            all(bus.publish("a", vec![mib.clone()]).await).expect("room for 64 MiB");
        }
        assert!(matches!(bus.publish("a", vec![mib.clone()]).await[..], [Err(BusError::Full)]));

        let taken = bus.receive("a", 1, Duration::ZERO).await.expect("a message");
        assert!(
            matches!(bus.publish("a", vec![mib.clone()]).await[..], [Err(BusError::Full)]),
            "unacknowledged counts"
        );
        bus.ack("a", vec![taken[0].tag.clone()]).await.expect("acknowledged");
        all(bus.publish("a", vec![mib]).await).expect("room again");
    }

    #[tokio::test]
    async fn a_message_that_fits_no_channel_takes_no_neighbour_along() {
        let bus = fresh(Duration::from_secs(30)).await;
        let large = vec![0; bus.max_bytes("a") + 1];
        let published = bus.publish("a", vec![vec![1], large, vec![2]]).await;
        assert!(
            matches!(published[..], [Ok(()), Err(BusError::TooLarge { .. }), Ok(())]),
            "{published:?}"
        );
        assert_eq!(bus.receive("a", 10, Duration::ZERO).await.expect("messages").len(), 2);
    }
}
