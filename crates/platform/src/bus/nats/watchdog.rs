//! The watchdog's look at the broker, and what it does about what it finds (R10).
//!
//! A stream whose files are gone counts messages that it can give to nobody, and goes on so for ever. It is deleted
//! whole: whatever it held is sent again (R7).

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use tracing::{debug, warn};

use super::super::watchdog::{Seen, Watch};
use super::declare::stream_name;

/// Looks at the broker. True: something was wrong, and what is known of the channel is to be forgotten.
pub(super) async fn look(
    watch: &mut Watch,
    context: &Context,
    channel: &str,
    consumer: &PullConsumer,
) -> bool {
    let name = stream_name(channel);
    // The consumer first: read the other way round, one that has just delivered would seem to be ahead.
    let state = async {
        let consumer = consumer.get_info().await.map_err(|error| error.to_string())?;
        let stream = context.get_stream(&name).await.map_err(|error| error.to_string())?;
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
        Ok::<_, String>((stream, now))
    };
    let (stream, now) = match state.await {
        Ok(state) => state,
        Err(error) => {
            debug!(channel, error, "the watchdog cannot see the stream or its consumer");
            return true;
        }
    };
    if now.messages > 0 && has_lost(&stream, now.first_sequence).await {
        warn!(channel, ?now, "the stream has lost its files; it is made anew");
        if let Err(error) = context.delete_stream(&name).await {
            debug!(channel, %error, "the stream cannot be deleted");
        }
        return true;
    }
    let Some(fault) = watch.judge(now) else { return false };
    warn!(channel, ?now, "the consumer {fault}; it is made anew");
    if let Err(error) =
        context.delete_consumer_from_stream(&consumer.cached_info().name, &name).await
    {
        debug!(channel, %error, "the consumer cannot be deleted");
    }
    true
}

/// Whether a stream counts a message as its first and cannot give it.
async fn has_lost(stream: &Stream, first_sequence: u64) -> bool {
    match stream.get_raw_message(first_sequence).await {
        // Unless it was acknowledged in between.
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            let now = stream.get_info().await.map(|info| info.state);
            now.is_ok_and(|now| now.messages > 0 && now.first_sequence == first_sequence)
        }
        _ => false,
    }
}
