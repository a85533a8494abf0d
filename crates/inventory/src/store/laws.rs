//! What every engine owes the Inventory Service: one named test per law and engine.

use std::sync::Arc;

use contract::answers::{StockAnswer, StockOutcome};
use contract::commands::{self, StockCommandKind};
use contract::{Digest, LocationId, OrderId, ProductId, Quantity, StockLines};
use inventory_core::decide::{
    Change, Decided, InventoryCommand, InventoryOutcome, MovementRequest, PutProduct, decide,
};
use inventory_core::stock::{Location, Movement, RequestCause, RequestId};
use platform::clock::{ManualClock, Timestamp};
use platform::failure::Failure;

use super::{AuditStore, MovementFilter, Store};

pub(crate) mod auditing;
pub(crate) mod deciding;
pub(crate) mod reading;

/// Runs every law on what `$fresh()` makes: an empty store, whatever keeps it alive, and the clock
/// that it reads.
macro_rules! store_laws {
    ($fresh:path) => {
        $crate::store::laws::store_laws!($fresh:
            deciding::a_new_store_has_one_location_and_nothing_else
            deciding::a_reservation_reads_back_with_its_allocations_and_its_evidence
            deciding::a_rejection_cites_every_location_of_its_product
            deciding::every_path_of_a_reservation_reads_back_and_answers_the_same_again
            deciding::commands_of_a_batch_are_decided_in_order
            deciding::a_movement_reads_back_with_all_members_of_its_request
            deciding::a_request_moves_stock_once_however_often_it_comes
            deciding::a_batch_is_written_whole_or_not_at_all
            deciding::a_level_moves_only_from_where_the_decision_saw_it
            deciding::a_reservation_moves_only_from_where_the_decision_saw_it
            deciding::a_decision_that_oversells_is_refused_by_the_database
            deciding::a_panicking_decider_leaves_nothing_behind_and_the_store_working
            deciding::sixteen_deciders_with_crossed_products_neither_oversell_nor_deadlock
            reading::products_are_listed_by_id_and_complete_page_by_page
            reading::products_are_found_by_id_or_name_in_any_case
            reading::products_are_found_by_a_list_of_ids
            reading::products_low_on_stock_are_found_over_all_locations
            reading::the_ledger_is_newest_first_and_complete_page_by_page
            reading::a_ledger_of_one_location_follows_its_numbers_whatever_the_clock_does
            reading::locations_are_listed_in_the_order_in_which_they_serve
            reading::the_audit_reads_every_reservation_once_in_order
            reading::the_audit_reads_every_level_with_what_is_held_there
            reading::the_audit_reads_a_ledger_in_stretches_and_at_points
            auditing::what_is_held_at_a_place_is_read_page_by_page_beside_its_level
            auditing::a_stock_key_with_many_reservations_is_not_summed_in_one_read
            auditing::rows_that_are_written_while_they_are_read_raise_no_alarm
            auditing::a_step_of_the_audit_reads_no_more_than_it_may
            reading::quarantine_counts_repeats_and_keeps_neighbours
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

/// As the committer does: what is not done, and may be later, is repeated.
pub(crate) async fn run_until_done(
    store: &dyn Store,
    batch: Arc<[InventoryCommand]>,
) -> Vec<Decided> {
    loop {
        match store.run(batch.clone(), decide).await {
            Ok(decided) => return decided,
            Err(Failure::Busy(_) | Failure::Unavailable(_)) => {}
            Err(failure) => panic!("{failure}"),
        }
    }
}

impl Fresh {
    async fn run(&self, batch: Vec<InventoryCommand>) -> Vec<Decided> {
        run_until_done(&*self.store, batch.into()).await
    }

    /// On hand and reserved of all locations, by location.
    async fn levels(&self, name: &str) -> Vec<(String, i64, i64)> {
        let stock = self.store.product(product(name)).await.expect("a read");
        let levels = stock.map(|stock| stock.levels).unwrap_or_default();
        levels
            .into_iter()
            .map(|(location, level)| (location.into(), level.on_hand, level.reserved))
            .collect()
    }

    async fn ledger(&self, name: &str) -> Vec<Movement> {
        let filter = MovementFilter {
            product_id: product(name),
            location_id: None,
            before: None,
            limit: 1000,
        };
        self.store.movements(filter).await.expect("a read")
    }
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn product(name: &str) -> ProductId {
    name.parse().expect("an id")
}

fn location(name: &str) -> LocationId {
    name.parse().expect("an id")
}

fn put(name: &str) -> InventoryCommand {
    put_named(name, name, None)
}

fn put_named(id: &str, name: &str, low_stock_at: Option<i64>) -> InventoryCommand {
    InventoryCommand::PutProduct(PutProduct {
        product_id: product(id),
        name: name.to_owned(),
        low_stock_at,
    })
}

pub(crate) fn put_location(name: &str, priority: u32) -> InventoryCommand {
    InventoryCommand::PutLocation(Location {
        location_id: location(name),
        name: name.to_owned(),
        priority,
    })
}

fn moved(name: &str, at: &str, change: Change, key: &str) -> InventoryCommand {
    let cause = RequestCause {
        request_id: RequestId(Digest::of(key.as_bytes()).0),
        digest: Digest::of(format!("{name} {at} {change:?}").as_bytes()),
        reason: Some("because".to_owned()),
        reference: Some("PO-7".to_owned()),
        actor: Some("ana".to_owned()),
    };
    InventoryCommand::Move(Box::new(MovementRequest {
        product_id: product(name),
        location_id: location(at),
        change,
        cause,
    }))
}

/// A product and its first units at `main`.
pub(crate) fn stocked(name: &str, units: u32) -> [InventoryCommand; 2] {
    [put(name), received(name, "main", units)]
}

pub(crate) fn received(name: &str, at: &str, units: u32) -> InventoryCommand {
    let change = Change::Receive(Quantity::new(units).expect("a quantity"));
    moved(name, at, change, &format!("{units} {name} at {at}"))
}

pub(crate) fn order(kind: StockCommandKind, n: u128, lines: &[(&str, u32)]) -> InventoryCommand {
    let line =
        |(name, units): &(&str, u32)| (product(name), Quantity::new(*units).expect("a quantity"));
    let lines = StockLines::sum(lines.iter().map(line)).expect("lines of an order");
    InventoryCommand::Stock(Box::new(commands::StockCommand {
        schema: 1,
        kind,
        order_id: id(n),
        digest: lines.digest(),
        lines,
        attempt: 1,
        sent_at_micros: 0,
        traceparent: None,
    }))
}

pub(crate) fn reserve(n: u128, lines: &[(&str, u32)]) -> InventoryCommand {
    order(StockCommandKind::ReserveStock, n, lines)
}

fn answer(decided: &Decided) -> &StockAnswer {
    decided.publish.as_ref().expect("an answer")
}

fn is_reserved(decided: &Decided) -> bool {
    matches!(answer(decided).outcome, StockOutcome::StockReserved { .. })
}

fn is_replay(decided: &Decided) -> bool {
    matches!(decided.outcome, InventoryOutcome::Moved { replayed: true, .. })
}
