//! The Inventory Service's database. A transaction loads, decides with the real decider, and
//! writes.

use std::collections::BTreeMap;

use inventory_core::decide::{
    self as stock, Decision, InventoryCommand, InventoryOutcome, Loaded, ReservationChange,
    StockChange,
};
use inventory_core::reservation::{Before, Reservation, State as ReservationState};
use inventory_core::stock::{Cause, Level as Stored, Location, Movement};

use super::actors;
use super::batch::{self, Batch, Item};
use super::hash::QuickMap;
use super::ledger;
use super::messages::{Message, Messages};
use super::orders_database::LATER_MICROS;
use super::panics::caught;
use super::requests::{Reply, Request};
use super::shell::Shell;
use super::state::{IDS, Level};
use crate::states::{Violation, broken};

/// The part of a state that a transaction of the Inventory Service reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) reservations: [u8; IDS],
    pub(super) level: Level,
    pub(super) ledger: Level,
    pub(super) received: u8,
}

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct StockCommit {
    pub(super) stock: Stock,
    pub(super) publish: u32,
    pub(super) replies: [Option<Reply>; 2],
}

/// Every reservation that ever occurred, by number, and the outcome of every transaction.
#[derive(Debug)]
pub(super) struct StockDatabase {
    shell: Shell,
    reservations: Vec<Reservation>,
    commits: Vec<Result<StockCommit, Violation>>,
    known: QuickMap<(u64, u64), usize>,
}

impl StockDatabase {
    pub(super) fn new(shell: Shell) -> Self {
        Self { shell, reservations: Vec::new(), commits: Vec::new(), known: QuickMap::default() }
    }

    #[cfg(test)]
    pub(super) fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    pub(super) fn reservation(&self, number: u8) -> Option<&Reservation> {
        number.checked_sub(1).map(|number| &self.reservations[usize::from(number)])
    }

    /// Leaves out times, since everything is old, and the points of the ledger that a rejection is
    /// based on: they are checked when the rejection is made, and not read afterwards.
    fn number(&mut self, mut reservation: Reservation) -> u8 {
        (reservation.created_at_micros, reservation.updated_at_micros) = (0, 0);
        if let ReservationState::Rejected(shortfalls)
        | ReservationState::Released(Before::Rejected(shortfalls)) = &mut reservation.state
        {
            shortfalls.iter_mut().for_each(|shortfall| shortfall.seen.clear());
        }
        let index =
            self.reservations.iter().position(|known| *known == reservation).unwrap_or_else(|| {
                self.reservations.push(reservation);
                self.reservations.len() - 1
            });
        u8::try_from(index + 1)
            .expect("the bounds are so narrow that few different reservations occur")
    }

    /// Runs the batch. `stock_read` is the level as it was read before the lock, if that mistake is
    /// planted.
    pub(super) fn run(
        &mut self,
        batch: Batch,
        stock: Stock,
        stock_read: Option<Level>,
        messages: &mut Messages,
    ) -> &Result<StockCommit, Violation> {
        let key = key(batch, stock, stock_read);
        let index = self.known.get(&key).copied().unwrap_or_else(|| {
            let commit = self.transact(batch, stock, stock_read, messages);
            self.commits.push(commit);
            self.known.insert(key, self.commits.len() - 1);
            self.commits.len() - 1
        });
        &self.commits[index]
    }

    fn transact(
        &mut self,
        batch: Batch,
        stock: Stock,
        stock_read: Option<Level>,
        messages: &mut Messages,
    ) -> Result<StockCommit, Violation> {
        let items: Vec<Item> = batch.into_iter().flatten().collect();
        let commands: Vec<InventoryCommand> =
            items.iter().map(|item| command(*item, messages)).collect();
        let loaded = self.load(&commands, stock);
        let Some(decision) = caught(|| self.decide(&commands, loaded, stock_read)) else {
            return broken(
                "R11",
                format!(
                    "the Inventory Service's decider panics on {}",
                    batch::describe(batch, messages)
                ),
            );
        };
        let mut commit = StockCommit { stock, publish: 0, replies: [None; 2] };
        for change in &decision.changes.stock {
            commit.stock.level = write_level(commit.stock.level, change)?;
        }
        let points = append(&mut commit.stock, &decision.changes.movements)?;
        for change in decision.changes.reservations {
            ledger::check_rejection(&change, &points)?;
            self.write_reservation(&mut commit.stock, change)?;
        }
        for ((item, decided), reply) in items.iter().zip(decision.decided).zip(&mut commit.replies)
        {
            commit.publish |= decided.publish.map_or(0, |answer| messages.answer(answer));
            *reply = answer(*item, &decided.outcome)?;
        }
        Ok(commit)
    }

    fn decide(
        &self,
        batch: &[InventoryCommand],
        loaded: Loaded,
        stock_read: Option<Level>,
    ) -> Decision {
        match (stock_read, self.shell.decide_on_old_stock) {
            (Some(stock_read), Some(decide)) => {
                let levels = [(actors::location_id(), stored(stock_read))].into();
                decide(LATER_MICROS, batch, loaded, &[(actors::product_id(), levels)].into())
            }
            _ => (self.shell.decide_stock)(LATER_MICROS, batch, loaded),
        }
    }

    /// Loads the rows that the batch refers to, as a store does.
    fn load(&self, batch: &[InventoryCommand], stock: Stock) -> Loaded {
        let touched = stock::Touched::by(batch);
        let found = stock.reservations.into_iter().filter_map(|number| self.reservation(number));
        let found = found.filter(|found| touched.orders.contains(&found.order_id));
        let deliveries =
            (0..actors::MAX_RECEIVES).filter(|delivery| stock.received & (1 << delivery) != 0);
        let movements =
            deliveries.map(actors::movement).filter(|(id, _)| touched.requests.contains(id));
        // Without a movement there is no row.
        let moved = stock.level.moves > 0;
        let levels: BTreeMap<_, _> =
            moved.then(|| (actors::location_id(), stored(stock.level))).into_iter().collect();
        let location =
            Location { location_id: actors::location_id(), name: "Main".to_owned(), priority: 0 };
        Loaded {
            reservations: found.map(|found| (found.order_id, found.clone())).collect(),
            movements: movements.collect(),
            products: touched.products.iter().map(|id| (id.clone(), actors::product())).collect(),
            levels: touched.products.iter().map(|id| (id.clone(), levels.clone())).collect(),
            locations: [(actors::location_id(), location)].into(),
        }
    }

    fn write_reservation(
        &mut self,
        stock: &mut Stock,
        change: ReservationChange,
    ) -> Result<(), Violation> {
        let index = usize::from(actors::order_of(change.to.order_id));
        let found = self.reservation(stock.reservations[index]).map(|found| found.state.name());
        if found != change.from {
            return broken(
                "R11",
                format!("the reservation is {found:?}, and the decision was: {change:?}"),
            );
        }
        stock.reservations[index] = self.number(change.to);
        Ok(())
    }
}

fn key(batch: Batch, stock: Stock, stock_read: Option<Level>) -> (u64, u64) {
    let codes = batch.map(|item| item.map_or(0, Item::code));
    let [a, b, c] = stock.reservations;
    let seen = stock_read.unwrap_or(Level { on_hand: u8::MAX, reserved: u8::MAX, moves: 0 });
    (
        u64::from_le_bytes([
            codes[0],
            codes[1],
            a,
            b,
            c,
            stock.received,
            seen.on_hand,
            seen.reserved,
        ]),
        u64::from_le_bytes([
            stock.level.on_hand,
            stock.level.reserved,
            stock.level.moves,
            stock.ledger.on_hand,
            stock.ledger.reserved,
            stock.ledger.moves,
            0,
            0,
        ]),
    )
}

fn command(item: Item, messages: &Messages) -> InventoryCommand {
    match item {
        Item::Request(Request::Receive(delivery)) => {
            InventoryCommand::Move(Box::new(actors::delivery(delivery)))
        }
        Item::Request(request) => {
            unreachable!("{request:?} is no request to the Inventory Service")
        }
        Item::Message(number) => match messages.get(number) {
            Message::Command(command) => actors::stock_command(command.clone()),
            Message::Answer(answer) => {
                unreachable!("{answer:?} does not go to the Inventory Service")
            }
        },
    }
}

fn stored(level: Level) -> Stored {
    Stored {
        on_hand: level.on_hand.into(),
        reserved: level.reserved.into(),
        last_seq: level.moves.into(),
    }
}

fn level(stored: Stored) -> Result<Level, Violation> {
    let small = |number: i64| u8::try_from(number);
    match (small(stored.on_hand), small(stored.reserved), small(stored.last_seq)) {
        (Ok(on_hand), Ok(reserved), Ok(moves)) => Ok(Level { on_hand, reserved, moves }),
        _ => broken("INV-1", format!("a level of {stored:?}")),
    }
}

/// Writes a level as the stores do: adds the deltas if there was no movement since (R11).
fn write_level(found: Level, change: &StockChange) -> Result<Level, Violation> {
    if i64::from(found.moves) != change.before.last_seq {
        return broken("R11", format!("the level is {found:?}, and the decision was: {change:?}"));
    }
    let deltas = change.deltas();
    level(Stored {
        on_hand: i64::from(found.on_hand) + deltas.on_hand,
        reserved: i64::from(found.reserved) + deltas.reserved,
        last_seq: change.after.last_seq,
    })
}

/// Appends to the ledger. Returns the level at each of its points, starting before the batch.
fn append(stock: &mut Stock, movements: &[Movement]) -> Result<Vec<Stored>, Violation> {
    let mut points = vec![stored(stock.ledger)];
    for movement in movements {
        let after = ledger::check_movement(stored(stock.ledger), movement)?;
        stock.ledger = level(after)?;
        points.push(after);
        if let Cause::Request(cause) = &movement.cause {
            let bit = 1 << cause.request_id.0[0];
            if stock.received & bit != 0 {
                return broken("R4", "a delivery counts twice");
            }
            stock.received |= bit;
        }
    }
    Ok(points)
}

/// The 2xx that the client behind the item gets.
fn answer(item: Item, outcome: &InventoryOutcome) -> Result<Option<Reply>, Violation> {
    match (item, outcome) {
        (Item::Request(Request::Receive(delivery)), InventoryOutcome::Moved { .. }) => {
            Ok(Some(Reply::Received(delivery)))
        }
        (Item::Message(_), InventoryOutcome::Answered { .. }) => Ok(None),
        (Item::Message(_), InventoryOutcome::Anomaly(why)) => {
            broken("R12", format!("an anomaly: {why}"))
        }
        _ => broken("INV-6", format!("{item:?} is answered {outcome:?}")),
    }
}
