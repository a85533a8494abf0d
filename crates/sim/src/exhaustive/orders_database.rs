//! The Order Service's database. A transaction loads, decides with the real decider, and writes.

use contract::commands::AllocateStock;
use contract::{OrderId, Revision};
use orders_core::decide::{
    Deadline, LoadedOrders, OrderChange, OrderCommand, OrderOutcome, OrderState, OrdersDecision,
    Origin, Placement, Refusal,
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
use super::registers;
use super::requests::{self, Ask, Reply, Request};
use super::shell::Shell;
use super::state::IDS;
use crate::fold::Registers;
use crate::states::{Violation, broken};

/// Any two transitions may be this far apart: all stored rows are this old when they are loaded.
pub(crate) const LATER_MICROS: i64 = 3_600_000_000;

/// The rows of one order, without times: everything is old.
#[derive(Clone, Debug)]
pub(super) struct OrderRow {
    /// What a store loads: the accepted order, and the fold of its history.
    pub(super) order: Order,
    /// The entries after the first.
    pub(super) history: Vec<Entry>,
    /// The row of the order's state; `None` until the order is answered or changed.
    pub(super) state: Option<OrderState>,
    /// The revision of the pending command.
    pub(super) pending: Option<Revision>,
    /// The deadline of the payment.
    pub(super) deadline: Option<Deadline>,
    /// The history as the second opinion reads it.
    pub(super) told: Registers,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrdersCommit {
    pub(super) rows: [u16; IDS],
    /// Messages to publish.
    pub(super) publish: u128,
    /// The 2xx that each command of the batch gets, if any.
    pub(super) replies: [Option<Reply>; 2],
}

/// Every row that ever occurred, by number, and the outcome of every transaction.
#[derive(Debug)]
pub(super) struct OrdersDatabase {
    bounds: Bounds,
    shell: Shell,
    rows: Vec<OrderRow>,
    /// The numbers of the rows that are alike at first sight.
    alike: QuickMap<u64, Vec<u16>>,
    commits: Vec<Result<OrdersCommit, Violation>>,
    known: QuickMap<(u64, u16, u64), usize>,
}

impl OrdersDatabase {
    pub(super) fn new(bounds: Bounds, shell: Shell) -> Self {
        Self {
            bounds,
            shell,
            rows: Vec::new(),
            alike: QuickMap::default(),
            commits: Vec::new(),
            known: QuickMap::default(),
        }
    }

    /// Each batch of one command that was decided, by its code, and the rows that it found.
    #[cfg(test)]
    pub(super) fn single_batches(&self) -> impl Iterator<Item = (u8, [u16; IDS])> {
        self.known.keys().filter_map(|(rows, codes, _)| match codes.to_le_bytes() {
            [code, 0] => Some((code, [0, 16, 32].map(|shift| (rows >> shift & 0xffff) as u16))),
            _ => None,
        })
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> &[OrderRow] {
        &self.rows
    }

    pub(super) fn row(&self, number: u16) -> Option<&OrderRow> {
        number.checked_sub(1).map(|number| &self.rows[usize::from(number)])
    }

    fn number(&mut self, row: OrderRow) -> u16 {
        let alike = self.alike.entry(row.at_first_sight()).or_default();
        let known = |number: &u16| self.rows[usize::from(*number - 1)].is_same(&row);
        if let Some(number) = alike.iter().copied().find(known) {
            return number;
        }
        self.rows.push(row);
        let number = u16::try_from(self.rows.len());
        let number = number.expect("the bounds are so narrow that few different rows occur");
        alike.push(number);
        number
    }

    /// Runs the batch on these rows. The outcome is kept, so that equal input is decided once.
    /// `read` are rows that were read before, if that mistake is planted.
    pub(super) fn run(
        &mut self,
        batch: Batch,
        rows: [u16; IDS],
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> &Result<OrdersCommit, Violation> {
        let [a, b, c] = rows.map(u64::from);
        let key = (a | b << 16 | c << 32, batch::codes(batch), Read::words(read)[0]);
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
        rows: [u16; IDS],
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> Result<OrdersCommit, Violation> {
        let items: Vec<Item> = batch.into_iter().flatten().collect();
        let commands: Vec<OrderCommand> =
            items.iter().map(|item| self.command(*item, rows, messages)).collect();
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
        rows: [u16; IDS],
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
    fn load(&self, batch: &[OrderCommand], rows: [u16; IDS]) -> LoadedOrders {
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

    fn command(&self, item: Item, rows: [u16; IDS], messages: &Messages) -> OrderCommand {
        match item {
            Item::Request(request) => {
                requests::order_command(request, self.bounds, self.first_shipment(request, rows))
            }
            Item::Message(number) => match messages.get(number) {
                Message::Answer(answer) => OrderCommand::Settle(Box::new(answer.clone())),
                Message::Command(command) => {
                    unreachable!("{command:?} does not go to the Order Service")
                }
            },
        }
    }

    /// The number of the first shipment of the order that a request is about; 0 without one.
    fn first_shipment(&self, request: Request, rows: [u16; IDS]) -> u32 {
        let Request::Ask(order, _) = request else { return 0 };
        let row = self.row(rows[usize::from(order)]);
        let first = row.and_then(|row| row.told.shipments().next());
        first.map_or(0, |(seq, ..)| u32::try_from(seq).expect("a short history"))
    }

    /// The message that a sweeper sends for a pending row: the intent as it is stored (R7, R14).
    pub(super) fn resend(&self, row: u16, messages: &mut Messages) -> Option<u128> {
        let OrderRow { order, pending, .. } = self.row(row)?;
        (*pending)?;
        let intent = order.registers.sent_intent();
        Some(messages.command(AllocateStock::first(order.order_id, intent, order.digest, 0)))
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
    if let Origin::Stored { in_flight, has_deadline, .. } = &change.from
        && (row.pending != *in_flight || row.deadline.is_some() != *has_deadline)
    {
        return suspect("the command in flight is another one, or the deadline");
    }
    if change.answered().is_some() {
        row.pending = None;
    }
    if let Some(pending) = &change.pending
        && row.pending.replace(pending.revision).is_some()
    {
        return suspect("there is a command in flight already");
    }
    if change.ends_deadline() {
        row.deadline = None;
    }
    row.deadline = change.new_deadline().or(row.deadline);
    row.history.extend(change.entries.iter().cloned());
    row.state = change.to.or(row.state);
    let name = describe(change.order_id);
    row.told = match registers::fold(&row.order.terms, &row.history) {
        Ok(told) => told,
        Err(Violation { invariant, what }) => {
            return broken(invariant, format!("order {name}, {what}"));
        }
    };
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
        (
            Item::Request(Request::Ask(_, Ask::Expire)),
            OrderOutcome::Expired(_) | OrderOutcome::Stale,
        ) => None,
        (Item::Request(request @ Request::Ask(..)), OrderOutcome::Accepted { .. }) => {
            Some(Reply::Done(request))
        }
        (Item::Request(Request::Ask(_, ask)), OrderOutcome::Refused(refusal))
            if may_be_refused(ask, refusal) =>
        {
            None
        }
        (Item::Message(_), OrderOutcome::Settled { .. } | OrderOutcome::Stale) => None,
        (Item::Message(_), OrderOutcome::Anomaly(why)) => {
            return broken("R20", format!("the Order Service meets an anomaly: {why}"));
        }
        _ => return broken("INV-6", format!("{item:?} is answered {outcome:?}")),
    };
    Ok(reply)
}

/// Whether a request that a client makes here may be refused so.
fn may_be_refused(ask: Ask, refusal: &Refusal) -> bool {
    match refusal {
        Refusal::InvalidTransition(_) => !matches!(ask, Ask::Pay | Ask::PayAgain | Ask::Refund),
        Refusal::AlreadyPaid => matches!(ask, Ask::Pay | Ask::PayAgain),
        // Nothing is due of an order that is over, and this charge names no amount.
        Refusal::AmountRequired => ask == Ask::PayAgain,
        Refusal::RefundExceedsPayment { .. } => ask == Ask::Refund,
        Refusal::ShipmentNotFound => matches!(ask, Ask::Unship | Ask::Track),
        Refusal::OrderBusy => matches!(ask, Ask::Fulfill | Ask::ShipMug | Ask::ShipRest),
        Refusal::QuantityUnavailable(_) => !matches!(ask, Ask::Cancel | Ask::Fulfill),
        Refusal::NotFound
        | Refusal::KeyReused
        | Refusal::PaymentNotExpected
        | Refusal::Underpaid { .. }
        | Refusal::TooManyReturnEntries(_)
        | Refusal::TooManyChanges => false,
    }
}

impl OrderRow {
    fn placed(placement: &Placement) -> Self {
        let Placement { order_id, terms, digest, .. } = placement.clone();
        let told = registers::fold(&terms, &[]).expect("an order that is placed");
        let order = Order::placed(order_id, terms, digest);
        Self { order, history: Vec::new(), state: None, pending: None, deadline: None, told }
    }

    /// A word that is the same for equal rows.
    fn at_first_sight(&self) -> u64 {
        let order = u64::from(actors::order_of(self.order.order_id));
        let [revision, settled] = [self.told.revision(), self.told.settled()];
        let [revision, settled] = [revision, settled].map(|n| u64::try_from(n).unwrap_or(0));
        let length = self.history.len() as u64;
        order | revision << 8 | settled << 16 | length << 24 | (self.order.status() as u64) << 32
    }

    /// Whether both rows are equal. What the history tells follows from it.
    fn is_same(&self, other: &Self) -> bool {
        self.history == other.history
            && self.order == other.order
            && self.state == other.state
            && self.pending == other.pending
            && self.deadline == other.deadline
    }
}
