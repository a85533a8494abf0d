//! What somebody with access to the broker can do: delete, listen, and publish anything.

use std::sync::{Arc, Mutex};

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use futures_util::{StreamExt, TryStreamExt};
use testbed::{Nats, PATIENCE};
use tokio::task::JoinSet;

pub(crate) const COMMANDS: &str = contract::commands::COMMANDS_CHANNEL;
pub(crate) const ANSWERS: &str = contract::answers::ANSWERS_CHANNEL;

/// A connection of the test's own.
pub(crate) struct Operator {
    client: Client,
    jetstream: Context,
}

impl Operator {
    pub(crate) async fn of(broker: &Nats) -> Self {
        let client = async_nats::connect(broker.url()).await.expect("a connection");
        Self { jetstream: ContextBuilder::new().timeout(PATIENCE).build(client.clone()), client }
    }

    async fn streams(&self) -> Vec<String> {
        self.jetstream.stream_names().try_collect().await.expect("a list of streams")
    }

    pub(crate) async fn delete_streams(&self) {
        for name in self.streams().await {
            self.jetstream.delete_stream(&name).await.expect("deleted");
        }
    }

    pub(crate) async fn delete_consumers(&self) {
        for stream in self.streams().await {
            let stream = self.jetstream.get_stream(&stream).await.expect("a stream");
            let names: Vec<String> = stream.consumer_names().try_collect().await.expect("a list of consumers");
            for name in names {
                stream.delete_consumer(&name).await.expect("deleted");
            }
        }
    }

    /// Every message in the streams is gone; their consumers stay.
    pub(crate) async fn purge(&self) {
        for name in self.streams().await {
            self.jetstream.get_stream(&name).await.expect("a stream").purge().await.expect("purged");
        }
    }

    /// Messages that nobody has acknowledged yet.
    pub(crate) async fn open_messages(&self) -> u64 {
        let mut open = 0;
        for name in self.streams().await {
            open += self.jetstream.get_stream(&name).await.expect("a stream").cached_info().state.messages;
        }
        open
    }

    /// Publishes anything, once it is stored.
    pub(crate) async fn publish(&self, channel: &'static str, payload: impl Into<Vec<u8>>) {
        let payload: Vec<u8> = payload.into();
        self.jetstream.publish(channel, payload.into()).await.expect("sent").await.expect("stored");
    }

    /// Writes down every message from now on.
    pub(crate) async fn listen(&self) -> Recording {
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let mut listening = JoinSet::new();
        for channel in [COMMANDS, ANSWERS] {
            let mut messages = self.client.subscribe(channel).await.expect("a subscription");
            let heard = heard.clone();
            listening.spawn(async move {
                while let Some(message) = messages.next().await {
                    heard.lock().expect("nothing panics under this lock").push((channel, message.payload.to_vec()));
                }
            });
        }
        // What is published after this call is heard.
        self.client.flush().await.expect("the broker answers");
        Recording { heard, _listening: listening }
    }
}

/// A channel, and the bytes of a message on it.
pub(crate) type Heard = (&'static str, Vec<u8>);

pub(crate) struct Recording {
    heard: Arc<Mutex<Vec<Heard>>>,
    _listening: JoinSet<()>,
}

impl Recording {
    pub(crate) fn so_far(&self) -> Vec<Heard> {
        self.heard.lock().expect("nothing panics under this lock").clone()
    }
}
