//! The bus port: byte messages between the services, over a transport that may lose, repeat and
//! reorder them.
//!
//! Correctness does not depend on the bus (R6 to R8). It makes the usual case fast; senders repeat
//! what was lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::pairing::DatabaseId;

pub mod embedded;
#[cfg(test)]
mod laws;
pub mod nats;
pub mod watchdog;

/// A message that is neither acknowledged nor extended for this long is delivered again.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// How many bytes of messages a channel holds; more are refused (R17).
pub const MAX_CHANNEL_BYTES: usize = 64 * 1024 * 1024;

/// The broker's handle of one delivery, by which the consumer acknowledges it. Opaque outside the
/// adapter that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryTag(
    /// The adapter's text.
    pub Arc<str>,
);

/// One message as it is delivered. Its payload is a batch of the services' messages.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The bytes that were published.
    pub payload: Vec<u8>,
    /// The database of the service that published it (R31), if the message names it.
    pub sender: Option<DatabaseId>,
    /// The handle by which it is acknowledged or extended.
    pub tag: DeliveryTag,
}

/// Why a call of the bus failed. The caller may retry later; a publisher need not, since the sender
/// repeats unanswered messages (R7).
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The channel holds [`MAX_CHANNEL_BYTES`]; the message is dropped (R6).
    #[error("the channel is full")]
    Full,
    /// The message is larger than [`Bus::max_bytes`] and is dropped (R6).
    #[error("a message of {bytes} bytes is larger than the bus allows")]
    TooLarge {
        /// The size of the message.
        bytes: usize,
    },
    /// The broker cannot be reached, or refused or did not answer the call.
    #[error("the broker cannot be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The fate of each published message, in the order of the messages.
pub type Published = Vec<Result<(), BusError>>;

/// The hints on one subject, including those that this process sends.
pub type Hints = BoxStream<'static, Vec<u8>>;

/// A transport of byte messages (R6, R9, R16, R17).
///
/// A bus belongs to one service, whose database is the sender of everything that it publishes (R31).
/// A channel is a queue that the replicas of one service share. Each message is delivered to one of
/// them, at least once unless it is lost, in no guaranteed order. A message that is neither
/// acknowledged nor extended within the adapter's wait ([`ACK_WAIT`]) is delivered again.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Returns what traces call the transport (`messaging.system`).
    fn system(&self) -> &'static str {
        "in_process"
    }

    /// Returns what the transport calls a channel (`messaging.destination.name`).
    fn destination(&self, channel: &str) -> String {
        channel.to_owned()
    }

    /// Publishes messages to a channel, each by itself: one that is refused does not affect the
    /// others (R17). Returns one result per message.
    ///
    /// # Errors
    ///
    /// [`BusError`] per message. After [`BusError::Unavailable`] the message may have been
    /// published nevertheless.
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published;

    /// Returns how many bytes a message on this channel may have now (R17). A broker may change
    /// that at any time.
    fn max_bytes(&self, channel: &str) -> usize;

    /// Receives up to `max` messages as soon as there is one, or none if none came within `wait`.
    ///
    /// Dropping the call loses no message.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]; retry after a pause.
    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError>;

    /// Restarts the wait of messages that are still being processed. Unknown tags are ignored.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]; the messages may be delivered again.
    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError>;

    /// Acknowledges messages, which are then not delivered again. Unknown and repeated tags are
    /// ignored.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]; the messages may be delivered again.
    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError>;

    /// Sends a hint to all current listeners of a subject, in every process.
    ///
    /// It never waits and may be lost. A listener must also act by a timer.
    fn hint(&self, subject: &str, hint: Vec<u8>);

    /// Listens to the hints on a subject from now on. Hints that come faster than they are taken
    /// may be lost.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`]; retry after a pause.
    async fn hints(&self, subject: &str) -> Result<Hints, BusError>;

    /// Returns what is known to be wrong with the bus and what to do about it, each in one line for
    /// an operator.
    fn trouble(&self) -> Vec<String>;
}

/// Returns the first failure, if there is one.
///
/// # Errors
///
/// That failure.
pub fn all(published: Published) -> Result<(), BusError> {
    published.into_iter().collect()
}
