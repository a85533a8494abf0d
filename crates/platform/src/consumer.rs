//! The way in: messages from a channel, through the batcher, to an acknowledgement after the commit
//! (R16).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::batcher::Batcher;
use crate::bus::{ACK_WAIT, Bus, DeliveryTag};
use crate::failure::{Chain, Failure, NotDone};
use crate::quarantine::{QuarantineKind, Quarantined};
use crate::telemetry::{Metrics, Unprocessed};

/// Deliveries of one step; each carries a batch of messages.
const MAX_DELIVERIES: usize = 64;
/// How long a step waits for a first message before it looks again.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);
/// How long a message may wait for its commit; what takes longer is left for the next delivery.
const COMMIT_WAIT: Duration = Duration::from_secs(20);
/// How often the bus hears of messages that are still worked on.
const EXTEND_PERIOD: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 3);
/// After a failure of the bus or of the quarantine.
const PAUSE: Duration = Duration::from_millis(500);

/// One element of a delivery.
#[derive(Debug)]
pub enum Message<C> {
    Command(C),
    /// From a newer program. Dropped: its sender repeats it after the upgrade.
    UnknownVersion,
    /// Bytes that are no message, and why.
    Malformed {
        reason: String,
        bytes: Vec<u8>,
    },
}

/// The message that a command came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What the message is about.
    pub subject: String,
    /// What the message is called.
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

/// What a service knows about the messages that it consumes.
#[async_trait]
pub trait Inbox<C, A>: Send + Sync {
    /// What all of these messages are, as a label and in reasons: `answer`, `command`.
    fn noun(&self) -> &'static str;

    /// Reads a delivery. Never fails as a whole: what cannot be read is an element like the others.
    fn read(&self, payload: &[u8]) -> Vec<Message<C>>;

    /// The message that brought a command; nothing if no message brings such commands.
    fn origin(&self, command: &C) -> Option<Origin>;

    /// Why the command that was answered so cannot occur in a healthy system, if that is so.
    fn anomaly(&self, answer: &A) -> Option<&'static str>;

    /// Writes entries to the quarantine, in a transaction of its own.
    ///
    /// # Errors
    ///
    /// Those of the store. Nothing was written unless the failure is [`Failure::Unknown`]; then a
    /// repeat counts up.
    async fn set_aside(&self, entries: Vec<Quarantined>) -> Result<(), Failure>;
}

/// Consumes one channel for one service.
pub struct Consumer<C, A> {
    pub service: &'static str,
    pub bus: Arc<dyn Bus>,
    pub channel: &'static str,
    pub batcher: Batcher<C, A>,
    pub inbox: Arc<dyn Inbox<C, A>>,
    pub metrics: Metrics,
}

impl<C, A> fmt::Debug for Consumer<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl<C: Clone + Send + Sync + 'static, A: Send + Sync + 'static> Consumer<C, A> {
    /// Consumes until `shutdown`; a step under way is finished first.
    ///
    /// # Errors
    ///
    /// [`Failure::Fatal`] only; the process must end.
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
                    let (payloads, tags) =
                        deliveries.into_iter().map(|d| (d.payload, d.tag)).unzip();
                    self.process(payloads, tags).await?;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(channel = self.channel, error = %Chain(&error), "receiving fails");
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

    /// One step: processes what is there now.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]. A bus that does not answer has nothing to process.
    pub async fn tick(&self) -> Result<(), Failure> {
        let Ok(deliveries) = self.bus.receive(self.channel, MAX_DELIVERIES, Duration::ZERO).await
        else {
            return Ok(());
        };
        let (payloads, tags) = deliveries.into_iter().map(|d| (d.payload, d.tag)).unzip();
        self.process(payloads, tags).await
    }

    async fn process(&self, payloads: Vec<Vec<u8>>, tags: Vec<DeliveryTag>) -> Result<(), Failure> {
        if payloads.is_empty() {
            return Ok(());
        }
        let mut step = Step { commands: Vec::new(), owners: Vec::new(), aside: Vec::new() };
        for (owner, payload) in payloads.iter().enumerate() {
            for message in self.inbox.read(payload) {
                self.sort(&mut step, owner, message);
            }
        }
        let committing =
            self.batcher.submit_all(step.commands.clone(), Instant::now() + COMMIT_WAIT);
        let results = self.extending(&tags, committing).await;
        let mut done = vec![true; tags.len()];
        for ((command, owner), result) in step.commands.iter().zip(&step.owners).zip(&results) {
            match result {
                Ok(answer) => step.aside.extend(self.anomaly(command, answer)),
                Err(NotDone::Poisoned) => step.aside.extend(self.poison(command)),
                // Not acknowledged: it comes again.
                Err(_) => done[*owner] = false,
            }
        }
        if !step.aside.is_empty() {
            match self.extending(&tags, self.set_aside(step.aside)).await {
                Ok(()) => {}
                Err(failure @ Failure::Fatal(_)) => return Err(failure),
                // Nothing is acknowledged: all of it comes again.
                Err(_) => return Ok(()),
            }
        }
        let acknowledged: Vec<DeliveryTag> =
            tags.into_iter().zip(done).filter(|(_, done)| *done).map(|(tag, _)| tag).collect();
        if let Err(error) = self.bus.ack(self.channel, acknowledged).await {
            warn!(channel = self.channel, error = %Chain(&error), "acknowledging failed; the messages come again");
        }
        Ok(())
    }

    fn sort(&self, step: &mut Step<C>, owner: usize, message: Message<C>) {
        match message {
            Message::Command(command) => {
                step.commands.push(command);
                step.owners.push(owner);
            }
            Message::UnknownVersion => {
                self.metrics.unprocessed(self.service, Unprocessed::UnknownVersion);
            }
            Message::Malformed { reason, bytes } => {
                self.metrics.unprocessed(self.service, Unprocessed::Malformed);
                step.aside.push(Quarantined::malformed(reason, bytes));
            }
        }
    }

    /// What to set aside of a command that was decided.
    fn anomaly(&self, command: &C, answer: &A) -> Option<Quarantined> {
        let reason = self.inbox.anomaly(answer)?;
        let entry = self.entry(command, QuarantineKind::Anomaly, reason)?;
        self.metrics.anomaly(self.service, self.inbox.noun());
        Some(entry)
    }

    /// What to set aside of a command that fails even alone.
    fn poison(&self, command: &C) -> Option<Quarantined> {
        let reason = format!("the {} cannot be executed even alone", self.inbox.noun());
        let entry = self.entry(command, QuarantineKind::Poisoned, &reason)?;
        self.metrics.unprocessed(self.service, Unprocessed::Poisoned);
        Some(entry)
    }

    fn entry(&self, command: &C, kind: QuarantineKind, reason: &str) -> Option<Quarantined> {
        let Origin { subject, name, bytes } = self.inbox.origin(command)?;
        Some(Quarantined {
            subject: Some(subject),
            kind,
            reason: format!("{name}: {reason}"),
            bytes,
        })
    }

    /// Waits for `work`, however long a commit takes, and keeps its messages from coming again
    /// meanwhile.
    async fn extending<T>(&self, tags: &[DeliveryTag], work: impl Future<Output = T>) -> T {
        let extending = async {
            loop {
                tokio::time::sleep(EXTEND_PERIOD).await;
                // If it fails they come again, and are repeats.
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
        for entry in &entries {
            warn!(
                channel = self.channel,
                kind = entry.kind.as_str(),
                subject = entry.subject,
                reason = entry.reason,
                "a message is set aside"
            );
        }
        let result = self.inbox.set_aside(entries).await;
        if let Err(error) = &result {
            error!(channel = self.channel, error = %Chain(error), "the quarantine cannot be written; the messages come again");
        }
        result
    }
}

/// What the deliveries of one step come to.
struct Step<C> {
    commands: Vec<C>,
    /// Which delivery each command came in.
    owners: Vec<usize>,
    aside: Vec<Quarantined>,
}

#[cfg(test)]
mod tests;
