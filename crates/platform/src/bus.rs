//! The bus port: batches of bytes from one service to the other, over a transport that may lose, repeat and reorder.
//!
//! Nothing correct may rest on the bus (R6 to R8): it makes the usual case quick, and the sweeper repairs the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub mod embedded;
#[cfg(test)]
mod laws;
pub mod nats;
pub mod watchdog;

/// What nobody acknowledged or extended for so long comes again.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// What a channel may hold, in bytes; more is refused (R17).
pub const MAX_CHANNEL_BYTES: usize = 64 * 1024 * 1024;

/// Names one received message to whoever acknowledges it. Means nothing outside the adapter that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryTag(pub Arc<str>);

/// One message of the broker, which carries a batch of ours.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub payload: Vec<u8>,
    pub tag: DeliveryTag,
}

/// Why the bus did not do what it was asked. All of them are retryable, later; a lost publish is nobody's failure.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The channel holds as much as it may; what was offered is dropped (R6).
    #[error("the channel is full")]
    Full,
    #[error("the broker cannot be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Words on one subject, one's own among them.
pub type Hints = BoxStream<'static, Vec<u8>>;

/// A transport of byte messages.
///
/// **Shape:** a channel is a queue that the replicas of one service share: each message goes to one of them, at least
/// once unless it is lost, in no promised order. What is neither acknowledged nor extended within the adapter's wait
/// comes again.
/// **Errors:** [`BusError`], never a panic; a failed `publish` may still have published.
/// **Source:** R6, R9, R16, R17.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Result<(), BusError>;

    /// Up to `max` messages, as soon as there is one; none if none came within `wait`. Dropping the call loses nothing.
    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError>;

    /// These messages are still worked on: their wait begins anew. An unknown tag is ignored.
    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError>;

    /// These messages are done with. An unknown or repeated tag is ignored.
    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError>;

    /// A word to whoever listens at this moment, in every process. Never waits, and may be lost: a hint makes the usual
    /// case quick, and a timer the rest.
    fn hint(&self, subject: &str, word: Vec<u8>);

    /// Listens from now on. What comes faster than it is taken may be lost.
    async fn hints(&self, subject: &str) -> Result<Hints, BusError>;

    /// What is wrong with the bus, as far as is known, in words for an operator.
    fn trouble(&self) -> Option<String>;
}
