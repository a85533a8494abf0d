//! Commands that found no room in the window (R8), in memory, so that answers make room for them
//! and they need not wait until they are due.

use std::collections::{BTreeMap, HashMap};

use contract::commands::AllocateStock;
use contract::{OrderId, Revision};

/// The most products in all of these commands together, each command counted as one more.
const MAX_SIZE: usize = 16_384;

/// A queue of commands, one for each order, in the order of their arrival.
#[derive(Debug, Default)]
pub struct Deferred {
    commands: BTreeMap<u64, AllocateStock>,
    positions: HashMap<OrderId, u64>,
    next_position: u64,
    size: usize,
}

impl Deferred {
    /// Adds a command at the end, in place of an earlier one of its order.
    pub fn push(&mut self, command: AllocateStock) {
        self.forget(command.order_id);
        self.size += size(&command);
        self.positions.insert(command.order_id, self.next_position);
        self.commands.insert(self.next_position, command);
        self.next_position += 1;
    }

    /// The orders, first come first.
    pub fn orders(&self) -> impl ExactSizeIterator<Item = OrderId> {
        self.commands.values().map(|command| command.order_id)
    }

    /// Removes the first command.
    pub fn pop(&mut self) -> Option<AllocateStock> {
        let (_, command) = self.commands.pop_first()?;
        self.positions.remove(&command.order_id);
        self.size -= size(&command);
        Some(command)
    }

    /// Removes the command of this order, if there is one.
    pub fn forget(&mut self, order_id: OrderId) {
        if let Some(command) =
            self.positions.remove(&order_id).and_then(|position| self.commands.remove(&position))
        {
            self.size -= size(&command);
        }
    }

    /// Removes the order's command if it is its first one. An answer is not one to a later command
    /// that waits here.
    pub fn forget_placement(&mut self, order_id: OrderId) {
        let waiting =
            self.positions.get(&order_id).and_then(|position| self.commands.get(position));
        if waiting.is_some_and(|command| command.intent.revision == Revision::FIRST) {
            self.forget(order_id);
        }
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Removes the first commands until the others fit into memory. Returns whether there were any.
    pub fn shrink(&mut self) -> bool {
        let before = self.commands.len();
        while self.size > MAX_SIZE {
            self.pop();
        }
        self.commands.len() < before
    }
}

fn size(command: &AllocateStock) -> usize {
    1 + command.intent.wanted.iter().len()
}

#[cfg(test)]
mod tests {
    use contract::{Intent, Wanted};

    use super::*;
    use crate::store::laws::{START, id, ordered};

    fn command(order: u128) -> AllocateStock {
        of(order, ordered(order))
    }

    fn of(order: u128, wanted: Wanted) -> AllocateStock {
        let intent = Intent::placed(wanted);
        let digest = intent.digest();
        AllocateStock::first(id(order), intent, digest, START.0)
    }

    fn with(orders: impl IntoIterator<Item = u128>) -> Deferred {
        let mut deferred = Deferred::default();
        orders.into_iter().for_each(|order| deferred.push(command(order)));
        deferred
    }

    #[test]
    fn the_first_that_came_goes_first_and_none_of_an_order_goes_twice() {
        let mut deferred = with([1, 2, 3, 4]);
        let newer = AllocateStock { attempt: 9, ..command(2) };
        deferred.push(newer.clone());
        deferred.forget(id(3));
        deferred.forget(id(3));
        assert!(deferred.orders().eq([id(1), id(4), id(2)]));
        let popped: Vec<_> = std::iter::from_fn(|| deferred.pop()).collect();
        assert_eq!(popped, [command(1), command(4), newer]);
        assert_eq!((deferred.size, deferred.positions.len()), (0, 0));
    }

    #[test]
    fn an_answer_takes_a_placement_out_and_leaves_a_later_command() {
        let mut deferred = with([1, 2]);
        let mut cancelled = command(3);
        cancelled.intent.revision = Revision::FIRST.next();
        deferred.push(cancelled);
        for order in [2, 3, 4] {
            deferred.forget_placement(id(order));
        }
        assert!(deferred.orders().eq([id(1), id(3)]));
        assert!(!deferred.is_empty());
    }

    #[test]
    fn it_keeps_the_newest_and_no_more_products_than_fit() {
        let fit = (MAX_SIZE / size(&command(1))) as u128;
        let mut deferred = with(1..=fit);
        assert!(!deferred.shrink());
        deferred.push(command(fit + 1));
        assert!(deferred.shrink());
        assert_eq!(deferred.orders().next(), Some(id(2)));
        assert_eq!(deferred.orders().len() as u128, fit);
    }
}
