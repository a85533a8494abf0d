//! The batches that a replica may decide in one transaction: its waiting requests, and the messages
//! that the network delivers at that moment.

use std::rc::Rc;

use super::batch::{Batch, Item};
use super::local::Local;
use super::messages;
use super::model::Model;
use super::state::{IDLE, IDS, NOTHING, REPLICAS, State, Stock};
use super::transition::{Action, Transition};

impl Model {
    /// The batches of a replica. Of several batches with the same effect, only the first is kept. A
    /// batch of messages that changes nothing is left out.
    pub(super) fn batches(&mut self, state: &State, replica: u8, local: &Local) -> Rc<[Batch]> {
        let seen = self.seen(state, replica);
        if let Some(batches) = self.batches.get(&seen) {
            return batches.clone();
        }
        let batches: Rc<[Batch]> = self.distinct(&seen, replica, local).into();
        self.batches.insert(seen, batches.clone());
        batches
    }

    /// The part of a state that a replica's transaction depends on. It differs by service.
    fn seen(&self, state: &State, replica: u8) -> State {
        let mut locals = [IDLE; REPLICAS];
        if replica < 2 {
            locals[0] = state.locals[usize::from(replica)];
            let sent = self.messages.answers(state.sent);
            State { orders: state.orders, acknowledged: 0, stock: Stock::default(), sent, locals }
        } else {
            locals[2] = state.locals[usize::from(replica)];
            let sent = self.messages.commands(state.sent);
            State { orders: [NOTHING; IDS], acknowledged: 1, stock: state.stock, sent, locals }
        }
    }

    fn distinct(&mut self, seen: &State, replica: u8, local: &Local) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut outcomes = Vec::new();
        let unpublished = State { sent: 0, locals: [IDLE; REPLICAS], ..*seen };
        for batch in possible(local, seen.sent, self.bounds.batch) {
            let mut after = unpublished;
            let transition = Transition { replica, action: Action::Commit(batch) };
            let outcome = self.commit(&mut after, transition, *local, batch);
            let outcome = outcome.map(|local| (after, local));
            let matters = local.holds() > 0 || outcome != Ok((unpublished, Local::default()));
            if matters && !outcomes.contains(&outcome) {
                outcomes.push(outcome);
                batches.push(batch);
            }
        }
        batches
    }
}

/// Waiting requests, alone or with a message before or after them. If no request waits: one
/// message, or two, which may be equal.
fn possible(local: &Local, messages: u128, most: usize) -> Vec<Batch> {
    let messages = || messages::numbers(messages).map(Item::Message).map(Some);
    let waiting = local.batch();
    let mut batches = Vec::new();
    match local.holds() {
        0 => {
            batches.extend(messages().map(|message| [message, None]));
            if most > 1 {
                let pairs = |first| messages().map(move |second| [first, second]);
                batches.extend(messages().flat_map(pairs));
            }
        }
        1 if most > 1 => {
            batches.push(waiting);
            let both = |message| [[waiting[0], message], [message, waiting[0]]];
            batches.extend(messages().flat_map(both));
        }
        _ => batches.push(waiting),
    }
    batches
}
