//! The transitions that are enabled in a state, within the bounds.

use super::actors::{self, FIRST, OTHER, TWIN};
use super::batch::Batch;
use super::local::Local;
use super::model::Model;
use super::requests::{Ask, Request};
use super::shell::Shell;
use super::state::{IDS, NOTHING, REPLICAS, State};
use super::transition::{Action, Transition};

impl Model {
    /// Appends the enabled transitions, in a fixed order.
    pub(crate) fn enabled(&mut self, state: &State, enabled: &mut Vec<Transition>) {
        let may_begin = state.busy() < self.bounds.busy;
        for (replica, index) in (0..).zip(0..REPLICAS) {
            // Two replicas of a service in the same local state can do the same.
            if index % 2 == 1 && state.locals[index] == state.locals[index - 1] {
                continue;
            }
            let local = self.local(state, replica);
            let mut add = |action| enabled.push(Transition { replica, action });
            if local.is_committed() {
                finish(&local, &mut add);
                continue;
            }
            let is_busy = local != Local::default();
            if is_busy {
                add(Action::Crash);
            }
            if is_busy || may_begin {
                self.begin(state, replica, &local, &mut add);
            }
        }
    }

    fn begin(&mut self, state: &State, replica: u8, local: &Local, add: &mut impl FnMut(Action)) {
        let is_of_orders = replica < 2;
        if let Some(batch) = local.has_begun() {
            commit(&[batch], local, add);
            return;
        }
        if local.holds() < self.bounds.batch && !local.in_doubt {
            if is_of_orders {
                self.order_requests(state, add);
            } else {
                self.deliveries(state, add);
            }
        }
        if local.read.is_none() && self.may_read_early(is_of_orders) {
            add(Action::ReadEarly);
        }
        let batches = self.batches(state, replica, local);
        if is_of_orders || !self.bounds.locks {
            commit(&batches, local, add);
        } else {
            let others = self.local(state, 5 - replica).locks();
            let mut locks =
                |batch: &Batch| self.stock.read(*batch, state.stock, &self.messages).locks;
            let free = batches.iter().filter(|batch| !locks(batch).overlap(others));
            free.for_each(|batch| add(Action::Begin(*batch)));
        }
        if is_of_orders && local.holds() == 0 {
            let row = |index: usize| self.orders.row(state.orders[index]);
            let is_pending = |index: usize| row(index).is_some_and(|row| row.pending.is_some());
            let pending = actors::orders().filter(|(_, index)| is_pending(*index));
            pending.for_each(|(order, _)| add(Action::Lease(order)));
        }
    }

    /// Whether a mistake is planted by which rows are read before they are locked.
    fn may_read_early(&self, is_of_orders: bool) -> bool {
        let Shell { decide_on_old_orders, decide_on_old_stock, retry_is_old, .. } = self.shell;
        let is_planted = if is_of_orders {
            decide_on_old_orders.is_some()
        } else {
            decide_on_old_stock.is_some()
        };
        is_planted && !retry_is_old
    }

    /// A client repeats its request until it has an answer. An order may be cancelled or fulfilled
    /// at any time, and again.
    fn order_requests(&self, state: &State, add: &mut impl FnMut(Action)) {
        let is_acknowledged = |order: u8| state.acknowledged & (1 << order) != 0;
        if !is_acknowledged(FIRST) && !is_acknowledged(TWIN) {
            // The id of a failed request serves as a new id, too.
            let free = [FIRST, TWIN].into_iter().find(|order| self.is_unused(state, *order));
            let another = free.filter(|_| self.bounds.twins || !self.is_under_way(state, FIRST));
            if let Some(order) = another {
                add(Action::Accept(Request::Place(order)));
            }
        }
        if self.bounds.orders > 1 && self.is_unused(state, OTHER) {
            add(Action::Accept(Request::Place(OTHER)));
        }
        for (order, index) in actors::orders() {
            let Some(row) = self.orders.row(state.orders[index]) else { continue };
            let always = [Ask::Cancel, Ask::Fulfill];
            for ask in always.iter().chain(self.bounds.asks) {
                // A worker finds a deadline, and asks perhaps much later.
                if *ask != Ask::Expire || row.deadline.is_some() {
                    add(Action::Accept(Request::Ask(order, *ask)));
                }
            }
        }
    }

    fn is_unused(&self, state: &State, order: u8) -> bool {
        state.orders[usize::from(order)] == NOTHING && !self.is_under_way(state, order)
    }

    fn is_under_way(&self, state: &State, order: u8) -> bool {
        let mut held = (0..2).flat_map(|replica| self.local(state, replica).held);
        held.any(|request| request == Some(Request::Place(order)))
    }

    fn deliveries(&self, state: &State, add: &mut impl FnMut(Action)) {
        for delivery in 0..self.bounds.receives {
            if state.acknowledged & (1 << (usize::from(delivery) + IDS)) == 0 {
                add(Action::Accept(Request::Receive(delivery)));
            }
        }
    }
}

/// A transaction commits or not, and the replica learns which or not. For a batch without requests,
/// not to learn of the commit equals a commit whose messages are lost.
fn commit(batches: &[Batch], local: &Local, add: &mut impl FnMut(Action)) {
    batches.iter().for_each(|batch| add(Action::Commit(*batch)));
    if local.holds() > 0 {
        batches.iter().for_each(|batch| add(Action::CommitUnknown(*batch)));
        if !local.in_doubt {
            add(Action::AbortUnknown);
            add(Action::Abort);
        }
    }
}

/// A committed batch is published and answered, in either order, or lost with its replica.
fn finish(local: &Local, add: &mut impl FnMut(Action)) {
    if local.outbox != 0 {
        add(Action::Publish);
    }
    if local.replies[0].is_some() {
        add(Action::Reply);
    }
    add(Action::Crash);
}
