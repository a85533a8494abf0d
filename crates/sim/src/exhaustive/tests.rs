use std::collections::BTreeSet;

use inventory_core::decide::{InventoryCommand, Touched};
use inventory_core::reservation::{Reservation, ReservationState};
use orders_core::status::Status;

use super::actors;
use super::batch::Item;
use super::bounds::{Bounds, ONE_ORDER, TWO_ORDERS, USUAL};
use super::model::Model;
use super::requests::{Ask, Request};
use super::search::{Explored, explore};
use super::shell::Shell;

const NO_LIMIT: u32 = u32::MAX - 1;
const REPLICAS_THAT_RACE: Bounds = Bounds { twins: true, batch: 2, busy: 2, ..ONE_ORDER };
const LOCKS: Bounds = Bounds { locks: true, busy: 2, ..ONE_ORDER };

/// A row enters the table when it is reached, so a missing row was not reached.
#[test]
fn every_state_of_orders_and_reservations_is_reached() {
    let model = whole(TWO_ORDERS).model;
    let statuses: BTreeSet<_> = model.orders.rows().iter().map(|row| row.order.status()).collect();
    use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received, Rejected};
    let plain = [Received, Confirmed, Rejected, Cancelling, Cancelled, Fulfilling, Fulfilled];
    assert!(statuses.into_iter().eq(plain));
    let has = |what: fn(&Reservation) -> bool| model.stock.reservations().iter().any(what);
    assert!(has(|found| found.state() == ReservationState::Reserved));
    assert!(has(|found| found.state() == ReservationState::Rejected));
    assert!(has(|found| found.state() == ReservationState::Shipped));
    let released = |found: &Reservation| found.state() == ReservationState::Released;
    let after = |before: fn(&Reservation) -> bool| {
        model.stock.reservations().iter().any(|found| released(found) && before(found))
    };
    assert!(after(|found| found.holdings.is_empty() && found.rejection.is_none()), "a tombstone");
    assert!(after(|found| !found.holdings.is_empty()));
    assert!(after(|found| found.rejection.is_some()));
}

/// Every request and message that can meet an order or a reservation in each of its states. Missing
/// are cells that no history reaches: an order is either cancelled or fulfilled, its placement is
/// answered in one way, and Inventory answers a revision after it was sent.
#[test]
fn every_cell_of_both_tables_is_reached() {
    let model = whole(TWO_ORDERS).model;
    let of_orders = model.orders.single_batches().filter_map(|(code, rows)| {
        let (order, command) = described(code, &model)?;
        let row = model.orders.row(rows[usize::from(order)])?;
        Some(format!("{} {command}", row.order.status().as_str()))
    });
    let expected = [
        "received: cancel, fulfill, StockAllocated 1 allocated, StockAllocated 1 short",
        "confirmed: cancel, fulfill, StockAllocated 1 allocated",
        "rejected: cancel, fulfill, StockAllocated 1 short",
        "cancelling: cancel, fulfill, StockAllocated 1 allocated, StockAllocated 1 short, \
         StockAllocated 2 nothing",
        "cancelled: cancel, fulfill, StockAllocated 1 allocated, StockAllocated 1 short, \
         StockAllocated 2 nothing",
        "fulfilling: cancel, fulfill, StockAllocated 1 allocated, StockAllocated 2 allocated",
        "fulfilled: cancel, fulfill, StockAllocated 1 allocated, StockAllocated 2 allocated",
    ];
    assert_eq!(of_orders.collect::<BTreeSet<_>>(), cells(&expected));
    let of_stock = model.stock.single_batches().filter_map(|(code, reservations)| {
        let (order, command) = described(code, &model)?;
        let found = model.stock.reservation(reservations[usize::from(order)]);
        Some(format!("{} {command}", found.map_or("none", |found| found.state().as_str())))
    });
    let expected = [
        "none: AllocateStock 1 place, AllocateStock 2 cancel",
        "reserved: AllocateStock 1 place, AllocateStock 2 cancel, AllocateStock 2 fulfill",
        "rejected: AllocateStock 1 place, AllocateStock 2 cancel",
        "released: AllocateStock 1 place, AllocateStock 2 cancel",
        "shipped: AllocateStock 1 place, AllocateStock 2 fulfill",
    ];
    assert_eq!(of_stock.collect::<BTreeSet<_>>(), cells(&expected));
}

/// Every status is reached once orders are paid and changed, and what Inventory knows of them.
#[test]
fn every_status_of_an_order_that_waits_for_its_payment_is_reached() {
    let asks: &[Ask] = &[Ask::Pay, Ask::Expire, Ask::ShipMug];
    let model = whole(Bounds { asks, ..ONE_ORDER }).model;
    let statuses: BTreeSet<_> = model.orders.rows().iter().map(|row| row.order.status()).collect();
    let missing: Vec<_> =
        Status::ALL.into_iter().filter(|status| !statuses.contains(status)).collect();
    assert_eq!(missing, [Status::Rejected], "there is stock for one order");
    let owed = |status| {
        let mut rows = model.orders.rows().iter().filter(|row| row.order.status() == status);
        rows.any(|row| row.told.refund_due() > 0)
    };
    assert!(owed(Status::Cancelled) && !owed(Status::Confirmed));
}

#[test]
fn every_request_is_asked_within_the_usual_bounds() {
    let always = [Ask::Cancel, Ask::Fulfill];
    let asked: BTreeSet<_> = USUAL.iter().flat_map(|bounds| bounds.asks).chain(&always).collect();
    assert!(asked.into_iter().eq(&Ask::ALL), "in the order of all");
}

/// What comes back is counted once, and where Inventory has a location for it.
#[test]
fn units_that_came_back_are_booked() {
    let asks: &[Ask] = &[Ask::ShipMug, Ask::ReturnElsewhere];
    let model = whole(Bounds { asks, ..ONE_ORDER }).model;
    let mut returns = model.stock.reservations().iter().flat_map(|found| &found.returns);
    let back = returns.next().expect("it is reached");
    assert_eq!((back.units.location_id.as_str(), back.booked_at.as_str()), ("nowhere", "main"));
    assert_eq!((back.units.quarantined, back.movements.len()), (1, 1));
}

/// The order that a command of this code is about, and the command without it. `None` for a
/// placement and a delivery.
fn described(code: u8, model: &Model) -> Option<(u8, String)> {
    let orders = [actors::FIRST, actors::TWIN, actors::OTHER];
    let text = match code.checked_sub(Item::Message(0).code()) {
        Some(number) => model.messages.name(number),
        None => {
            let of = |order| Ask::ALL.into_iter().map(move |ask| Request::Ask(order, ask));
            let mut requests = orders.into_iter().flat_map(of);
            requests.find(|request| request.code() == code)?.describe()
        }
    };
    let order = orders
        .into_iter()
        .find(|order| text.split(' ').any(|word| word == actors::name(*order)))?;
    Some((order, text.replacen(&format!(" {}", actors::name(order)), "", 1)))
}

fn cells(rows: &[&str]) -> BTreeSet<String> {
    let cells = rows.iter().flat_map(|row| {
        let (state, commands) = row.split_once(": ").expect("a state and its commands");
        commands.split(", ").map(move |command| format!("{state} {command}"))
    });
    cells.collect()
}

fn whole(bounds: Bounds) -> Explored {
    let explored = explore(bounds, Shell::RIGHT, NO_LIMIT);
    assert!(explored.found.is_none(), "{:?}", explored.found);
    assert_eq!(explored.left_over, 0);
    explored
}

/// Two mugs come from two locations: the facts have two allocations of one product, and what is
/// shipped names both.
#[test]
fn an_order_is_split_over_locations() {
    let model = whole(ONE_ORDER).model;
    let shipped = |found: &&Reservation| found.state() == ReservationState::Shipped;
    let reservation = model.stock.reservations().iter().find(shipped).expect("it is reached");
    let keys = reservation.holdings.iter();
    let keys: Vec<_> =
        keys.map(|holding| (holding.product_id.as_str(), holding.location_id.as_str())).collect();
    assert_eq!(keys, [("MUG", "back"), ("MUG", "main"), ("TEE", "main")]);
}

#[test]
fn one_order_on_replicas_that_race_keeps_every_invariant() {
    assert!(whole(REPLICAS_THAT_RACE).states > 50_000);
}

#[test]
fn two_orders_for_one_unit_keep_every_invariant_and_every_run_explores_the_same() {
    let (first, second) = (whole(TWO_ORDERS), whole(TWO_ORDERS));
    assert!(first.states > 50_000);
    assert_eq!(
        (first.states, first.steps, first.depth),
        (second.states, second.steps, second.depth)
    );
}

#[test]
fn wider_bounds_hold_all_that_narrower_ones_do() {
    let states = |busy, batch, receives| {
        whole(Bounds { twins: true, receives, batch, busy, ..ONE_ORDER }).states
    };
    assert!(states(1, 1, 0) < states(1, 2, 0));
    assert!(states(1, 2, 0) < states(1, 2, 1));
    assert!(states(1, 1, 0) < states(2, 1, 0));
}

#[test]
fn a_limit_leaves_states_over_and_says_so() {
    let explored = explore(TWO_ORDERS, Shell::RIGHT, 1000);
    assert!(
        explored.states >= 1000 && explored.left_over > 0 && explored.found.is_none(),
        "{explored:?}"
    );
}

/// Without a product to lock, two replicas decide about one order at the same time. The second one
/// finds the row of the first one when it writes (R11).
#[test]
fn a_placement_and_its_cancellation_at_once_run_one_of_them_again() {
    assert_eq!(whole(LOCKS).model.stock.runs_again(), 0, "known products are locked");
    let model = whole(Bounds { unknown: true, ..LOCKS }).model;
    assert!(model.stock.runs_again() > 0);
    let states = model.stock.reservations().iter().map(Reservation::state);
    let states: BTreeSet<_> = states.collect();
    let expected = [ReservationState::Rejected, ReservationState::Released];
    assert!(states.into_iter().eq(expected));
}

/// A command locks every product of its order, wanted or not, so that all commands of an order wait
/// for each other, and for those of other orders for the same goods (R11, R20).
#[test]
fn a_transaction_that_locks_too_little_is_found() {
    let nothing: fn(&[InventoryCommand]) -> Touched = |_| Touched::default();
    let wanted_alone: fn(&[InventoryCommand]) -> Touched = |batch| {
        let mut touched = Touched::by(batch);
        let wanted = |command: &InventoryCommand| match command {
            InventoryCommand::Allocate(command) => command.intent.wanted.total() > 0,
            _ => true,
        };
        if !batch.iter().any(wanted) {
            touched.products.clear();
        }
        touched
    };
    for (locks, steps) in [(nothing, 6), (wanted_alone, 16)] {
        let bounds = Bounds { receives: 1, ..LOCKS };
        let explored = explore(bounds, Shell { locks, ..Shell::RIGHT }, NO_LIMIT);
        let found = explored.found.expect("it is found");
        assert_eq!((found.violation.invariant, found.trace.len()), ("R11", steps), "{found:#?}");
    }
}
