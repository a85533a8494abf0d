//! Every step that is possible in a state, within the bounds.

use platform::fault;

use super::cast::{self, Batch, FIRST, Item, OTHER, Request, TWIN};
use super::hand::Hand;
use super::model::{Model, batch_of};
use super::order_book::OrderRow;
use super::state::{IDS, NOTHING, REPLICAS, State};
use super::step::{Deed, Step};
use super::wire;

impl Model {
    /// Appends the steps, in a fixed order.
    pub(super) fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let may_begin = state.busy() < self.bounds.busy;
        for (replica, place) in (0..).zip(0..REPLICAS) {
            // What one replica of a service can do, its equal can do as well.
            if place % 2 == 1 && state.hands[place] == state.hands[place - 1] {
                continue;
            }
            let hand = self.hand(state, replica);
            let mut add = |deed| steps.push(Step { replica, deed });
            if hand.is_committed() {
                finish(&hand, &mut add);
                continue;
            }
            let is_busy = hand != Hand::default();
            if is_busy {
                add(Deed::Crash);
            }
            if is_busy || may_begin {
                self.begin(state, replica, &hand, &mut add);
            }
        }
    }

    fn begin(&self, state: &State, replica: u8, hand: &Hand, add: &mut impl FnMut(Deed)) {
        let is_of_orders = replica < 2;
        if hand.holds() < self.bounds.batch && !hand.in_doubt {
            if is_of_orders {
                self.order_requests(state, add);
            } else {
                self.deliveries(state, add);
            }
        }
        let messages = if is_of_orders { self.wire.answers(state.sent) } else { self.wire.commands(state.sent) };
        if hand.holds() > 0 {
            self.commits_of_requests(hand, messages, add);
            return;
        }
        self.commits_of_messages(messages, add);
        if is_of_orders {
            let pending = |place: usize| self.orders.row(state.orders[place]).is_some_and(|row| row.pending.is_some());
            cast::orders().filter(|(_, place)| pending(*place)).for_each(|(order, _)| add(Deed::Lease(order)));
        }
        if !is_of_orders && hand.looked.is_none() && fault::is_planted("stock_read_before_lock") {
            add(Deed::Look);
        }
    }

    /// A client asks until it is told. Anybody may cancel or fulfill, at any time and again.
    fn order_requests(&self, state: &State, add: &mut impl FnMut(Deed)) {
        let is_told = |order: u8| state.told & (1 << order) != 0;
        if !is_told(FIRST) && !is_told(TWIN) {
            // The id of a request that came to nothing stands for a new one as well.
            let free = [FIRST, TWIN].into_iter().find(|order| self.is_unused(state, *order));
            let another = free.filter(|_| self.bounds.twins || !self.is_under_way(state, FIRST));
            if let Some(order) = another {
                add(Deed::Take(Request::Place(order)));
            }
        }
        if self.bounds.orders > 1 && self.is_unused(state, OTHER) {
            add(Deed::Take(Request::Place(OTHER)));
        }
        for (order, place) in cast::orders() {
            if OrderRow::exists(state.orders[place]) {
                add(Deed::Take(Request::Cancel(order)));
                add(Deed::Take(Request::Fulfill(order)));
            }
        }
    }

    fn is_unused(&self, state: &State, order: u8) -> bool {
        state.orders[usize::from(order)] == NOTHING && !self.is_under_way(state, order)
    }

    fn is_under_way(&self, state: &State, order: u8) -> bool {
        (0..2).any(|replica| self.hand(state, replica).held().any(|request| request == Request::Place(order)))
    }

    fn deliveries(&self, state: &State, add: &mut impl FnMut(Deed)) {
        for delivery in 0..self.bounds.receives {
            if state.told & (1 << (usize::from(delivery) + IDS)) == 0 {
                add(Deed::Take(Request::Receive(delivery)));
            }
        }
    }

    /// What waits here, alone or with a message before or behind it.
    fn commits_of_requests(&self, hand: &Hand, messages: u32, add: &mut impl FnMut(Deed)) {
        let alone = batch_of(hand);
        let mut commit = |batch: Batch| {
            add(Deed::Commit(batch));
            add(Deed::CommitUnknown(batch));
        };
        commit(alone);
        if self.bounds.batch > 1 && hand.holds() == 1 {
            for message in wire::numbers(messages).map(Item::Message).map(Some) {
                commit([alone[0], message]);
                commit([message, alone[0]]);
            }
        }
        if !hand.in_doubt {
            add(Deed::NothingUnknown);
            add(Deed::Abort);
        }
    }

    /// A commit of messages alone that is of unknown fate, or not done, is like one whose answers are lost, or like
    /// none: the network may bring the messages again.
    fn commits_of_messages(&self, messages: u32, add: &mut impl FnMut(Deed)) {
        for first in wire::numbers(messages).map(Item::Message).map(Some) {
            add(Deed::Commit([first, None]));
            if self.bounds.batch > 1 {
                let second = wire::numbers(messages).map(Item::Message).map(Some);
                second.for_each(|second| add(Deed::Commit([first, second])));
            }
        }
    }
}

/// What is committed is published and told, in either order; or lost with the replica.
fn finish(hand: &Hand, add: &mut impl FnMut(Deed)) {
    if hand.outbox != 0 {
        add(Deed::Publish);
    }
    if hand.untold[0].is_some() {
        add(Deed::Tell);
    }
    add(Deed::Crash);
}
