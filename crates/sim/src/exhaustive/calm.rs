//! INV-7, its second half: from every state, a settled one is reached without further faults, and without a single
//! message of before: the network may have lost them all.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::cast::{self, Item};
use super::hand::Hand;
use super::hash::Quick;
use super::model::{Model, batch_of};
use super::state::{IDLE, REPLICAS, State};
use super::step::{Deed, Step};
use super::wire;
use crate::states::{Violation, broken};

/// More rounds than any order needs: its command is sent again, carried out, answered, and the answer taken in.
const ROUNDS: usize = 8;

/// From where a settled state was reached, with idle replicas and an empty network.
#[derive(Debug, Default)]
pub(super) struct Calm {
    settles: HashSet<State, BuildHasherDefault<Quick>>,
}

impl Calm {
    /// **Errors:** the system stays unsettled.
    pub(super) fn check(&mut self, model: &mut Model, state: &State) -> Result<(), Violation> {
        // Another promise that breaks on the way is found by the search, which comes by there with the whole story.
        match self.settle(model, state) {
            Ok(Some(stuck)) => {
                broken("INV-7", format!("from here on nothing settles, however often it is sent again: {stuck}"))
            }
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// What is left waiting, if anything is.
    fn settle(&mut self, model: &mut Model, state: &State) -> Result<Option<String>, Violation> {
        let mut now = State { sent: 0, told: 0, ..*state };
        for replica in 0..4 {
            now = finish(model, &now, replica)?;
        }
        debug_assert!(now.hands == [IDLE; REPLICAS] && now.sent == 0, "all is done, and all messages are lost");
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
        let shown = |order: u8, place: usize| {
            let row = model.orders.row(now.orders[place])?;
            row.pending.map(|_| format!("order {} is {}", cast::name(order), row.order.status.as_str()))
        };
        let stuck: Vec<_> = cast::orders().filter_map(|(order, place)| shown(order, place)).collect();
        Ok(Some(stuck.join(", ")))
    }
}

/// The replica commits what it holds, and sends and tells what it has to.
fn finish(model: &mut Model, now: &State, replica: u8) -> Result<State, Violation> {
    let mut now = *now;
    loop {
        let hand = model.hand(&now, replica);
        let deed = if hand.outbox != 0 {
            Deed::Publish
        } else if hand.untold[0].is_some() {
            Deed::Tell
        } else if hand.holds() > 0 {
            Deed::Commit(batch_of(&hand))
        } else if hand == Hand::default() {
            // What was published just now is lost: nothing here relies on it.
            return Ok(State { sent: 0, told: 0, ..now });
        } else {
            Deed::Crash
        };
        now = model.after(&now, Step { replica, deed })?;
    }
}

/// An order that waits for an answer.
fn waiting(model: &Model, now: &State) -> Option<u8> {
    let is_waiting = |place: usize| model.orders.row(now.orders[place]).is_some_and(|row| row.pending.is_some());
    cast::orders().find(|(_, place)| is_waiting(*place)).map(|(order, _)| order)
}

/// The order's command is sent again, and both services do what follows.
fn see_through(model: &mut Model, now: &State, order: u8) -> Result<State, Violation> {
    let mut now = model.after(now, Step { replica: 0, deed: Deed::Lease(order) })?;
    for (replica, receiver) in [(0, 2), (2, 0)] {
        now = publish(model, &now, replica)?;
        for message in wire::numbers(std::mem::take(&mut now.sent)) {
            now = model
                .after(&now, Step { replica: receiver, deed: Deed::Commit([Some(Item::Message(message)), None]) })?;
        }
    }
    Ok(now)
}

fn publish(model: &mut Model, now: &State, replica: u8) -> Result<State, Violation> {
    model.after(now, Step { replica, deed: Deed::Publish })
}
