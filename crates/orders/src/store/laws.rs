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

/// Runs every law on what `$fresh()` makes: an empty store, whatever keeps it alive, and the clock
/// that it reads.
macro_rules! store_laws {
    ($fresh:path) => {
        $crate::store::laws::store_laws!($fresh:
            an_order_reads_back_as_it_was_placed
            the_story_of_an_order_is_kept_with_what_inventory_said
            a_replay_finds_the_order_that_its_key_made
            concurrent_twins_with_one_key_make_one_order
            an_order_moves_only_from_where_the_decision_saw_it
            a_batch_is_written_whole_or_not_at_all
            a_panicking_decider_leaves_nothing_behind_and_the_store_working
            a_command_is_pending_exactly_while_it_is_in_flight
            a_lease_is_taken_once_until_it_is_due_again
            a_patient_lease_leaves_what_became_due_lately
            a_lease_raises_the_attempt_and_keeps_the_digest
            a_lease_gives_a_fifth_to_the_oldest_and_the_rest_to_the_freshest
            after_a_silence_what_was_sent_before_is_due_oldest_first
            a_clock_set_back_makes_pending_commands_due_not_lost
            lists_are_newest_first_filtered_and_complete_page_by_page
            the_backlog_is_counted_with_its_oldest_age
            the_audit_reads_every_order_once_in_order
            the_audit_reads_every_pending_command_with_the_step_that_it_belongs_to
            quarantine_counts_repeats_and_keeps_neighbours
            concurrent_batches_lose_nothing
        );
    };
    ($fresh:path: $($law:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::store::laws::$law($fresh().await).await;
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

pub(crate) async fn an_order_reads_back_as_it_was_placed(fresh: Fresh) {
    let placement = placement(1, Some("key"));
    fresh.run(vec![OrderCommand::Place(Box::new(placement.clone()))]).await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    assert_eq!(order.terms, placement.terms);
    assert_eq!((order.status, order.created_at_micros), (Status::Received, START.0));
    assert!(fresh.store.order(id(2)).await.expect("a read").is_none());
}

pub(crate) async fn the_story_of_an_order_is_kept_with_what_inventory_said(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![reserved(1)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    let reason = Some("changed my mind".to_owned());
    fresh.run(vec![OrderCommand::Cancel { order_id: id(1), reason: reason.clone(), traceparent: None }]).await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    let story: Vec<_> = order.history.iter().map(|entry| (entry.seq, entry.status, entry.at_micros)).collect();
    let at = |seconds: i64| START.0 + seconds * 1_000_000;
    assert_eq!(story, [(1, Status::Received, at(0)), (2, Status::Confirmed, at(1)), (3, Status::Cancelling, at(2))]);
    let answer = order.history[1].answer.as_ref().expect("Inventory's part");
    assert_eq!((answer.decided_at_micros, answer.allocations.len()), (5, 1));
    assert_eq!(order.history[2].reason, reason);
    assert_eq!(order.updated_at_micros, at(2));
}

pub(crate) async fn a_replay_finds_the_order_that_its_key_made(fresh: Fresh) {
    let with_key = |n| OrderCommand::Place(Box::new(placement(n, Some("key"))));
    let outcomes = fresh.run(vec![with_key(1), with_key(2)]).await;
    assert!(matches!(&outcomes[1], OrderOutcome::Replayed(receipt) if receipt.order_id == id(1)), "within a batch");
    let outcomes = fresh.run(vec![with_key(3)]).await;
    assert!(matches!(&outcomes[0], OrderOutcome::Replayed(receipt) if receipt.order_id == id(1)), "and later");
    assert!(fresh.store.order(id(3)).await.expect("a read").is_none());
}

pub(crate) async fn concurrent_twins_with_one_key_make_one_order(fresh: Fresh) {
    let twins = (1..=20).map(|n| {
        let store = fresh.store.clone();
        let twin: Arc<[OrderCommand]> = Arc::new([OrderCommand::Place(Box::new(placement(n, Some("key"))))]);
        tokio::spawn(async move { run_until_done(&*store, twin).await })
    });
    let mut made = BTreeSet::new();
    for twin in twins.collect::<Vec<_>>() {
        match twin.await.expect("no panic").remove(0) {
            OrderOutcome::Placed(receipt) | OrderOutcome::Replayed(receipt) => made.insert(receipt.order_id),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(made.len(), 1);
    assert_eq!(fresh.audit.orders_after(None, 100).await.expect("a page").len(), 1);
}

pub(crate) async fn an_order_moves_only_from_where_the_decision_saw_it(fresh: Fresh) {
    /// Decides on an order that it takes to be confirmed, whatever was loaded.
    fn stubborn(now: i64, batch: &[OrderCommand], mut loaded: Loaded) -> Decision {
        loaded.orders.values_mut().for_each(|order| order.status = Status::Confirmed);
        decide(now, batch, loaded)
    }
    fresh.run(vec![place(1)]).await;
    let refused = fresh.store.run(Arc::new([fulfill(1)]), stubborn).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(fresh: Fresh) {
    /// Decides well, but twice makes the first order.
    fn twice(now: i64, batch: &[OrderCommand], loaded: Loaded) -> Decision {
        let mut decision = decide(now, batch, loaded);
        decision.changes.push(decision.changes[0].clone());
        decision
    }
    let refused = fresh.store.run(Arc::new([place(1), place(2)]), twice).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert_eq!((fresh.status(1).await, fresh.status(2).await), (None, None));
    fresh.run(vec![place(1), place(2)]).await;
    assert_eq!(fresh.store.backlog().await.expect("a read").commands, 2);
}

pub(crate) async fn a_panicking_decider_leaves_nothing_behind_and_the_store_working(fresh: Fresh) {
    fn broken(_: i64, _: &[OrderCommand], _: Loaded) -> Decision {
        panic!("a bug in the decider (this test wants it)")
    }
    let refused = fresh.store.run(Arc::new([place(1)]), broken).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    fresh.run(vec![place(1)]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn a_command_is_pending_exactly_while_it_is_in_flight(fresh: Fresh) {
    let steps = [
        (place(1), Some(StockCommandKind::ReserveStock)),
        (reserved(1), None),
        (cancel(1), Some(StockCommandKind::ReleaseStock)),
        (settle(1, StockOutcome::StockReleased), None),
    ];
    for (command, expected) in steps {
        fresh.run(vec![command]).await;
        let audit = fresh.audit.orders_by_id(vec![id(1)]).await.expect("a read").remove(0);
        assert_eq!(audit.pending, expected);
    }
    // The whole life in one batch ends without a pending command as well.
    fresh.run(vec![place(2), reserved(2), fulfill(2), settle(2, StockOutcome::StockShipped)]).await;
    let audit = fresh.audit.orders_by_id(vec![id(2)]).await.expect("a read").remove(0);
    assert_eq!((audit.status, audit.pending, audit.history.len()), (Status::Fulfilled, None, 4));
}

pub(crate) async fn a_lease_is_taken_once_until_it_is_due_again(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    assert!(fresh.lease(10, DUE).await.is_empty(), "the first sending is given time for its answer");
    fresh.clock.advance(Duration::from_secs(2));
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    assert!(fresh.lease(10, DUE).await.is_empty());
    fresh.clock.advance(DELAY);
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    fresh.run(vec![reserved(1)]).await;
    fresh.clock.advance(DELAY);
    assert!(fresh.lease(10, DUE).await.is_empty(), "answered");
}

pub(crate) async fn a_patient_lease_leaves_what_became_due_lately(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(3));
    fresh.run(vec![place(2)]).await;
    fresh.clock.advance(Duration::from_secs(2));
    let patient = Pick::Due { patience: Duration::from_secs(2) };
    assert_eq!(fresh.lease(10, patient).await, [1], "due for four seconds and for one");
    assert_eq!(fresh.lease(10, DUE).await, [2]);
}

pub(crate) async fn a_lease_raises_the_attempt_and_keeps_the_digest(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    for attempt in 2..5 {
        fresh.clock.advance(DELAY);
        let leased = fresh.store.lease(lease(10, DUE)).await.expect("a lease");
        let terms = placement(1, None).terms;
        assert_eq!((leased[0].attempt, leased[0].kind), (attempt, StockCommandKind::ReserveStock));
        assert_eq!((leased[0].digest, &leased[0].lines), (terms.digest, &terms.stock_lines()));
    }
}

pub(crate) async fn a_lease_gives_a_fifth_to_the_oldest_and_the_rest_to_the_freshest(fresh: Fresh) {
    for n in 1..=20 {
        fresh.run(vec![place(n)]).await;
        fresh.clock.advance(Duration::from_secs(2));
    }
    let mut first = fresh.lease(10, DUE).await;
    first.sort_unstable();
    assert_eq!(first, [1, 2, 13, 14, 15, 16, 17, 18, 19, 20]);
    let mut second = fresh.lease(100, DUE).await;
    second.sort_unstable();
    assert_eq!(second, (3..=12).collect::<Vec<_>>());
}

pub(crate) async fn after_a_silence_what_was_sent_before_is_due_oldest_first(fresh: Fresh) {
    for n in (1..=6).rev() {
        fresh.run(vec![place(n)]).await;
        fresh.clock.advance(Duration::from_millis(10));
    }
    let pick = Pick::SentBefore { ago: Duration::from_millis(5) };
    let mut first = fresh.lease(4, pick).await;
    first.sort_unstable();
    assert_eq!(first, [3, 4, 5, 6], "6 is the oldest here");
    let mut rest = fresh.lease(4, pick).await;
    rest.sort_unstable();
    assert_eq!(rest, [1, 2], "and nothing is sent twice");
    assert!(fresh.lease(4, pick).await.is_empty());
}

pub(crate) async fn a_clock_set_back_makes_pending_commands_due_not_lost(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.set(Timestamp(START.0 - 365 * 24 * 3_600_000_000));
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    assert!(fresh.lease(10, DUE).await.is_empty());
    fresh.clock.advance(DELAY);
    assert_eq!(fresh.lease(10, DUE).await, [1]);
}

pub(crate) async fn lists_are_newest_first_filtered_and_complete_page_by_page(fresh: Fresh) {
    fresh.run((1..=25).map(place).collect()).await;
    fresh.run((1..=25).step_by(2).map(reserved).collect()).await;
    let mut seen = Vec::new();
    loop {
        let before = seen.last().copied();
        let filter = Filter { before, limit: 4, ..Filter::default() };
        let page = fresh.store.orders(filter).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|order| order.order_id));
    }
    assert_eq!(seen, (1..=25).rev().map(id).collect::<Vec<_>>());

    let status = Some(Status::Confirmed);
    let confirmed = fresh.store.orders(Filter { status, limit: 100, ..Filter::default() }).await.expect("a page");
    assert_eq!(confirmed.len(), 13);
    for (customer, expected) in [("c-1", 1), ("nobody", 0)] {
        let customer_id = Some(customer.parse().expect("an id"));
        let found = fresh.store.orders(Filter { customer_id, status, limit: 100, before: None }).await.expect("a page");
        assert_eq!(found.len(), expected, "{customer}");
    }
}

pub(crate) async fn the_backlog_is_counted_with_its_oldest_age(fresh: Fresh) {
    assert_eq!(fresh.store.backlog().await.expect("a read"), super::Backlog::default());
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(7));
    fresh.run(vec![place(2)]).await;
    let backlog = fresh.store.backlog().await.expect("a read");
    assert_eq!((backlog.commands, backlog.oldest_age), (2, Duration::from_secs(7)));
}

pub(crate) async fn the_audit_reads_every_order_once_in_order(fresh: Fresh) {
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), None);
    fresh.run([5, 3, 9, 1, 7].into_iter().map(place).collect()).await;
    let mut seen = Vec::new();
    loop {
        let page = fresh.audit.orders_after(seen.last().copied(), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|audit| audit.order_id));
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(id));
    assert_eq!(fresh.audit.order_ids_after(None, 2).await.expect("ids"), [1, 3].map(id));
    assert_eq!(fresh.audit.order_ids_after(Some(id(3)), 9).await.expect("ids"), [5, 7, 9].map(id));
    let some = fresh.audit.orders_by_id(vec![id(9), id(4), id(1), id(9)]).await.expect("a read");
    assert_eq!(some.iter().map(|audit| audit.order_id).collect::<Vec<_>>(), [id(1), id(9)]);
    assert_eq!(some[0].terms, placement(1, None).terms);
    assert_eq!(some[0].history, [(1, Status::Received)]);
    fresh.run(vec![reserved(9)]).await;
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), Some(id(9)), "in flight or not");
}

pub(crate) async fn the_audit_reads_every_pending_command_with_the_step_that_it_belongs_to(fresh: Fresh) {
    fresh.run([5, 3, 9, 1].into_iter().map(place).collect()).await;
    fresh.run(vec![reserved(3), reserved(5)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![cancel(5), cancel(9)]).await;
    fresh.clock.advance(DELAY);
    fresh.lease(10, DUE).await;
    let mut seen: Vec<PendingAudit> = Vec::new();
    loop {
        let page = fresh.audit.pending_after(seen.last().map(|last| last.order_id), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let command = |n, kind: StockCommandKind, seconds: i64| {
        let at = START.0 + seconds * 1_000_000;
        PendingAudit { order_id: id(n), kind: format!("{kind:?}"), since_micros: at, moved_at_micros: Some(at) }
    };
    use StockCommandKind::{ReleaseStock, ReserveStock};
    assert_eq!(seen, [command(1, ReserveStock, 0), command(5, ReleaseStock, 1), command(9, ReleaseStock, 1)]);
}

pub(crate) async fn quarantine_counts_repeats_and_keeps_neighbours(fresh: Fresh) {
    let garbage = |bytes: &[u8]| Quarantined::malformed("not a message".to_owned(), bytes.to_vec());
    fresh.store.quarantine(vec![garbage(b"x"), garbage(b"y"), garbage(b"x")]).await.expect("written");
    fresh.store.quarantine(vec![garbage(&vec![0; 10_000_000])]).await.expect("written");
    fresh.run(vec![place(1)]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn concurrent_batches_lose_nothing(fresh: Fresh) {
    let writers = (0..8u128).map(|writer| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                let order = writer * 100 + n;
                let own: Arc<[OrderCommand]> = Arc::new([place(order), reserved(order)]);
                run_until_done(&*store, own).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let all = fresh.audit.orders_after(None, 1000).await.expect("a page");
    assert_eq!(all.len(), 80);
    assert!(all.iter().all(|audit| audit.status == Status::Confirmed && audit.pending.is_none()));
}

/// The wait that every lease of these laws gives.
const DELAY: Duration = Duration::from_secs(60);
/// Whatever is due, without patience.
const DUE: Pick = Pick::Due { patience: Duration::ZERO };

fn lease(limit: u32, pick: Pick) -> Lease {
    Lease { limit, pick, delay: |_, _| DELAY, random: 0 }
}

/// As the committer does: what is not done, and may be later, is repeated.
pub(crate) async fn run_until_done(store: &dyn Store, batch: Arc<[OrderCommand]>) -> Vec<OrderOutcome> {
    loop {
        match store.run(batch.clone(), decide).await {
            Ok(decided) => return decided.into_iter().map(|one| one.outcome).collect(),
            Err(Failure::Busy(_) | Failure::Unavailable(_)) => {}
            Err(failure) => panic!("{failure}"),
        }
    }
}

impl Fresh {
    async fn run(&self, batch: Vec<OrderCommand>) -> Vec<OrderOutcome> {
        run_until_done(&*self.store, batch.into()).await
    }

    async fn status(&self, n: u128) -> Option<Status> {
        self.store.receipt(id(n)).await.expect("a read").map(|receipt| receipt.status)
    }

    /// Leases, and tells the orders by number.
    async fn lease(&self, limit: u32, pick: Pick) -> Vec<u128> {
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
    Placement { order_id: id(n), key: key.map(str::to_owned), request_digest, terms, traceparent: None }
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

fn settle(n: u128, outcome: StockOutcome) -> OrderCommand {
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
