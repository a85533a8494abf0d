use std::collections::BTreeSet;

use inventory_core::reservation::{Before, State as ReservationState, StateName};
use orders_core::order::Status;

use super::bounds::{Bounds, of};
use super::search::{Explored, explore};
use super::shell::Shell;

const NO_LIMIT: u32 = u32::MAX - 1;
const ONE_ORDER: Bounds = of(1, true, 1, 0, 2, 2);
const TWO_ORDERS: Bounds = of(2, false, 1, 0, 1, 1);

/// A row enters the table when it is reached, so a missing row was not reached.
#[test]
fn every_state_of_both_tables_is_reached() {
    let model = whole(TWO_ORDERS).model;
    let statuses: BTreeSet<_> = model.orders.rows().iter().map(|row| row.order.status).collect();
    assert!(statuses.into_iter().eq(Status::ALL));
    let stands: BTreeSet<_> =
        model.stock.reservations().iter().map(|found| found.state.name()).collect();
    assert!(stands.into_iter().eq(StateName::ALL));
    let was_released_from =
        |before: fn(&Before) -> bool| {
            model.stock.reservations().iter().any(
                |found| matches!(&found.state, ReservationState::Released(from) if before(from)),
            )
        };
    assert!(was_released_from(|before| matches!(before, Before::Absent)));
    assert!(was_released_from(|before| matches!(before, Before::Reserved(_))));
    assert!(was_released_from(|before| matches!(before, Before::Rejected(_))));
}

fn whole(bounds: Bounds) -> Explored {
    let explored = explore(bounds, Shell::RIGHT, NO_LIMIT);
    assert!(explored.found.is_none(), "{:?}", explored.found);
    assert_eq!(explored.left_over, 0);
    explored
}

#[test]
fn one_order_on_replicas_that_race_keeps_every_invariant() {
    assert!(whole(ONE_ORDER).states > 50_000);
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
    let states = |busy, batch, receives| whole(of(1, true, 1, receives, batch, busy)).states;
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
