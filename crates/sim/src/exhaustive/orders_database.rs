//! The Order Service's database. A transaction loads, decides with the real decider, and writes.

use contract::commands::{StockCommand, StockCommandKind};
use contract::{OrderId, SCHEMA_VERSION};
use orders_core::decide::{Change, Decide, Loaded, OrderCommand, OrderOutcome};
use orders_core::order::{Order, Status};

use super::actors;
use super::batch::{self, Batch, Item};
use super::hash::QuickMap;
use super::messages::{Message, Messages};
use super::panics::caught;
use super::requests::{self, Reply, Request};
use super::shell::Shell;
use super::state::{IDS, NOTHING};
use crate::states::{Violation, broken};

/// Any two transitions may be this far apart: all stored rows are this old when they are loaded.
pub(crate) const LATER_MICROS: i64 = 3_600_000_000;

/// The rows of one order, without times: everything is old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderRow {
    pub(super) order: Order,
    pub(super) history: Vec<(u32, Status)>,
    pub(super) pending: Option<StockCommandKind>,
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
    decide: Decide,
    rows: Vec<OrderRow>,
    commits: Vec<Result<OrdersCommit, Violation>>,
    known: QuickMap<u64, usize>,
}

impl OrdersDatabase {
    pub(super) fn new(shell: Shell) -> Self {
        Self {
            decide: shell.decide_orders,
            rows: Vec::new(),
            commits: Vec::new(),
            known: QuickMap::default(),
        }
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
    pub(super) fn run(
        &mut self,
        batch: Batch,
        rows: [u8; IDS],
        messages: &mut Messages,
    ) -> &Result<OrdersCommit, Violation> {
        let codes = batch.map(|item| item.map_or(0, Item::code));
        let [a, b, c] = rows;
        let key = u64::from_le_bytes([codes[0], codes[1], a, b, c, 0, 0, 0]);
        let index = self.known.get(&key).copied().unwrap_or_else(|| {
            let commit = self.transact(batch, rows, messages);
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
        messages: &mut Messages,
    ) -> Result<OrdersCommit, Violation> {
        let items: Vec<Item> = batch.into_iter().flatten().collect();
        let commands: Vec<OrderCommand> =
            items.iter().map(|item| command(*item, messages)).collect();
        let loaded = self.load(&commands, rows);
        let Some(decision) = caught(|| (self.decide)(LATER_MICROS, &commands, loaded)) else {
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

    /// Loads the rows that the batch refers to, as a store does.
    fn load(&self, batch: &[OrderCommand], rows: [u8; IDS]) -> Loaded {
        let mut loaded = Loaded::default();
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

    /// The message that a sweeper sends for a pending row.
    pub(super) fn resend(&self, row: u8, messages: &mut Messages) -> Option<u32> {
        let OrderRow { order, pending, .. } = self.row(row)?;
        let command = StockCommand {
            schema: SCHEMA_VERSION,
            kind: (*pending)?,
            order_id: order.order_id,
            lines: order.terms.stock_lines(),
            digest: order.terms.digest,
            attempt: 1,
            sent_at_micros: 0,
            traceparent: None,
        };
        Some(messages.command(command))
    }
}

fn command(item: Item, messages: &Messages) -> OrderCommand {
    match item {
        Item::Request(request) => requests::order_command(request),
        Item::Message(number) => match messages.get(number) {
            Message::Answer(answer) => OrderCommand::Settle(Box::new(answer.clone())),
            Message::Command(command) => {
                unreachable!("{command:?} does not go to the Order Service")
            }
        },
    }
}

/// Writes a change as the stores do: with compare-and-set, also on the pending row (R13).
fn write(found: Option<OrderRow>, change: &Change) -> Result<OrderRow, Violation> {
    let suspect =
        |why: &str| broken("R11", format!("{}: {why}: {change:?}", describe(change.order_id)));
    let mut row = match (found, &change.placed, change.from) {
        (None, Some(placed), _) => OrderRow {
            order: Order {
                order_id: placed.order_id,
                status: change.to,
                request_digest: placed.request_digest,
                terms: placed.terms.clone(),
                last_seq: 0,
                shortages: Vec::new(),
            },
            history: Vec::new(),
            pending: None,
        },
        (Some(row), None, Some(from)) if row.order.status == from => row,
        _ => return suspect("the row is not what was loaded"),
    };
    if let Some(kind) = change.from.and_then(Status::in_flight) {
        if row.pending != Some(kind) {
            return suspect("the command in flight is not there");
        }
        row.pending = None;
    }
    if let Some(pending) = &change.pending
        && row.pending.replace(pending.kind).is_some()
    {
        return suspect("another command is in flight");
    }
    row.history.extend(change.entries.iter().map(|entry| (entry.seq, entry.status)));
    let Some(last) = change.entries.last() else { return suspect("it has no entry") };
    row.order.status = change.to;
    row.order.last_seq = last.seq;
    row.order.shortages =
        last.answer.as_ref().map(|answer| answer.shortages.clone()).unwrap_or_default();
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
            return broken("R12", format!("an anomaly: {why}"));
        }
        _ => return broken("INV-6", format!("{item:?} is answered {outcome:?}")),
    };
    Ok(reply)
}

impl OrderRow {
    pub(super) fn exists(number: u8) -> bool {
        number != NOTHING
    }
}
