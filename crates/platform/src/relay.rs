//! Publishes the messages that a commit produced. It never delays a request, and it may lose any
//! message (R6).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::bus::{Bus, BusError};
use crate::failure::Chain;

/// The most batches that wait to be published; more are dropped (R6).
const MAX_QUEUE: usize = 4096;
/// The most batches of one call of the bus.
const MAX_PUBLISH: usize = 256;

/// A handle that queues encoded batches for publishing and never waits. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Vec<u8>>,
}

impl Outbox {
    /// Queues batches, and drops those that find no room: unanswered messages are sent again (R6,
    /// R7).
    pub fn offer(&self, batches: Vec<Vec<u8>>) {
        for batch in batches {
            if self.queue.try_send(batch).is_err() {
                debug!("outbox full or closed, batch dropped; its messages are sent again later");
                return;
            }
        }
    }
}

/// Called after each attempt to publish, with the number of batches and whether it succeeded.
pub type OnPublished = Box<dyn Fn(usize, bool) + Send + Sync>;

/// A worker that publishes the offered batches on one channel.
pub struct Relay {
    queue: mpsc::Receiver<Vec<u8>>,
    bus: Arc<dyn Bus>,
    channel: &'static str,
    report: OnPublished,
    failing: bool,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Relay {
    /// Makes a relay and its queue. It calls `report` after each attempt to publish.
    pub fn new(bus: Arc<dyn Bus>, channel: &'static str, report: OnPublished) -> (Outbox, Self) {
        let (sender, queue) = mpsc::channel(MAX_QUEUE);
        (Outbox { queue: sender }, Self { queue, bus, channel, report, failing: false })
    }

    /// Publishes until `shutdown`, and then what is still queued, unless publishing fails.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            let mut batches = Vec::new();
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                count = self.queue.recv_many(&mut batches, MAX_PUBLISH) => if count == 0 { return Ok(()) },
            }
            self.publish(batches).await;
            // A broker that is away must not delay the shutdown: the rest is sent again later.
            if self.failing && self.queue.is_closed() {
                return Ok(());
            }
        }
    }

    /// Publishes what is queued now.
    pub async fn tick(&mut self) {
        let mut batches = Vec::new();
        while let Ok(batch) = self.queue.try_recv() {
            batches.push(batch);
        }
        self.publish(batches).await;
    }

    async fn publish(&mut self, batches: Vec<Vec<u8>>) {
        if batches.is_empty() {
            return;
        }
        let count = batches.len();
        let result = self.bus.publish(self.channel, batches).await;
        (self.report)(count, result.is_ok());
        // Log only the first failure and the recovery.
        match (&result, self.failing) {
            (Err(error @ (BusError::Full | BusError::Unavailable(_))), false) => {
                warn!(channel = self.channel, error = %Chain(error), "publish failed, unanswered messages are sent again later");
            }
            (Ok(()), true) => warn!(channel = self.channel, "publish succeeded again"),
            _ => {}
        }
        self.failing = result.is_err();
    }
}
