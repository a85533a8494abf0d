//! Mistaken buses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::answers::StockAllocated;
use contract::codec::{self, Undecodable};
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use platform::bus::{Bus, BusError, Delivery, DeliveryTag, Hints, Published};

use crate::broker::STRANGER;

/// Drops all messages that were received together with a malformed one: they are delivered again
/// together.
pub(super) fn bad_message_aborts_batch(right: Arc<dyn Bus>) -> Arc<dyn Bus> {
    Arc::new(Receiving {
        right,
        mistaken: |channel, deliveries| {
            let is_aborted = deliveries.iter().any(|delivery| is_bad(channel, &delivery.payload));
            if is_aborted { Vec::new() } else { deliveries }
        },
    })
}

/// Takes what another deployment sends for what the peer has sent beside it.
pub(super) fn strangers_decided(right: Arc<dyn Bus>) -> Arc<dyn Bus> {
    Arc::new(Receiving {
        right,
        mistaken: |_, mut deliveries| {
            let peer = deliveries.iter().map(|its| its.sender).find(|its| *its != Some(STRANGER));
            if let Some(peer) = peer {
                deliveries.iter_mut().for_each(|delivery| delivery.sender = peer);
            }
            deliveries
        },
    })
}

/// A bus with a mistake in what it receives.
#[derive(Debug)]
struct Receiving {
    right: Arc<dyn Bus>,
    mistaken: fn(&str, Vec<Delivery>) -> Vec<Delivery>,
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
impl Bus for Receiving {
    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        let deliveries = self.right.receive(channel, max, wait).await?;
        Ok((self.mistaken)(channel, deliveries))
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
