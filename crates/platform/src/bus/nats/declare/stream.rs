//! The stream of a channel.

use std::num::NonZeroU8;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RetentionPolicy, State, StorageType,
};
use async_nats::jetstream::{Context, ErrorCode};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::super::super::MAX_CHANNEL_BYTES;
use super::{Difference, Misfit, Owners, differs, refused, stream_name};
use crate::failure::Chain;
use crate::pairing::Pairing;

/// What a stream stores of a message beside its headers and its bytes: its subject and a header of
/// the record.
const RECORD_BYTES: usize = 256;
/// How long the broker may take to change or delete a stream. It does not answer those who lack the
/// permission, and what is to be published waits meanwhile.
const CHANGE_WAIT: Duration = Duration::from_secs(2);
/// The same for a stream that is created, which takes longer in a cluster.
const CREATE_WAIT: Duration = Duration::from_secs(4);

/// A stream that can be used.
#[derive(Debug)]
pub(in super::super) struct Declared {
    /// How many bytes it takes in one message, headers included.
    pub(in super::super) max_bytes: usize,
    /// Whether it has room for the largest message that it takes.
    pub(in super::super) has_room: bool,
    /// How many messages it holds, which are those that are not acknowledged.
    pub(in super::super) messages: u64,
    /// Whether it was created or changed just now.
    pub(in super::super) is_changed: bool,
    /// What is not as it must be, and cannot be changed.
    pub(in super::super) remark: Option<Misfit>,
}

impl Declared {
    fn of(found: &Config, state: &State, is_changed: bool, remark: Option<Misfit>) -> Self {
        // What is not limited is negative.
        let unlimited = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
        let message = usize::try_from(found.max_message_size).unwrap_or(usize::MAX);
        let stream = usize::try_from(found.max_bytes).unwrap_or(usize::MAX);
        let left = unlimited(found.max_bytes).saturating_sub(state.bytes);
        Self {
            max_bytes: message.min(stream.saturating_sub(RECORD_BYTES)),
            has_room: left >= unlimited(found.max_bytes) / 2
                && state.messages < unlimited(found.max_messages),
            messages: state.messages,
            is_changed,
            remark,
        }
    }
}

/// What a service needs the stream of a channel to be.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct NeededStream<'a> {
    pub(in super::super) channel: &'a str,
    /// How many servers of a cluster keep it; if that is `None`, as many as the operator has
    /// chosen, which is one for a new stream.
    pub(in super::super) replicas: Option<NonZeroU8>,
    /// The databases that it belongs to (R31).
    pub(in super::super) pairing: &'a Pairing,
    /// Whether it is taken over from other databases.
    pub(in super::super) takes_over: bool,
    /// Whether the service believes only what is signed (R32).
    pub(in super::super) demands_signatures: bool,
    /// Whether the service receives from it. Then it deletes what others have left there; from the
    /// stream of the other service it may not.
    pub(in super::super) is_received: bool,
}

/// Makes sure that the stream exists and is as it must be.
///
/// A stream whose limits the broker refuses to change is used as it is. If the stream is missing,
/// `pause` is how long it is left alone, in which another service may create it.
pub(in super::super) async fn stream(
    context: &Context,
    NeededStream { channel, replicas, pairing, takes_over, demands_signatures, is_received }: NeededStream<'_>,
    pause: Duration,
) -> Result<Declared, Misfit> {
    let mut needed = needed(channel, replicas);
    let name = needed.name.clone();
    let mut found = find(context, &name).await?;
    if found.is_none() && !pause.is_zero() {
        sleep(pause).await;
        found = find(context, &name).await?;
    }
    if let Some(found) = &found {
        match takes_over {
            true if is_received => purge(context, &name).await?,
            true => {}
            false => Owners::judge(&found.config, pairing, demands_signatures).await?,
        }
    }
    needed.description = Some(Owners::known(pairing).to_string());
    let mut is_changed = found.is_none();
    let Info { config: found, state, .. } = match found {
        Some(found) => found,
        None => create(context, needed.clone()).await?,
    };
    // What can never be changed means that it is another program's stream: leave it alone.
    if let Some(difference) = what_is_foreign(&needed, &found) {
        return Err(Misfit::Differs { difference });
    }
    if found.sealed {
        return Err(Misfit::Sealed { name });
    }
    if first_difference(&needed, &found, replicas).is_none() {
        return Ok(Declared::of(&found, &state, is_changed, None));
    }
    let changing = context.update_stream(mended(&needed, &found, replicas));
    let (found, error) = match timeout(CHANGE_WAIT, changing).await {
        Ok(Ok(info)) => {
            is_changed = true;
            (info.config, "it ignores the setting".to_owned())
        }
        Ok(Err(error)) => (found, Chain(&error).to_string()),
        Err(_) => (found, "it does not answer, perhaps for lack of a permission".to_owned()),
    };
    let remark = first_difference(&needed, &found, replicas)
        .map(|difference| Misfit::Unchangeable { difference, error });
    // A stream without the subject gets no message.
    match remark {
        Some(remark) if !found.subjects.contains(&needed.subjects[0]) => Err(remark),
        remark => Ok(Declared::of(&found, &state, is_changed, remark)),
    }
}

/// Deletes what others have left in a stream: nothing of it may be decided.
async fn purge(context: &Context, name: &str) -> Result<(), Misfit> {
    let stream = context.get_stream(name).await.map_err(|error| refused(name, error))?;
    stream.purge().await.map(drop).map_err(|error| refused(name, error))
}

pub(in super::super) async fn find(context: &Context, name: &str) -> Result<Option<Info>, Misfit> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) if is_missing(&error.kind()) => Ok(None),
        Err(error) => Err(refused(name, error)),
    }
}

/// Deletes a stream that can never be used again. That it is gone already is no error.
pub(in super::super) async fn delete(context: &Context, name: &str) -> Result<(), Misfit> {
    let error = match timeout(CHANGE_WAIT, context.delete_stream(name)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) if find(context, name).await.is_ok_and(|found| found.is_none()) => {
            debug!(name, %error, "the stream is gone already");
            return Ok(());
        }
        Ok(Err(error)) => Chain(&error).to_string(),
        Err(_) => "it does not answer, perhaps for lack of a permission".to_owned(),
    };
    Err(Misfit::NotDeleted { name: name.to_owned(), error })
}

async fn create(context: &Context, needed: Config) -> Result<Info, Misfit> {
    let (name, subject) = (needed.name.clone(), needed.subjects[0].clone());
    let error = match timeout(CREATE_WAIT, context.create_stream(needed)).await {
        Ok(Ok(made)) => return Ok(made.cached_info().clone()),
        Ok(Err(error)) => error,
        Err(_) => return Err(Misfit::NotCreated { name }),
    };
    let code = match error.kind() {
        CreateStreamErrorKind::JetStream(its) => its.error_code(),
        _ => return Err(refused(&name, error)),
    };
    if [ErrorCode::STORAGE_RESOURCES_EXCEEDED, ErrorCode::ACCOUNT_RESOURCES_EXCEEDED]
        .contains(&code)
    {
        return Err(Misfit::NoStorage { name, error: error.into() });
    }
    match context.stream_by_subject(subject.clone()).await {
        Ok(stream) if code == ErrorCode::STREAM_SUBJECT_OVERLAP => {
            Err(Misfit::SubjectTaken { name, stream, subject })
        }
        _ => Err(refused(&name, error)),
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// A stream that acknowledged messages leave. When it is full, it refuses new messages and keeps
/// the old ones.
pub(in super::super) fn needed(channel: &str, replicas: Option<NonZeroU8>) -> Config {
    Config {
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
        ..Config::default()
    }
}

/// What the stream must become. The rest is the operator's, such as the placement.
fn mended(needed: &Config, found: &Config, replicas: Option<NonZeroU8>) -> Config {
    Config {
        description: needed.description.clone(),
        subjects: needed.subjects.clone(),
        discard: needed.discard,
        discard_new_per_subject: needed.discard_new_per_subject,
        max_bytes: needed.max_bytes,
        max_messages: needed.max_messages,
        max_messages_per_subject: needed.max_messages_per_subject,
        max_message_size: needed.max_message_size,
        max_age: needed.max_age,
        no_ack: needed.no_ack,
        consumer_limits: needed.consumer_limits.clone(),
        num_replicas: if replicas.is_some() { needed.num_replicas } else { found.num_replicas },
        ..found.clone()
    }
}

/// A difference that can only be cured by deleting the stream.
fn what_is_foreign(needed: &Config, found: &Config) -> Option<Difference> {
    let name = &needed.name;
    differs(name, "the retention", &needed.retention, &found.retention)
        .or_else(|| differs(name, "the storage", &needed.storage, &found.storage))
}

fn first_difference(
    needed: &Config,
    found: &Config,
    replicas: Option<NonZeroU8>,
) -> Option<Difference> {
    let name = &needed.name;
    let (few, many) = (&needed.num_replicas, &found.num_replicas);
    [
        replicas.and_then(|_| differs(name, "the number of replicas", few, many)),
        differs(name, "the list of subjects", &needed.subjects, &found.subjects),
        differs(name, "what is discarded", &needed.discard, &found.discard),
        differs(
            name,
            "what is discarded per subject",
            &needed.discard_new_per_subject,
            &found.discard_new_per_subject,
        ),
        differs(name, "the limit of bytes", &needed.max_bytes, &found.max_bytes),
        differs(name, "the limit of messages", &needed.max_messages, &found.max_messages),
        differs(
            name,
            "the limit of messages per subject",
            &needed.max_messages_per_subject,
            &found.max_messages_per_subject,
        ),
        differs(name, "the limit of a message", &needed.max_message_size, &found.max_message_size),
        differs(name, "the age at which messages are deleted", &needed.max_age, &found.max_age),
        differs(name, "the absence of acknowledgements", &needed.no_ack, &found.no_ack),
        differs(name, "the limits of consumers", &needed.consumer_limits, &found.consumer_limits),
        differs(name, "the description", &needed.description, &found.description),
    ]
    .into_iter()
    .flatten()
    .next()
}

#[cfg(test)]
pub(in super::super) fn is_needed(found: &Config, channel: &str) -> bool {
    let needed = Config { description: found.description.clone(), ..needed(channel, None) };
    what_is_foreign(&needed, found).is_none() && first_difference(&needed, found, None).is_none()
}
