//! The bus between processes: NATS JetStream. A channel is a work-queue stream with one durable
//! pull consumer.
//!
//! Messages carry no id by which the broker could deduplicate them: it would drop repeats that are
//! needed (R9). Streams and consumers that the broker has lost are created again: a stream when a
//! service publishes or receives, a consumer when it receives.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{AckKind, Context};
use async_nats::{Client, ConnectOptions, Event};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::watchdog::Watch;
use super::{ACK_WAIT, Bus, BusError, Delivery, DeliveryTag, Hints, Published};
use crate::config::UsageError;
use crate::pairing::Pairing;
use crate::telemetry::Metrics;
use refusal::Refusal;
use trouble::{About, Troubles};

mod access;
mod address;
mod declare;
mod join;
mod publish;
mod receive;
mod refusal;
mod settings;
mod signature;
#[cfg(test)]
mod tests;
mod trouble;
mod watchdog;

pub use access::AccessFiles;
pub use join::{Broker, Channels, JoinError};
pub use settings::{BusArgs, bus_url_help};
pub use signature::{SignatureMode, SignatureSettings, Signatures};

/// The header of a message that names the database that sent it (R31).
pub const SENDER: &str = "Lastro-Sender";
/// How long the broker may take to answer. A call that waits for messages adds its own wait.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often the connection is pinged. It is closed and opened again after two unanswered pings.
const PING_PERIOD: Duration = Duration::from_secs(5);
/// The longest pause between two attempts to reach the broker, which go on for ever.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// What the broker must take in one message, so that every message that the services may send
/// fits (R17). It is also what NATS takes unless it is configured otherwise.
const NEEDED_PAYLOAD: usize = 1024 * 1024;
/// What the broker counts of a message beside the bytes that are published: its headers.
const HEADER_BYTES: usize = 256;
/// How long a missing stream is left alone before it is created: by a service that only publishes,
/// so that the receiver creates it; and by both if it was there before, so that the broker can
/// finish its deletion. NATS 2.9 may break a stream that is created meanwhile.
const CREATE_PAUSE: Duration = Duration::from_millis(250);
/// How often streams and consumers are compared with what they must be. The watchdog inspects a
/// channel that delivered nothing for this long (R10).
const WATCH_PERIOD: Duration = Duration::from_secs(10);

/// A connection of one service to NATS JetStream.
pub struct Nats {
    client: Client,
    context: Context,
    consumer_name: String,
    /// The database that sends, and the one that it receives from.
    pairing: Arc<Pairing>,
    signatures: Arc<Signatures>,
    metrics: Metrics,
    /// The first word of every subject.
    prefix: String,
    /// How many servers of the cluster keep each stream, if that is configured.
    replicas: Option<NonZeroU8>,
    ack_wait: Duration,
    watch_period: Duration,
    channels: Mutex<HashMap<String, Arc<AsyncMutex<Channel>>>>,
    /// By channel: how many bytes its stream takes in one message.
    stream_limits: Mutex<HashMap<String, usize>>,
    /// When streams and consumers were last compared with what they must be.
    inspected: Mutex<Instant>,
    /// Why the servers do not let the client in.
    refusal: Arc<Refusal>,
    troubles: Troubles,
}

/// What is known to exist at the broker for one channel.
#[derive(Default)]
struct Channel {
    has_stream: bool,
    /// Whether the stream was known to exist at some time.
    had_stream: bool,
    /// Whether its stream names the peer's database (R31).
    names_peer: bool,
    /// Whether its stream is to be taken over from other databases.
    is_to_take_over: bool,
    /// Whether this service receives from it, and so is the first to create what is missing.
    is_received: bool,
    consumer: Option<PullConsumer>,
    watch: Watch,
    /// How many requests for messages in a row were not answered.
    silences: u32,
}

impl Channel {
    fn create_pause(&self) -> Duration {
        CREATE_PAUSE * (u32::from(!self.is_received) + u32::from(self.had_stream))
    }
}

impl Nats {
    /// Connects a service. Its consumers are named `service`, so that its replicas share them. The
    /// call returns before the broker is reached; the connection is attempted for as long as the
    /// value lives.
    ///
    /// # Errors
    ///
    /// Returns an error if a server's address or the credentials cannot be used.
    async fn connect(
        Broker { address, access, signatures }: Broker,
        service: &str,
        pairing: Arc<Pairing>,
        metrics: Metrics,
        ack_wait: Duration,
        watch_period: Duration,
    ) -> Result<Self, UsageError> {
        let refusal = Arc::new(Refusal::new(access.clone()));
        let noting = refusal.clone();
        let options = ConnectOptions::new()
            .name(service)
            // So that a broker can keep the answers of one service from the other.
            .custom_inbox_prefix(format!("_INBOX.{service}"))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(pause)
            .reconnect_to_server_callback(move |servers, _| {
                noting.note(&servers);
                // The client chooses the server.
                std::future::ready(None)
            })
            .ping_interval(PING_PERIOD)
            .event_callback(async |event| log(&event));
        let options = access.apply(options, address.is_encrypted)?;
        let client = options.connect(address.servers).await;
        let client = client.map_err(|error| UsageError(format!("invalid bus URL: {error}")))?;
        Ok(Self {
            context: ContextBuilder::new().timeout(ANSWER_WAIT).build(client.clone()),
            client,
            consumer_name: service.to_owned(),
            pairing,
            signatures,
            metrics,
            prefix: address.channel,
            replicas: address.replicas,
            ack_wait,
            watch_period,
            channels: Mutex::default(),
            stream_limits: Mutex::default(),
            inspected: Mutex::new(Instant::now()),
            refusal,
            troubles: Troubles::default(),
        })
    }

    /// Fails if there is no connection now. Messages are not queued for a later one: their sender
    /// repeats them (R7).
    fn reachable(&self) -> Result<(), BusError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(unavailable("there is no connection")),
        }
    }

    /// The subject at the broker of a channel or of hints.
    fn subject(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// What is known of a channel. Each has a lock of its own: the broker may take long to answer
    /// about one, and the other is still needed.
    fn channel(&self, channel: &str) -> Arc<AsyncMutex<Channel>> {
        let mut channels = self.channels.lock().expect("nothing panics under this lock");
        channels.entry(channel.to_owned()).or_default().clone()
    }

    /// Creates the channel's stream, or makes it what it must be, unless it is known to be so.
    /// Returns whether anything was changed.
    async fn need_stream(&self, channel: &str) -> Result<bool, BusError> {
        let known = self.channel(channel);
        let mut known = known.lock().await;
        if self.is_declared(&known) {
            return Ok(false);
        }
        self.declare_stream(channel, &mut known).await
    }

    /// Whether the stream is known to exist, and names the peer if that is known.
    fn is_declared(&self, known: &Channel) -> bool {
        known.has_stream && (known.names_peer || self.pairing.peer().is_none())
    }

    /// Compares the channel's stream with what it must be, and repairs it. Returns whether anything
    /// was changed.
    async fn declare_stream(&self, channel: &str, known: &mut Channel) -> Result<bool, BusError> {
        let Self { context, replicas, pairing, .. } = self;
        let needed = declare::NeededStream {
            channel,
            replicas: *replicas,
            pairing,
            takes_over: known.is_to_take_over,
            demands_signatures: self.signatures.demanded(),
            is_received: known.is_received,
        };
        let declared = declare::stream(context, needed, known.create_pause()).await;
        let misfit = declared.as_ref().map_or_else(Some, |declared| declared.remark.as_ref());
        self.troubles.note(channel, About::Stream, misfit.map(ToString::to_string));
        let declared = declared.map_err(unavailable)?;
        self.metrics.bus_messages(channel, declared.messages);
        if declared.has_room {
            self.troubles.note(channel, About::Room, None);
        }
        let mut limits = self.stream_limits.lock().expect("nothing panics under this lock");
        limits.insert(channel.to_owned(), declared.max_bytes);
        known.is_to_take_over = false;
        known.names_peer = self.pairing.peer().is_some();
        known.has_stream = true;
        known.had_stream = true;
        Ok(declared.is_changed)
    }

    /// Returns the channel's consumer, which is created unless it is known to exist.
    async fn need_consumer(&self, channel: &str) -> Result<PullConsumer, BusError> {
        let known = self.channel(channel);
        let mut known = known.lock().await;
        let is_declared = self.is_declared(&known);
        if let Some(consumer) = known.consumer.as_ref().filter(|_| is_declared) {
            return Ok(consumer.clone());
        }
        known.is_received = true;
        if !is_declared {
            self.declare_stream(channel, &mut known).await?;
        }
        let made =
            declare::consumer(&self.context, channel, &self.consumer_name, self.ack_wait).await;
        let misfit = made.as_ref().err().map(ToString::to_string);
        self.troubles.note(channel, About::Consumer, misfit);
        let Ok(consumer) = made else {
            // Perhaps for lack of the stream.
            known.has_stream = false;
            return made.map_err(unavailable);
        };
        Ok(known.consumer.insert(consumer).clone())
    }

    /// Compares everything that this service uses at the broker with what it must be, once in a
    /// while: an operator may change it at any time.
    async fn inspect(&self) {
        {
            let mut inspected = self.inspected.lock().expect("nothing panics under this lock");
            if inspected.elapsed() < self.watch_period {
                return;
            }
            *inspected = Instant::now();
        }
        self.pairing.refresh().await;
        let used: Vec<String> = {
            let channels = self.channels.lock().expect("nothing panics under this lock");
            channels.keys().cloned().collect()
        };
        for channel in used {
            self.forget(&channel).await;
            // What is wrong is noted.
            let _ = self.need_stream(&channel).await;
        }
    }

    /// Deletes a stream that can never be used again, so that the next call creates it. The senders
    /// repeat the messages that it held (R7). Returns false if the broker refuses that; then an
    /// operator has to delete it.
    async fn delete_stream(&self, channel: &str, why: &str) -> bool {
        warn!(channel, why, "deleting the stream so that it is created again");
        let deleted = declare::delete_stream(&self.context, &declare::stream_name(channel)).await;
        let refusal = deleted.as_ref().err().map(|misfit| format!("{why}: {misfit}"));
        self.troubles.note(channel, About::Deletion, refusal);
        deleted.is_ok()
    }

    /// Forgets what is known to exist, so that the next call checks it.
    async fn forget(&self, channel: &str) {
        let known = self.channel(channel);
        let mut known = known.lock().await;
        known.has_stream = false;
        known.consumer = None;
    }

    /// Sends a reply for each message, without waiting for the broker's confirmation. If a reply is
    /// lost, its message is delivered again.
    async fn reply(
        &self,
        tags: impl Iterator<Item = &DeliveryTag>,
        kind: AckKind,
    ) -> Result<(), BusError> {
        self.reachable()?;
        let replying = async {
            for tag in tags {
                self.client.publish(tag.0.to_string(), kind.into()).await.map_err(unavailable)?;
            }
            // Flush, so that the replies are not lost when the process ends.
            self.client.flush().await.map_err(unavailable)
        };
        timeout(ANSWER_WAIT, replying).await.map_err(unavailable)?
    }
}

#[async_trait]
impl Bus for Nats {
    fn system(&self) -> &'static str {
        "nats"
    }

    fn destination(&self, channel: &str) -> String {
        self.subject(channel)
    }

    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        self.publish_each(&self.subject(channel), messages).await
    }

    fn max_bytes(&self, channel: &str) -> usize {
        let limits = self.stream_limits.lock().expect("nothing panics under this lock");
        let stream_limit = limits.get(&self.subject(channel)).copied().unwrap_or(usize::MAX);
        self.client.max_payload().min(stream_limit).saturating_sub(HEADER_BYTES)
    }

    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        self.receive_up_to(&self.subject(channel), max, wait).await
    }

    async fn extend(&self, _channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.reply(tags.iter(), AckKind::Progress).await
    }

    async fn ack(&self, _channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.reply(tags.iter(), AckKind::Ack).await
    }

    fn hint(&self, subject: &str, hint: Vec<u8>) {
        if self.reachable().is_ok() {
            // If the client has no room for it now, the hint is lost.
            let _ = self.client.publish(self.subject(subject), hint.into()).now_or_never();
        }
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.reachable()?;
        let hints = self.client.subscribe(self.subject(subject)).await.map_err(unavailable)?;
        // Flush, so that the broker knows the subscription when this returns. The client repeats it
        // on a new connection.
        timeout(ANSWER_WAIT, self.client.flush())
            .await
            .map_err(unavailable)?
            .map_err(unavailable)?;
        Ok(hints.map(|message| message.payload.to_vec()).boxed())
    }

    fn trouble(&self) -> Vec<String> {
        if self.reachable().is_err() {
            let refused = self.refusal.line();
            return vec![refused.unwrap_or_else(|| "the broker cannot be reached".to_owned())];
        }
        let allowed = self.client.max_payload();
        let too_low = (allowed < NEEDED_PAYLOAD).then(|| {
            format!("the broker takes messages of at most {allowed} bytes; raise its max_payload to 1 MiB")
        });
        let unsigned = self.signatures.trouble(self.pairing.names().peer);
        too_low.into_iter().chain(unsigned).chain(self.troubles.all()).collect()
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("consumer_name", &self.consumer_name).finish_non_exhaustive()
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BusError {
    BusError::Unavailable(error.into())
}

fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    (Duration::from_millis(10) * 2_u32.pow(doublings)).min(LONGEST_RECONNECT_PAUSE)
}

fn log(event: &Event) {
    match event {
        Event::Connected => info!("connected to the broker"),
        Event::Disconnected => warn!("lost the connection to the broker, reconnecting"),
        Event::ServerError(_) | Event::LameDuckMode | Event::SlowConsumer(_) => {
            warn!(%event, "the broker reported trouble");
        }
        // Each failed attempt to connect is such an event.
        _ => tracing::debug!(%event, "event of the broker's client"),
    }
}
