//! What an operator with access to the broker can do: delete, listen, and publish anything.

use std::sync::{Arc, Mutex};

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, HeaderMap, HeaderName, HeaderValue};
use futures_util::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use crate::{Nats, PATIENCE, eventually};

/// The channel on which the Order Service asks for stock.
pub const COMMANDS: &str = "lastro.inventory.commands";
/// The channel on which the Inventory Service answers.
pub const ANSWERS: &str = "lastro.orders.answers";

/// The header that names the database of a message's sender.
pub(crate) const SENDER: &str = "Lastro-Sender";

/// The test's own connection to the broker.
#[derive(Debug)]
pub struct Operator {
    pub(crate) client: Client,
    jetstream: Context,
}

impl Operator {
    /// Connects to a broker.
    pub async fn of(broker: &Nats) -> Self {
        let client = ConnectOptions::new().no_echo().connect(broker.url()).await;
        let client = client.expect("a connection");
        Self { jetstream: ContextBuilder::new().timeout(PATIENCE).build(client.clone()), client }
    }

    async fn streams(&self) -> Vec<String> {
        self.jetstream.stream_names().try_collect().await.expect("a list of streams")
    }

    /// Deletes the streams with their messages and consumers.
    pub async fn delete_streams(&self) {
        for name in self.streams().await {
            self.jetstream.delete_stream(&name).await.expect("deleted");
        }
    }

    /// Deletes the consumers; the messages stay.
    pub async fn delete_consumers(&self) {
        for stream in self.streams().await {
            let stream = self.jetstream.get_stream(&stream).await.expect("a stream");
            let names: Vec<String> =
                stream.consumer_names().try_collect().await.expect("a list of consumers");
            for name in names {
                stream.delete_consumer(&name).await.expect("deleted");
            }
        }
    }

    /// Deletes every message in the streams; their consumers stay.
    pub async fn purge(&self) {
        for name in self.streams().await {
            self.jetstream
                .get_stream(&name)
                .await
                .expect("a stream")
                .purge()
                .await
                .expect("purged");
        }
    }

    /// How many messages are not acknowledged yet.
    pub async fn open_messages(&self) -> u64 {
        let mut open = 0;
        for name in self.streams().await {
            open += self
                .jetstream
                .get_stream(&name)
                .await
                .expect("a stream")
                .cached_info()
                .state
                .messages;
        }
        open
    }

    /// Publishes anything in the name of the service that sends on this channel, and waits until
    /// the broker has stored it.
    pub async fn publish(&self, channel: &'static str, payload: impl Into<Vec<u8>>) {
        let sender = self.sender_on(channel).await;
        self.publish_as(&sender, channel, payload).await;
    }

    /// Publishes anything in the name of a database, and waits until the broker has stored it.
    pub async fn publish_as(
        &self,
        sender: &str,
        channel: &'static str,
        payload: impl Into<Vec<u8>>,
    ) {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static(SENDER), HeaderValue::from(sender))]);
        let payload: Vec<u8> = payload.into();
        let sent = self.jetstream.publish_with_headers(channel, headers, payload.into()).await;
        sent.expect("sent").await.expect("stored");
    }

    /// Waits until both streams name both databases.
    pub async fn streams_name_both(&self) {
        eventually(PATIENCE, "the streams name both databases", async || {
            for channel in [COMMANDS, ANSWERS] {
                let stream = self.jetstream.get_stream(channel.replace('.', "-")).await.ok()?;
                let description = stream.cached_info().config.description.clone()?;
                (description.contains("orders=") && description.contains("inventory="))
                    .then_some(())?;
            }
            Some(())
        })
        .await;
    }

    /// The database of the service that sends on this channel, which the stream names.
    async fn sender_on(&self, channel: &'static str) -> String {
        let place = if channel == COMMANDS { "orders=" } else { "inventory=" };
        eventually(PATIENCE, "the stream names the sender", async || {
            let stream = self.jetstream.get_stream(channel.replace('.', "-")).await.ok()?;
            let description = stream.cached_info().config.description.clone()?;
            description.split(' ').find_map(|word| word.strip_prefix(place)).map(str::to_owned)
        })
        .await
    }

    /// Records every message that others publish from now on.
    pub async fn listen(&self) -> Recording {
        let heard = Arc::<Mutex<Vec<Message>>>::default();
        let mut listening = JoinSet::new();
        for channel in [COMMANDS, ANSWERS] {
            let mut messages = self.client.subscribe(channel).await.expect("a subscription");
            let heard = heard.clone();
            listening.spawn(async move {
                while let Some(message) = messages.next().await {
                    heard
                        .lock()
                        .expect("nothing panics under this lock")
                        .push((channel, message.payload.to_vec()));
                }
            });
        }
        // After this, the broker forwards every message that others publish.
        self.client.flush().await.expect("the broker answers");
        Recording { heard, _listening: listening }
    }
}

/// A channel, and the bytes of a message on it.
pub type Message = (&'static str, Vec<u8>);

/// The messages that were published since the recording began.
#[derive(Debug)]
pub struct Recording {
    heard: Arc<Mutex<Vec<Message>>>,
    _listening: JoinSet<()>,
}

impl Recording {
    /// The messages so far, in the order of publication.
    pub fn so_far(&self) -> Vec<Message> {
        self.heard.lock().expect("nothing panics under this lock").clone()
    }
}
