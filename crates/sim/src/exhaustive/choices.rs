//! Every step that is possible in a state, within the bounds.

use super::cast::{self, FIRST, OTHER, Request, TWIN};
use super::hand::Hand;
use super::model::Model;
use super::order_book::OrderRow;
use super::state::{IDS, NOTHING, REPLICAS, State};
use super::step::{Deed, Step};

impl Model {
    /// Appends the steps, in a fixed order.
    pub(crate) fn steps(&mut self, state: &State, steps: &mut Vec<Step>) {
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

    fn begin(&mut self, state: &State, replica: u8, hand: &Hand, add: &mut impl FnMut(Deed)) {
        let is_of_orders = replica < 2;
        if hand.holds() < self.bounds.batch && !hand.in_doubt {
            if is_of_orders {
                self.order_requests(state, add);
            } else {
                self.deliveries(state, add);
            }
        }
        let batches = self.batches(state, replica, hand);
        batches.iter().for_each(|batch| add(Deed::Commit(*batch)));
        if hand.holds() > 0 {
            // Of messages alone, such a commit is like one whose answers are lost: the network may bring them again.
            batches.iter().for_each(|batch| add(Deed::CommitUnknown(*batch)));
            if !hand.in_doubt {
                add(Deed::NothingUnknown);
                add(Deed::Abort);
            }
            return;
        }
        if is_of_orders {
            let pending = |place: usize| self.orders.row(state.orders[place]).is_some_and(|row| row.pending.is_some());
            cast::orders().filter(|(_, place)| pending(*place)).for_each(|(order, _)| add(Deed::Lease(order)));
        }
        if !is_of_orders && hand.looked.is_none() && self.shell.decide_on_old_stock.is_some() {
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
