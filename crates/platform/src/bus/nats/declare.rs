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
use tokio::time::timeout;

use super::super::MAX_CHANNEL_BYTES;
use super::super::watchdog::MAX_UNACKNOWLEDGED;
use crate::failure::Chain;

/// What a stream stores of a message beside its headers and its bytes: its subject and a header of
/// the record.
const RECORD_BYTES: usize = 256;

/// How long the broker may take to change a stream. It does not answer those who lack the
/// permission, and what is to be published waits meanwhile.
const CHANGE_WAIT: Duration = Duration::from_secs(2);

/// Why a stream or consumer is not as needed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error("{difference}; delete it, and the service creates it again")]
    Differs { difference: Difference },
    #[error(
        "{difference}, and the broker refuses to change that: {error}; change it, or delete it, and the service creates it again"
    )]
    Unchangeable { difference: Difference, error: String },
    #[error("{name} is sealed; delete it, and the service creates it again")]
    Sealed { name: String },
    #[error("cannot create {name}: {error}")]
    Refused { name: String, error: Box<dyn Error + Send + Sync> },
}

/// One setting of a stream or consumer that is not as it must be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} of {name} is {found} and must be {asked}")]
pub(super) struct Difference {
    name: String,
    what: &'static str,
    found: String,
    asked: String,
}

/// A stream that can be used.
#[derive(Debug)]
pub(super) struct Declared {
    /// How many bytes it takes in one message, headers included.
    pub(super) max_bytes: usize,
    /// Whether it was created or changed just now.
    pub(super) is_changed: bool,
    /// What is not as it must be, and cannot be changed.
    pub(super) remark: Option<Misfit>,
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
///
/// A stream whose limits the broker refuses to change is used as it is.
pub(super) async fn stream(
    context: &Context,
    channel: &str,
    replicas: Option<NonZeroU8>,
) -> Result<Declared, Misfit> {
    let asked = asked_stream(channel, replicas);
    let name = asked.name.clone();
    let mut is_changed = false;
    let found = match context.get_stream(&name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) if is_missing(&error.kind()) => {
            let made = context
                .create_stream(asked.clone())
                .await
                .map_err(|error| refused(&name, error))?;
            is_changed = true;
            made.cached_info().config.clone()
        }
        Err(error) => return Err(refused(&name, error)),
    };
    // What can never be changed means that it is another program's stream: leave it alone.
    if let Some(difference) = what_is_foreign(&asked, &found) {
        return Err(Misfit::Differs { difference });
    }
    if found.sealed {
        return Err(Misfit::Sealed { name });
    }
    if first_difference(&asked, &found, replicas).is_none() {
        return Ok(Declared { max_bytes: max_bytes(&found), is_changed, remark: None });
    }
    let changing = context.update_stream(mended(&asked, &found, replicas));
    let (found, error) = match timeout(CHANGE_WAIT, changing).await {
        Ok(Ok(info)) => {
            is_changed = true;
            (info.config, "it ignores the setting".to_owned())
        }
        Ok(Err(error)) => (found, Chain(&error).to_string()),
        Err(_) => (found, "it does not answer, perhaps for lack of a permission".to_owned()),
    };
    let remark = first_difference(&asked, &found, replicas)
        .map(|difference| Misfit::Unchangeable { difference, error });
    // A stream without the subject gets no message.
    match remark {
        Some(remark) if !found.subjects.contains(&asked.subjects[0]) => Err(remark),
        remark => Ok(Declared { max_bytes: max_bytes(&found), is_changed, remark }),
    }
}

/// Returns how many bytes a message may have, headers included, so that the stream takes it.
fn max_bytes(found: &stream::Config) -> usize {
    // What is not limited is negative.
    let message = usize::try_from(found.max_message_size).unwrap_or(usize::MAX);
    let stream = usize::try_from(found.max_bytes).unwrap_or(usize::MAX);
    message.min(stream.saturating_sub(RECORD_BYTES))
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// A stream that acknowledged messages leave. When it is full, it refuses new messages and keeps
/// the old ones.
pub(super) fn asked_stream(channel: &str, replicas: Option<NonZeroU8>) -> stream::Config {
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
        max_messages: -1,
        max_messages_per_subject: -1,
        ..stream::Config::default()
    }
}

/// What the stream must become. The rest is the operator's, such as the placement.
fn mended(
    asked: &stream::Config,
    found: &stream::Config,
    replicas: Option<NonZeroU8>,
) -> stream::Config {
    stream::Config {
        subjects: asked.subjects.clone(),
        discard: asked.discard,
        discard_new_per_subject: asked.discard_new_per_subject,
        max_bytes: asked.max_bytes,
        max_messages: asked.max_messages,
        max_messages_per_subject: asked.max_messages_per_subject,
        max_message_size: asked.max_message_size,
        max_age: asked.max_age,
        no_ack: asked.no_ack,
        num_replicas: if replicas.is_some() { asked.num_replicas } else { found.num_replicas },
        ..found.clone()
    }
}

/// A difference that no operator can change without deleting the stream.
fn what_is_foreign(asked: &stream::Config, found: &stream::Config) -> Option<Difference> {
    let name = &asked.name;
    differs(name, "the retention", &asked.retention, &found.retention)
        .or_else(|| differs(name, "the storage", &asked.storage, &found.storage))
}

fn first_difference(
    asked: &stream::Config,
    found: &stream::Config,
    replicas: Option<NonZeroU8>,
) -> Option<Difference> {
    let name = &asked.name;
    let (few, many) = (&asked.num_replicas, &found.num_replicas);
    [
        replicas.and_then(|_| differs(name, "the number of replicas", few, many)),
        differs(name, "the list of subjects", &asked.subjects, &found.subjects),
        differs(name, "what is discarded", &asked.discard, &found.discard),
        differs(
            name,
            "what is discarded per subject",
            &asked.discard_new_per_subject,
            &found.discard_new_per_subject,
        ),
        differs(name, "the limit of bytes", &asked.max_bytes, &found.max_bytes),
        differs(name, "the limit of messages", &asked.max_messages, &found.max_messages),
        differs(
            name,
            "the limit of messages per subject",
            &asked.max_messages_per_subject,
            &found.max_messages_per_subject,
        ),
        differs(name, "the limit of a message", &asked.max_message_size, &found.max_message_size),
        differs(name, "the age at which messages are deleted", &asked.max_age, &found.max_age),
        differs(name, "the absence of acknowledgements", &asked.no_ack, &found.no_ack),
    ]
    .into_iter()
    .flatten()
    .next()
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
    let (few, many) = (&asked.max_ack_pending, &found.max_ack_pending);
    [
        differs(name, "what is delivered", &asked.deliver_policy, &found.deliver_policy),
        differs(name, "the way of acknowledging", &asked.ack_policy, &found.ack_policy),
        differs(name, "the wait for an acknowledgement", &asked.ack_wait, &found.ack_wait),
        differs(name, "the number of deliveries", &asked.max_deliver, &found.max_deliver),
        differs(name, "the number of open messages", few, many),
        differs(name, "the filter", &asked.filter_subject, &found.filter_subject),
    ]
    .into_iter()
    .flatten()
    .next()
    .map(|difference| Misfit::Differs { difference })
}

fn differs<T: PartialEq + std::fmt::Debug>(
    name: &str,
    what: &'static str,
    asked: &T,
    found: &T,
) -> Option<Difference> {
    (asked != found).then(|| Difference {
        name: name.to_owned(),
        what,
        found: format!("{found:?}"),
        asked: format!("{asked:?}"),
    })
}
