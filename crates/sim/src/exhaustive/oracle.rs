//! The invariants, checked in every state without the code under test.

use contract::{Intent, Shortage};
use inventory_core::reservation::{Holding, Reservation, ReservationState};
use orders_core::decide::OrderState;

use super::actors::{self, FIRST, KEYS, TWIN};
use super::bounds::Bounds;
use super::levels::Levels;
use super::orders_database::{OrderRow, OrdersDatabase};
use super::registers::{Registers, UnitsByKey, units};
use super::state::{IDS, NOTHING, State};
use super::stock_database::StockDatabase;
use crate::states::{Violation, agree, broken, waits};

#[derive(Debug)]
pub(super) struct Oracle {
    bounds: Bounds,
    /// The pairs of an order's row and reservation that have passed the checks, by their indices.
    passed: Vec<bool>,
}

impl Oracle {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, passed: vec![false; IDS << 16] }
    }

    /// INV-1 to INV-7 and INV-10 of a state. INV-8, INV-11, and INV-1 to INV-3 of each movement,
    /// are checked where the ledger grows.
    pub(super) fn check(
        &mut self,
        state: &State,
        orders: &OrdersDatabase,
        stock: &StockDatabase,
    ) -> Result<(), Violation> {
        for (order, index) in actors::orders() {
            let (row, reservation) = (state.orders[index], state.stock.reservations[index]);
            let known = index << 16 | usize::from(row) << 8 | usize::from(reservation);
            if !self.passed[known] {
                let (row, reservation) = (orders.row(row), stock.reservation(reservation));
                check_order(order, self.bounds, row, reservation)?;
                self.passed[known] = true;
            }
        }
        check_stock(state, self.bounds, stock)?;
        check_acknowledged(state)
    }
}

fn check_order(
    order: u8,
    bounds: Bounds,
    row: Option<&OrderRow>,
    reservation: Option<&Reservation>,
) -> Result<(), Violation> {
    let name = actors::name(order);
    let placement = actors::placement(order, bounds);
    let registers = match row {
        Some(row) if row.order.terms != placement.terms => {
            return broken("INV-6", format!("order {name} is not what was ordered"));
        }
        Some(row) => match Registers::fold(placement.terms.ordered(), &row.history) {
            Ok(registers) => Some(registers),
            Err(why) => return broken("INV-4", format!("order {name}: {why}")),
        },
        None => None,
    };
    let state = reservation.map(state_of);
    let status = registers.as_ref().map(|registers| registers.status);
    if !agree(status, state) || state != reservation.map(Reservation::state) {
        return broken(
            "INV-5",
            format!("order {name} is {}, its reservation {}", describe(status), describe(state)),
        );
    }
    if let (Some(row), Some(registers)) = (row, &registers) {
        check_row(name, row, registers)?;
    }
    match (&registers, reservation) {
        (Some(registers), Some(reservation)) => check_pair(name, registers, reservation),
        _ => Ok(()),
    }
}

/// The state of a reservation, from what it says about its stock keys.
fn state_of(reservation: &Reservation) -> ReservationState {
    let allocated = of(reservation, |holding| holding.promised - holding.released);
    let shipped = of(reservation, |holding| holding.shipped);
    let rejected = reservation.rejection.as_ref().map(|rejection| rejection.revision);
    if !allocated.is_empty() {
        if shipped == allocated { ReservationState::Shipped } else { ReservationState::Reserved }
    } else if rejected == Some(reservation.revision) {
        ReservationState::Rejected
    } else {
        ReservationState::Released
    }
}

fn describe<T: std::fmt::Debug>(state: Option<T>) -> String {
    state.map_or("absent".to_owned(), |state| format!("{state:?}").to_lowercase())
}

/// All that is stored beside the history follows from it (INV-4, INV-7, R14).
fn check_row(name: &str, row: &OrderRow, registers: &Registers) -> Result<(), Violation> {
    let OrderRow { order, history, state, pending } = row;
    let Registers { revision, settled, status, intents, .. } = registers;
    let digest = intents[intents.len() - 1].digest();
    let facts = order.registers.facts.as_ref();
    let right = order.registers.intent.revision.get() == *revision
        && order.registers.intent.wanted == registers.wanted
        && order.registers.intent.shipped == registers.shipped
        && facts.map_or(0, |facts| facts.revision.get()) == *settled
        && facts.is_none_or(|facts| {
            facts.allocated == registers.allocated && facts.shortages == registers.shortages
        })
        && order.status() == *status
        && order.digest == digest
        && usize::try_from(order.last_seq).ok() == Some(history.len() + 1);
    if !right {
        return broken("INV-4", format!("order {name} is {order:?}, its history {history:?}"));
    }
    let stored = state.map(|OrderState { status, revision, settled, last_seq, digest }| {
        let settled = settled.map_or(0, |settled| settled.get());
        (status, revision.get(), settled, last_seq, digest)
    });
    let changed = (*revision > 1).then_some(digest);
    let expected = (*status, *revision, *settled, order.last_seq, changed);
    if stored != (!history.is_empty()).then_some(expected) {
        return broken("INV-4", format!("order {name} is {expected:?}, stored is {stored:?}"));
    }
    let ahead = settled < revision;
    let expected = ahead.then_some(*revision);
    if pending.map(|pending| pending.get()) != expected || waits(*status) != ahead {
        return broken("INV-7", format!("order {name} is {status:?} and waits for {pending:?}"));
    }
    Ok(())
}

/// INV-5: settled ≤ Inventory's revision ≤ the intent's revision, and equal revisions mean equal
/// registers. INV-10: Inventory has done what the intent of its revision says.
fn check_pair(
    name: &str,
    registers: &Registers,
    reservation: &Reservation,
) -> Result<(), Violation> {
    let Registers { revision, settled, intents, .. } = registers;
    let there = reservation.revision.get();
    if there < *settled || *revision < there {
        return broken(
            "INV-5",
            format!("order {name}: {settled} is settled of {revision}, Inventory is at {there}"),
        );
    }
    let same = |intent: &&Intent| intent.revision == reservation.revision;
    let intent = intents.iter().find(same).expect("every revision has its intent");
    let allocated = of(reservation, |holding| holding.promised - holding.released);
    let shipped = of(reservation, |holding| holding.shipped);
    let same_facts = there != *settled
        || allocated == units(&registers.allocated)
            && shortages_of(reservation) == registers.shortages;
    if !same_facts || reservation.digest != intent.digest() || shipped != units(&intent.shipped) {
        return broken(
            "INV-5",
            format!("order {name} and Inventory differ: {registers:?}, {reservation:?}"),
        );
    }
    let granted = |product: &str| -> i64 {
        let its = |(key, _): &(&(String, String), &i64)| key.0 == product;
        allocated.iter().filter(its).map(|(_, units)| *units).sum()
    };
    let rejected = there == 1 && allocated.is_empty();
    let as_wanted = intent
        .wanted
        .iter()
        .all(|line| rejected || granted(line.product_id.as_str()) == i64::from(line.quantity));
    let exceeds = |(key, shipped): (&_, &i64)| allocated.get(key) < Some(shipped);
    let positive = allocated.values().chain(shipped.values()).all(|units| *units > 0);
    if !as_wanted || !positive || shipped.iter().any(exceeds) {
        return broken("INV-10", format!("order {name} has {allocated:?}, {shipped:?} shipped"));
    }
    Ok(())
}

/// What was short when the revision of a reservation was carried out.
fn shortages_of(reservation: &Reservation) -> Vec<Shortage> {
    let rejection = reservation.rejection.iter();
    let rejection = rejection.filter(|rejection| rejection.revision == reservation.revision);
    let shortfalls = rejection.flat_map(|rejection| &rejection.shortfalls);
    shortfalls.map(|shortfall| shortfall.shortage.clone()).collect()
}

/// What a reservation says by stock key, without zeros.
fn of(reservation: &Reservation, units: fn(&Holding) -> i64) -> UnitsByKey {
    let by_key = reservation.holdings.iter().map(|holding| {
        ((holding.product_id.to_string(), holding.location_id.to_string()), units(holding))
    });
    by_key.filter(|(_, units)| *units != 0).collect()
}

/// INV-1 to INV-3 of the stock rows.
fn check_stock(state: &State, bounds: Bounds, stock: &StockDatabase) -> Result<(), Violation> {
    let Levels { rows, ledger } = stock.levels(state.stock.levels);
    if rows != ledger {
        return broken(
            "INV-2",
            format!("the levels are {rows:?}, their movements come to {ledger:?}"),
        );
    }
    let mut held = [0; KEYS];
    let mut on_hand = actors::units_at_start(bounds);
    on_hand[actors::TEES] += u8::try_from(state.stock.received.count_ones()).expect("few bits");
    for number in state.stock.reservations {
        let out = stock.units_of(number);
        for key in 0..KEYS {
            held[key] += out.held[key];
            on_hand[key] = on_hand[key].wrapping_sub(out.shipped[key]);
        }
    }
    for key in 0..KEYS {
        if rows[key].reserved != held[key] {
            return broken("INV-3", format!("{:?}, and orders hold {}", rows[key], held[key]));
        }
        if rows[key].on_hand < rows[key].reserved {
            return broken("INV-1", format!("{:?}", rows[key]));
        }
        if rows[key].on_hand != on_hand[key] {
            return broken("INV-2", format!("{:?}, and {} are left", rows[key], on_hand[key]));
        }
    }
    Ok(())
}

/// INV-6: what a client's answer confirms exists, and a key has one order.
fn check_acknowledged(state: &State) -> Result<(), Violation> {
    for (order, index) in actors::orders() {
        if state.acknowledged & (1 << order) != 0 && state.orders[index] == NOTHING {
            return broken(
                "INV-6",
                format!(
                    "a client got an answer for order {}, which does not exist",
                    actors::name(order)
                ),
            );
        }
    }
    let of_one_key = [FIRST, TWIN].map(|order| state.orders[usize::from(order)]);
    if !of_one_key.contains(&NOTHING) {
        return broken("INV-6", "one key has two orders");
    }
    let acknowledged_receives = state.acknowledged >> actors::orders().count();
    if acknowledged_receives & !state.stock.received != 0 {
        return broken("INV-6", "a client got an answer for a delivery that is not in the ledger");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
