//! What every engine owes the Order Service: one named test per law and engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contract::answers::{Allocation, StockAnswer, StockOutcome};
use contract::commands::StockCommandKind;
use contract::{LocationId, OrderId, Quantity};
use orders_core::decide::{Decision, Loaded, OrderCommand, OrderOutcome, Placement, decide};
use orders_core::money::Currency;
use orders_core::order::{OrderLine, Status, Terms};
use platform::clock::{ManualClock, Timestamp};
use platform::failure::Failure;
use platform::quarantine::Quarantined;

use super::{AuditStore, Filter, Lease, PendingAudit, Pick, Store};

pub(crate) mod auditing;
pub(crate) mod deciding;
pub(crate) mod leasing;
pub(crate) mod reading;

/// Runs every law on what `$fresh()` makes: an empty store, whatever keeps it alive, and the clock
/// that it reads.
macro_rules! store_laws {
    ($fresh:path) => {
        $crate::store::laws::store_laws!($fresh:
            deciding::an_order_reads_back_as_it_was_placed
            deciding::the_history_of_an_order_keeps_the_answers_of_inventory
            deciding::a_replay_finds_the_order_that_its_key_made
            deciding::concurrent_twins_with_one_key_make_one_order
            deciding::an_order_moves_only_from_where_the_decision_saw_it
            deciding::a_batch_is_written_whole_or_not_at_all
            deciding::a_panicking_decider_leaves_nothing_behind_and_the_store_working
            deciding::a_command_is_pending_exactly_while_it_is_in_flight
            deciding::concurrent_batches_lose_nothing
            leasing::a_lease_is_taken_once_until_it_is_due_again
            leasing::a_patient_lease_leaves_what_became_due_lately
            leasing::a_lease_raises_the_attempt_and_keeps_the_digest
            leasing::a_lease_gives_a_fifth_to_the_oldest_and_the_rest_to_the_freshest
            leasing::after_a_silence_what_was_sent_before_is_due_oldest_first
            leasing::a_clock_set_back_makes_pending_commands_due_not_lost
            reading::lists_are_newest_first_filtered_and_complete_page_by_page
            reading::the_backlog_is_counted_with_its_oldest_age
            auditing::the_audit_reads_every_order_once_in_order
            auditing::the_audit_reads_every_pending_command_with_the_step_that_it_belongs_to
            auditing::quarantine_counts_repeats_and_keeps_neighbours
        );
    };
    ($fresh:path: $($group:ident::$law:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::store::laws::$group::$law($fresh().await).await;
        })+
    };
}
pub(crate) use store_laws;

/// An empty store of some engine.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) audit: Arc<dyn AuditStore>,
    pub(crate) clock: Arc<ManualClock>,
    /// Dropped last: the folder or the server that the store lives in.
    pub(crate) _home: Box<dyn std::any::Any + Send + Sync>,
}

pub(crate) const START: Timestamp = Timestamp(1_795_804_200_000_000);

/// The wait that every lease of these laws gives.
pub(crate) const DELAY: Duration = Duration::from_secs(60);
/// Whatever is due, without patience.
pub(crate) const DUE: Pick = Pick::Due { patience: Duration::ZERO };

pub(crate) fn lease(limit: u32, pick: Pick) -> Lease {
    Lease { limit, pick, delay: |_, _| DELAY, random: 0 }
}

/// As the committer does: what is not done, and may be later, is repeated.
pub(crate) async fn run_until_done(
    store: &dyn Store,
    batch: Arc<[OrderCommand]>,
) -> Vec<OrderOutcome> {
    loop {
        match store.run(batch.clone(), decide).await {
            Ok(decided) => return decided.into_iter().map(|one| one.outcome).collect(),
            Err(Failure::Busy(_) | Failure::Unavailable(_)) => {}
            Err(failure) => panic!("{failure}"),
        }
    }
}

impl Fresh {
    pub(crate) async fn run(&self, batch: Vec<OrderCommand>) -> Vec<OrderOutcome> {
        run_until_done(&*self.store, batch.into()).await
    }

    pub(crate) async fn status(&self, n: u128) -> Option<Status> {
        self.store.receipt(id(n)).await.expect("a read").map(|receipt| receipt.status)
    }

    /// Leases, and tells the orders by number.
    pub(crate) async fn lease(&self, limit: u32, pick: Pick) -> Vec<u128> {
        let leased = self.store.lease(lease(limit, pick)).await.expect("a lease");
        leased.iter().map(|command| command.order_id.0.as_u128()).collect()
    }
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

pub(crate) fn placement(n: u128, key: Option<&str>) -> Placement {
    let line = |product: &str, units, price_minor| OrderLine {
        product_id: product.parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
        price_minor,
    };
    let mut terms = Terms {
        customer_id: if key.is_some() { "c" } else { "c-1" }.parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 6997,
        lines: vec![line("789", 2, 1999), line("456", 1, 2999)],
        digest: contract::Digest([0; 16]),
    };
    if n > 1 && key.is_none() {
        terms.customer_id = format!("c-{n}").parse().expect("an id");
    }
    terms.digest = terms.stock_lines().digest();
    let request_digest = contract::Digest::of(terms.customer_id.as_str().as_bytes());
    Placement {
        order_id: id(n),
        key: key.map(str::to_owned),
        request_digest,
        terms,
        traceparent: None,
    }
}

pub(crate) fn place(n: u128) -> OrderCommand {
    OrderCommand::Place(Box::new(placement(n, None)))
}

pub(crate) fn cancel(n: u128) -> OrderCommand {
    OrderCommand::Cancel { order_id: id(n), reason: None, traceparent: None }
}

pub(crate) fn fulfill(n: u128) -> OrderCommand {
    OrderCommand::Fulfill { order_id: id(n), traceparent: None }
}

pub(crate) fn reserved(n: u128) -> OrderCommand {
    let allocation = Allocation {
        product_id: "789".parse().expect("an id"),
        location_id: LocationId::main(),
        quantity: Quantity::new(2).expect("a quantity"),
    };
    settle(n, StockOutcome::StockReserved { allocations: vec![allocation] })
}

pub(crate) fn released(n: u128) -> OrderCommand {
    settle(n, StockOutcome::StockReleased)
}

pub(crate) fn settle(n: u128, outcome: StockOutcome) -> OrderCommand {
    let terms = placement(n, None).terms;
    OrderCommand::Settle(Box::new(StockAnswer {
        schema: 1,
        outcome,
        order_id: id(n),
        lines: terms.stock_lines(),
        digest: terms.digest,
        attempt: 1,
        decided_at_micros: 5,
        sent_at_micros: 6,
        traceparent: None,
    }))
}
