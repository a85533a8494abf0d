//! The shell around the two cores, one step at a time: what replicas do between a request or a message and its end.

use super::batches;
use super::bounds::Bounds;
use super::cast::{Batch, Item, Request, Told};
use super::hand::{Hand, Hands};
use super::order_book::OrderBook;
use super::shell::Shell;
use super::state::{IDLE, IDS, Level, NOTHING, REPLICAS, State};
use super::step::{Deed, Step};
use super::stock_book::{Stock, StockBook};
use super::truth::Truth;
use super::wire::Wire;
use crate::states::{Violation, broken};

/// The bounds, and all that was met within them so far.
#[derive(Debug)]
pub(crate) struct Model {
    pub(super) bounds: Bounds,
    pub(super) shell: Shell,
    pub(super) orders: OrderBook,
    pub(super) stock: StockBook,
    pub(super) wire: Wire,
    pub(super) hands: Hands,
    pub(super) batches: batches::Known,
    truth: Truth,
}

impl Model {
    pub(crate) fn new(bounds: Bounds, shell: Shell) -> Self {
        Self {
            bounds,
            shell,
            orders: OrderBook::new(shell),
            stock: StockBook::new(shell),
            wire: Wire::default(),
            hands: Hands::default(),
            batches: batches::Known::default(),
            truth: Truth::new(bounds),
        }
    }

    /// Nothing has happened but that the shelf was filled, by one movement.
    pub(crate) fn start(&self) -> State {
        let level = Level { on_hand: self.bounds.units, reserved: 0, moves: self.bounds.units.min(1) };
        State {
            orders: [NOTHING; IDS],
            reservations: [NOTHING; IDS],
            level,
            ledger: level,
            received: 0,
            told: 0,
            sent: 0,
            hands: [IDLE; REPLICAS],
        }
    }

    pub(crate) fn check(&mut self, state: &State) -> Result<(), Violation> {
        self.truth.check(state, &self.orders, &self.stock)
    }

    pub(super) fn hand(&self, state: &State, replica: u8) -> Hand {
        self.hands.get(state.hands[usize::from(replica)])
    }

    /// The state after a step that is possible in this one; the replicas keep their places.
    ///
    /// **Errors:** the step itself breaks a promise.
    pub(crate) fn after(&mut self, state: &State, step: Step) -> Result<State, Violation> {
        let mut next = *state;
        let hand = self.hand(state, step.replica);
        let hand = match step.deed {
            Deed::Take(request) => self.take(&mut next, hand, request),
            Deed::Look => Hand { looked: Some(state.level), ..hand },
            Deed::Commit(batch) => self.commit(&mut next, step, hand, batch)?,
            Deed::CommitUnknown(batch) => {
                self.commit(&mut next, step, hand, batch)?;
                self.in_doubt(state, &next, hand)?
            }
            Deed::NothingUnknown => self.in_doubt(state, &next, hand)?,
            Deed::Abort => self.tell_that_nothing_is_done(state, &next, hand)?,
            Deed::Lease(order) => self.lease(&next, order),
            Deed::Publish => {
                next.sent |= hand.outbox;
                Hand { outbox: 0, ..hand }
            }
            Deed::Tell => {
                hand.untold().try_for_each(|told| self.tell(&mut next, told))?;
                Hand { untold: [None; 2], ..hand }
            }
            Deed::Crash => Hand::default(),
        };
        next.hands[usize::from(step.replica)] = self.hands.number(hand);
        Ok(next)
    }

    fn take(&mut self, next: &mut State, hand: Hand, request: Request) -> Hand {
        (self.shell.accept)(next, request, &mut self.wire);
        hand.with(request)
    }

    /// One transaction, done. Returns what the replica has in hand if it knows that it is.
    pub(super) fn commit(&mut self, next: &mut State, step: Step, hand: Hand, batch: Batch) -> Result<Hand, Violation> {
        let (publish, told) = if step.is_of_orders() {
            let turn = self.orders.run(batch, next.orders, &mut self.wire).as_ref().map_err(Clone::clone)?;
            next.orders = turn.rows;
            (turn.publish, turn.told)
        } else {
            let State { reservations, level, ledger, received, .. } = *next;
            let stock = Stock { reservations, level, ledger, received };
            let turn = self.stock.run(batch, stock, hand.looked, &mut self.wire).as_ref().map_err(Clone::clone)?;
            let Stock { reservations, level, ledger, received } = turn.stock;
            (next.reservations, next.level, next.ledger, next.received) = (reservations, level, ledger, received);
            (turn.publish, turn.told)
        };
        let mut told = told.into_iter().flatten();
        Ok(Hand { outbox: publish & !next.sent, untold: [told.next(), told.next()], ..Hand::default() })
    }

    fn lease(&mut self, state: &State, order: u8) -> Hand {
        let command = self.orders.resend(state.orders[usize::from(order)], &mut self.wire);
        let outbox = (self.shell.resend)(command.unwrap_or(0));
        Hand { outbox: outbox & !state.sent, ..Hand::default() }
    }

    /// INV-6: it is so when it is told. That it stays so is for the states to come.
    fn tell(&self, next: &mut State, told: Told) -> Result<(), Violation> {
        let request = match told {
            Told::Placed(order) => {
                next.told |= 1 << order;
                return Ok(());
            }
            Told::Received(delivery) => {
                next.told |= 1 << (usize::from(delivery) + IDS);
                return Ok(());
            }
            Told::Cancelled(order) => Request::Cancel(order),
            Told::Fulfilled(order) => Request::Fulfill(order),
        };
        if self.is_done(next, request) {
            return Ok(());
        }
        broken("INV-6", format!("a client was told that it was done, and it was not: {}", request.shown()))
    }

    fn is_done(&self, state: &State, request: Request) -> bool {
        use orders_core::order::Status::{Cancelled, Cancelling, Fulfilled, Fulfilling};
        let status = |order: u8| self.orders.row(state.orders[usize::from(order)]).map(|row| row.order.status);
        match request {
            Request::Place(order) => state.orders[usize::from(order)] != NOTHING,
            Request::Cancel(order) => matches!(status(order), Some(Cancelling | Cancelled)),
            Request::Fulfill(order) => matches!(status(order), Some(Fulfilling | Fulfilled)),
            Request::Receive(delivery) => state.received & (1 << delivery) != 0,
        }
    }

    /// A commit of unknown fate: the requests stay, and will be decided again (R4).
    fn in_doubt(&self, before: &State, next: &State, hand: Hand) -> Result<Hand, Violation> {
        if self.shell.unknown_is_failed {
            return self.tell_that_nothing_is_done(before, next, hand);
        }
        Ok(Hand { in_doubt: true, looked: None, ..hand })
    }

    /// INV-6, from its other side: what is said not to be done was not done just now. Whether somebody else has done
    /// the same before is another matter, but for an order: it has the request's own id.
    fn tell_that_nothing_is_done(&self, before: &State, next: &State, hand: Hand) -> Result<Hand, Violation> {
        for request in hand.held() {
            let was_done = self.is_done(before, request) && !matches!(request, Request::Place(_));
            if self.is_done(next, request) && !was_done {
                let what = request.shown();
                return broken("INV-6", format!("a client was told that nothing was done, and it was: {what}"));
            }
        }
        Ok(Hand::default())
    }
}

/// The requests of a hand as a batch of their own.
pub(super) fn batch_of(hand: &Hand) -> Batch {
    hand.held.map(|request| request.map(Item::Request))
}
