//! The invariants, checked in every state without the code under test.

use inventory_core::reservation::{Reservation, State as ReservationState, StateName};

use super::actors::{self, FIRST, TWIN};
use super::bounds::Bounds;
use super::orders_database::{OrderRow, OrdersDatabase};
use super::state::{IDS, NOTHING, State};
use super::stock_database::StockDatabase;
use crate::states::{Violation, agree, broken, may_follow, waits_for};

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

    /// INV-1 to INV-7 of a state. INV-8, and INV-1 and INV-2 of each movement, are checked where
    /// the ledger grows.
    pub(super) fn check(
        &mut self,
        state: &State,
        orders: &OrdersDatabase,
        stock: &StockDatabase,
    ) -> Result<(), Violation> {
        for (order, index) in actors::orders() {
            let (row, reservation) = (state.orders[index], state.reservations[index]);
            let known = index << 16 | usize::from(row) << 8 | usize::from(reservation);
            if !self.passed[known] {
                check_order(order, orders.row(row), stock.reservation(reservation))?;
                self.passed[known] = true;
            }
        }
        check_stock(state, &self.bounds, stock)?;
        check_acknowledged(state)
    }
}

fn check_order(
    order: u8,
    row: Option<&OrderRow>,
    reservation: Option<&Reservation>,
) -> Result<(), Violation> {
    if let Some(row) = row {
        check_history(order, row)?;
        check_content(order, row)?;
    }
    check_pair(order, row, reservation)
}

fn check_history(order: u8, row: &OrderRow) -> Result<(), Violation> {
    let (name, OrderRow { order, history, pending }) = (actors::name(order), row);
    let mut before = None;
    for ((seq, status), expected) in history.iter().zip(1..) {
        if *seq != expected || !may_follow(before, *status) {
            return broken("INV-4", format!("order {name} has the history {history:?}"));
        }
        before = Some(*status);
    }
    if before != Some(order.status) || history.len() != usize::try_from(order.last_seq).unwrap_or(0)
    {
        return broken(
            "INV-4",
            format!("order {name} is {:?} with the history {history:?}", order.status),
        );
    }
    if *pending != waits_for(order.status) {
        return broken(
            "INV-7",
            format!("order {name} is {:?} and waits for {pending:?}", order.status),
        );
    }
    Ok(())
}

fn check_content(order: u8, row: &OrderRow) -> Result<(), Violation> {
    let same = row.order.order_id == actors::order_id(order)
        && row.order.request_digest == actors::request_digest(order)
        && row.order.terms == actors::terms();
    if same {
        Ok(())
    } else {
        broken("INV-6", format!("order {} is not what was ordered", actors::name(order)))
    }
}

fn check_pair(
    order: u8,
    row: Option<&OrderRow>,
    reservation: Option<&Reservation>,
) -> Result<(), Violation> {
    use StateName::{Rejected, Released, Reserved, Shipped};
    let state = reservation.map(|reservation| reservation.state.name());
    let status = row.map(|row| row.order.status);
    let name = actors::name(order);
    if !agree(status, state) {
        return broken(
            "INV-5",
            format!("order {name} is {}, its reservation {}", describe(status), describe(state)),
        );
    }
    if let (Some(row), Some(reservation)) = (row, reservation) {
        let units: i64 =
            reservation.state.allocations().iter().map(|part| part.quantity.units()).sum();
        let right = match reservation.state.name() {
            Reserved | Shipped => units == 1,
            Released => units <= 1,
            Rejected => units == 0,
        };
        if !right || row.order.terms.digest != reservation.digest {
            return broken(
                "INV-5",
                format!("order {name} and its reservation are about different lines"),
            );
        }
    }
    Ok(())
}

fn describe<T: std::fmt::Debug>(state: Option<T>) -> String {
    state.map_or("absent".to_owned(), |state| format!("{state:?}").to_lowercase())
}

fn check_stock(state: &State, bounds: &Bounds, stock: &StockDatabase) -> Result<(), Violation> {
    let State { level, ledger, .. } = state;
    if level.on_hand < level.reserved {
        return broken("INV-1", format!("{level:?}"));
    }
    if level != ledger {
        return broken(
            "INV-2",
            format!("the level is {level:?}, its movements come to {ledger:?}"),
        );
    }
    let (mut held, mut shipped) = (0, 0);
    for reservation in state.reservations.into_iter().filter_map(|number| stock.reservation(number))
    {
        let units: i64 =
            reservation.state.allocations().iter().map(|part| part.quantity.units()).sum();
        match reservation.state {
            ReservationState::Reserved(_) => held += units,
            ReservationState::Shipped(_) => shipped += units,
            ReservationState::Rejected(_) | ReservationState::Released(_) => {}
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
    if acknowledged_receives & !state.received != 0 {
        return broken("INV-6", "a client got an answer for a delivery that is not in the ledger");
    }
    Ok(())
}
