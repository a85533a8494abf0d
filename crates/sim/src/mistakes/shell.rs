//! Mistakes of what stands around the deciders, as the exhaustive search models it.

use orders_core::decide::{Loaded, decide};

use crate::exhaustive::cast::{self, Request};
use crate::exhaustive::state::State;
use crate::exhaustive::order_book::LATER_MICROS;
use crate::exhaustive::wire::Wire;

/// A client is told of its order as soon as the order waits for its commit.
pub(super) fn answer_before_commit(state: &mut State, request: Request, _: &mut Wire) {
    if let Request::Place(order) = request {
        state.told |= 1 << order;
    }
}

/// A command is published as soon as its order waits for its commit.
pub(super) fn publish_before_commit(state: &mut State, request: Request, wire: &mut Wire) {
    if let Request::Place(_) = request {
        let command = cast::order_command(request);
        let decision = decide(LATER_MICROS, &[command], Loaded::default());
        let messages = decision.decided.into_iter().filter_map(|one| one.publish);
        state.sent |= messages.map(|message| wire.command(message)).sum::<u32>();
    }
}

/// The sweeper publishes nothing of what it has leased.
pub(super) fn sweeper_stops(_: u32) -> u32 {
    0
}
