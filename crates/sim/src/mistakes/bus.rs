//! A mistaken bus.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::answers::StockAllocated;
use contract::codec::{self, Undecodable};
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use platform::bus::{Bus, BusError, Delivery, DeliveryTag, Hints, Published};

/// Drops all messages that were received together with a malformed one: they are delivered again
/// together.
pub(super) fn bad_message_aborts_batch(right: Arc<dyn Bus>) -> Arc<dyn Bus> {
    Arc::new(BadMessageAbortsBatch { right })
}

#[derive(Debug)]
struct BadMessageAbortsBatch {
    right: Arc<dyn Bus>,
}

/// Whether the payload, or a part of it, is not a message of the channel.
fn is_bad(channel: &str, payload: &[u8]) -> bool {
    let is_malformed = |error: Undecodable| matches!(error, Undecodable::Malformed { .. });
    if channel == COMMANDS_CHANNEL {
        let commands = codec::decode::<AllocateStock>(payload);
        commands.into_iter().filter_map(Result::err).any(is_malformed)
    } else {
        let answers = codec::decode::<StockAllocated>(payload);
        answers.into_iter().filter_map(Result::err).any(is_malformed)
    }
}

#[async_trait]
impl Bus for BadMessageAbortsBatch {
    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let deliveries = self.right.receive(channel, max, wait).await?;
        let is_aborted = deliveries.iter().any(|delivery| is_bad(channel, &delivery.payload));
        Ok(if is_aborted { Vec::new() } else { deliveries })
    }

    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        self.right.publish(channel, messages).await
    }

    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.right.extend(channel, tags).await
    }

    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.right.ack(channel, tags).await
    }

    fn hint(&self, subject: &str, hint: Vec<u8>) {
        self.right.hint(subject, hint);
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.right.hints(subject).await
    }

    fn max_bytes(&self, channel: &str) -> usize {
        self.right.max_bytes(channel)
    }

    fn trouble(&self) -> Vec<String> {
        self.right.trouble()
    }
}
