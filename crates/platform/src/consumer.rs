//! Takes messages from a channel, executes those of the peer through the batcher (R31), and
//! acknowledges them after the commit (R16).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::batcher::Batcher;
use crate::bus::{ACK_WAIT, Bus, Delivery, DeliveryTag};
use crate::failure::{Chain, Failure, NotDone};
use crate::log_limit::{Line, LogLimit};
use crate::pairing::Pairing;
use crate::quarantine::{QuarantineKind, Quarantined};
use crate::relay::Traced;
use crate::telemetry::traces::{self, Kind, Span};
use crate::telemetry::{Metrics, Unprocessed};

/// The most deliveries of one step. Each carries a batch of messages.
const MAX_DELIVERIES: usize = 64;
/// How long a step waits for a first message.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);
/// How long a message may wait for its commit. After that it is left unacknowledged and comes
/// again.
const COMMIT_WAIT: Duration = Duration::from_secs(20);
/// How often the wait of messages that are still being processed is extended.
const EXTEND_PERIOD: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 3);
/// The pause after the bus failed.
const PAUSE: Duration = Duration::from_millis(500);

/// One message of a delivery.
#[derive(Debug)]
pub enum Message<C> {
    /// A message that was decoded.
    Command(C),
    /// A message of a newer version. The consumer drops it; its sender repeats it, also after this
    /// program's upgrade.
    UnknownVersion,
    /// Bytes that cannot be decoded.
    Malformed {
        /// Why not, for an operator.
        reason: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// The message that brought a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The id of the thing that the message is about.
    pub subject: String,
    /// The name of the message's type.
    pub name: &'static str,
    /// The message, encoded.
    pub bytes: Vec<u8>,
}

/// What a service knows about the messages that it consumes.
#[async_trait]
pub trait Inbox<C, A>: Send + Sync {
    /// What the messages are called, in labels and reasons: `answer`, `command`.
    fn noun(&self) -> &'static str;

    /// Decodes the messages of a delivery. Those that cannot be decoded are elements like the
    /// others.
    fn read(&self, payload: &[u8]) -> Vec<Message<C>>;

    /// Returns the message that brought a command, or `None` if such commands do not come from
    /// messages.
    fn origin(&self, command: &C) -> Option<Origin>;

    /// Returns why a command that was answered like this cannot occur in a healthy system, or
    /// `None` if it can.
    fn anomaly(&self, answer: &A) -> Option<&'static str>;

    /// Returns what a trace needs of the message that brought a command; `None` if such commands do
    /// not come from messages.
    fn traced<'c>(&self, command: &'c mut C) -> Option<Traced<'c>>;

    /// Writes entries to the quarantine, in a transaction of its own. Returns how many found no room
    /// there.
    ///
    /// # Errors
    ///
    /// Those of the store. Only after [`Failure::Unknown`] may the entries have been written; a
    /// retry then raises their count.
    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<usize, Failure>;
}

/// Consumes one channel for one service.
pub struct Consumer<C, A> {
    /// The service's name in metrics.
    pub service: &'static str,
    /// The bus that delivers the messages.
    pub bus: Arc<dyn Bus>,
    /// The channel to consume.
    pub channel: &'static str,
    /// Knows the database whose messages are executed.
    pub pairing: Arc<Pairing>,
    /// Where the commands are executed.
    pub batcher: Batcher<C, A>,
    /// The service's knowledge of the messages.
    pub inbox: Arc<dyn Inbox<C, A>>,
    /// Where messages that were not processed are counted.
    pub metrics: Metrics,
    /// How often they are logged.
    pub log_limit: LogLimit,
}

impl<C, A> fmt::Debug for Consumer<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl<C: Clone + Send + Sync + 'static, A: Send + Sync + 'static> Consumer<C, A> {
    /// Consumes until `shutdown`, and finishes the step that is under way then.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end (R18).
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut failing = false;
        while !shutdown.is_cancelled() {
            let received = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                received = self.bus.receive(self.channel, MAX_DELIVERIES, RECEIVE_WAIT) => received,
            };
            match received {
                Ok(deliveries) => {
                    failing = false;
                    self.process(deliveries).await?;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(channel = self.channel, error = %Chain(&error), "receive failed, retrying");
                    }
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Processes the messages that are there now. A bus that does not answer has none.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn tick(&self) -> Result<(), Failure> {
        let Ok(deliveries) = self.bus.receive(self.channel, MAX_DELIVERIES, Duration::ZERO).await
        else {
            return Ok(());
        };
        self.process(deliveries).await
    }

    async fn process(&self, mut deliveries: Vec<Delivery>) -> Result<(), Failure> {
        match self.drop_foreign(&mut deliveries).await {
            Ok(()) => {}
            Err(failure @ Failure::Fatal(_)) => return Err(failure),
            // Nothing is acknowledged, so everything comes again.
            Err(failure) => {
                warn!(channel = self.channel, error = %Chain(&failure), "the peer cannot be read, the broker delivers the messages again");
                tokio::time::sleep(PAUSE).await;
                return Ok(());
            }
        }
        if deliveries.is_empty() {
            return Ok(());
        }
        let (payloads, tags): (Vec<_>, Vec<_>) =
            deliveries.into_iter().map(|delivery| (delivery.payload, delivery.tag)).unzip();
        let Sorted { mut commands, positions, mut aside } = self.sort(&payloads);
        let mut spans = self.spans(&mut commands);
        let committing = self.batcher.submit_all(commands, Instant::now() + COMMIT_WAIT);
        let results = self.extending(&tags, committing).await;
        let mut done = vec![true; tags.len()];
        for (index, (position, result)) in positions.into_iter().zip(&results).enumerate() {
            if let (Err(_), Some(Some(span))) = (result, spans.get_mut(index)) {
                span.fail("not_done");
            }
            match result {
                Ok(answer) => aside.extend(self.anomaly(answer, &payloads, position)),
                Err(NotDone::Poisoned) => aside.extend(self.poison(&payloads, position)),
                // It is not acknowledged and comes again.
                Err(_) => done[position.delivery] = false,
            }
        }
        drop(spans);
        if !aside.is_empty() {
            match self.extending(&tags, self.set_aside(aside)).await {
                Ok(()) => {}
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                // Nothing is acknowledged, so everything comes again.
                Err(_) => return Ok(()),
            }
        }
        let acknowledged: Vec<DeliveryTag> =
            tags.into_iter().zip(done).filter(|(_, done)| *done).map(|(tag, _)| tag).collect();
        self.acknowledge(acknowledged).await;
        Ok(())
    }

    /// Begins the spans of the commands whose traces are exported, and lets the commands carry them on.
    /// There is one per command, or none at all.
    fn spans(&self, commands: &mut [C]) -> Vec<Option<Span>> {
        let Some(traces) = traces::current() else { return Vec::new() };
        let destination = self.bus.destination(self.channel);
        let begin = |command: &mut C| {
            let Traced { traceparent, subject } = self.inbox.traced(command)?;
            let parent = traces::read_sampled(traceparent.as_deref()?)?;
            let name = format!("process {destination}");
            let mut span = traces.begin(Kind::Consumer, name, Some(&parent));
            span.set("messaging.system", self.bus.system());
            span.set("messaging.operation.name", "process");
            span.set("messaging.operation.type", "process");
            span.set("messaging.destination.name", destination.clone());
            span.set(subject.0, subject.1.to_string());
            *traceparent = Some(span.traceparent());
            Some(span)
        };
        commands.iter_mut().map(begin).collect()
    }

    /// Counts and acknowledges the deliveries that the peer did not send, and takes them out (R31).
    ///
    /// # Errors
    ///
    /// The peer cannot be read, or not be kept.
    async fn drop_foreign(&self, deliveries: &mut Vec<Delivery>) -> Result<(), Failure> {
        let senders: BTreeSet<_> =
            deliveries.iter().filter_map(|delivery| delivery.sender).collect();
        let mut peer = None;
        for sender in senders {
            if self.pairing.meet(sender).await? {
                peer = Some(sender);
            }
        }
        let is_of_peer = |delivery: &Delivery| peer.is_some() && delivery.sender == peer;
        let (ours, foreign): (Vec<_>, Vec<_>) =
            std::mem::take(deliveries).into_iter().partition(is_of_peer);
        *deliveries = ours;
        let Some(last) = foreign.last() else { return Ok(()) };
        self.pairing.note_strangers(foreign.len() as u64, last.sender);
        for _ in &foreign {
            self.metrics.unprocessed(self.service, Unprocessed::Foreign);
        }
        self.acknowledge(foreign.into_iter().map(|delivery| delivery.tag).collect()).await;
        Ok(())
    }

    async fn acknowledge(&self, tags: Vec<DeliveryTag>) {
        if let Err(error) = self.bus.ack(self.channel, tags).await {
            warn!(channel = self.channel, error = %Chain(&error), "acknowledgement failed, the broker delivers the messages again");
        }
    }

    /// Reads deliveries, and counts what cannot be executed.
    fn sort(&self, payloads: &[Vec<u8>]) -> Sorted<C> {
        let mut sorted = Sorted { commands: Vec::new(), positions: Vec::new(), aside: Vec::new() };
        for (delivery, payload) in payloads.iter().enumerate() {
            for (element, message) in self.inbox.read(payload).into_iter().enumerate() {
                match message {
                    Message::Command(command) => {
                        sorted.commands.push(command);
                        sorted.positions.push(Position { delivery, element });
                    }
                    Message::UnknownVersion => {
                        self.metrics.unprocessed(self.service, Unprocessed::UnknownVersion);
                    }
                    Message::Malformed { reason, bytes } => {
                        self.metrics.unprocessed(self.service, Unprocessed::Malformed);
                        sorted.aside.push(Quarantined::malformed(reason, bytes));
                    }
                }
            }
        }
        sorted
    }

    /// Returns the quarantine's entry for a command whose answer is an anomaly.
    fn anomaly(&self, answer: &A, payloads: &[Vec<u8>], position: Position) -> Option<Quarantined> {
        let reason = self.inbox.anomaly(answer)?;
        let entry = self.entry(payloads, position, QuarantineKind::Anomaly, reason)?;
        self.metrics.anomaly(self.service, self.inbox.noun());
        Some(entry)
    }

    /// Returns the quarantine's entry for a command that fails even when executed alone.
    fn poison(&self, payloads: &[Vec<u8>], position: Position) -> Option<Quarantined> {
        let reason = format!("the {} cannot be executed even alone", self.inbox.noun());
        let entry = self.entry(payloads, position, QuarantineKind::Poisoned, &reason)?;
        self.metrics.unprocessed(self.service, Unprocessed::Poisoned);
        Some(entry)
    }

    /// Reads the command once more: the batcher has taken it, and few are set aside.
    fn entry(
        &self,
        payloads: &[Vec<u8>],
        position: Position,
        kind: QuarantineKind,
        reason: &str,
    ) -> Option<Quarantined> {
        let messages = self.inbox.read(&payloads[position.delivery]);
        let Message::Command(command) = messages.into_iter().nth(position.element)? else {
            return None;
        };
        let Origin { subject, name, bytes } = self.inbox.origin(&command)?;
        Some(Quarantined {
            subject: Some(subject),
            kind,
            reason: format!("{name}: {reason}"),
            bytes,
        })
    }

    /// Waits for `work` and meanwhile extends its messages, so that they do not come again.
    async fn extending<T>(&self, tags: &[DeliveryTag], work: impl Future<Output = T>) -> T {
        let extending = async {
            loop {
                tokio::time::sleep(EXTEND_PERIOD).await;
                // If this fails, the messages come again as repeats.
                let _ = self.bus.extend(self.channel, tags).await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            never = extending => never,
        }
    }

    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure> {
        entries.iter().for_each(|entry| self.log(entry));
        match self.inbox.set_aside(entries).await {
            Ok(not_kept) => {
                for _ in 0..not_kept {
                    self.metrics.unprocessed(self.service, Unprocessed::NotKept);
                }
                Ok(())
            }
            Err(error) => {
                error!(channel = self.channel, error = %Chain(&error), "quarantine not written, the broker delivers the messages again");
                Err(error)
            }
        }
    }

    /// Logs an entry of the quarantine, unless there were many of them.
    fn log(&self, entry: &Quarantined) {
        let line = self.log_limit.next();
        let (Line::Write { left_out } | Line::WriteLast { left_out }) = line else { return };
        warn!(
            channel = self.channel,
            kind = entry.kind.as_str(),
            subject = entry.subject,
            reason = entry.reason,
            left_out,
            "message quarantined"
        );
        if matches!(line, Line::WriteLast { .. }) {
            warn!(channel = self.channel, "more messages are quarantined, not logged for a minute");
        }
    }
}

/// What the deliveries of one step contain.
struct Sorted<C> {
    commands: Vec<C>,
    /// Where each command stands.
    positions: Vec<Position>,
    aside: Vec<Quarantined>,
}

/// A message among those of one step.
#[derive(Clone, Copy)]
struct Position {
    delivery: usize,
    /// The position in the delivery.
    element: usize,
}

#[cfg(test)]
mod tests;
