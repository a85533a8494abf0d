//! A replica's connection to the broker, and what may go wrong on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use platform::bus::watchdog::Watch;
use platform::bus::{Bus, BusError, Delivery, DeliveryTag, Hints, MAX_CHANNEL_BYTES, Published};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::broker::{Message, STRANGER, Wipe};
use crate::config::Fault;
use crate::coverage;
use crate::port::Port;
use crate::spoil;

/// The watchdog checks a channel that has delivered nothing for this long (R10).
const WATCH_PERIOD: Duration = Duration::from_secs(10);
/// In an idle world, receiving waits up to this long although it is asked to return sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The mark of a delivery that another deployment sent.
pub(crate) const FOREIGN_DELIVERY: &str = "a delivery of another deployment";

pub(crate) struct Connection {
    port: Port,
    watches: Mutex<BTreeMap<String, Watch>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection of {}", self.port.node)
    }
}

impl Connection {
    pub(crate) fn of(port: Port) -> Arc<Self> {
        Arc::new(Self { port, watches: Mutex::default() })
    }

    async fn reach(&self) -> Result<(), BusError> {
        if self.port.world.network.reaches_broker(self.port.node) {
            return Ok(());
        }
        Err(BusError::Unavailable("there is no connection".into()))
    }

    /// Sends one message, with the faults that happen to it.
    fn transmit(&self, channel: &str, payload: &[u8]) {
        let world = &self.port.world;
        let happens = |fault| world.faults.happens(fault);
        let sender = world.pairing(self.port.node.service).id();
        let message = Message { sender, payload: payload.into() };
        world.broker.remember(channel, &message);
        let published = world.published.check(channel, payload, &world.monitor.databases());
        world.monitor.require(published);
        if happens(Fault::Garbage) {
            let garbage = spoil::garbage(payload, &world.random);
            world.trace.event(|| format!("garbage joins what {} sends", self.port.node));
            world.broker.send(channel, &message.with(&garbage.payload), world.transit());
            world.repairs.expect_quarantined(garbage.bad);
            if garbage.is_mixed {
                return;
            }
        }
        if happens(Fault::Forgeries) {
            world.trace.event(|| format!("a forgery of what {} sends", self.port.node));
            let databases = world.monitor.databases();
            for forged in spoil::forgery(channel, payload, &databases, &world.random) {
                world.broker.send(channel, &message.with(&forged), world.transit());
            }
        }
        if happens(Fault::Strangers) {
            world.trace.event(|| "another deployment sends on this channel".to_owned());
            for foreign in spoil::foreign(channel, payload, &world.random) {
                let message = Message { sender: STRANGER, payload: foreign.into() };
                world.broker.send(channel, &message, world.transit());
            }
        }
        if happens(Fault::Versions)
            && let Some(newer) = spoil::newer_version(payload)
        {
            world.trace.event(|| format!("what {} sends is of a newer version", self.port.node));
            world.broker.send(channel, &message.with(&newer), world.transit());
            return;
        }
        if happens(Fault::Loss) {
            world.trace.event(|| format!("what {} sends is lost", self.port.node));
            return;
        }
        let copies = if happens(Fault::Duplicates) { world.random.within(2..=5) } else { 1 };
        (0..copies).for_each(|_| world.broker.send(channel, &message, world.transit()));
    }

    /// Runs the watchdog when its period is over, by the same rules as with a real broker.
    fn watch(&self, channel: &str, delivered: usize) {
        let mut watches = self.watches.lock().expect("nothing panics under this lock");
        let watch = watches.entry(channel.to_owned()).or_default();
        if !watch.is_due(delivered, WATCH_PERIOD) {
            return;
        }
        let world = &self.port.world;
        if let Some(fault) = watch.judge(world.broker.seen(channel)) {
            world
                .trace
                .event(|| format!("the watchdog of {}: the consumer {fault}", self.port.node));
            world.repairs.count(|repairs| repairs.watchdog += 1);
            world.broker.wipe(channel, Wipe::Consumer);
        }
    }
}

#[async_trait]
impl Bus for Connection {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        let failed = |why: &'static str| {
            messages.iter().map(|_| Err(BusError::Unavailable(why.into()))).collect()
        };
        self.port.pass("publishing").await;
        if self.reach().await.is_err() {
            return failed("there is no connection");
        }
        messages.iter().for_each(|payload| self.transmit(channel, payload));
        self.port.pass("having published").await;
        if self.port.world.faults.happens(Fault::Outages) {
            return failed("the broker's acknowledgement was lost");
        }
        messages.iter().map(|_| Ok(())).collect()
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
        self.port.pass("receiving").await;
        let world = &self.port.world;
        let began = Instant::now();
        let patience =
            if wait.is_zero() { wait } else { world.trace.stretch(wait).min(LONGEST_WAIT) };
        loop {
            self.reach().await?;
            let stirred = world.broker.stirred.notified();
            let few = world.random.index(max) + 1;
            let (deliveries, next_event) = world.broker.take(channel, few);
            let until = began + patience;
            if !deliveries.is_empty() || Instant::now() >= until {
                self.watch(channel, deliveries.len());
                if deliveries.iter().any(|delivery| delivery.sender == Some(STRANGER)) {
                    coverage::mark(FOREIGN_DELIVERY);
                }
                return Ok(deliveries);
            }
            let wake = next_event.map_or(until, |at| at.min(until));
            tokio::select! {
                biased;
                () = stirred => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.reach().await?;
        self.port.world.broker.extend(channel, tags);
        Ok(())
    }

    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.port.pass("acknowledging").await;
        self.reach().await?;
        if self.port.world.faults.happens(Fault::LostAcks) {
            self.port
                .world
                .trace
                .event(|| format!("an acknowledgement of {} is lost", self.port.node));
            return Ok(());
        }
        self.port.world.broker.ack(channel, &tags);
        Ok(())
    }

    fn hint(&self, subject: &str, hint: Vec<u8>) {
        let world = &self.port.world;
        if world.network.reaches_broker(self.port.node) && !world.faults.happens(Fault::Loss) {
            world.network.hint(subject, &hint);
        }
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.reach().await?;
        let (sender, receiver) = mpsc::channel(64);
        self.port.world.network.listen(subject, sender);
        Ok(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
            .boxed())
    }

    fn trouble(&self) -> Vec<String> {
        Vec::new()
    }
}
