//! The invariants, judged in every state. Nothing here asks the code under test what is right.

use inventory_core::decide::ReservationChange;
use inventory_core::reservation::{Reservation, State as Stand, StateName};
use inventory_core::stock::{Level as Stored, Movement};

use super::bounds::Bounds;
use super::cast::{self, FIRST, TWIN};
use super::order_book::{OrderBook, OrderRow};
use super::state::{IDS, NOTHING, State};
use super::stock_book::StockBook;
use crate::states::{Violation, agree, broken, may_follow, waits_for};

/// The judge.
#[derive(Debug)]
pub(super) struct Truth {
    bounds: Bounds,
    /// Which orders, with these numbers of row and reservation, were found to be in order.
    in_order: Vec<bool>,
}

impl Truth {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, in_order: vec![false; IDS << 16] }
    }

    /// INV-1 to INV-7 of a state. INV-8, and INV-1 and INV-2 of each movement, are judged where the ledger grows.
    pub(super) fn check(&mut self, state: &State, orders: &OrderBook, stock: &StockBook) -> Result<(), Violation> {
        for (order, place) in cast::orders() {
            let (row, reservation) = (state.orders[place], state.reservations[place]);
            let known = place << 16 | usize::from(row) << 8 | usize::from(reservation);
            if !self.in_order[known] {
                check_order(order, orders.row(row), stock.reservation(reservation))?;
                self.in_order[known] = true;
            }
        }
        check_stock(state, &self.bounds, stock)?;
        check_told(state)
    }
}

fn check_order(order: u8, row: Option<&OrderRow>, reservation: Option<&Reservation>) -> Result<(), Violation> {
    if let Some(row) = row {
        check_history(order, row)?;
        check_content(order, row)?;
    }
    check_pair(order, row, reservation)
}

fn check_history(order: u8, row: &OrderRow) -> Result<(), Violation> {
    let (name, OrderRow { order, history, pending }) = (cast::name(order), row);
    let mut before = None;
    for ((seq, status), expected) in history.iter().zip(1..) {
        if *seq != expected || !may_follow(before, *status) {
            return broken("INV-4", format!("order {name} has the history {history:?}"));
        }
        before = Some(*status);
    }
    if before != Some(order.status) || history.len() != usize::try_from(order.last_seq).unwrap_or(0) {
        return broken("INV-4", format!("order {name} is {:?} with the history {history:?}", order.status));
    }
    if *pending != waits_for(order.status) {
        return broken("INV-7", format!("order {name} is {:?} and waits for {pending:?}", order.status));
    }
    Ok(())
}

fn check_content(order: u8, row: &OrderRow) -> Result<(), Violation> {
    let same = row.order.order_id == cast::order_id(order)
        && row.order.request_digest == cast::request_digest(order)
        && row.order.terms == cast::terms();
    if same { Ok(()) } else { broken("INV-6", format!("order {} is not what was ordered", cast::name(order))) }
}

fn check_pair(order: u8, row: Option<&OrderRow>, reservation: Option<&Reservation>) -> Result<(), Violation> {
    use StateName::{Rejected, Released, Reserved, Shipped};
    let state = reservation.map(|reservation| reservation.state.name());
    let status = row.map(|row| row.order.status);
    let name = cast::name(order);
    if !agree(status, state) {
        return broken("INV-5", format!("order {name} is {}, its reservation {}", shown(status), shown(state)));
    }
    if let (Some(row), Some(reservation)) = (row, reservation) {
        let units: i64 = reservation.state.allocations().iter().map(|part| part.quantity.units()).sum();
        let right = match reservation.state.name() {
            Reserved | Shipped => units == 1,
            Released => units <= 1,
            Rejected => units == 0,
        };
        if !right || row.order.terms.digest != reservation.digest {
            return broken("INV-5", format!("order {name} and its reservation are about different lines"));
        }
    }
    Ok(())
}

fn shown<T: std::fmt::Debug>(state: Option<T>) -> String {
    state.map_or("absent".to_owned(), |state| format!("{state:?}").to_lowercase())
}

fn check_stock(state: &State, bounds: &Bounds, stock: &StockBook) -> Result<(), Violation> {
    let State { level, ledger, .. } = state;
    if level.on_hand < level.reserved {
        return broken("INV-1", format!("{level:?}"));
    }
    if level != ledger {
        return broken("INV-2", format!("the level is {level:?}, its movements come to {ledger:?}"));
    }
    let (mut held, mut shipped) = (0, 0);
    for reservation in state.reservations.into_iter().filter_map(|number| stock.reservation(number)) {
        let units: i64 = reservation.state.allocations().iter().map(|part| part.quantity.units()).sum();
        match reservation.state {
            Stand::Reserved(_) => held += units,
            Stand::Shipped(_) => shipped += units,
            Stand::Rejected(_) | Stand::Released(_) => {}
        }
    }
    if i64::from(level.reserved) != held {
        return broken("INV-3", format!("{level:?}, and orders hold {held}"));
    }
    let came_in = i64::from(bounds.units) + i64::from(state.received.count_ones());
    if i64::from(level.on_hand) != came_in - shipped {
        return broken("INV-2", format!("{level:?}, when {came_in} came in and {shipped} left"));
    }
    Ok(())
}

/// INV-6: what a client was told is there, and a key has one order.
fn check_told(state: &State) -> Result<(), Violation> {
    for (order, place) in cast::orders() {
        if state.told & (1 << order) != 0 && state.orders[place] == NOTHING {
            return broken("INV-6", format!("a client was told of order {}, which does not exist", cast::name(order)));
        }
    }
    let of_one_key = [FIRST, TWIN].map(|order| state.orders[usize::from(order)]);
    if !of_one_key.contains(&NOTHING) {
        return broken("INV-6", "one key has two orders");
    }
    let told_received = state.told >> cast::orders().count();
    if told_received & !state.received != 0 {
        return broken("INV-6", "a client was told of a delivery that is not in the ledger");
    }
    Ok(())
}

/// INV-1 and INV-2 of one movement: it explains how one level became the next. Returns that.
pub(super) fn check_movement(before: Stored, movement: &Movement) -> Result<Stored, Violation> {
    let after = Stored {
        on_hand: before.on_hand + movement.deltas.on_hand,
        reserved: before.reserved + movement.deltas.reserved,
        last_seq: before.last_seq + 1,
    };
    if movement.after != after {
        return broken("INV-2", format!("after {before:?}, {:?} leaves {:?}", movement.kind, movement.after));
    }
    if after.reserved < 0 || after.on_hand < after.reserved {
        return broken("INV-1", format!("{:?} leaves {after:?}", movement.kind));
    }
    Ok(after)
}

/// INV-8: where a rejection looked, there was too little. `points` are the ledger's, from before the batch on.
pub(super) fn check_rejection(change: &ReservationChange, points: &[Stored]) -> Result<(), Violation> {
    let name = cast::name(cast::order_of(change.to.order_id));
    if change.to.state.name() == StateName::Rejected && change.to.state.shortfalls().is_empty() {
        return broken("INV-8", format!("order {name} is rejected, and nothing was short"));
    }
    if change.from.is_some() {
        return Ok(());
    }
    for shortfall in change.to.state.shortfalls() {
        let at = |seq: i64| points.iter().find(|point| point.last_seq == seq);
        let seen: Option<Vec<_>> = shortfall.seen.iter().map(|seen| at(seen.seq)).collect();
        let available: Option<i64> =
            seen.map(|seen| seen.into_iter().map(|point| point.on_hand - point.reserved).sum());
        let told = &shortfall.shortage;
        if available != Some(told.available) || told.available >= told.requested.units() {
            let (requested, there) =
                (told.requested.get(), available.map_or("?".to_owned(), |units| units.to_string()));
            return broken("INV-8", format!("order {name} is rejected: it wanted {requested}, and {there} were there"));
        }
    }
    Ok(())
}
