//! What every engine owes the Inventory Service: one named test per law and engine.

use std::pin::Pin;
use std::sync::Arc;

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use contract::{
    Allocation, Allocations, Digest, Intent, LocationId, OrderId, ProductId, Quantity, Revision,
    Wanted,
};
use inventory_core::admin::Requester;
use inventory_core::decide::{
    Change, DecidedInventory, ImportRow, InventoryCommand, InventoryOutcome, MovementRequest,
    Precondition, PutLocation, PutProduct, decide,
};
use inventory_core::reservation::Reservation;
use inventory_core::stock::{Location, Movement, RequestCause, RequestId};
use platform::admin::AdminLog;
use platform::clock::{ManualClock, Timestamp};
use platform::failure::Failure;
use platform::journal::Journal;
use platform::quarantine::QuarantineTable;

use changing::{Revised, revise};

use super::{MovementFilter, StockAuditStore, StockFeedStore, StockStore};

pub(crate) mod admin_log;
pub(crate) mod auditing;
pub(crate) mod changing;
pub(crate) mod damage;
pub(crate) mod deciding;
pub(crate) mod feeding;
pub(crate) mod guarding;
pub(crate) mod holding;
pub(crate) mod importing;
pub(crate) mod quarantining;
pub(crate) mod reading;

/// Runs every law on what `$fresh()` makes: an empty store, whatever keeps it alive, and the clock
/// that it reads.
macro_rules! store_laws {
    ($fresh:path) => {
        $crate::store::laws::store_laws!($fresh:
            deciding::a_new_store_has_one_location_and_nothing_else
            deciding::a_reservation_reads_back_with_its_holdings_and_its_evidence
            deciding::a_rejection_cites_every_location_of_its_product
            deciding::every_path_of_a_reservation_reads_back_and_answers_the_same_again
            deciding::commands_of_a_batch_are_decided_in_order
            deciding::a_movement_reads_back_with_all_members_of_its_request
            deciding::a_request_moves_stock_once_however_often_it_comes
            deciding::movements_form_one_chain_per_stock_key_and_one_per_product
            deciding::a_command_that_names_other_products_than_its_order_is_an_anomaly
            deciding::the_largest_order_is_reserved_shipped_and_read_back
            deciding::sixteen_deciders_with_crossed_products_neither_oversell_nor_deadlock
            deciding::no_more_locations_are_created_than_the_maximum_however_many_ask_at_once
            changing::an_order_is_shipped_in_parts_and_taken_back
            changing::what_came_back_reads_back_with_where_it_is_booked
            changing::an_order_that_is_placed_shipped_and_returned_in_one_batch_reads_back
            changing::what_is_wanted_no_more_is_released_from_the_last_location
            changing::an_order_that_asks_again_gets_everything_or_a_shortage_of_its_own
            changing::quarantined_units_read_back_wherever_stock_is_shown
            changing::a_product_is_low_on_stock_if_its_units_are_quarantined
            feeding::every_movement_is_covered_by_one_entry_of_the_journal_in_its_order
            feeding::what_moves_nothing_makes_no_entry
            feeding::the_journal_reads_the_same_from_every_position_in_pages_of_any_size
            feeding::the_journal_is_whole_while_it_is_numbered_and_read_beside_commits
            feeding::an_audit_beside_commits_and_numbers_raises_no_alarm
            feeding::whatever_is_wrong_with_the_journal_is_named
            importing::a_row_of_an_import_reads_back_with_the_product_that_it_created
            importing::a_batch_of_rows_is_counted_once_and_a_refused_row_changes_nothing
            importing::the_admin_log_has_an_import_as_a_whole
            guarding::a_batch_is_written_whole_or_not_at_all
            guarding::a_ledger_that_would_fork_is_refused
            guarding::a_reservation_moves_only_from_the_revision_that_the_decision_saw
            guarding::a_decision_that_oversells_is_refused_by_the_database
            guarding::a_decision_that_sells_quarantined_units_is_refused_by_the_database
            guarding::a_decision_about_what_does_not_exist_is_refused
            guarding::a_panicking_decider_leaves_nothing_behind_and_the_store_working
            reading::products_are_listed_by_id_and_complete_page_by_page
            reading::products_are_found_by_id_or_name_in_any_case
            reading::products_are_found_by_a_list_of_ids
            reading::products_low_on_stock_are_found_over_all_locations
            reading::a_ledger_is_newest_first_and_complete_page_by_page
            reading::a_ledger_follows_what_happened_whatever_the_clock_does
            reading::a_page_that_begins_in_another_ledger_is_empty
            reading::locations_are_listed_in_the_order_in_which_they_serve
            reading::quarantine_counts_repeats_and_keeps_neighbours
            reading::a_full_quarantine_keeps_what_it_has
            holding::the_holders_of_a_product_add_up_to_what_is_reserved
            holding::units_that_are_taken_back_are_held_again
            holding::a_page_of_holders_looks_at_a_bounded_part_of_the_ledger
            holding::holders_are_complete_while_units_move_between_pages
            quarantining::entries_are_listed_by_their_last_repeat_page_by_page
            quarantining::an_entry_is_discarded_until_it_comes_again
            quarantining::what_was_discarded_first_makes_room_in_a_full_quarantine
            admin_log::the_admin_log_has_what_people_changed_and_who_did_it
            admin_log::the_admin_log_is_complete_page_by_page
            admin_log::a_repair_is_in_the_admin_log_with_the_reservation_before_and_after
            auditing::the_audit_reads_every_reservation_once_in_order
            auditing::the_audit_reads_every_stock_row_with_its_last_movement
            auditing::the_audit_reads_every_movement_with_those_that_it_names
            auditing::rows_that_are_written_while_they_are_read_raise_no_alarm
            auditing::orders_that_change_raise_no_alarm
            auditing::a_step_of_the_audit_reads_no_more_than_it_may
            damage::a_damaged_reservation_fails_its_own_order_and_no_other
            damage::a_damaged_location_fails_what_is_there_and_nothing_else
            damage::a_ledger_with_a_gap_is_not_listed_as_if_it_ended_there
            damage::a_damaged_movement_costs_its_own_entry_of_the_journal
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
    pub(crate) store: Arc<dyn StockStore>,
    pub(crate) audit: Arc<dyn StockAuditStore>,
    pub(crate) feed: Arc<dyn StockFeedStore>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) quarantine: Arc<dyn QuarantineTable>,
    pub(crate) admin_log: Arc<dyn AdminLog>,
    pub(crate) clock: Arc<ManualClock>,
    /// Writes past the constraints of the database.
    pub(crate) damage: Damage,
    /// Dropped last: the folder or the server that the store lives in.
    pub(crate) _home: Box<dyn std::any::Any + Send + Sync>,
}

/// Executes SQL without constraints and triggers.
pub(crate) type Damage =
    Box<dyn Fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub(crate) const START: Timestamp = Timestamp(1_795_804_200_000_000);

/// As the committer does: what is not done, and may be later, is repeated.
pub(crate) async fn run_until_done(
    store: &dyn StockStore,
    batch: Arc<[InventoryCommand]>,
) -> Vec<DecidedInventory> {
    loop {
        match store.run(batch.clone(), decide).await {
            Ok(decided) => return decided,
            Err(Failure::Busy(_) | Failure::Unavailable(_)) => {}
            Err(failure) => panic!("{}", platform::failure::Chain(&failure)),
        }
    }
}

impl Fresh {
    pub(crate) async fn run(&self, batch: Vec<InventoryCommand>) -> Vec<DecidedInventory> {
        run_until_done(&*self.store, batch.into()).await
    }

    /// Executes the SQL past all constraints. In it, `{order 7}` stands for the id of an order, and
    /// `{MUG}` for the number of a product.
    pub(crate) async fn damage(&self, sql: &str) {
        (self.damage)(sql.to_owned()).await;
    }

    /// On hand and reserved of all locations, by location.
    async fn levels(&self, name: &str) -> Vec<(String, i64, i64)> {
        let stock = self.store.product(product(name)).await.expect("a read");
        let levels = stock.map(|stock| stock.levels).unwrap_or_default();
        levels
            .into_iter()
            .map(|(location, level)| (location.to_string(), level.on_hand, level.reserved))
            .collect()
    }

    /// Newest first.
    async fn ledger(&self, name: &str) -> Vec<Movement> {
        let filter = MovementFilter {
            product_id: product(name),
            location_id: None,
            from: None,
            limit: 1000,
        };
        self.store.movements(filter).await.expect("a read")
    }

    async fn reservation(&self, n: u128) -> Reservation {
        self.store.reservation(id(n)).await.expect("a read").expect("a reservation")
    }
}

/// Replaces the placeholders of [`Fresh::damage`]. Other text in braces, such as JSON, stays.
pub(crate) fn with_ids(sql: &str, order_literal: fn(OrderId) -> String) -> String {
    let mut done = String::new();
    let mut rest = sql;
    while let Some((before, behind)) = rest.split_once('{') {
        done.push_str(before);
        let name = behind.split('}').next().expect("one part at least");
        let number = name.strip_prefix("order ").and_then(|number| number.parse().ok());
        match number {
            Some(number) => done.push_str(&order_literal(id(number))),
            None if contract::is_id(name) => done.push_str(&format!(
                "(SELECT product_no FROM products WHERE product_id = '{name}')"
            )),
            None => {
                done.push('{');
                rest = behind;
                continue;
            }
        }
        rest = &behind[name.len() + 1..];
    }
    done + rest
}

pub(crate) fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

pub(crate) fn product(name: &str) -> ProductId {
    name.parse().expect("an id")
}

pub(crate) fn location(name: &str) -> LocationId {
    name.parse().expect("an id")
}

pub(crate) fn put(name: &str) -> InventoryCommand {
    put_named(name, name, None)
}

fn put_named(id: &str, name: &str, low_stock_at: Option<i64>) -> InventoryCommand {
    InventoryCommand::PutProduct(PutProduct {
        product_id: product(id),
        name: name.to_owned(),
        low_stock_at,
        precondition: Precondition::None,
        requester: Requester::default(),
    })
}

pub(crate) fn put_location(name: &str, priority: u32) -> InventoryCommand {
    let location = Location { location_id: location(name), name: name.to_owned(), priority };
    InventoryCommand::PutLocation(PutLocation {
        location,
        precondition: Precondition::None,
        requester: Requester::default(),
    })
}

pub(crate) fn moved(name: &str, at: &str, change: Change, key: &str) -> InventoryCommand {
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
        requester: Requester::default(),
    }))
}

/// A product and its first units at `main`.
pub(crate) fn stocked(name: &str, units: u32) -> [InventoryCommand; 2] {
    [put(name), received(name, "main", units)]
}

pub(crate) fn received(name: &str, at: &str, units: u32) -> InventoryCommand {
    let change = Change::Receive(quantity(units));
    moved(name, at, change, &format!("{units} {name} at {at}"))
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a quantity")
}

pub(crate) fn wanted(lines: &[(&str, u32)]) -> Wanted {
    let line = |(name, units): &(&str, u32)| (product(name), quantity(*units));
    Wanted::sum(lines.iter().map(line)).expect("lines of an order")
}

pub(crate) fn allocate(n: u128, intent: Intent) -> InventoryCommand {
    let digest = intent.digest();
    InventoryCommand::Allocate(Box::new(AllocateStock::first(id(n), intent, digest, 0)))
}

/// Revision 1 of an order, which wants these units.
pub(crate) fn place(n: u128, lines: &[(&str, u32)]) -> InventoryCommand {
    allocate(n, Intent::placed(wanted(lines)))
}

/// Revision 2 of an order, which wants nothing any more.
pub(crate) fn cancel(n: u128, lines: &[(&str, u32)]) -> InventoryCommand {
    let wanted = wanted(lines).nothing();
    allocate(n, Intent { revision: Revision::FIRST.next(), ..Intent::placed(wanted) })
}

/// Revision 2 of an order, whose units are all at `main` and leave the stock.
pub(crate) fn fulfill(n: u128, lines: &[(&str, u32)]) -> InventoryCommand {
    let wanted = wanted(lines);
    let allocation = |line: &contract::WantedLine| Allocation {
        product_id: line.product_id.clone(),
        location_id: LocationId::main(),
        quantity: quantity(line.quantity),
    };
    let shipped = wanted.iter().map(allocation).collect();
    let shipped = Allocations::sorted(shipped).expect("one allocation per product");
    allocate(n, Intent { revision: Revision::FIRST.next(), shipped, ..Intent::placed(wanted) })
}

/// Order 4, of which two of three tees were shipped and came back to a location that nobody made: one
/// is quarantined, one is written off.
pub(crate) fn a_return() -> Vec<InventoryCommand> {
    let out = Revised { wants: &[("TEE", 2)], ships: &[("TEE", "main", 2)], returns: &[] };
    let back = Revised { returns: &[("TEE", "NOWHERE", [0, 1, 1])], ..out };
    let orders = [place(4, out.wants), revise(4, 2, out), revise(4, 3, back)];
    [stocked("TEE", 3).to_vec(), orders.to_vec()].concat()
}

pub(crate) fn answer(decided: &DecidedInventory) -> &StockAllocated {
    decided.publish.as_ref().expect("an answer")
}

pub(crate) fn is_allocated(decided: &DecidedInventory) -> bool {
    !answer(decided).facts.allocated.is_empty()
}

pub(crate) fn is_rejected(decided: &DecidedInventory) -> bool {
    !answer(decided).facts.shortages.is_empty()
}

pub(crate) fn is_replay(decided: &DecidedInventory) -> bool {
    matches!(decided.outcome, InventoryOutcome::Moved { replayed: true, .. })
}
