//! The way out: what a commit produced, on its way to the bus. It never holds a request up and may
//! lose everything.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::bus::{Bus, BusError};
use crate::failure::Chain;

/// Batches that wait to be published; more are dropped (R6).
const MAX_QUEUE: usize = 4096;
/// Batches that one call of the port carries.
const MAX_PUBLISH: usize = 256;

/// Takes encoded batches and never waits; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Vec<u8>>,
}

impl Outbox {
    /// Queues for publishing, or drops what finds no room: the sweeper sends it again (R6).
    pub fn offer(&self, batches: Vec<Vec<u8>>) {
        for batch in batches {
            if self.queue.try_send(batch).is_err() {
                debug!("the outbox is full or closed; a batch is dropped and will be sent again");
                return;
            }
        }
    }
}

/// Called after each attempt to publish, with the number of batches and whether they got through.
pub type OnPublished = Box<dyn Fn(usize, bool) + Send + Sync>;

/// Publishes what was offered, on one channel.
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
    pub fn new(bus: Arc<dyn Bus>, channel: &'static str, report: OnPublished) -> (Outbox, Self) {
        let (sender, queue) = mpsc::channel(MAX_QUEUE);
        (Outbox { queue: sender }, Self { queue, bus, channel, report, failing: false })
    }

    /// Publishes until `shutdown`, and then what is still queued.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        loop {
            let mut batches = Vec::new();
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                count = self.queue.recv_many(&mut batches, MAX_PUBLISH) => if count == 0 { return Ok(()) },
            }
            self.publish(batches).await;
            // A broker that is away does not hold the end of the process up: what is left is sent again.
            if self.failing && self.queue.is_closed() {
                return Ok(());
            }
        }
    }

    /// One step: publishes what is queued now.
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
        // One line when it begins and one when it is over, however long it lasts.
        match (&result, self.failing) {
            (Err(error @ (BusError::Full | BusError::Unavailable(_))), false) => {
                warn!(channel = self.channel, error = %Chain(error), "publishing fails; the sweeper will send again");
            }
            (Ok(()), true) => warn!(channel = self.channel, "publishing works again"),
            _ => {}
        }
        self.failing = result.is_err();
    }
}
