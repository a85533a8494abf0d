//! Publishes the messages that a commit produced. It never delays a request, and it may lose any
//! message (R6).

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::bus::Bus;
use crate::failure::Chain;
use crate::telemetry::traces::Span;
use too_large::TooLarge;
use traced::fail;

pub use traced::{MessageSpans, Traced};

mod too_large;
mod traced;

/// The most batches that wait to be published; more are dropped (R6).
const MAX_QUEUE: usize = 4096;
/// The most batches of one call of the bus.
const MAX_PUBLISH: usize = 256;

/// Messages to publish, encoded in batches.
#[derive(Debug, Default)]
pub struct Offered {
    /// The batches.
    pub batches: Vec<Vec<u8>>,
    /// How many messages each batch has.
    pub counts: Vec<usize>,
    /// The positions of the messages that are in no batch.
    pub left_out: Vec<usize>,
    /// The spans of all messages.
    pub spans: MessageSpans,
}

/// An encoded batch on its way, and the spans of its messages.
#[derive(Debug)]
struct Outgoing {
    batch: Vec<u8>,
    spans: Vec<Span>,
}

/// A handle that queues encoded batches for publishing and never waits. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bus: Arc<dyn Bus>,
    channel: &'static str,
    too_large: Arc<Mutex<TooLarge>>,
}

impl Outbox {
    /// Queues batches, and drops those that find no room: unanswered messages are sent again (R6,
    /// R7).
    pub fn offer(&self, offered: Offered) {
        let Offered { batches, counts, left_out, spans } = offered;
        let mut spans = spans.of_batches(&counts, &left_out).into_iter();
        for batch in batches {
            let outgoing = Outgoing { batch, spans: spans.next().unwrap_or_default() };
            if let Err(refused) = self.queue.try_send(outgoing) {
                fail(refused.into_inner().spans, "not_queued");
                debug!("outbox full or closed, batch dropped; its messages are sent again later");
                return;
            }
        }
    }

    /// Returns how many bytes a batch may have now (R17).
    pub fn max_bytes(&self) -> usize {
        self.bus.max_bytes(self.channel)
    }

    /// Notes that the message about this subject is not sent: alone it has `bytes`, which is more
    /// than [`Self::max_bytes`]. It is named in the log, once, and by [`Self::trouble`] until the
    /// bus would take it (R17).
    pub fn too_large(&self, subject: &str, bytes: usize) {
        let limit = self.max_bytes();
        self.known_too_large().note(self.channel, subject, bytes, limit);
    }

    /// Returns which messages cannot be sent, in one line for an operator; none if all can.
    pub fn trouble(&self) -> Vec<String> {
        self.known_too_large().trouble(self.max_bytes())
    }

    fn known_too_large(&self) -> MutexGuard<'_, TooLarge> {
        self.too_large.lock().expect("nothing panics while it holds the list")
    }
}

/// Called after each attempt to publish.
pub type OnPublished = Box<dyn Fn(Attempt) + Send + Sync>;

/// What became of the batches of one attempt, which are one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How many were published.
    pub published: usize,
    /// How many were not.
    pub failed: usize,
}

/// A worker that publishes the offered batches on one channel.
pub struct Relay {
    queue: mpsc::Receiver<Outgoing>,
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
        let outbox = Outbox { queue: sender, bus: bus.clone(), channel, too_large: Arc::default() };
        (outbox, Self { queue, bus, channel, report, failing: false })
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

    async fn publish(&mut self, outgoing: Vec<Outgoing>) {
        if outgoing.is_empty() {
            return;
        }
        let (batches, spans): (Vec<_>, Vec<_>) =
            outgoing.into_iter().map(|Outgoing { batch, spans }| (batch, spans)).unzip();
        let published = self.bus.publish(self.channel, batches).await;
        let refused = published.iter().zip(spans).filter(|(result, _)| result.is_err());
        refused.for_each(|(_, spans)| fail(spans, "not_published"));
        let ok = published.iter().filter(|result| result.is_ok()).count();
        (self.report)(Attempt { published: ok, failed: published.len() - ok });
        // Log only the first failure of all, and the recovery. The bus names what it refuses among
        // messages that it takes.
        let failing = ok == 0;
        match published.iter().find_map(|result| result.as_ref().err()) {
            Some(error) if failing && !self.failing => {
                warn!(channel = self.channel, error = %Chain(error), "publish failed, unanswered messages are sent again later");
            }
            _ if self.failing && !failing => {
                warn!(channel = self.channel, "publish succeeded again");
            }
            _ => {}
        }
        self.failing = failing;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bus::ACK_WAIT;
    use crate::bus::embedded::Embedded;
    use crate::clock::SystemClock;
    use crate::pairing::tests::id;

    #[tokio::test]
    async fn what_the_bus_refuses_is_counted_and_takes_no_neighbour_along() {
        let bus: Arc<dyn Bus> = Arc::new(Embedded::new(Arc::new(SystemClock), ACK_WAIT, id(1)));
        let reports = Arc::<Mutex<Vec<_>>>::default();
        let noted = reports.clone();
        let report = move |attempt| noted.lock().expect("the list").push(attempt);
        let (outbox, mut relay) = Relay::new(bus.clone(), "numbers", Box::new(report));
        let too_large = vec![0; outbox.max_bytes() + 1];
        let batches = vec![vec![1], too_large, vec![2]];
        outbox.offer(Offered { batches, ..Offered::default() });
        relay.tick().await;
        assert_eq!(*reports.lock().expect("the list"), [Attempt { published: 2, failed: 1 }]);
        let received = bus.receive("numbers", 10, Duration::ZERO).await.expect("messages");
        let payloads: Vec<_> = received.into_iter().map(|delivery| delivery.payload).collect();
        assert_eq!(payloads, [[1], [2]]);
    }
}
