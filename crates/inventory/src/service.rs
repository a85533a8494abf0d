//! The core of the Inventory Service: it commits commands and publishes their answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contract::answers::StockAllocated;
use contract::codec::{self, Encoded, TooLarge};
use faults::fault_point;
use inventory_core::decide::{InventoryCommand, InventoryOutcome, decide};
use platform::admin::AdminLog;
use platform::audit::AuditState;
use platform::batcher::{Batcher, Commit, TracedCommand, TracedCommits};
use platform::clock::Ids;
use platform::failure::Failure;
use platform::journal::Tail;
use platform::quarantine::QuarantineTable;
use platform::relay::{Offered, Outbox};
use web::feed::Feed;

use crate::http::{Imports, Searches, StockEvents};
use crate::metrics::Metrics;
use crate::store::{StockAuditStore, StockStore};

pub(crate) mod traced;

/// Commits batches: one transaction, and only after it the answers (R6).
#[derive(Debug)]
pub struct Commits {
    pub store: Arc<dyn StockStore>,
    /// Wakes the numbering of the journal (R29).
    pub tail: Arc<Tail>,
    pub outbox: Outbox,
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl Commit<InventoryCommand, InventoryOutcome> for Commits {
    fn linger(&self) -> Duration {
        self.store.linger()
    }

    async fn commit(
        &self,
        batch: Arc<[InventoryCommand]>,
    ) -> Result<Vec<InventoryOutcome>, Failure> {
        let decided = self.store.run(batch.clone(), decide).await;
        // Also after a commit of unknown fate.
        self.tail.committed();
        let decided = decided?;
        fault_point!("inventory.committed", when decided.iter().any(|one| one.publish.is_some()));
        let mut outcomes = Vec::with_capacity(decided.len());
        let mut messages = Vec::new();
        for (command, one) in batch.iter().zip(decided) {
            self.metrics.count(command, &one);
            messages.extend(one.publish);
            outcomes.push(one.outcome);
        }
        publish(&self.outbox, messages);
        Ok(outcomes)
    }

    fn traced(&self) -> Option<TracedCommits> {
        Some(TracedCommits { name: "commit inventory", engine: self.store.engine() })
    }

    fn traced_command<'c>(&self, command: &'c InventoryCommand) -> Option<TracedCommand<'c>> {
        Some(traced::command(command))
    }
}

/// Queues answers for publishing, and reports those that the bus takes in no size of batch.
fn publish(outbox: &Outbox, mut answers: Vec<StockAllocated>) {
    let spans = outbox.trace(&mut answers, traced::message);
    let Encoded { batches, counts, too_large } = codec::encode(&answers, outbox.max_bytes());
    let left_out = too_large.iter().map(|message| message.index).collect();
    outbox.offer(Offered { batches, counts, left_out, spans });
    for TooLarge { index, bytes } in too_large {
        outbox.too_large(&format!("order {}", answers[index].order_id), bytes);
    }
}

/// What the HTTP handlers use.
#[derive(Debug)]
pub struct Service {
    pub store: Arc<dyn StockStore>,
    /// Where the ledger is read by its numbers.
    pub audit: Arc<dyn StockAuditStore>,
    /// What the auditor has done.
    pub auditor: Arc<AuditState>,
    /// The messages that were set aside.
    pub quarantine: Arc<dyn QuarantineTable>,
    /// What people changed by hand.
    pub admin_log: Arc<dyn AdminLog>,
    pub feed: Arc<Feed<StockEvents>>,
    pub batcher: Batcher<InventoryCommand, InventoryOutcome>,
    pub ids: Arc<dyn Ids>,
    pub(crate) searches: Searches,
    pub(crate) imports: Imports,
}
