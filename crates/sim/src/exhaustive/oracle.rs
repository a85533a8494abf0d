//! The invariants, checked in every state without the code under test.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;

use contract::{Facts, ReturnedUnits};
use inventory_core::reservation::{Holding, Reservation, ReservationState, ReturnedStock};

use super::actors::{self, FIRST, KEYS, TWIN};
use super::bounds::Bounds;
use super::hash::Quick;
use super::levels::Levels;
use super::orders_database::{OrderRow, OrdersDatabase};
use super::registers::{self, back, booked, products, short, units};
use super::state::{NOTHING, State};
use super::stock_database::StockDatabase;
use crate::fold::{Back, FactsThen, Registers, Short, StockKey, StockUnits, of_product};
use crate::states::{Violation, agree, broken, waits};

#[derive(Debug)]
pub(super) struct Oracle {
    bounds: Bounds,
    /// The pairs of an order's row and reservation that have passed the checks, by their indices.
    passed: HashSet<u64, BuildHasherDefault<Quick>>,
}

impl Oracle {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, passed: HashSet::default() }
    }

    /// INV-1 to INV-7, INV-9 and INV-10 of a state. INV-8, INV-11, and INV-1 to INV-3 of each movement,
    /// are checked where the ledger grows.
    pub(super) fn check(
        &mut self,
        state: &State,
        orders: &OrdersDatabase,
        stock: &StockDatabase,
    ) -> Result<(), Violation> {
        for (order, index) in actors::orders() {
            let (row, reservation) = (state.orders[index], state.stock.reservations[index]);
            let known = u64::from(order) << 32 | u64::from(row) << 16 | u64::from(reservation);
            if !self.passed.contains(&known) {
                let (row, reservation) = (orders.row(row), stock.reservation(reservation));
                check_order(order, self.bounds, row, reservation)?;
                self.passed.insert(known);
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
        Some(row) => match registers::fold(&placement.terms, &row.history) {
            Ok(registers) => Some(registers),
            Err(Violation { invariant, what }) => {
                return broken(invariant, format!("order {name}, {what}"));
            }
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

/// All that is stored beside the history follows from it (INV-4, INV-7, INV-9, R14).
fn check_row(name: &str, row: &OrderRow, registers: &Registers) -> Result<(), Violation> {
    let OrderRow { order, history, state, pending, deadline, .. } = row;
    let (revision, settled, status) = (registers.revision(), registers.settled(), registers.status);
    let newest = registers.newest();
    let digest = newest.digest(revision);
    let right = i64::from(order.registers.intent.revision.get()) == revision
        && products(&order.registers.intent.wanted) == newest.wanted
        && units(&order.registers.intent.shipped) == newest.shipped
        && back(&order.registers.intent.returned) == newest.returned
        && has_facts(order.registers.facts.as_ref(), registers.facts())
        && order.status() == status
        && order.digest == digest
        && usize::try_from(order.last_seq).ok() == Some(history.len() + 1);
    if !right {
        return broken("INV-4", format!("order {name} is {order:?}, its history {history:?}"));
    }
    let refund_due = registers.refund_due();
    let stored = state.map(|state| {
        let settled = state.settled.map_or(0, |settled| i64::from(settled.get()));
        let revision = i64::from(state.revision.get());
        (state.status, revision, settled, state.last_seq, state.digest)
    });
    let changed = (revision > 1).then_some(digest);
    let expected = (status, revision, settled, order.last_seq, changed);
    if stored != (!history.is_empty()).then_some(expected) {
        return broken("INV-4", format!("order {name} is {expected:?}, stored is {stored:?}"));
    }
    if state.is_some_and(|state| state.refund_due_minor != refund_due) {
        return broken("INV-9", format!("order {name} is owed {refund_due}, stored is {state:?}"));
    }
    let ahead = registers.is_ahead();
    let expected = ahead.then_some(revision);
    if pending.map(|pending| i64::from(pending.get())) != expected || waits(status) != ahead {
        return broken("INV-7", format!("order {name} is {status:?} and waits for {pending:?}"));
    }
    let pay_by = deadline.map(|deadline| deadline.pay_by_micros);
    if pay_by != registers.pay_by() {
        return broken("INV-7", format!("order {name} is {status:?}, with {deadline:?}"));
    }
    Ok(())
}

fn has_facts(stored: Option<&Facts>, told: Option<&FactsThen>) -> bool {
    match (stored, told) {
        (Some(stored), Some(told)) => {
            i64::from(stored.revision.get()) == told.revision
                && units(&stored.allocated) == told.allocated
                && short(&stored.shortages) == told.shortages
                && booked(&stored.booked_at) == told.booked_at
        }
        (stored, told) => stored.is_none() && told.is_none(),
    }
}

/// INV-5: settled ≤ Inventory's revision ≤ the intent's revision, and equal revisions mean equal
/// registers. INV-10: Inventory has done what the intent of its revision says.
fn check_pair(
    name: &str,
    registers: &Registers,
    reservation: &Reservation,
) -> Result<(), Violation> {
    let (revision, settled) = (registers.revision(), registers.settled());
    let there = i64::from(reservation.revision.get());
    if there < settled || revision < there {
        return broken(
            "INV-5",
            format!("order {name}: {settled} is settled of {revision}, Inventory is at {there}"),
        );
    }
    let intent = registers.intent(there).expect("every revision has its intent");
    let allocated = of(reservation, |holding| holding.promised - holding.released);
    let shipped = of(reservation, |holding| holding.shipped);
    let same_facts = there != settled
        || registers.facts().is_some_and(|facts| {
            facts.allocated == allocated
                && facts.shortages == shortages_of(reservation)
                && facts.booked_at == booked_of(reservation)
        });
    let same_intent = reservation.digest == intent.digest(there)
        && shipped == intent.shipped
        && returned_of(reservation) == intent.returned;
    if !same_facts || !same_intent {
        return broken(
            "INV-5",
            format!("order {name} and Inventory differ: {registers:?}, {reservation:?}"),
        );
    }
    let rejected = intent.asks_for_stock() && allocated.is_empty();
    let granted = |(product, units): (&String, &i64)| of_product(&allocated, product) == *units;
    let as_wanted = rejected || intent.sent_wanted().iter().all(granted);
    let exceeds = |(key, shipped): (&_, &i64)| allocated.get(key) < Some(shipped);
    let positive = allocated.values().chain(shipped.values()).all(|units| *units > 0);
    if !as_wanted || !positive || shipped.iter().any(exceeds) {
        return broken("INV-10", format!("order {name} has {allocated:?}, {shipped:?} shipped"));
    }
    Ok(())
}

/// What was short when the revision of a reservation was carried out.
fn shortages_of(reservation: &Reservation) -> Vec<Short> {
    let rejection = reservation.rejection.iter();
    let rejection = rejection.filter(|rejection| rejection.revision == reservation.revision);
    let shortfalls = rejection.flat_map(|rejection| &rejection.shortfalls);
    short(&shortfalls.map(|shortfall| shortfall.shortage.clone()).collect::<Vec<_>>())
}

/// What came back, as the client named it.
fn returned_of(reservation: &Reservation) -> Back {
    let entry = |found: &ReturnedStock| {
        let ReturnedUnits { product_id, location_id, restocked, quarantined, written_off } =
            &found.units;
        let units = [*restocked, *quarantined, *written_off].map(i64::from);
        ((product_id.to_string(), location_id.to_string()), units)
    };
    reservation.returns.iter().map(entry).collect()
}

/// Where units that came back to unknown locations are booked.
fn booked_of(reservation: &Reservation) -> BTreeMap<StockKey, String> {
    let elsewhere =
        reservation.returns.iter().filter(|back| back.booked_at != back.units.location_id);
    let entry = |back: &ReturnedStock| {
        let key = (back.units.product_id.to_string(), back.units.location_id.to_string());
        (key, back.booked_at.to_string())
    };
    elsewhere.map(entry).collect()
}

/// What a reservation says by stock key, without zeros.
fn of(reservation: &Reservation, units: fn(&Holding) -> i64) -> StockUnits {
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
    let mut quarantined = [0; KEYS];
    let mut on_hand = actors::units_at_start(bounds);
    on_hand[actors::TEES] += u8::try_from(state.stock.received.count_ones()).expect("few bits");
    for number in state.stock.reservations {
        let out = stock.units_of(number);
        for key in 0..KEYS {
            held[key] += out.held[key];
            on_hand[key] = on_hand[key].wrapping_sub(out.shipped[key]);
            on_hand[key] = on_hand[key].wrapping_add(out.back[key]);
            quarantined[key] += out.quarantined[key];
        }
    }
    for key in 0..KEYS {
        if rows[key].reserved != held[key] {
            return broken("INV-3", format!("{:?}, and orders hold {}", rows[key], held[key]));
        }
        if rows[key].quarantined != quarantined[key] {
            let quarantined = quarantined[key];
            return broken("INV-3", format!("{:?}, and {quarantined} came back so", rows[key]));
        }
        if rows[key].on_hand < rows[key].reserved + rows[key].quarantined {
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
