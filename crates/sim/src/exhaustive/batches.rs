//! What a replica may decide in one transaction: what waits there, and what the network brings just then.

use std::rc::Rc;

use super::cast::{Batch, Item};
use super::hand::Hand;
use super::hash::QuickMap;
use super::model::{Model, batch_of};
use super::state::{IDLE, IDS, Level, NOTHING, REPLICAS, State};
use super::step::{Deed, Step};
use super::wire;

/// Batches by all that they depend on: one service's rows, a hand, and the messages for the service.
pub(super) type Known = QuickMap<State, Rc<[Batch]>>;

impl Model {
    /// **Shape:** of batches that come to the same, the first; of messages that change nothing, none.
    pub(super) fn batches(&mut self, state: &State, replica: u8, hand: &Hand) -> Rc<[Batch]> {
        let seen = self.seen(state, replica);
        if let Some(batches) = self.batches.get(&seen) {
            return batches.clone();
        }
        let batches: Rc<[Batch]> = self.different(&seen, replica, hand).into();
        self.batches.insert(seen, batches.clone());
        batches
    }

    /// The part of a state that a replica's transaction depends on, told apart by service.
    fn seen(&self, state: &State, replica: u8) -> State {
        let mut hands = [IDLE; REPLICAS];
        if replica < 2 {
            hands[0] = state.hands[usize::from(replica)];
            let (reservations, level) = ([NOTHING; IDS], Level::default());
            let sent = self.wire.answers(state.sent);
            State { reservations, level, ledger: level, received: 0, told: 0, sent, hands, ..*state }
        } else {
            hands[2] = state.hands[usize::from(replica)];
            let sent = self.wire.commands(state.sent);
            State { orders: [NOTHING; IDS], told: 1, sent, hands, ..*state }
        }
    }

    fn different(&mut self, seen: &State, replica: u8, hand: &Hand) -> Vec<Batch> {
        let (mut batches, mut outcomes) = (Vec::new(), Vec::new());
        let unpublished = State { sent: 0, hands: [IDLE; REPLICAS], ..*seen };
        for batch in possible(hand, seen.sent, self.bounds.batch) {
            let mut after = unpublished;
            let step = Step { replica, deed: Deed::Commit(batch) };
            let outcome = self.commit(&mut after, step, *hand, batch).map(|hand| (after, hand));
            let matters = hand.holds() > 0 || outcome != Ok((unpublished, Hand::default()));
            if matters && !outcomes.contains(&outcome) {
                outcomes.push(outcome);
                batches.push(batch);
            }
        }
        batches
    }
}

/// Requests that wait, alone or with a message before or behind them; else one message or two, the same twice too.
fn possible(hand: &Hand, messages: u32, most: usize) -> Vec<Batch> {
    let messages = || wire::numbers(messages).map(Item::Message).map(Some);
    let waiting = batch_of(hand);
    let mut batches = Vec::new();
    match hand.holds() {
        0 => {
            batches.extend(messages().map(|message| [message, None]));
            if most > 1 {
                batches.extend(messages().flat_map(|first| messages().map(move |second| [first, second])));
            }
        }
        1 if most > 1 => {
            batches.push(waiting);
            batches.extend(messages().flat_map(|message| [[waiting[0], message], [message, waiting[0]]]));
        }
        _ => batches.push(waiting),
    }
    batches
}
