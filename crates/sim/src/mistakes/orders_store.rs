//! Mistaken stores of the Order Service.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use contract::{OrderId, codec};
use orders::store::{
    Backlog, DeadlineLease, Filter, Lease, LeasedDeadlines, MadeDue, OrderHeader, OrderStore,
    OrderSummary, OrderView, Overdue, PendingFilter, PendingPage,
};
use orders_core::decide::{DecideOrders, DecidedOrder, LoadedOrders, OrderCommand, Receipt};
use platform::admin::Requester;
use platform::bus::Bus;
use platform::failure::Failure;
use platform::quarantine::Quarantined;

type Stores = Arc<dyn OrderStore>;

/// Reports a commit of unknown fate as one that failed.
pub(super) fn unknown_is_failed(right: Stores, _: &Arc<dyn Bus>) -> Stores {
    Arc::new(Mistaken(UnknownIsFailed { right }))
}

/// Publishes the command of a new order before the order is committed.
pub(super) fn publish_before_commit(right: Stores, bus: &Arc<dyn Bus>) -> Stores {
    Arc::new(Mistaken(PublishBeforeCommit { right, bus: bus.clone() }))
}

/// Takes due commands to send again, and returns none of them.
pub(super) fn sweeper_stops(right: Stores, _: &Arc<dyn Bus>) -> Stores {
    Arc::new(Mistaken(SweeperStops { right }))
}

/// The methods in which a mistaken store differs; by default none.
#[async_trait]
trait Mistake: Send + Sync + fmt::Debug {
    fn right(&self) -> &dyn OrderStore;

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        self.right().run(batch, decide).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        self.right().lease(lease).await
    }
}

#[derive(Debug)]
struct UnknownIsFailed {
    right: Stores,
}

#[async_trait]
impl Mistake for UnknownIsFailed {
    fn right(&self) -> &dyn OrderStore {
        &*self.right
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        self.right.run(batch, decide).await.map_err(|failure| match failure {
            // The committer does not repeat a batch that found a full disk: the clients are
            // answered.
            Failure::Unknown(cause) => Failure::Full(cause),
            failure => failure,
        })
    }
}

#[derive(Debug)]
struct PublishBeforeCommit {
    right: Stores,
    bus: Arc<dyn Bus>,
}

#[async_trait]
impl Mistake for PublishBeforeCommit {
    fn right(&self) -> &dyn OrderStore {
        &*self.right
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        let early = decide(0, &batch, LoadedOrders::default());
        let early: Vec<_> = early.decided.into_iter().filter_map(|one| one.publish).collect();
        // A relay ignores the error, too, if the bus cannot be reached.
        let early = codec::encode(&early, self.bus.max_bytes(COMMANDS_CHANNEL)).batches;
        let _ = self.bus.publish(COMMANDS_CHANNEL, early).await;
        self.right.run(batch, decide).await
    }
}

#[derive(Debug)]
struct SweeperStops {
    right: Stores,
}

#[async_trait]
impl Mistake for SweeperStops {
    fn right(&self) -> &dyn OrderStore {
        &*self.right
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        self.right.lease(lease).await.map(|_| Vec::new())
    }
}

/// A store that is right but for its mistake.
#[derive(Debug)]
struct Mistaken<M>(M);

#[async_trait]
impl<M: Mistake> OrderStore for Mistaken<M> {
    fn parallel_batches(&self) -> usize {
        self.0.right().parallel_batches()
    }

    async fn run(
        &self,
        batch: Arc<[OrderCommand]>,
        decide: DecideOrders,
    ) -> Result<Vec<DecidedOrder>, Failure> {
        self.0.run(batch, decide).await
    }

    async fn lease(&self, lease: Lease) -> Result<Vec<AllocateStock>, Failure> {
        self.0.lease(lease).await
    }

    async fn lease_deadlines(&self, lease: DeadlineLease) -> Result<LeasedDeadlines, Failure> {
        self.0.right().lease_deadlines(lease).await
    }

    async fn overdue(&self) -> Result<Overdue, Failure> {
        self.0.right().overdue().await
    }

    async fn quarantine(&self, entries: Vec<Quarantined>) -> Result<usize, Failure> {
        self.0.right().quarantine(entries).await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderView>, Failure> {
        self.0.right().order(order_id).await
    }

    async fn header(&self, order_id: OrderId) -> Result<Option<OrderHeader>, Failure> {
        self.0.right().header(order_id).await
    }

    async fn receipt(&self, order_id: OrderId) -> Result<Option<Receipt>, Failure> {
        self.0.right().receipt(order_id).await
    }

    async fn orders(&self, filter: Filter) -> Result<Vec<OrderSummary>, Failure> {
        self.0.right().orders(filter).await
    }

    async fn backlog(&self) -> Result<Backlog, Failure> {
        self.0.right().backlog().await
    }

    async fn refunds_due(&self, limit: u32) -> Result<u64, Failure> {
        self.0.right().refunds_due(limit).await
    }

    async fn pending(&self, filter: PendingFilter) -> Result<PendingPage, Failure> {
        self.0.right().pending(filter).await
    }

    async fn make_due(&self, order_id: OrderId, requester: Requester) -> Result<MadeDue, Failure> {
        self.0.right().make_due(order_id, requester).await
    }
}
