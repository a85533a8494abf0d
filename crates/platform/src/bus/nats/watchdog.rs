//! The watchdog's inspection of the broker, and its repairs (R10).
//!
//! A stream whose files are gone counts messages that it can never deliver. It is deleted: the sender
//! repeats the messages that it held (R7).

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use tracing::{debug, warn};

use super::super::watchdog::{Seen, Watch};
use super::declare::stream_name;

/// What an inspection has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Something was wrong, so that the caller must forget what it knows of the channel.
    Fault,
    /// The stream cannot deliver what it counts, so that the caller must delete it.
    LostFiles,
}

/// Inspects a channel, and deletes a consumer that must be created again.
pub(super) async fn look(
    watch: &mut Watch,
    context: &Context,
    channel: &str,
    consumer: &PullConsumer,
) -> Found {
    let name = stream_name(channel);
    let (stream, now) = match inspect(context, &name, consumer).await {
        Ok(state) => state,
        Err(error) => {
            debug!(channel, error, "the watchdog cannot inspect the stream or its consumer");
            return Found::Fault;
        }
    };
    if now.messages > 0 && has_lost(&stream, now.first_sequence).await {
        debug!(channel, ?now, "the stream has lost its files");
        return Found::LostFiles;
    }
    let Some(fault) = watch.judge(now) else { return Found::Nothing };
    warn!(channel, ?now, "the consumer {fault}, deleting it so that it is created again");
    if let Err(error) =
        context.delete_consumer_from_stream(&consumer.cached_info().name, &name).await
    {
        debug!(channel, %error, "cannot delete the consumer");
    }
    Found::Fault
}

/// Returns the stream, and what it and its consumer count.
async fn inspect(
    context: &Context,
    name: &str,
    consumer: &PullConsumer,
) -> Result<(Stream, Seen), String> {
    // Read the consumer first: otherwise one that has just delivered would seem to be ahead.
    let consumer = consumer.get_info().await.map_err(|error| error.to_string())?;
    let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
    let state = stream.cached_info().state.clone();
    let now = Seen {
        messages: state.messages,
        first_sequence: state.first_sequence,
        last_sequence: state.last_sequence,
        delivered_sequence: consumer.delivered.stream_sequence,
        deliveries: consumer.delivered.consumer_sequence,
        undelivered: consumer.num_pending,
        unacknowledged: consumer.num_ack_pending as u64,
    };
    Ok((stream, now))
}

/// Whether a stream cannot return the message that it counts as its first.
async fn has_lost(stream: &Stream, first_sequence: u64) -> bool {
    match stream.get_raw_message(first_sequence).await {
        // The message may have been acknowledged in between.
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            let now = stream.get_info().await.map(|info| info.state);
            now.is_ok_and(|now| now.messages > 0 && now.first_sequence == first_sequence)
        }
        _ => false,
    }
}
