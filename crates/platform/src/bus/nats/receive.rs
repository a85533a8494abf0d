//! Receiving: a request for messages, and what to do about a consumer that answers none (R10).

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use futures_util::StreamExt;
use tokio::time::timeout;
use tracing::warn;

use super::super::{BusError, Delivery, DeliveryTag};
use super::signature::{Incoming, SIGNATURE};
use super::trouble::About;
use super::watchdog::Found;
use super::{ANSWER_WAIT, Nats, SENDER, declare, unavailable, watchdog};
use crate::failure::Chain;

/// How long the broker may take to answer a request for the messages that are there now. It only
/// looks into its memory.
const SILENCE_WAIT: Duration = Duration::from_secs(2);

/// Why a request for messages failed.
enum Failed {
    /// The broker answered neither with a message nor with its absence.
    Silence,
    Error(BusError),
}

impl Nats {
    pub(super) async fn receive_up_to(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        self.reachable()?;
        self.inspect().await;
        let consumer = self.need_consumer(channel).await?;
        let fetched = fetch(&consumer, max, wait).await;
        let silences = self.count_silence(channel, matches!(fetched, Err(Failed::Silence))).await;
        let received = fetched.map_err(|failed| match failed {
            Failed::Silence => unavailable("the broker answers no request for messages"),
            Failed::Error(error) => error,
        });
        let trouble = received.as_ref().err().map(|error| {
            format!("nothing comes from {}: {}", declare::stream_name(channel), Chain(error))
        });
        self.troubles.note(channel, About::Receiving, trouble);
        self.break_silence(channel, &consumer, silences).await;
        self.watch(channel, &consumer, received.as_ref().map_or(0, Vec::len)).await;
        if received.is_err() {
            // Whatever the error is, check what exists and create what is missing.
            self.forget(channel).await;
        }
        self.admit(channel, received?).await
    }

    /// Returns the messages that the other service has signed, or all if that is not demanded. The
    /// others are acknowledged: they would come again for ever.
    async fn admit(
        &self,
        channel: &str,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Delivery>, BusError> {
        let service = self.pairing.names().own;
        let (admitted, dropped) = self.signatures.admit(channel, incoming, service, &self.metrics);
        if !dropped.is_empty()
            && let Err(error) = self.reply(dropped.iter(), AckKind::Ack).await
        {
            warn!(channel, error = %Chain(&error), "acknowledgement failed, the broker delivers unsigned messages again");
        }
        Ok(admitted)
    }

    /// Returns how many requests in a row were not answered.
    async fn count_silence(&self, channel: &str, is_silent: bool) -> u32 {
        let known = self.channel(channel);
        let mut known = known.lock().await;
        known.silences = if is_silent { known.silences.saturating_add(1) } else { 0 };
        known.silences
    }

    /// Replaces a consumer that exists, is as it must be, and does not answer, and then its stream.
    ///
    /// NATS 2.9 can end up with such a consumer when a stream is created again while its deletion
    /// still goes on: it counts deliveries that reach nobody, for ever. After the first silence the
    /// channel is declared again, since a deleted consumer is silent, too. If nothing helps, the
    /// stream is left alone.
    async fn break_silence(&self, channel: &str, consumer: &PullConsumer, silences: u32) {
        let stream = declare::stream_name(channel);
        match silences {
            2 => {
                warn!(
                    channel,
                    "the consumer does not answer, deleting it so that it is created again"
                );
                let name = &consumer.cached_info().name;
                // If the deletion fails, the next silence counts.
                let _ = self.context.delete_consumer_from_stream(name, &stream).await;
            }
            3 => {
                // If the deletion is refused, an operator knows.
                let _ = self.delete_stream(channel, "no consumer of the stream answers").await;
            }
            _ => {}
        }
    }

    /// Runs the watchdog if the channel has been quiet for long (R10).
    async fn watch(&self, channel: &str, consumer: &PullConsumer, delivered: usize) {
        let due = {
            let known = self.channel(channel);
            let mut known = known.lock().await;
            known.watch.is_due(delivered, self.watch_period).then(|| known.watch.clone())
        };
        let Some(mut watch) = due else { return };
        match watchdog::look(&mut watch, &self.context, channel, consumer).await {
            Found::Nothing => self.troubles.note(channel, About::Deletion, None),
            Found::Fault => self.forget(channel).await,
            Found::LostFiles => {
                // If the deletion is refused, an operator knows.
                let _ = self.delete_stream(channel, "the stream has lost its files").await;
                self.forget(channel).await;
            }
        }
        self.channel(channel).lock().await.watch = watch;
    }
}

/// Returns the messages that are there now, otherwise the first that comes within `wait`.
async fn fetch(
    consumer: &PullConsumer,
    max: usize,
    wait: Duration,
) -> Result<Vec<Incoming>, Failed> {
    let failed = |error| Failed::Error(unavailable(error));
    let now = consumer.fetch().max_messages(max).messages().await.map_err(failed)?;
    let ready = collect(now, SILENCE_WAIT).await?;
    if !ready.is_empty() || wait.is_zero() {
        return Ok(ready);
    }
    // One at most: if the request is abandoned while the broker answers it, only one message is
    // late.
    let next = consumer.batch().max_messages(1).expires(wait).messages().await.map_err(failed)?;
    collect(next, wait + ANSWER_WAIT).await
}

/// Returns the messages of a request until it ends, or those that came before an error.
async fn collect(mut batch: Batch, wait: Duration) -> Result<Vec<Incoming>, Failed> {
    let mut deliveries = Vec::new();
    loop {
        match timeout(wait, batch.next()).await {
            Ok(Some(Ok(message))) => {
                let Some(reply) = &message.reply else { continue };
                let tag = DeliveryTag(reply.as_str().into());
                let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name));
                let sender = header(SENDER).and_then(|id| id.as_str().parse().ok());
                let signature = header(SIGNATURE).map(|text| text.as_str().to_owned());
                let delivery = Delivery { payload: message.payload.to_vec(), sender, tag };
                deliveries.push(Incoming { delivery, signature });
            }
            Ok(None) => return Ok(deliveries),
            Ok(Some(Err(_))) | Err(_) if !deliveries.is_empty() => return Ok(deliveries),
            Ok(Some(Err(error))) => return Err(Failed::Error(unavailable(error))),
            Err(_) => return Err(Failed::Silence),
        }
    }
}
