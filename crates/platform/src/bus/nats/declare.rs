//! Declares a channel at the broker: creates its stream and consumer if they are missing, compares
//! them with what was asked for, and repairs them where that is possible.
//!
//! The comparison is needed because an older broker silently ignores settings that it does not
//! know.

use std::error::Error;
use std::num::NonZeroU8;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode, stream};

use super::super::MAX_CHANNEL_BYTES;
use super::super::watchdog::MAX_UNACKNOWLEDGED;

/// A stream or consumer that is not as needed and cannot be made so.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error(
        "{what} of {name} is {found} and must be {asked}; delete it, and the service creates it again"
    )]
    Differs { name: String, what: &'static str, found: String, asked: String },
    #[error("cannot create {name}: {error}")]
    Refused { name: String, error: Box<dyn Error + Send + Sync> },
}

fn refused(name: &str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Misfit {
    Misfit::Refused { name: name.to_owned(), error: error.into() }
}

/// Returns the name of a channel's stream, which cannot contain dots.
pub(super) fn stream_name(channel: &str) -> String {
    channel.replace('.', "-")
}

/// Makes sure that the stream exists and is as it must be. `replicas` servers of a cluster keep it;
/// if that is `None`, as many as the operator has chosen, which is one for a new stream.
pub(super) async fn stream(
    context: &Context,
    channel: &str,
    replicas: Option<NonZeroU8>,
) -> Result<(), Misfit> {
    let asked = asked_stream(channel, replicas);
    let name = asked.name.clone();
    let found = find_or_create(context, &asked).await?;
    // A difference that cannot be changed means that it is another program's stream: leave it
    // alone.
    if let Some(misfit) = stream_is_foreign(&asked, &found) {
        return Err(misfit);
    }
    let misfit = |found: &stream::Config| {
        let replicas = replicas.and_then(|_| {
            differs(&name, "the number of replicas", &asked.num_replicas, &found.num_replicas)
        });
        replicas.or_else(|| stream_differs(&asked, found))
    };
    if misfit(&found).is_none() {
        return Ok(());
    }
    // Keep what the operator decides, such as the placement.
    let mended = stream::Config {
        subjects: asked.subjects.clone(),
        discard: asked.discard,
        max_bytes: asked.max_bytes,
        max_message_size: asked.max_message_size,
        num_replicas: if replicas.is_some() { asked.num_replicas } else { found.num_replicas },
        ..found.clone()
    };
    let found = context.update_stream(mended).await.map_or(found, |info| info.config);
    misfit(&found).map_or(Ok(()), Err)
}

/// Returns the settings of the stream as they are at the broker.
async fn find_or_create(
    context: &Context,
    asked: &stream::Config,
) -> Result<stream::Config, Misfit> {
    let stream = match context.get_stream(&asked.name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) if is_missing(&error.kind()) => {
            let made = context.create_stream(asked.clone()).await;
            made.map_err(|error| refused(&asked.name, error))?.cached_info().config.clone()
        }
        Err(error) => return Err(refused(&asked.name, error)),
    };
    Ok(stream)
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// A stream that acknowledged messages leave. When it is full, it refuses new messages and keeps
/// the old ones.
fn asked_stream(channel: &str, replicas: Option<NonZeroU8>) -> stream::Config {
    stream::Config {
        name: stream_name(channel),
        subjects: vec![channel.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_bytes: i64::try_from(MAX_CHANNEL_BYTES).expect("a number of MiB"),
        num_replicas: replicas.map_or(1, |replicas| usize::from(replicas.get())),
        // No limit but the broker's own.
        max_message_size: -1,
        ..stream::Config::default()
    }
}

fn stream_is_foreign(asked: &stream::Config, found: &stream::Config) -> Option<Misfit> {
    differs(&asked.name, "the retention", &asked.retention, &found.retention)
        .or_else(|| differs(&asked.name, "the storage", &asked.storage, &found.storage))
}

fn stream_differs(asked: &stream::Config, found: &stream::Config) -> Option<Misfit> {
    let name = &asked.name;
    differs(name, "the list of subjects", &asked.subjects, &found.subjects)
        .or_else(|| differs(name, "what is discarded", &asked.discard, &found.discard))
        .or_else(|| differs(name, "the limit of bytes", &asked.max_bytes, &found.max_bytes))
        .or_else(|| {
            differs(
                name,
                "the limit of a message",
                &asked.max_message_size,
                &found.max_message_size,
            )
        })
}

/// Makes sure that the consumer that a service's replicas share exists and is as it must be.
///
/// Deleting a consumer loses nothing: unacknowledged messages are still in the stream.
pub(super) async fn consumer(
    context: &Context,
    channel: &str,
    name: &str,
    ack_wait: Duration,
) -> Result<PullConsumer, Misfit> {
    let stream = stream_name(channel);
    let asked = asked_consumer(name, ack_wait);
    // This creates it, or changes what can be changed.
    let wrong = match context.create_consumer_on_stream(asked.clone(), &stream).await {
        Ok(consumer) => match consumer_differs(name, &asked, &consumer.cached_info().config) {
            None => return Ok(consumer),
            Some(misfit) => misfit,
        },
        // Delete only a consumer that cannot be changed; any other error may be temporary.
        Err(error) => match context
            .get_consumer_from_stream::<consumer::pull::Config, _, _>(name, &stream)
            .await
        {
            Ok(found) => consumer_differs(name, &asked, &found.cached_info().config)
                .ok_or(refused(name, error))?,
            Err(_) => return Err(refused(name, error)),
        },
    };
    tracing::warn!(channel, reason = %wrong, "replacing the consumer");
    // If the deletion fails, so does the creation.
    let _ = context.delete_consumer_from_stream(name, &stream).await;
    let made = context
        .create_consumer_on_stream(asked.clone(), &stream)
        .await
        .map_err(|error| refused(name, error))?;
    consumer_differs(name, &asked, &made.cached_info().config).map_or(Ok(made), Err)
}

fn asked_consumer(name: &str, ack_wait: Duration) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        // Without limit: the receiver sets messages aside that it cannot process, and acknowledges
        // them (R16).
        max_deliver: -1,
        max_ack_pending: MAX_UNACKNOWLEDGED.cast_signed(),
        ..consumer::pull::Config::default()
    }
}

fn consumer_differs(
    name: &str,
    asked: &consumer::pull::Config,
    found: &consumer::Config,
) -> Option<Misfit> {
    differs(name, "what is delivered", &asked.deliver_policy, &found.deliver_policy)
        .or_else(|| differs(name, "the way of acknowledging", &asked.ack_policy, &found.ack_policy))
        .or_else(|| {
            differs(name, "the wait for an acknowledgement", &asked.ack_wait, &found.ack_wait)
        })
        .or_else(|| {
            differs(name, "the number of deliveries", &asked.max_deliver, &found.max_deliver)
        })
        .or_else(|| {
            differs(
                name,
                "the number of open messages",
                &asked.max_ack_pending,
                &found.max_ack_pending,
            )
        })
        .or_else(|| differs(name, "the filter", &asked.filter_subject, &found.filter_subject))
}

fn differs<T: PartialEq + std::fmt::Debug>(
    name: &str,
    what: &'static str,
    asked: &T,
    found: &T,
) -> Option<Misfit> {
    (asked != found).then(|| Misfit::Differs {
        name: name.to_owned(),
        what,
        found: format!("{found:?}"),
        asked: format!("{asked:?}"),
    })
}
