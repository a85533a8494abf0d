//! Publishing: each message by itself, and once more after its stream was repaired.

use std::error::Error;
use std::future::IntoFuture;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::super::{BusError, Published};
use super::signature::SIGNATURE;
use super::trouble::About;
use super::{ANSWER_WAIT, Nats, SENDER, declare, unavailable};
use crate::failure::Chain;

impl Nats {
    /// Publishes messages within [`ANSWER_WAIT`].
    pub(super) async fn publish_each(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        let until = Instant::now() + ANSWER_WAIT;
        let messages: Vec<Bytes> = messages.into_iter().map(Bytes::from).collect();
        let declared = match self.reachable() {
            Ok(()) => timeout_at(until, self.need_stream(channel))
                .await
                .unwrap_or_else(|late| Err(unavailable(late))),
            Err(error) => Err(error),
        };
        if let Err(error) = declared {
            let why = Chain(&error).to_string();
            return messages.iter().map(|_| Err(unavailable(why.clone()))).collect();
        }
        let mut fates = self.send(channel, &messages, until).await;
        let refusals: Vec<&PublishError> = fates.iter().filter_map(refusal).collect();
        if let Some(first) = refusals.first() {
            let why = Chain(*first).to_string();
            let is_missing = refusals.iter().any(|error| is_without_stream(error));
            let is_broken = refusals.iter().any(|error| has_lost_its_files(error));
            // A broker that does not answer in time has repaired nothing.
            let repairing = timeout_at(until, self.repair(channel, is_broken, &why));
            if is_missing | repairing.await.unwrap_or(false) {
                self.send_refused_again(channel, &messages, &mut fates, until).await;
            }
        }
        self.note_publishing(channel, &fates);
        if fates.iter().any(Result::is_err) {
            // Whatever the error is, check what exists and create what is missing.
            self.forget(channel).await;
        }
        let sizes = messages.iter().map(Bytes::len);
        fates
            .into_iter()
            .zip(sizes)
            .map(|(fate, bytes)| fate.map_err(|e| failed(e, bytes)))
            .collect()
    }

    /// Sends messages and returns what the stream answered to each.
    async fn send(
        &self,
        channel: &str,
        messages: &[Bytes],
        until: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let late = || PublishError::new(PublishErrorKind::TimedOut);
        let sender = self.pairing.id();
        let sender_text = sender.to_string();
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let signature = self.signatures.sign(channel, sender, message);
            let mut message = PublishMessage::build()
                .header(SENDER, sender_text.as_str())
                .payload(message.clone());
            if let Some(signature) = signature {
                message = message.header(SIGNATURE, signature.as_str());
            }
            let sending = self.context.send_publish(channel.to_owned(), message);
            sent.push(timeout_at(until, sending).await.unwrap_or_else(|_| Err(late())));
        }
        let mut fates = Vec::with_capacity(sent.len());
        for sent in sent {
            fates.push(match sent {
                Ok(stored) => timeout_at(until, stored.into_future())
                    .await
                    .unwrap_or_else(|_| Err(late()))
                    .map(drop),
                Err(error) => Err(error),
            });
        }
        fates
    }

    /// Compares the stream with what it must be. Returns whether it was created or changed.
    async fn repair(&self, channel: &str, is_broken: bool, why: &str) -> bool {
        if is_broken {
            // Its messages cannot be read.
            if !self.delete_stream(channel, "the stream has lost its files").await {
                return false;
            }
        }
        self.forget(channel).await;
        let is_repaired = self.need_stream(channel).await.unwrap_or(false);
        if is_repaired {
            warn!(channel, why, "stream was repaired, sending again what it refused");
        }
        is_repaired
    }

    async fn send_refused_again(
        &self,
        channel: &str,
        messages: &[Bytes],
        fates: &mut [Result<(), PublishError>],
        until: Instant,
    ) {
        let refused: Vec<usize> = fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| refusal(fate).is_some())
            .map(|(index, _)| index)
            .collect();
        let again: Vec<Bytes> = refused.iter().map(|index| messages[*index].clone()).collect();
        let second = self.send(channel, &again, until).await;
        for (index, fate) in refused.into_iter().zip(second) {
            fates[index] = fate;
        }
    }

    /// Reports what the broker refuses, until it takes everything again.
    fn note_publishing(&self, channel: &str, fates: &[Result<(), PublishError>]) {
        let stream = declare::stream_name(channel);
        let errors = || fates.iter().filter_map(|fate| fate.as_ref().err());
        let full = errors()
            .any(is_full)
            .then(|| format!("{stream} is full; is the service that receives from it running?"));
        // Messages that are too large are named by the outbox, which knows what they are about.
        let mut others = errors().filter(|error| !is_full(error) && !is_too_large(error));
        let other = others
            .next()
            .map(|error| (error, format!("{stream} takes no messages: {}", Chain(error))));
        if errors().next().is_none() {
            self.troubles.note(channel, About::Deletion, None);
        }
        self.troubles.note(channel, About::Room, full);
        match other {
            // The next look at the stream replaces this.
            Some((error, text)) if answer(error).is_none() => {
                self.troubles.note(channel, About::Stream, Some(text));
            }
            other => self.troubles.note(channel, About::Publishing, other.map(|(_, text)| text)),
        }
    }
}

/// The error of a message that the broker refused, or had no stream for. A declaration may repair
/// that.
fn refusal(fate: &Result<(), PublishError>) -> Option<&PublishError> {
    let error = fate.as_ref().err()?;
    (is_without_stream(error) || answer(error).is_some()).then_some(error)
}

/// Whether no stream has the subject.
fn is_without_stream(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::StreamNotFound
}

fn failed(error: PublishError, bytes: usize) -> BusError {
    if is_full(&error) {
        BusError::Full
    } else if is_too_large(&error) {
        BusError::TooLarge { bytes }
    } else {
        unavailable(error)
    }
}

fn is_too_large(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::MaxPayloadExceeded
        || answer(error)
            .is_some_and(|its| its.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
}

/// Whether the stream is full.
fn is_full(error: &PublishError) -> bool {
    cannot_store(error, "maximum bytes") || cannot_store(error, "maximum messages")
}

/// Whether the broker still lists the stream although its files are gone.
///
/// NATS 2.9 deletes them while it creates a stream again right after its deletion; an operator may
/// have done it, too. The stream would stay like that for ever. The watchdog finds one that still
/// has a file to write to.
fn has_lost_its_files(error: &PublishError) -> bool {
    cannot_store(error, "no such file or directory")
}

fn cannot_store(error: &PublishError, why: &str) -> bool {
    answer(error).is_some_and(|error| {
        error.error_code() == ErrorCode::STREAM_STORE_FAILED && error.to_string().contains(why)
    })
}

/// What the stream answered instead of storing the message.
fn answer(error: &PublishError) -> Option<&jetstream::Error> {
    error.source().and_then(|source| source.downcast_ref::<jetstream::Error>())
}
