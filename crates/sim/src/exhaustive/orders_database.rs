//! The Order Service's database. A transaction loads, decides with the real decider, and writes.

use contract::commands::AllocateStock;
use contract::{OrderId, Revision};
use orders_core::decide::{
    LoadedOrders, OrderChange, OrderCommand, OrderOutcome, OrderState, OrdersDecision, Origin,
    Placement,
};
use orders_core::history::{Entry, fold};
use orders_core::order::Order;

use super::actors;
use super::batch::{self, Batch, Item};
use super::bounds::Bounds;
use super::hash::QuickMap;
use super::local::Read;
use super::messages::{Message, Messages};
use super::panics::caught;
use super::registers::Registers;
use super::requests::{self, Reply, Request};
use super::shell::Shell;
use super::state::{IDS, NOTHING};
use crate::states::{Violation, broken};

/// Any two transitions may be this far apart: all stored rows are this old when they are loaded.
pub(crate) const LATER_MICROS: i64 = 3_600_000_000;

/// The rows of one order, without times: everything is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderRow {
    /// What a store loads: the accepted order, and the fold of its history.
    pub(super) order: Order,
    /// The entries after the first.
    pub(super) history: Vec<Entry>,
    /// The row of the order's state; `None` until the order is answered or changed.
    pub(super) state: Option<OrderState>,
    /// The revision of the pending command.
    pub(super) pending: Option<Revision>,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrdersCommit {
    pub(super) rows: [u8; IDS],
    /// Messages to publish.
    pub(super) publish: u32,
    /// The 2xx that each command of the batch gets, if any.
    pub(super) replies: [Option<Reply>; 2],
}

/// Every row that ever occurred, by number, and the outcome of every transaction.
#[derive(Debug)]
pub(super) struct OrdersDatabase {
    bounds: Bounds,
    shell: Shell,
    rows: Vec<OrderRow>,
    commits: Vec<Result<OrdersCommit, Violation>>,
    known: QuickMap<(u64, u64), usize>,
}

impl OrdersDatabase {
    pub(super) fn new(bounds: Bounds, shell: Shell) -> Self {
        Self { bounds, shell, rows: Vec::new(), commits: Vec::new(), known: QuickMap::default() }
    }

    /// Each batch of one command that was decided, by its code, and the rows that it found.
    #[cfg(test)]
    pub(super) fn single_batches(&self) -> impl Iterator<Item = (u8, [u8; IDS])> {
        self.known.keys().filter_map(|(now, _)| match now.to_le_bytes() {
            [code, 0, a, b, c, ..] => Some((code, [a, b, c])),
            _ => None,
        })
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> &[OrderRow] {
        &self.rows
    }

    pub(super) fn row(&self, number: u8) -> Option<&OrderRow> {
        number.checked_sub(1).map(|number| &self.rows[usize::from(number)])
    }

    fn number(&mut self, row: OrderRow) -> u8 {
        let index = self.rows.iter().position(|known| *known == row).unwrap_or_else(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        u8::try_from(index + 1).expect("the bounds are so narrow that few different rows occur")
    }

    /// Runs the batch on these rows. The outcome is kept, so that equal input is decided once.
    /// `read` are rows that were read before, if that mistake is planted.
    pub(super) fn run(
        &mut self,
        batch: Batch,
        rows: [u8; IDS],
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> &Result<OrdersCommit, Violation> {
        let codes = batch.map(|item| item.map_or(0, Item::code));
        let [a, b, c] = rows;
        let now = u64::from_le_bytes([codes[0], codes[1], a, b, c, 0, 0, 0]);
        let key = (now, Read::words(read)[0]);
        let index = self.known.get(&key).copied().unwrap_or_else(|| {
            let commit = self.transact(batch, rows, read, messages);
            self.commits.push(commit);
            self.known.insert(key, self.commits.len() - 1);
            self.commits.len() - 1
        });
        &self.commits[index]
    }

    fn transact(
        &mut self,
        batch: Batch,
        rows: [u8; IDS],
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> Result<OrdersCommit, Violation> {
        let items: Vec<Item> = batch.into_iter().flatten().collect();
        let commands: Vec<OrderCommand> =
            items.iter().map(|item| command(*item, self.bounds, messages)).collect();
        let Some(decision) = caught(|| self.decide(&commands, rows, read)) else {
            return broken(
                "R11",
                format!(
                    "the Order Service's decider panics on {}",
                    batch::describe(batch, messages)
                ),
            );
        };
        let mut commit = OrdersCommit { rows, publish: 0, replies: [None; 2] };
        for change in &decision.changes {
            let index = usize::from(actors::order_of(change.order_id));
            let row = write(self.row(commit.rows[index]).cloned(), change)?;
            commit.rows[index] = self.number(row);
        }
        for ((item, decided), reply) in items.iter().zip(decision.decided).zip(&mut commit.replies)
        {
            commit.publish |= decided.publish.map_or(0, |command| messages.command(command));
            *reply = answer(*item, &decided.outcome)?;
        }
        Ok(commit)
    }

    fn decide(
        &self,
        batch: &[OrderCommand],
        rows: [u8; IDS],
        read: Option<&Read>,
    ) -> OrdersDecision {
        let found = self.load(batch, rows);
        match (read, self.shell.decide_on_old_orders) {
            (Some(read), Some(decide)) => {
                decide(LATER_MICROS, batch, &found, &self.load(batch, read.orders))
            }
            _ => (self.shell.decide_orders)(LATER_MICROS, batch, found),
        }
    }

    /// Loads the rows that the batch refers to, as a store does.
    fn load(&self, batch: &[OrderCommand], rows: [u8; IDS]) -> LoadedOrders {
        let mut loaded = LoadedOrders::default();
        for (order, index) in actors::orders() {
            let Some(row) = self.row(rows[index]) else { continue };
            let key = actors::key(order)
                .filter(|key| batch.iter().any(|command| command.key() == Some(key)));
            let named = batch.iter().any(|command| command.order_id() == row.order.order_id);
            if named || key.is_some() {
                loaded.orders.insert(row.order.order_id, row.order.clone());
            }
            loaded.keys.extend(key.map(|key| (key, row.order.order_id)));
        }
        loaded
    }

    /// The message that a sweeper sends for a pending row: the intent as it is stored (R7, R14).
    pub(super) fn resend(&self, row: u8, messages: &mut Messages) -> Option<u32> {
        let OrderRow { order, pending, .. } = self.row(row)?;
        (*pending)?;
        let intent = order.registers.intent.clone();
        Some(messages.command(AllocateStock::first(order.order_id, intent, order.digest, 0)))
    }
}

fn command(item: Item, bounds: Bounds, messages: &Messages) -> OrderCommand {
    match item {
        Item::Request(request) => requests::order_command(request, bounds),
        Item::Message(number) => match messages.get(number) {
            Message::Answer(answer) => OrderCommand::Settle(Box::new(answer.clone())),
            Message::Command(command) => {
                unreachable!("{command:?} does not go to the Order Service")
            }
        },
    }
}

/// Writes a change as the stores do: with compare-and-set on the number of the last entry, and on
/// the revision of the pending command (R13).
fn write(found: Option<OrderRow>, change: &OrderChange) -> Result<OrderRow, Violation> {
    let suspect =
        |why: &str| broken("R11", format!("{}: {why}: {change:?}", describe(change.order_id)));
    let mut row = match (found, &change.from) {
        (None, Origin::Placed(placement)) => OrderRow::placed(placement),
        (Some(row), Origin::Stored { last_seq, .. }) if row.order.last_seq == *last_seq => row,
        _ => return suspect("the row is not what was loaded"),
    };
    if let Origin::Stored { in_flight, .. } = &change.from
        && row.pending != *in_flight
    {
        return suspect("the command in flight is another one");
    }
    row.pending = change.pending.as_ref().map(|pending| pending.revision);
    row.history.extend(change.entries.iter().cloned());
    row.state = change.to.or(row.state);
    let name = describe(change.order_id);
    if let Err(why) = Registers::fold(row.order.terms.ordered(), &row.history) {
        return broken("INV-4", format!("order {name}: {why}"));
    }
    row.order.registers = match fold(&row.order.terms, &row.history) {
        Ok(registers) => registers,
        Err(error) => return broken("INV-4", format!("order {name} cannot be read: {error}")),
    };
    if let Some(state) = &row.state {
        row.order.last_seq = state.last_seq;
        row.order.digest = state.digest.unwrap_or(row.order.digest);
    }
    Ok(row)
}

fn describe(order_id: OrderId) -> &'static str {
    actors::name(actors::order_of(order_id))
}

/// The 2xx that the client behind the item gets.
fn answer(item: Item, outcome: &OrderOutcome) -> Result<Option<Reply>, Violation> {
    let reply = match (item, outcome) {
        (
            Item::Request(Request::Place(_)),
            OrderOutcome::Placed(receipt) | OrderOutcome::Replayed(receipt),
        ) => Some(Reply::Placed(actors::order_of(receipt.order_id))),
        (Item::Request(Request::Cancel(order)), OrderOutcome::Accepted(_)) => {
            Some(Reply::Cancelled(order))
        }
        (Item::Request(Request::Fulfill(order)), OrderOutcome::Accepted(_)) => {
            Some(Reply::Fulfilled(order))
        }
        (
            Item::Request(Request::Cancel(_) | Request::Fulfill(_)),
            OrderOutcome::InvalidTransition(_),
        )
        | (Item::Message(_), OrderOutcome::Settled(_) | OrderOutcome::Stale) => None,
        (Item::Message(_), OrderOutcome::Anomaly(why)) => {
            return broken("R20", format!("the Order Service meets an anomaly: {why}"));
        }
        _ => return broken("INV-6", format!("{item:?} is answered {outcome:?}")),
    };
    Ok(reply)
}

impl OrderRow {
    fn placed(placement: &Placement) -> Self {
        let Placement { order_id, terms, digest, .. } = placement.clone();
        let order = Order::placed(order_id, terms, digest);
        Self { order, history: Vec::new(), state: None, pending: None }
    }

    pub(super) fn exists(number: u8) -> bool {
        number != NOTHING
    }
}
