//! The consumer of a channel, which the replicas of a service share.

use std::time::Duration;

use async_nats::jetstream::consumer::{
    AckPolicy, Config, DeliverPolicy, IntoConsumerConfig, PullConsumer, pull,
};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, GetStreamError};
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::TryStreamExt;

use super::super::super::watchdog::MAX_UNACKNOWLEDGED;
use super::{Difference, Misfit, differs, refused, stream_name};

/// How many requests for messages may wait at the broker at a time: one or two per replica.
const MAX_WAITING: i64 = 512;

/// Makes sure that the consumer exists and is as it must be. The stream exists.
///
/// Deleting a consumer loses nothing: unacknowledged messages are still in the stream.
pub(in super::super) async fn consumer(
    context: &Context,
    channel: &str,
    name: &str,
    ack_wait: Duration,
) -> Result<PullConsumer, Misfit> {
    let stream = context
        .get_stream_no_info(stream_name(channel))
        .await
        .map_err(|error: GetStreamError| refused(name, error))?;
    let needed = needed(name, ack_wait);
    let found = match stream.consumer_info(name).await {
        Ok(info) => info.config,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            return create(&stream, channel, name, needed).await;
        }
        Err(error) => return Err(refused(name, error)),
    };
    if found.deliver_subject.is_some() {
        return Err(Misfit::Pushes { name: name.to_owned(), stream: stream_name(channel) });
    }
    let Some(difference) = first_difference(name, &needed, &found) else {
        return stream.get_consumer(name).await.map_err(|error| refused(name, error));
    };
    tracing::warn!(channel, %difference, "changing the consumer back");
    // This changes what can be changed.
    if let Ok(changed) = stream.create_consumer(needed.clone()).await
        && first_difference(name, &needed, &changed.cached_info().config).is_none()
    {
        return Ok(changed);
    }
    tracing::warn!(channel, %difference, "replacing the consumer");
    // If the deletion fails, so does the creation.
    let _ = stream.delete_consumer(name).await;
    create(&stream, channel, name, needed).await
}

async fn create(
    stream: &Stream<()>,
    channel: &str,
    name: &str,
    needed: pull::Config,
) -> Result<PullConsumer, Misfit> {
    let error = match stream.create_consumer(needed.clone()).await {
        Ok(made) => {
            let found = &made.cached_info().config;
            let misfit = first_difference(name, &needed, found)
                .map(|difference| Misfit::Differs { difference });
            return misfit.map_or(Ok(made), Err);
        }
        Err(error) => error,
    };
    if !is_crowded(&error.kind()) {
        return Err(refused(name, error));
    }
    let others: Vec<String> = stream.consumer_names().try_collect().await.unwrap_or_default();
    let others = others.into_iter().filter(|other| other != name).collect::<Vec<_>>().join(", ");
    Err(Misfit::Crowded { others, stream: stream_name(channel) })
}

/// Whether the messages go to a consumer of another name. In a work queue only one gets each.
fn is_crowded(kind: &ConsumerErrorKind) -> bool {
    let ConsumerErrorKind::JetStream(error) = kind else { return false };
    [
        ErrorCode::CONSUMER_WQ_MULTIPLE_UNFILTERED,
        ErrorCode::CONSUMER_WQ_CONSUMER_NOT_UNIQUE,
        ErrorCode::MAXIMUM_CONSUMERS_LIMIT,
    ]
    .contains(&error.error_code())
}

fn needed(name: &str, ack_wait: Duration) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        // Without limit: the receiver sets messages aside that it cannot process, and acknowledges
        // them (R16).
        max_deliver: -1,
        max_ack_pending: MAX_UNACKNOWLEDGED.cast_signed(),
        max_waiting: MAX_WAITING,
        ..pull::Config::default()
    }
}

fn first_difference(name: &str, needed: &pull::Config, found: &Config) -> Option<Difference> {
    let needed = needed.clone().into_consumer_config();
    let (few, many) = (&needed.max_ack_pending, &found.max_ack_pending);
    [
        differs(name, "what is delivered", &needed.deliver_policy, &found.deliver_policy),
        differs(name, "the pace of deliveries", &needed.replay_policy, &found.replay_policy),
        differs(name, "the way of acknowledging", &needed.ack_policy, &found.ack_policy),
        differs(name, "the wait for an acknowledgement", &needed.ack_wait, &found.ack_wait),
        differs(name, "the waits for acknowledgements", &needed.backoff, &found.backoff),
        differs(name, "the number of deliveries", &needed.max_deliver, &found.max_deliver),
        differs(name, "the number of open messages", few, many),
        differs(name, "the filter", &needed.filter_subject, &found.filter_subject),
        differs(name, "the list of filters", &needed.filter_subjects, &found.filter_subjects),
        differs(name, "the lack of payloads", &needed.headers_only, &found.headers_only),
        differs(name, "the number of requests", &needed.max_waiting, &found.max_waiting),
        differs(name, "the messages of a request", &needed.max_batch, &found.max_batch),
        differs(name, "the bytes of a request", &needed.max_bytes, &found.max_bytes),
        differs(name, "the time of a request", &needed.max_expires, &found.max_expires),
    ]
    .into_iter()
    .flatten()
    .next()
}

#[cfg(test)]
pub(in super::super) fn is_needed(found: &Config, name: &str, ack_wait: Duration) -> bool {
    first_difference(name, &needed(name, ack_wait), found).is_none()
        && found.deliver_subject.is_none()
}
