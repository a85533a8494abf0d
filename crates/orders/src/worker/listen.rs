//! The ear for other replicas: hears which orders they have settled, and wakes whoever waits for one of them here.

use std::sync::Arc;
use std::time::Duration;

use contract::OrderId;
use futures_util::StreamExt;
use platform::batcher::Failure;
use platform::bus::Bus;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::service::SETTLED_SUBJECT;
use crate::waiters::Waiters;

/// After a bus that could not be listened to; nobody waits longer for it, since all look for themselves.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Ear {
    pub bus: Arc<dyn Bus>,
    pub waiters: Arc<Waiters>,
}

impl Ear {
    /// Listens until `shutdown`, however often the bus goes away.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            () = self.listen() => {}
            () = shutdown.cancelled() => {}
        }
        Ok(())
    }

    async fn listen(&self) {
        loop {
            if let Ok(mut hints) = self.bus.hints(SETTLED_SUBJECT).await {
                while let Some(word) = hints.next().await {
                    self.waiters.hinted(order_ids(&word));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whole ids only: whoever sent something else has said nothing.
fn order_ids(word: &[u8]) -> impl Iterator<Item = OrderId> {
    word.as_chunks().0.iter().map(|bytes| OrderId(Uuid::from_bytes(*bytes)))
}
