//! A bus in a storm.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use platform::bus::{Bus, BusError, Delivery, DeliveryTag, Hints, Published};
use testbed::Storm;

/// The bus of one service, which sends everything that the service publishes five times. Replicas
/// share the storm.
#[derive(Debug)]
pub(crate) struct StormyBus {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) storm: Arc<Mutex<Storm>>,
}

#[async_trait]
impl Bus for StormyBus {
    async fn publish(&self, channel: &str, messages: Vec<Vec<u8>>) -> Published {
        let instead =
            self.storm.lock().expect("nothing panics under this lock").instead_of(&messages);
        self.bus.publish(channel, instead).await
    }

    async fn receive(
        &self,
        channel: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BusError> {
        self.bus.receive(channel, max, wait).await
    }

    async fn extend(&self, channel: &str, tags: &[DeliveryTag]) -> Result<(), BusError> {
        self.bus.extend(channel, tags).await
    }

    async fn ack(&self, channel: &str, tags: Vec<DeliveryTag>) -> Result<(), BusError> {
        self.bus.ack(channel, tags).await
    }

    fn hint(&self, subject: &str, hint: Vec<u8>) {
        self.bus.hint(subject, hint);
    }

    async fn hints(&self, subject: &str) -> Result<Hints, BusError> {
        self.bus.hints(subject).await
    }

    fn max_bytes(&self, channel: &str) -> usize {
        self.bus.max_bytes(channel)
    }

    fn trouble(&self) -> Vec<String> {
        self.bus.trouble()
    }
}
