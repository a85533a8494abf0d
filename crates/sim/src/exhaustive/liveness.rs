//! The second half of INV-7 (liveness): every state leads to a settled state without further faults
//! and without any message sent before, because the network may have lost all of them.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::actors;
use super::batch::Item;
use super::hash::Quick;
use super::local::Local;
use super::messages;
use super::model::Model;
use super::state::{IDLE, REPLICAS, State};
use super::transition::{Action, Transition};
use crate::states::{Violation, broken};

/// More rounds than any order needs. In each, a command is sent again, executed and answered, and
/// the order settled.
const ROUNDS: usize = 8;

/// The states, with idle replicas and an empty network, from which a settled state was reached.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    settles: HashSet<State, BuildHasherDefault<Quick>>,
}

impl Liveness {
    /// Checks that the system settles from this state.
    ///
    /// # Errors
    ///
    /// Returns a violation if the system does not settle.
    pub(super) fn check(&mut self, model: &mut Model, state: &State) -> Result<(), Violation> {
        // An invariant that breaks on the way is reported by the search, with the whole path.
        match self.settle(model, state) {
            Ok(Some(stuck)) => broken(
                "INV-7",
                format!("from here on nothing settles, however often it is sent again: {stuck}"),
            ),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// The orders that still wait after all rounds, if there are any.
    fn settle(&mut self, model: &mut Model, state: &State) -> Result<Option<String>, Violation> {
        let mut now = State { sent: 0, acknowledged: 0, ..*state };
        for replica in 0..4 {
            now = finish(model, &now, replica)?;
        }
        debug_assert!(now.locals == [IDLE; REPLICAS] && now.sent == 0, "all is done or lost");
        let start = now;
        if self.settles.contains(&start) {
            return Ok(None);
        }
        for _ in 0..ROUNDS {
            let Some(order) = waiting(model, &now) else {
                self.settles.insert(start);
                return Ok(None);
            };
            now = see_through(model, &now, order)?;
        }
        let describe = |order: u8, index: usize| {
            let row = model.orders.row(now.orders[index])?;
            let status = row.order.status().as_str();
            row.pending.map(|_| format!("order {} is {status}", actors::name(order)))
        };
        let stuck = actors::orders().filter_map(|(order, index)| describe(order, index));
        Ok(Some(stuck.collect::<Vec<_>>().join(", ")))
    }
}

/// Lets the replica commit its held requests, and then publish and answer.
fn finish(model: &mut Model, now: &State, replica: u8) -> Result<State, Violation> {
    let mut now = *now;
    loop {
        let local = model.local(&now, replica);
        let action = if local.outbox != 0 {
            Action::Publish
        } else if local.replies[0].is_some() {
            Action::Reply
        } else if local.holds() > 0 {
            Action::Commit(local.batch())
        } else if local == Local::default() {
            // The messages just published are lost: settling must not depend on them.
            return Ok(State { sent: 0, acknowledged: 0, ..now });
        } else {
            Action::Crash
        };
        now = model.after(&now, Transition { replica, action })?;
    }
}

/// An order that waits for an answer.
fn waiting(model: &Model, now: &State) -> Option<u8> {
    let row = |index: usize| model.orders.row(now.orders[index]);
    let is_waiting = |index: usize| row(index).is_some_and(|row| row.pending.is_some());
    actors::orders().find(|(_, index)| is_waiting(*index)).map(|(order, _)| order)
}

/// Sends the order's command again, and lets both services carry it through.
fn see_through(model: &mut Model, now: &State, order: u8) -> Result<State, Violation> {
    let lease = Transition { replica: 0, action: Action::Lease(order) };
    let mut now = model.after(now, lease)?;
    for (sender, receiver) in [(0, 2), (2, 0)] {
        now = model.after(&now, Transition { replica: sender, action: Action::Publish })?;
        for message in messages::numbers(std::mem::take(&mut now.sent)) {
            let action = Action::Commit([Some(Item::Message(message)), None]);
            now = model.after(&now, Transition { replica: receiver, action })?;
        }
    }
    Ok(now)
}
