//! What every engine owes the Order Service: one named test per law and engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contract::answers::StockAllocated;
use contract::{
    Allocation, Allocations, Digest, Facts, Intent, LocationId, OrderId, Quantity, Revision,
    Shortage, ShortageReason,
};
use orders_core::changes::RequestKey;
use orders_core::decide::{
    Disposition, LoadedOrders, OrderCommand, OrderOutcome, OrderRequest, OrdersDecision, Placement,
    RequestContext, ReturnLine, ShipmentLine, UnitsOfProduct, decide,
};
use orders_core::money::Currency;
use orders_core::order::{OrderLine, PaymentTerms, Terms};
use orders_core::status::Status;
use platform::admin::{AdminLog, Requester};
use platform::audit::{Audit, Findings, Progress, ReadBudget};
use platform::clock::{Clock, ManualClock, Timestamp};
use platform::failure::Failure;
use platform::journal::Journal;
use platform::quarantine::{MAX_ENTRIES, QuarantineTable, Quarantined};

use super::{
    Filter, Lease, MadeDue, OrderAudit, OrderAuditStore, OrderFeedStore, OrderStore, OrderView,
    PendingFilter, Pick, RowAudit, WaitingCommand,
};
use crate::audit::OrdersAudit;

pub(crate) mod admin_log;
pub(crate) mod auditing;
pub(crate) mod changing;
pub(crate) mod deadlines;
pub(crate) mod deciding;
pub(crate) mod feeding;
pub(crate) mod leasing;
pub(crate) mod pairing;
pub(crate) mod quarantining;
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
            deciding::a_command_is_pending_exactly_while_the_intent_is_ahead
            deciding::the_registers_of_an_order_are_read_back_as_they_were_written
            deciding::concurrent_batches_lose_nothing
            changing::a_whole_life_is_read_back_as_it_was_written
            changing::a_life_in_one_batch_ends_as_one_in_many
            changing::a_change_with_a_known_key_is_made_once
            changing::two_changes_of_one_batch_are_one_command
            changing::changes_during_an_outage_are_one_command
            changing::a_payment_and_a_deadline_of_one_batch_have_one_winner
            changing::an_order_that_is_paid_before_it_is_answered_stays_received
            changing::a_refund_is_due_exactly_while_the_arithmetic_says_so
            changing::changes_side_by_side_lose_nothing
            deadlines::a_deadline_is_there_exactly_while_the_order_is_reserved
            deadlines::a_deadline_is_leased_once_until_it_is_due_again
            deadlines::deadlines_that_passed_first_are_leased_first
            deadlines::leases_side_by_side_take_each_deadline_once
            deadlines::a_clock_set_back_arms_deadlines_again
            deadlines::a_clock_that_is_little_behind_shortens_no_deadline
            deadlines::a_lease_of_a_clock_that_was_ahead_ends_when_the_clock_is_set_back
            deadlines::a_lease_does_not_move_the_deadline
            deadlines::what_is_overdue_is_counted_with_its_age_also_while_it_is_leased
            feeding::every_entry_of_a_history_is_in_the_journal_once_and_in_its_order
            feeding::a_batch_that_is_not_committed_leaves_nothing_in_the_journal
            feeding::replays_stale_answers_and_refusals_make_no_entry
            feeding::the_journal_reads_the_same_from_every_position_in_pages_of_any_size
            feeding::an_order_is_seen_as_it_was_after_each_of_its_entries
            feeding::an_order_with_many_entries_is_seen_as_it_was_after_each
            feeding::the_journal_is_whole_while_it_is_numbered_and_read_beside_commits
            feeding::an_audit_beside_commits_and_numbers_raises_no_alarm
            leasing::a_lease_is_taken_once_until_it_is_due_again
            leasing::a_patient_lease_leaves_what_became_due_lately
            leasing::a_lease_raises_the_attempt_and_keeps_the_digest
            leasing::a_lease_gives_a_fifth_to_the_oldest_and_the_rest_to_the_freshest
            leasing::after_a_silence_what_was_sent_before_is_due_oldest_first
            leasing::a_clock_set_back_makes_pending_commands_due_not_lost
            leasing::a_command_that_is_made_due_is_leased_first_with_its_next_attempt
            leasing::a_command_that_is_made_due_is_leased_before_a_backlog
            leasing::nothing_is_made_due_where_nothing_is_pending
            reading::pending_commands_are_listed_oldest_order_first_page_by_page
            reading::a_page_of_pending_commands_reads_a_bounded_number_of_rows
            reading::lists_are_newest_first_filtered_and_complete_page_by_page
            reading::a_list_of_several_statuses_is_one_list_newest_first
            reading::lists_by_payment_have_what_is_due_and_what_is_to_be_given_back
            reading::orders_that_owe_money_are_counted_until_it_is_returned
            reading::the_header_of_an_order_is_read_without_its_history
            reading::a_list_by_time_has_what_was_accepted_within_it
            reading::the_backlog_is_counted_with_its_oldest_age
            auditing::the_audit_reads_every_order_once_in_order
            auditing::the_audit_reads_every_pending_command_with_its_order
            quarantining::entries_are_listed_by_their_last_repeat_page_by_page
            quarantining::an_entry_is_discarded_until_it_comes_again
            admin_log::the_admin_log_has_who_sent_a_command_again_and_who_discarded_a_message
            admin_log::the_admin_log_is_complete_page_by_page
            auditing::quarantine_counts_repeats_and_keeps_neighbours
            auditing::a_full_quarantine_keeps_what_it_has
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
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) audit: Arc<dyn OrderAuditStore>,
    pub(crate) feed: Arc<dyn OrderFeedStore>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) quarantine: Arc<dyn QuarantineTable>,
    pub(crate) admin_log: Arc<dyn AdminLog>,
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
    store: &dyn OrderStore,
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

    /// Inventory's answer to what the order wants now, which it could carry out.
    pub(crate) async fn answer(&self, n: u128) -> OrderCommand {
        carried_out(n, &self.view(n).await.registers.sent_intent())
    }

    pub(crate) async fn view(&self, n: u128) -> OrderView {
        self.store.order(id(n)).await.expect("a read").expect("the order")
    }

    /// Checks all that the audit of orders checks.
    pub(crate) async fn must_be_sound(&self) {
        must_be_sound(self.audit.clone()).await;
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

pub(crate) async fn must_be_sound(audit: Arc<dyn OrderAuditStore>) {
    let mut audit = OrdersAudit::new(audit, ReadBudget::SHORT);
    let mut findings = Findings::default();
    while audit.step(&mut findings).await.expect("a step") == Progress::UnderWay {}
    assert_eq!(findings.violations, []);
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
    let customer_id = match key {
        Some(_) => "c".to_owned(),
        None => format!("c-{n}"),
    };
    let terms = Terms {
        customer_id: customer_id.parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 6997,
        lines: vec![line("789", 2, 1999), line("456", 1, 2999)],
        payment: None,
    };
    let digest = Intent::placed(terms.ordered()).digest();
    let key = key.map(str::to_owned);
    Placement {
        order_id: id(n),
        key,
        terms,
        has_default_currency: false,
        digest,
        context: RequestContext::default(),
    }
}

pub(crate) fn place(n: u128) -> OrderCommand {
    OrderCommand::Place(Box::new(placement(n, None)))
}

/// An order that waits for its payment this long, in seconds.
pub(crate) fn place_to_pay(n: u128, within_s: u32) -> OrderCommand {
    let mut placement = placement(n, None);
    placement.terms.payment = Some(PaymentTerms { within_s });
    OrderCommand::Place(Box::new(placement))
}

/// What a client asks of an order.
pub(crate) fn ask(n: u128, request: OrderRequest) -> OrderCommand {
    let (request, context) = (Box::new(request), RequestContext::default());
    OrderCommand::Request { order_id: id(n), request, context }
}

/// The payment of an order, of what it costs.
pub(crate) fn pay(n: u128, reference: &str) -> OrderCommand {
    ask(n, OrderRequest::Pay { reference: reference.to_owned(), amount_minor: None })
}

/// A shipment of some units of a product.
pub(crate) fn ship(n: u128, key: &str, product: &str, units: u32) -> OrderCommand {
    let line = ShipmentLine {
        product_id: product.parse().expect("an id"),
        location_id: None,
        quantity: Quantity::new(units).expect("a quantity"),
    };
    let (key, lines) = (request_key(key), Some(vec![line]));
    ask(n, OrderRequest::Ship { key, lines, tracking: None })
}

/// A return of some units of a product, which can be sold again.
pub(crate) fn take_back(n: u128, key: &str, product: &str, units: u32) -> OrderCommand {
    let line = ReturnLine {
        product_id: product.parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
        location_id: None,
        disposition: Disposition::Restock,
    };
    ask(n, OrderRequest::Return { key: request_key(key), lines: vec![line], reason: None })
}

/// A cancellation of some units of a product.
pub(crate) fn cancel_units(n: u128, key: &str, product: &str, units: u32) -> OrderCommand {
    let line = UnitsOfProduct {
        product_id: product.parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
    };
    ask(n, OrderRequest::CancelLines { key: request_key(key), lines: vec![line], reason: None })
}

/// A key of a request that is told from others by it alone.
pub(crate) fn request_key(key: &str) -> RequestKey {
    RequestKey { key: key.to_owned(), digest: Digest::of(key.as_bytes()) }
}

pub(crate) fn cancel(n: u128) -> OrderCommand {
    ask(n, OrderRequest::Cancel { reason: None })
}

pub(crate) fn fulfill(n: u128) -> OrderCommand {
    ask(n, OrderRequest::Fulfill)
}

/// Inventory's answer to the placement, with all units.
pub(crate) fn reserved(n: u128) -> OrderCommand {
    settle(n, &Intent::placed(ordered(n)), all_units(), Vec::new())
}

/// Inventory's answer to the placement, with no units.
pub(crate) fn rejected(n: u128) -> OrderCommand {
    let shortage = Shortage {
        product_id: "456".parse().expect("an id"),
        requested: Quantity::new(1).expect("a quantity"),
        available: 0,
        reason: ShortageReason::OutOfStock,
    };
    settle(n, &Intent::placed(ordered(n)), Allocations::default(), vec![shortage])
}

/// Inventory's answer to the cancellation.
pub(crate) fn released(n: u128) -> OrderCommand {
    let placed = Intent::placed(ordered(n));
    let (revision, wanted) = (placed.revision.next(), placed.wanted.nothing());
    let intent = Intent { revision, wanted, ..placed };
    settle(n, &intent, Allocations::default(), Vec::new())
}

/// Inventory's answer to the fulfillment.
pub(crate) fn shipped(n: u128) -> OrderCommand {
    let placed = Intent::placed(ordered(n));
    let intent = Intent { revision: placed.revision.next(), shipped: all_units(), ..placed };
    settle(n, &intent, all_units(), Vec::new())
}

/// Inventory's answer to an intent, which it could carry out, with all units at one location.
pub(crate) fn carried_out(n: u128, intent: &Intent) -> OrderCommand {
    let units = intent.wanted.iter().filter_map(|line| {
        let quantity = Quantity::new(line.quantity).ok()?;
        let product_id = line.product_id.clone();
        Some(Allocation { product_id, location_id: LocationId::main(), quantity })
    });
    settle(n, intent, Allocations::sorted(units.collect()).expect("stock keys"), Vec::new())
}

/// Order 1 waits for its payment. Order 2 is paid, one of its units was cancelled and one shipped.
pub(crate) fn changed_orders() -> Arc<[OrderCommand]> {
    Arc::new([
        place_to_pay(1, 60),
        reserved(1),
        place_to_pay(2, 60),
        reserved(2),
        pay(2, "ch_1"),
        ship(2, "s", "789", 1),
        cancel_units(2, "c", "456", 1),
    ])
}

/// The history of order 2 of [`changed_orders`], as a view shows it: the number, the status, the
/// payment, the key, what is wanted and what is shipped.
pub(crate) const HISTORY_OF_CHANGES: [&str; 5] = [
    "1 received",
    "2 reserved",
    r#"3 confirmed {"reference":"ch_1","amount":6997}"#,
    r#"4 amending s [["789","main",1]]"#,
    r#"5 amending c [["456",0],["789",2]]"#,
];

pub(crate) fn ordered(n: u128) -> contract::Wanted {
    placement(n, None).terms.ordered()
}

/// What every order of these laws asks for, at one location.
pub(crate) fn all_units() -> Allocations {
    let allocation = |product: &str, units| Allocation {
        product_id: product.parse().expect("an id"),
        location_id: LocationId::main(),
        quantity: Quantity::new(units).expect("a quantity"),
    };
    Allocations::sorted(vec![allocation("456", 1), allocation("789", 2)]).expect("two stock keys")
}

fn settle(
    n: u128,
    intent: &Intent,
    allocated: Allocations,
    shortages: Vec<Shortage>,
) -> OrderCommand {
    OrderCommand::Settle(Box::new(StockAllocated {
        schema: 1,
        order_id: id(n),
        facts: Facts { allocated, shortages, ..Facts::nothing(intent.revision) },
        digest: intent.digest(),
        attempt: 1,
        decided_at_micros: 5,
        sent_at_micros: 6,
        traceparent: None,
    }))
}

/// The status of an audited order.
pub(crate) fn status_of(audit: &OrderAudit) -> Status {
    audit.state.map_or(Status::Received, |state| state.status)
}
