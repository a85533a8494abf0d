//! Listens to the hints of other replicas about answered orders, wakes the requests that wait for
//! them here, and informs the sweeper.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use platform::bus::Bus;
use platform::clock::Clock;
use platform::failure::Failure;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::sweep::AnswerFeed;
use crate::answered::{ANSWERED_SUBJECT, Answered};
use crate::waiters::Waiters;

/// The pause after the bus failed. Requests do not wait longer for it, since they also read by a
/// timer.
const PAUSE: Duration = Duration::from_secs(1);

/// A worker that listens to the hints of other replicas.
#[derive(Debug)]
pub struct AnswerListener {
    pub bus: Arc<dyn Bus>,
    /// The id of this replica, whose own hints are ignored.
    pub replica: Uuid,
    pub waiters: Arc<Waiters>,
    pub answer_feed: Arc<AnswerFeed>,
    pub clock: Arc<dyn Clock>,
}

impl AnswerListener {
    /// Listens until `shutdown`, and again after each failure of the bus. It never fails.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.listen() => {}
        }
        Ok(())
    }

    async fn listen(&self) {
        loop {
            if let Ok(mut hints) = self.bus.hints(ANSWERED_SUBJECT).await {
                while let Some(hint) = hints.next().await {
                    self.hear(&hint);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn hear(&self, hint: &[u8]) {
        let Some(Answered { replica, order_ids }) = Answered::decode(hint) else { return };
        if replica == self.replica {
            return;
        }
        self.waiters.hinted(order_ids.iter().copied());
        self.answer_feed.answered_elsewhere(order_ids, self.clock.now().0);
    }
}

#[cfg(test)]
mod tests {
    use contract::OrderId;
    use futures_util::FutureExt;
    use platform::bus::ACK_WAIT;
    use platform::bus::embedded::Embedded;
    use platform::clock::{ManualClock, Timestamp};
    use platform::pairing::DatabaseId;
    use testbed::PATIENCE;

    use super::*;

    fn hint(replica: u128, order: u128) -> Vec<u8> {
        let order_ids = vec![OrderId(Uuid::from_u128(order))];
        Answered { replica: Uuid::from_u128(replica), order_ids }.encode()
    }

    #[tokio::test]
    async fn a_hint_of_another_replica_wakes_the_waiters_and_an_own_hint_does_not() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(0)));
        let bus: Arc<dyn Bus> =
            Arc::new(Embedded::new(clock.clone(), ACK_WAIT, DatabaseId(Uuid::from_u128(1))));
        let waiters = Arc::new(Waiters::default());
        let replica = Uuid::from_u128(1);
        let listener = AnswerListener {
            bus: bus.clone(),
            replica,
            waiters: waiters.clone(),
            answer_feed: Arc::default(),
            clock,
        };
        tokio::spawn(listener.run(CancellationToken::new()));
        let [mut here, mut there] = [5, 6].map(|id| waiters.listen(OrderId(Uuid::from_u128(id))));
        let telling = async {
            loop {
                bus.hint(ANSWERED_SUBJECT, b"half an id".to_vec());
                bus.hint(ANSWERED_SUBJECT, hint(1, 5));
                bus.hint(ANSWERED_SUBJECT, hint(2, 6));
                tokio::task::yield_now().await;
            }
        };
        let heard = async {
            tokio::select! {
                settled = there.settled() => settled,
                () = telling => None,
            }
        };
        assert_eq!(
            tokio::time::timeout(PATIENCE, heard).await,
            Ok(None),
            "word of it, without the receipt"
        );
        assert!(here.settled().now_or_never().is_none(), "its own words come back to it");
    }
}
