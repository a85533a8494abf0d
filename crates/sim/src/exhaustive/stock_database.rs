//! The Inventory Service's database. A transaction loads, decides with the real decider, and
//! writes.

use std::collections::BTreeMap;

use inventory_core::decide::{
    InventoryChanges, InventoryCommand, InventoryDecision, InventoryOutcome, LoadedInventory,
    Touched,
};
use inventory_core::reservation::Reservation;

use super::actors;
use super::batch::{self, Batch, Item};
use super::bounds::Bounds;
use super::hash::QuickMap;
use super::levels::{Level, Levels, NEXT_MOVEMENT, Units};
use super::local::Read;
use super::locks::Locks;
use super::messages::{Message, Messages};
use super::orders_database::LATER_MICROS;
use super::panics::caught;
use super::requests::{Reply, Request};
use super::shell::Shell;
use super::state::{IDS, NOTHING, RESERVATION_BITS, Stock};
use super::stock_writes::check_locked;
use crate::states::{Violation, broken};

/// The outcome of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum StockRun {
    Committed(StockCommit),
    /// A reservation that was to be made has appeared meanwhile. The transaction is rolled back,
    /// and the batch runs again (R11).
    Again,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct StockCommit {
    pub(super) stock: Stock,
    /// Messages to publish.
    pub(super) publish: u128,
    /// The 2xx that each command of the batch gets, if any.
    pub(super) replies: [Option<Reply>; 2],
}

/// Every reservation and all levels that ever occurred, by number, and the outcome of every
/// transaction.
#[derive(Debug)]
pub(super) struct StockDatabase {
    shell: Shell,
    reservations: Vec<Reservation>,
    /// The numbers of the reservations that are alike at first sight.
    alike: QuickMap<u64, Vec<u16>>,
    /// The units of each reservation.
    units: Vec<Units>,
    levels: Vec<Levels>,
    numbers_of_levels: QuickMap<Levels, u16>,
    runs: Vec<Result<StockRun, Violation>>,
    known: QuickMap<(u64, u16, [u64; 2]), usize>,
    /// What a transaction reads and locks for each batch.
    reads: QuickMap<(u64, u16), Read>,
}

impl StockDatabase {
    /// The levels at the start have the number 0. What is on hand then has come in by one movement
    /// per stock key.
    pub(super) fn new(bounds: Bounds, shell: Shell) -> Self {
        let at_start = actors::units_at_start(bounds);
        let rows =
            at_start.map(|on_hand| Level { on_hand, moves: on_hand.min(1), ..Level::default() });
        let at_start = Levels { rows, ledger: rows };
        Self {
            shell,
            reservations: Vec::new(),
            alike: QuickMap::default(),
            units: Vec::new(),
            levels: vec![at_start],
            numbers_of_levels: [(at_start, 0)].into_iter().collect(),
            runs: Vec::new(),
            known: QuickMap::default(),
            reads: QuickMap::default(),
        }
    }

    /// Each batch of one command that was decided, by its code, and the reservations that it found.
    #[cfg(test)]
    pub(super) fn single_batches(&self) -> impl Iterator<Item = (u8, [u16; IDS])> {
        let mask = (1 << RESERVATION_BITS) - 1;
        let shifts = [0, 1, 2].map(|index| index * RESERVATION_BITS);
        self.known.keys().filter_map(move |(word, codes, _)| match codes.to_le_bytes() {
            [code, 0] => {
                let row = |shift| u16::try_from(word >> shift & mask).expect("it is masked");
                Some((code, shifts.map(row)))
            }
            _ => None,
        })
    }

    #[cfg(test)]
    pub(super) fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }

    /// How many different transactions have met a reservation that appeared meanwhile.
    #[cfg(test)]
    pub(super) fn runs_again(&self) -> usize {
        self.runs.iter().filter(|run| matches!(run, Ok(StockRun::Again))).count()
    }

    pub(super) fn reservation(&self, number: u16) -> Option<&Reservation> {
        number.checked_sub(1).map(|number| &self.reservations[usize::from(number)])
    }

    /// The units of the reservation with this number; none if there is no reservation.
    pub(super) fn units_of(&self, number: u16) -> Units {
        number.checked_sub(1).map(|number| self.units[usize::from(number)]).unwrap_or_default()
    }

    pub(super) fn levels(&self, number: u16) -> &Levels {
        &self.levels[usize::from(number)]
    }

    /// Numbers a reservation. Leaves out what no decision depends on: times, because everything is
    /// old; the numbers of movements, of which only the count stays; and the points of the ledger
    /// that a rejection cites. All of that was checked when it was written.
    pub(super) fn number(&mut self, mut reservation: Reservation) -> u16 {
        (reservation.created_at_micros, reservation.updated_at_micros) = (0, 0);
        let of_holdings = reservation.holdings.iter_mut().map(|holding| &mut holding.movements);
        let of_returns = reservation.returns.iter_mut().map(|back| &mut back.movements);
        for movements in of_holdings.chain(of_returns) {
            movements.iter_mut().zip(1..).for_each(|(movement, place)| *movement = place);
        }
        if let Some(rejection) = &mut reservation.rejection {
            rejection.shortfalls.iter_mut().for_each(|shortfall| shortfall.seen.clear());
        }
        let order = u64::from(actors::order_of(reservation.order_id));
        let [a, b, c, ..] = reservation.digest.0;
        let at_first_sight = u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]) | order << 32;
        let alike = self.alike.entry(at_first_sight).or_default();
        let known = |number: &u16| self.reservations[usize::from(*number - 1)] == reservation;
        if let Some(number) = alike.iter().copied().find(known) {
            return number;
        }
        self.units.push(Units::of(&reservation));
        self.reservations.push(reservation);
        let number = u16::try_from(self.reservations.len()).ok();
        let number = number.filter(|number| number >> RESERVATION_BITS == 0);
        let number =
            number.expect("the bounds are so narrow that few different reservations occur");
        alike.push(number);
        number
    }

    pub(super) fn number_of_levels(&mut self, levels: Levels) -> u16 {
        if let Some(number) = self.numbers_of_levels.get(&levels) {
            return *number;
        }
        let number = u16::try_from(self.levels.len()).expect("narrow bounds have few levels");
        self.levels.push(levels);
        self.numbers_of_levels.insert(levels, number);
        number
    }

    /// What a transaction reads and locks for the batch.
    pub(super) fn read(&mut self, batch: Batch, stock: Stock, messages: &Messages) -> Read {
        let key = (stock.word(), batch::codes(batch));
        if let Some(read) = self.reads.get(&key) {
            return *read;
        }
        let commands: Vec<_> =
            batch.into_iter().flatten().map(|item| command(item, messages)).collect();
        let touched = Touched::by(&commands);
        let locks = Locks::of(&(self.shell.locks)(&commands), stock.reservations);
        let mut read = Stock::default();
        for (order, index) in actors::orders() {
            if touched.orders.contains(&actors::order_id(order)) {
                read.reservations[index] = stock.reservations[index];
            }
        }
        // Unknown products have no stock rows.
        if Locks::of(&touched, [NOTHING; IDS]).has_product() {
            (read.levels, read.received) = (stock.levels, stock.received);
        }
        let read = Read { batch, orders: [NOTHING; IDS], stock: read, locks };
        self.reads.insert(key, read);
        read
    }

    /// Runs the batch, or the rest of its transaction if it has read its rows. The outcome is kept,
    /// so that equal input is decided once.
    pub(super) fn run(
        &mut self,
        batch: Batch,
        stock: Stock,
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> &Result<StockRun, Violation> {
        let key = (stock.word(), batch::codes(batch), Read::words(read));
        let index = self.known.get(&key).copied().unwrap_or_else(|| {
            let run = self.transact(batch, stock, read, messages);
            self.runs.push(run);
            self.known.insert(key, self.runs.len() - 1);
            self.runs.len() - 1
        });
        &self.runs[index]
    }

    fn transact(
        &mut self,
        batch: Batch,
        stock: Stock,
        read: Option<&Read>,
        messages: &mut Messages,
    ) -> Result<StockRun, Violation> {
        let items: Vec<Item> = batch.into_iter().flatten().collect();
        let commands: Vec<_> = items.iter().map(|item| command(*item, messages)).collect();
        let Some(decision) = caught(|| self.decide(&commands, stock, read)) else {
            return broken(
                "R11",
                format!(
                    "the Inventory Service's decider panics on {}",
                    batch::describe(batch, messages)
                ),
            );
        };
        let InventoryDecision { decided, changes } = decision;
        if read.is_some() && self.has_appeared(stock, &changes) {
            return Ok(StockRun::Again);
        }
        check_locked(&commands, &changes)?;
        let stock = self.write(stock, changes)?;
        let mut commit = StockCommit { stock, publish: 0, replies: [None; 2] };
        for ((item, decided), reply) in items.iter().zip(decided).zip(&mut commit.replies) {
            commit.publish |= decided.publish.map_or(0, |answer| messages.answer(answer));
            *reply = answer(*item, &decided.outcome)?;
        }
        Ok(StockRun::Committed(commit))
    }

    fn decide(
        &self,
        batch: &[InventoryCommand],
        stock: Stock,
        read: Option<&Read>,
    ) -> InventoryDecision {
        let found = self.load(batch, stock);
        let read = read.map(|read| self.load(batch, read.stock));
        match (read, self.shell.decide_on_old_stock) {
            (Some(read), Some(decide)) => decide(LATER_MICROS, batch, &found, &read),
            (read, _) => (self.shell.decide_stock)(LATER_MICROS, batch, read.unwrap_or(found)),
        }
    }

    /// Loads the rows that the batch refers to, as a store does.
    pub(super) fn load(&self, batch: &[InventoryCommand], stock: Stock) -> LoadedInventory {
        let touched = Touched::by(batch);
        let found = stock.reservations.into_iter().filter_map(|number| self.reservation(number));
        let found = found.filter(|found| touched.orders.contains(&found.order_id));
        let deliveries =
            (0..actors::MAX_RECEIVES).filter(|delivery| stock.received & (1 << delivery) != 0);
        let movements =
            deliveries.map(actors::movement).filter(|(id, _)| touched.requests.contains(id));
        let products = touched.products.iter().filter_map(actors::product);
        let mut levels: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (key, level) in self.levels(stock.levels).rows.into_iter().enumerate() {
            let (product_id, location_id) = actors::stock_key(key);
            // Without a movement there is no row.
            if touched.products.contains(&product_id) && level.moves > 0 {
                levels.entry(product_id).or_default().insert(location_id, level.stored(key));
            }
        }
        let locations =
            actors::locations().map(|location| (location.location_id.clone(), location));
        LoadedInventory {
            reservations: found.map(|found| (found.order_id, found.clone())).collect(),
            movements: movements.collect(),
            products: products.map(|product| (product.product_id.clone(), product)).collect(),
            levels,
            locations: locations.into(),
            next_movement: NEXT_MOVEMENT,
        }
    }

    fn has_appeared(&self, stock: Stock, changes: &InventoryChanges) -> bool {
        changes.reservations.iter().any(|change| {
            let index = usize::from(actors::order_of(change.to.order_id));
            change.from.is_none() && stock.reservations[index] != NOTHING
        })
    }
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
            Message::Command(command) => InventoryCommand::Allocate(Box::new(command.clone())),
            Message::Answer(answer) => {
                unreachable!("{answer:?} does not go to the Inventory Service")
            }
        },
    }
}

/// The 2xx that the client behind the item gets.
fn answer(item: Item, outcome: &InventoryOutcome) -> Result<Option<Reply>, Violation> {
    match (item, outcome) {
        (Item::Request(Request::Receive(delivery)), InventoryOutcome::Moved { .. }) => {
            Ok(Some(Reply::Done(Request::Receive(delivery))))
        }
        (Item::Message(_), InventoryOutcome::Answered { .. }) => Ok(None),
        (Item::Message(_), InventoryOutcome::Anomaly(why)) => {
            broken("R22", format!("the Inventory Service meets an anomaly: {why}"))
        }
        _ => broken("INV-6", format!("{item:?} is answered {outcome:?}")),
    }
}
