//! Mistakes in the shell around the deciders, as the exhaustive search models it.

use orders_core::decide::{LoadedOrders, decide};

use crate::exhaustive::bounds::Bounds;
use crate::exhaustive::messages::Messages;
use crate::exhaustive::orders_database::LATER_MICROS;
use crate::exhaustive::requests::{Request, order_command};
use crate::exhaustive::state::State;

/// A client gets the answer to its order as soon as the order waits for its commit.
pub(super) fn answer_before_commit(
    state: &mut State,
    request: Request,
    _: &mut Messages,
    _: Bounds,
) {
    if let Request::Place(order) = request {
        state.acknowledged |= 1 << order;
    }
}

/// A command is published as soon as its order waits for its commit.
pub(super) fn publish_before_commit(
    state: &mut State,
    request: Request,
    messages: &mut Messages,
    bounds: Bounds,
) {
    if let Request::Place(_) = request {
        let batch = [order_command(request, bounds, 0)];
        let decision = decide(LATER_MICROS, &batch, LoadedOrders::default());
        let published = decision.decided.into_iter().filter_map(|one| one.publish);
        state.sent |= published.map(|command| messages.command(command)).sum::<u128>();
    }
}

/// The sweeper publishes nothing of what it has leased.
pub(super) fn sweeper_stops(_: u128) -> u128 {
    0
}
