//! The bus between processes: NATS JetStream. A channel is a work-queue stream and one durable pull consumer.
//!
//! Messages carry no id for the broker to deduplicate by: it would swallow the repeat that is needed (R9). What the
//! broker forgets is made again on the way: streams by whoever publishes or receives, consumers by whoever receives.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU8;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::context::{ContextBuilder, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, AckKind, Context, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::watchdog::Watch;
use super::{ACK_WAIT, Bus, BusError, Delivery, DeliveryTag, Hints};
use crate::config::UsageError;

mod declare;
#[cfg(test)]
mod tests;
mod watchdog;

/// How long the broker may take to answer; a call that waits for messages has its own wait on top.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// A connection that answers no ping for twice as long is cut and made anew.
const PING_PERIOD: Duration = Duration::from_secs(5);
/// Between two attempts to reach the broker, which never end.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// Of a stream; the broker keeps no more.
const MAX_REPLICAS: u8 = 5;
/// A channel that delivered nothing for so long is looked at by the watchdog (R10).
const WATCH_PERIOD: Duration = Duration::from_secs(10);

/// See the module.
pub struct Nats {
    client: Client,
    context: Context,
    consumer_name: String,
    /// Servers of the cluster that keep each stream, if that was said.
    replicas: Option<NonZeroU8>,
    ack_wait: Duration,
    watch_period: Duration,
    channels: AsyncMutex<HashMap<String, Channel>>,
    /// By channel: why it cannot be used although the broker can be reached.
    trouble: Mutex<BTreeMap<String, String>>,
}

/// What is known to be there.
#[derive(Default)]
struct Channel {
    has_stream: bool,
    consumer: Option<PullConsumer>,
    watch: Watch,
}

impl Nats {
    /// A connection of its own for `service`, after which its consumer is named: its replicas share one.
    ///
    /// **Shape:** returns before the broker was reached, and goes on trying for as long as it lives.
    /// `servers` are addresses, separated by commas; `?replicas=3` behind them lets so many servers of a cluster keep
    /// each stream.
    ///
    /// **Errors:** `servers` is nothing of the kind.
    pub async fn connect(servers: &str, service: &str) -> Result<Self, UsageError> {
        Self::with_waits(servers, service, ACK_WAIT, WATCH_PERIOD).await
    }

    async fn with_waits(
        url: &str,
        service: &str,
        ack_wait: Duration,
        watch_period: Duration,
    ) -> Result<Self, UsageError> {
        let wrong = |error: &dyn fmt::Display| {
            UsageError(format!("the bus cannot be at such an address: {error}"))
        };
        let (servers, replicas) = replicas_of(url)?;
        let addresses = servers.split(',').map(str::parse).collect::<Result<Vec<ServerAddr>, _>>();
        let addresses = addresses.map_err(|error| wrong(&error))?;
        let options = ConnectOptions::new()
            .name(service)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(pause)
            .ping_interval(PING_PERIOD)
            .event_callback(async |event| tell(&event));
        let client = options.connect(addresses).await.map_err(|error| wrong(&error))?;
        Ok(Self {
            context: ContextBuilder::new().timeout(ANSWER_WAIT).build(client.clone()),
            client,
            consumer_name: service.to_owned(),
            replicas,
            ack_wait,
            watch_period,
            channels: AsyncMutex::default(),
            trouble: Mutex::default(),
        })
    }

    /// **Errors:** there is no connection now. Whatever would be queued for a later one is better sent again (R7).
    fn reachable(&self) -> Result<(), BusError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(unavailable("there is no connection")),
        }
    }

    /// Makes sure that the channel's stream is there, as far as is known.
    async fn need_stream(&self, channel: &str) -> Result<(), BusError> {
        let mut channels = self.channels.lock().await;
        let known = channels.entry(channel.to_owned()).or_default();
        if !known.has_stream {
            self.note(channel, declare::stream(&self.context, channel, self.replicas).await)?;
            known.has_stream = true;
        }
        Ok(())
    }

    /// The channel's consumer, made if it is not known to be there.
    async fn need_consumer(&self, channel: &str) -> Result<PullConsumer, BusError> {
        let mut channels = self.channels.lock().await;
        let known = channels.entry(channel.to_owned()).or_default();
        if let Some(consumer) = &known.consumer {
            return Ok(consumer.clone());
        }
        self.note(channel, declare::stream(&self.context, channel, self.replicas).await)?;
        let made =
            declare::consumer(&self.context, channel, &self.consumer_name, self.ack_wait).await;
        let consumer = self.note(channel, made)?;
        known.has_stream = true;
        Ok(known.consumer.insert(consumer).clone())
    }

    /// Nothing is known to be there any more.
    async fn forget(&self, channel: &str) {
        if let Some(known) = self.channels.lock().await.get_mut(channel) {
            known.has_stream = false;
            known.consumer = None;
        }
    }

    /// Keeps what an operator should know.
    fn note<T>(&self, channel: &str, result: Result<T, declare::Misfit>) -> Result<T, BusError> {
        let mut trouble = self.trouble.lock().expect("nothing panics under this lock");
        match &result {
            Ok(_) => trouble.remove(channel),
            Err(misfit) => trouble.insert(channel.to_owned(), misfit.to_string()),
        };
        result.map_err(unavailable)
    }

    /// Publishes, and waits until the stream has stored all of it.
    async fn send(&self, channel: &str, messages: &[Bytes]) -> Result<(), PublishError> {
        let mut stored = Vec::with_capacity(messages.len());
        for message in messages {
            let message = PublishMessage::build().payload(message.clone());
            stored.push(self.context.send_publish(channel.to_owned(), message).await?);
        }
        for one in stored {
            one.await?;
        }
        Ok(())
    }

    /// What is there now; else the first message that comes within `wait`.
    async fn fetch(
        &self,
        consumer: &PullConsumer,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let now = consumer.fetch().max_messages(max).messages().await.map_err(unavailable)?;
        let ready = collect(now, ANSWER_WAIT).await?;
        if !ready.is_empty() || wait.is_zero() {
            return Ok(ready);
        }
        // One at most: a request that is given up while the broker answers it makes a single message late.
        let next =
            consumer.batch().max_messages(1).expires(wait).messages().await.map_err(unavailable)?;
        collect(next, wait + ANSWER_WAIT).await
    }

    /// Lets the watchdog look, if the channel has been quiet for long (R10).
    async fn watch(&self, channel: &str, consumer: &PullConsumer, delivered: usize) {
        let due = {
            let mut channels = self.channels.lock().await;
            let known = channels.entry(channel.to_owned()).or_default();
            known.watch.is_due(delivered, self.watch_period).then(|| known.watch.clone())
        };
        let Some(mut watch) = due else { return };
        if watchdog::look(&mut watch, &self.context, channel, consumer).await {
            self.forget(channel).await;
        }
        self.channels.lock().await.entry(channel.to_owned()).or_default().watch = watch;
    }

    /// Answers about messages, without waiting for the broker's word: one that is lost lets its message come again.
    async fn tell_of(
        &self,
        tags: impl Iterator<Item = &DeliveryTag>,
        kind: AckKind,
    ) -> Result<(), BusError> {
        self.reachable()?;
        let telling = async {
            for tag in tags {
                self.client.publish(tag.0.to_string(), kind.into()).await.map_err(unavailable)?;
            }
            // Out of the process, so that its end does not take them along.
            self.client.flush().await.map_err(unavailable)
        };
        timeout(ANSWER_WAIT, telling).await.map_err(unavailable)?
    }
}

#[async_trait]
impl Bus for Nats {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Result<(), BusError> {
        self.reachable()?;
        let messages: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
        let publishing = async {
            self.need_stream(channel).await?;
            match self.send(channel, &messages).await {
                Err(error)
                    if error.kind() == PublishErrorKind::StreamNotFound
                        || has_lost_its_files(&error) =>
                {
                    warn!(channel, %error, "the stream is gone; it is made anew");
                    if has_lost_its_files(&error) {
                        // Whether it went shows in what follows. It holds nothing that can be read any more.
                        let _ = self.context.delete_stream(declare::stream_name(channel)).await;
                    }
                    self.forget(channel).await;
                    self.need_stream(channel).await?;
                    self.send(channel, &messages).await
                }
                sent => sent,
            }
            .map_err(|error| if is_full(&error) { BusError::Full } else { unavailable(error) })
        };
        timeout(ANSWER_WAIT, publishing).await.map_err(unavailable)?
    }

    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        self.reachable()?;
        let consumer = self.need_consumer(channel).await?;
        let received = self.fetch(&consumer, max, wait).await;
        self.watch(channel, &consumer, received.as_ref().map_or(0, Vec::len)).await;
        if received.is_err() {
            // Whatever it is, looking what is there and making what is not is the way out.
            self.forget(channel).await;
        }
        received
    }

    async fn extend(&self, _channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.tell_of(tags.iter(), AckKind::Progress).await
    }

    async fn ack(&self, _channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.tell_of(tags.iter(), AckKind::Ack).await
    }

    fn hint(&self, subject: &str, word: Vec<u8>) {
        if self.reachable().is_ok() {
            // Where the client has no room for it now, it is lost.
            let _ = self.client.publish(subject.to_owned(), word.into()).now_or_never();
        }
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.reachable()?;
        let words = self.client.subscribe(subject.to_owned()).await.map_err(unavailable)?;
        // The server knows of it when this returns; a later connection tells it again.
        timeout(ANSWER_WAIT, self.client.flush())
            .await
            .map_err(unavailable)?
            .map_err(unavailable)?;
        Ok(words.map(|message| message.payload.to_vec()).boxed())
    }

    fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().expect("nothing panics under this lock");
        match self.reachable() {
            Ok(()) => trouble.values().next().cloned(),
            Err(_) => Some("the broker cannot be reached".to_owned()),
        }
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("consumer_name", &self.consumer_name).finish_non_exhaustive()
    }
}

/// The addresses, and in how many servers each stream is wanted.
fn replicas_of(url: &str) -> Result<(&str, Option<NonZeroU8>), UsageError> {
    let Some((servers, parameters)) = url.split_once('?') else { return Ok((url, None)) };
    let replicas = parameters.strip_prefix("replicas=").and_then(|number| number.parse().ok());
    match replicas.filter(|replicas: &NonZeroU8| replicas.get() <= MAX_REPLICAS) {
        Some(replicas) => Ok((servers, Some(replicas))),
        None => Err(UsageError(format!(
            "a bus's address may end in ?replicas=1 to {MAX_REPLICAS}, and in nothing else"
        ))),
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BusError {
    BusError::Unavailable(error.into())
}

/// All that a request brings until it ends. What came before an error counts.
async fn collect(mut batch: Batch, wait: Duration) -> Result<Vec<Delivery>, BusError> {
    let mut deliveries = Vec::new();
    loop {
        match timeout(wait, batch.next()).await {
            Ok(Some(Ok(message))) => {
                let Some(reply) = &message.reply else { continue };
                let tag = DeliveryTag(reply.as_str().into());
                deliveries.push(Delivery { payload: message.payload.to_vec(), tag });
            }
            Ok(None) => return Ok(deliveries),
            Ok(Some(Err(_))) | Err(_) if !deliveries.is_empty() => return Ok(deliveries),
            Ok(Some(Err(error))) => return Err(unavailable(error)),
            Err(late) => return Err(unavailable(late)),
        }
    }
}

/// Whether the stream holds as much as it may.
fn is_full(error: &PublishError) -> bool {
    cannot_store(error, "maximum bytes")
}

/// Whether the stream is still named by the broker, and its files are not there: deleted while it was made (2.9 does
/// that to one that is made anew at once), or by somebody. It would stay so for ever. One that still finds a file to
/// write to is found by the watchdog.
fn has_lost_its_files(error: &PublishError) -> bool {
    cannot_store(error, "no such file or directory")
}

fn cannot_store(error: &PublishError, why: &str) -> bool {
    let source = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|error| {
        error.error_code() == ErrorCode::STREAM_STORE_FAILED && error.to_string().contains(why)
    })
}

fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    (Duration::from_millis(10) * 2_u32.pow(doublings)).min(LONGEST_RECONNECT_PAUSE)
}

fn tell(event: &Event) {
    match event {
        Event::Connected => info!("the broker is connected"),
        Event::Disconnected => warn!("the broker is lost; connecting again"),
        Event::ServerError(_) | Event::LameDuckMode | Event::SlowConsumer(_) => {
            warn!("the broker says: {event}");
        }
        // Each failed attempt to connect is one of these.
        _ => tracing::debug!("the broker's client says: {event}"),
    }
}
