use std::collections::BTreeSet;

use inventory_core::reservation::{Before, State as Stand, StateName};
use orders_core::order::Status;
use platform::fault;

use super::bounds::{Bounds, USUAL, of};
use super::mistakes::first_found;
use super::model::Model;
use super::search::{Explored, explore};
use super::state::State;
use crate::mistakes::{ALL, Place};
use crate::states::Violation;

const NO_LIMIT: u32 = u32::MAX - 1;
const ONE_ORDER: Bounds = of(1, true, 1, 0, 2, 2);
const TWO_ORDERS: Bounds = of(2, false, 1, 0, 1, 1);

/// Rows are written down when they are met, so what was not reached is not there.
#[test]
fn every_state_of_both_tables_is_reached() {
    let model = whole(TWO_ORDERS).model;
    let statuses: BTreeSet<_> = model.orders.rows().iter().map(|row| row.order.status).collect();
    assert!(statuses.into_iter().eq(Status::ALL));
    let stands: BTreeSet<_> = model.stock.reservations().iter().map(|found| found.state.name()).collect();
    assert!(stands.into_iter().eq(StateName::ALL));
    let was_released_from = |before: fn(&Before) -> bool| {
        model.stock.reservations().iter().any(|found| matches!(&found.state, Stand::Released(from) if before(from)))
    };
    assert!(was_released_from(|before| matches!(before, Before::Absent)));
    assert!(was_released_from(|before| matches!(before, Before::Reserved(_))));
    assert!(was_released_from(|before| matches!(before, Before::Rejected(_))));
}

fn whole(bounds: Bounds) -> Explored {
    let explored = explore(bounds, NO_LIMIT);
    assert!(explored.found.is_none(), "{:?}", explored.found);
    assert_eq!(explored.left_over, 0);
    explored
}

#[test]
fn one_order_on_replicas_that_race_keeps_every_promise() {
    assert!(whole(ONE_ORDER).states > 50_000);
}

#[test]
fn two_orders_for_one_unit_keep_every_promise_and_every_run_explores_the_same() {
    let (first, second) = (whole(TWO_ORDERS), whole(TWO_ORDERS));
    assert!(first.states > 50_000);
    assert_eq!((first.states, first.steps, first.depth), (second.states, second.steps, second.depth));
}

#[test]
fn wider_bounds_hold_all_that_narrower_ones_do() {
    let states = |busy, batch, receives| whole(of(1, true, 1, receives, batch, busy)).states;
    assert!(states(1, 1, 0) < states(1, 2, 0));
    assert!(states(1, 2, 0) < states(1, 2, 1));
    assert!(states(1, 1, 0) < states(2, 1, 0));
}

/// What each mistake breaks, and in how few steps.
#[test]
fn every_planted_mistake_within_reach_is_found_by_its_shortest_story() {
    let expected = [
        ("answer_before_commit", "INV-6", 1),
        ("unknown_is_failed", "INV-6", 2),
        ("publish_before_commit", "INV-5", 2),
        ("sweeper_stops", "INV-7", 1),
        ("no_tombstone", "INV-5", 8),
        ("release_twice", "R11", 8),
        ("stock_read_before_lock", "R11", 9),
        ("deltas_not_summed", "INV-1", 7),
        ("forgets_answers", "INV-3", 5),
        ("no_compare_and_set", "INV-4", 7),
        ("everything_rejected", "INV-8", 4),
    ];
    let within_reach = ALL.iter().filter(|mistake| !matches!(mistake.place, Place::Beyond(_)));
    assert!(within_reach.map(|mistake| mistake.name).eq(expected.map(|(name, ..)| name)));
    for (name, promise, steps) in expected {
        let (_, found) = first_found(name, &USUAL, NO_LIMIT).expect(name);
        assert_eq!((found.violation.promise, found.story.len()), (promise, steps), "{name}: {found:#?}");
    }
}

/// Compared with a search that remembers nothing, and so can miss no way that is shorter.
#[test]
fn no_story_is_longer_than_it_has_to_be() {
    for name in ["unknown_is_failed", "publish_before_commit", "everything_rejected"] {
        let (_, found) = first_found(name, &USUAL, NO_LIMIT).expect(name);
        fault::plant(Some(name));
        let mut model = Model::new(USUAL[0]);
        let start = model.start();
        let length = (1..).find(|length| is_broken_within(&mut model, &start, *length));
        fault::plant(None);
        assert_eq!(length, Some(found.story.len()), "{name}");
    }
}

fn is_broken_within(model: &mut Model, state: &State, steps: usize) -> bool {
    let mut possible = Vec::new();
    model.steps(state, &mut possible);
    possible.into_iter().any(|step| match model.after(state, step) {
        Ok(next) => model.check(&next).is_err() || steps > 1 && is_broken_within(model, &next, steps - 1),
        Err(Violation { .. }) => true,
    })
}

#[test]
fn a_story_tells_who_did_what_and_what_came_of_it() {
    let (_, found) = first_found("everything_rejected", &USUAL, NO_LIMIT).expect("it is found");
    let told = [
        "orders-1 gets place A",
        "orders-1 commits [place A] → order A is received",
        "orders-1 publishes → ReserveStock A",
        "inventory-1 commits [ReserveStock A]",
    ];
    assert_eq!(found.story, told);
    assert_eq!(found.violation.what, "order A is rejected: it wanted 1, and 1 were there");
}

#[test]
fn a_limit_leaves_states_over_and_says_so() {
    let explored = explore(TWO_ORDERS, 1000);
    assert!(explored.states >= 1000 && explored.left_over > 0 && explored.found.is_none(), "{explored:?}");
}
