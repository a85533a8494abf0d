//! The shell around the two cores: how a replica handles a request or a message, one transition at
//! a time.

use std::rc::Rc;

use orders_core::history::Event;
use orders_core::status::Status;

use super::batch::{Batch, NO_BATCH};
use super::bounds::Bounds;
use super::hash::QuickMap;
use super::local::{Local, Locals, Read};
use super::locks::Locks;
use super::messages::Messages;
use super::oracle::Oracle;
use super::orders_database::{OrderRow, OrdersDatabase};
use super::requests::{Ask, Reply, Request};
use super::shell::Shell;
use super::state::{IDLE, IDS, NOTHING, REPLICAS, State, Stock};
use super::stock_database::{StockDatabase, StockRun};
use super::transition::{Action, Transition};
use crate::states::{Violation, broken};

/// The bounds, and all rows, messages and local states that occurred within them so far.
#[derive(Debug)]
pub(crate) struct Model {
    pub(super) bounds: Bounds,
    pub(super) shell: Shell,
    pub(super) orders: OrdersDatabase,
    pub(super) stock: StockDatabase,
    pub(super) messages: Messages,
    pub(super) locals: Locals,
    /// Batches by the part of a state that they depend on: the rows of one service, the local state
    /// of one replica, and the messages for the service.
    pub(super) batches: QuickMap<State, Rc<[Batch]>>,
    oracle: Oracle,
}

impl Model {
    pub(crate) fn new(bounds: Bounds, shell: Shell) -> Self {
        Self {
            bounds,
            shell,
            orders: OrdersDatabase::new(bounds, shell),
            stock: StockDatabase::new(bounds, shell),
            messages: Messages::default(),
            locals: Locals::default(),
            batches: QuickMap::default(),
            oracle: Oracle::new(bounds),
        }
    }

    /// The initial state: the stock has come in, by one movement for each stock key.
    pub(crate) fn start(&self) -> State {
        State {
            orders: [NOTHING; IDS],
            acknowledged: 0,
            stock: Stock::default(),
            sent: 0,
            locals: [IDLE; REPLICAS],
        }
    }

    pub(crate) fn check(&mut self, state: &State) -> Result<(), Violation> {
        self.oracle.check(state, &self.orders, &self.stock)
    }

    pub(super) fn local(&self, state: &State, replica: u8) -> Local {
        self.locals.get(state.locals[usize::from(replica)])
    }

    /// The state after an enabled transition. The replicas keep their order.
    ///
    /// # Errors
    ///
    /// Returns a violation if the transition itself breaks an invariant.
    pub(crate) fn after(
        &mut self,
        state: &State,
        transition: Transition,
    ) -> Result<State, Violation> {
        let mut next = *state;
        let local = self.local(state, transition.replica);
        let local = match transition.action {
            Action::Accept(request) => self.accept(&mut next, local, request),
            Action::ReadEarly => {
                let read = Some(Self::read_all(state, transition, NO_BATCH));
                Local { read, ..local }
            }
            Action::Begin(batch) => {
                let read = self.stock.read(batch, state.stock, &self.messages);
                Local { read: Some(read), ..local }
            }
            Action::Commit(batch) => self.commit(&mut next, transition, local, batch)?,
            Action::CommitUnknown(batch) => {
                self.commit(&mut next, transition, local, batch)?;
                let read = Self::read_all(state, transition, batch);
                self.in_doubt(state, &next, local, read)?
            }
            Action::AbortUnknown => {
                let read = Self::read_all(state, transition, local.batch());
                self.in_doubt(state, &next, local, read)?
            }
            Action::Abort => self.report_failed(state, &next, local)?,
            Action::Lease(order) => self.lease(&next, order),
            Action::Publish => {
                next.sent |= local.outbox;
                self.messages.check(local.outbox, next.sent)?;
                Local { outbox: 0, ..local }
            }
            Action::Reply => {
                local.replies().try_for_each(|reply| self.acknowledge(&mut next, reply))?;
                Local { replies: [None; 2], ..local }
            }
            Action::Crash => Local::default(),
        };
        next.locals[usize::from(transition.replica)] = self.locals.number(local);
        Ok(next)
    }

    fn accept(&mut self, next: &mut State, local: Local, request: Request) -> Local {
        (self.shell.accept)(next, request, &mut self.messages, self.bounds);
        local.with(request)
    }

    /// All rows of the replica's service, without a lock.
    fn read_all(state: &State, transition: Transition, batch: Batch) -> Read {
        let (orders, stock) = if transition.is_of_orders() {
            (state.orders, Stock::default())
        } else {
            ([NOTHING; IDS], state.stock)
        };
        Read { batch, orders, stock, locks: Locks::default() }
    }

    /// Commits one transaction. Returns the local state of the replica if it learns of the commit.
    pub(super) fn commit(
        &mut self,
        next: &mut State,
        transition: Transition,
        local: Local,
        batch: Batch,
    ) -> Result<Local, Violation> {
        let read = local.read.as_ref();
        let (publish, replies) = if transition.is_of_orders() {
            let commit = self.orders.run(batch, next.orders, read, &mut self.messages);
            let commit = commit.as_ref().map_err(Clone::clone)?;
            next.orders = commit.rows;
            (commit.publish, commit.replies)
        } else {
            let run = self.stock.run(batch, next.stock, read, &mut self.messages);
            let commit = match run.as_ref().map_err(Clone::clone)? {
                StockRun::Committed(commit) => commit,
                StockRun::Again => return Ok(Local { read: None, ..local }),
            };
            next.stock = commit.stock;
            (commit.publish, commit.replies)
        };
        let mut replies = replies.into_iter().flatten();
        let replies = [replies.next(), replies.next()];
        Ok(Local { outbox: publish & !next.sent, replies, ..Local::default() })
    }

    fn lease(&mut self, state: &State, order: u8) -> Local {
        let command = self.orders.resend(state.orders[usize::from(order)], &mut self.messages);
        let outbox = (self.shell.resend)(command.unwrap_or(0));
        Local { outbox: outbox & !state.sent, ..Local::default() }
    }

    /// INV-6: a client's answer is true when it is given. Later states check that it stays true.
    fn acknowledge(&self, next: &mut State, reply: Reply) -> Result<(), Violation> {
        let request = match reply {
            Reply::Placed(order) => {
                next.acknowledged |= 1 << order;
                return Ok(());
            }
            Reply::Done(Request::Receive(delivery)) => {
                next.acknowledged |= 1 << (usize::from(delivery) + IDS);
                return Ok(());
            }
            Reply::Done(request) => request,
        };
        if self.is_done(next, request) {
            return Ok(());
        }
        let what = request.describe();
        broken("INV-6", format!("a client got an answer that it was done, and it was not: {what}"))
    }

    fn is_done(&self, state: &State, request: Request) -> bool {
        let index = |order: u8| state.orders[usize::from(order)];
        match request {
            Request::Place(order) => index(order) != NOTHING,
            Request::Ask(order, ask) => {
                self.orders.row(index(order)).is_some_and(|row| has_done(row, ask))
            }
            Request::Receive(delivery) => state.stock.received & (1 << delivery) != 0,
        }
    }

    /// After a commit of unknown fate the requests stay. They are decided again from what is there
    /// then (R4).
    fn in_doubt(
        &self,
        before: &State,
        next: &State,
        local: Local,
        read: Read,
    ) -> Result<Local, Violation> {
        if self.shell.unknown_is_failed {
            return self.report_failed(before, next, local);
        }
        let read = self.shell.retry_is_old.then(|| local.read.unwrap_or(read));
        Ok(Local { in_doubt: true, read, ..local })
    }

    /// INV-6: the transaction did not do what a client is answered to have failed. Another request
    /// may have done the same before, except for an order, which has its request's id.
    fn report_failed(
        &self,
        before: &State,
        next: &State,
        local: Local,
    ) -> Result<Local, Violation> {
        for request in local.held() {
            let was_done = self.is_done(before, request) && !matches!(request, Request::Place(_));
            if self.is_done(next, request) && !was_done {
                let what = request.describe();
                let what =
                    format!("a client got an answer that nothing was done, and it was: {what}");
                return broken("INV-6", what);
            }
        }
        Ok(Local::default())
    }
}

/// Whether the history of an order tells that this was done.
fn has_done(row: &OrderRow, ask: Ask) -> bool {
    let was = |status| row.history.iter().any(|entry| entry.status == status);
    match ask {
        Ask::Cancel => was(Status::Cancelling),
        Ask::Fulfill => was(Status::Fulfilling),
        Ask::Expire => was(Status::Expiring),
        Ask::Pay | Ask::PayAgain | Ask::Refund => row.told.has_recorded(ask.key()),
        Ask::Unship => row.told.shipments().any(|(.., is_cancelled)| is_cancelled),
        Ask::Track => row.history.iter().any(|entry| matches!(entry.event, Event::Tracked { .. })),
        Ask::CancelMug
        | Ask::CancelTee
        | Ask::ShipMug
        | Ask::ShipRest
        | Ask::Return
        | Ask::ReturnElsewhere
        | Ask::WriteOff => row.told.has_key(ask.key()),
    }
}
