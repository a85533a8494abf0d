use contract::{Digest, Revision};
use orders_core::history::Event;
use orders_core::status::Status;

use super::*;
use crate::exhaustive::actors::OTHER;
use crate::exhaustive::bounds::ONE_ORDER;
use crate::exhaustive::model::Model;
use crate::exhaustive::search::explore;
use crate::exhaustive::shell::Shell;

const NO_LIMIT: u32 = u32::MAX - 1;

type Tamper = fn(&mut OrderRow, &mut Reservation);

/// An order and its reservation that agree.
fn healthy(model: &Model, status: Status, state: ReservationState) -> (OrderRow, Reservation) {
    let bounds = model.bounds;
    let mut rows = model.orders.rows().iter();
    let row = rows.find(|row| row.order.status() == status).expect("the status is reached");
    let mut reservations = model.stock.reservations().iter();
    let agrees = |found: &&Reservation| {
        found.state() == state && check_order(FIRST, bounds, Some(row), Some(found)).is_ok()
    };
    let reservation = reservations.find(agrees).expect("a state that agrees");
    (row.clone(), reservation.clone())
}

#[test]
fn every_damage_to_an_order_or_its_reservation_breaks_an_invariant() {
    use ReservationState::{Released, Reserved, Shipped};
    use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received};
    let damages: [(&str, Status, ReservationState, Tamper); 22] = [
        // The content and the history of the order.
        ("INV-6", Confirmed, Reserved, |row, _| row.order.terms.total_minor += 1),
        ("INV-4", Confirmed, Reserved, |row, _| row.history[0].seq = 3),
        ("INV-4", Confirmed, Reserved, |row, _| row.history[0].status = Status::Rejected),
        ("INV-4", Fulfilled, Shipped, |row, _| row.history.swap(0, 1)),
        ("INV-4", Fulfilled, Shipped, |row, _| {
            let again = row.history[2].clone();
            row.history.push(again);
        }),
        ("INV-4", Cancelling, Reserved, |row, _| {
            if let Event::Intended(intended) = &mut row.history[0].event {
                intended.revision = intended.revision.next();
            }
        }),
        ("INV-4", Fulfilling, Reserved, |row, _| {
            if let Event::Intended(intended) = &mut row.history[1].event {
                intended.wanted = Some(row.order.terms.ordered().nothing());
            }
        }),
        ("INV-10", Confirmed, Reserved, |row, _| {
            if let Event::Settled { allocated, .. } = &mut row.history[0].event {
                *allocated = None;
            }
        }),
        // What is stored beside the history.
        ("INV-4", Confirmed, Reserved, |row, _| row.order.digest = Digest([0; 16])),
        ("INV-4", Confirmed, Reserved, |row, _| row.order.last_seq = 3),
        ("INV-4", Confirmed, Reserved, |row, _| row.state = None),
        ("INV-4", Cancelled, Released, |row, _| {
            row.state.as_mut().expect("it is changed").digest = None;
        }),
        ("INV-7", Received, Reserved, |row, _| row.pending = None),
        ("INV-7", Fulfilling, Reserved, |row, _| row.pending = Some(Revision::FIRST)),
        ("INV-7", Confirmed, Reserved, |row, _| row.pending = Some(Revision::FIRST)),
        // The reservation.
        ("INV-5", Fulfilled, Shipped, |_, found| found.revision = Revision::FIRST),
        ("INV-5", Confirmed, Reserved, |_, found| found.revision = found.revision.next()),
        ("INV-5", Fulfilling, Reserved, |_, found| found.digest = Digest([0; 16])),
        ("INV-5", Fulfilled, Shipped, |_, found| found.holdings[0].shipped = 0),
        ("INV-5", Confirmed, Reserved, |_, found| found.holdings[0].promised += 1),
        ("INV-10", Received, Reserved, |_, found| found.holdings[0].promised += 1),
        ("INV-10", Received, Reserved, |_, found| drop(found.holdings.remove(0))),
    ];
    let model = explore(ONE_ORDER, Shell::RIGHT, NO_LIMIT).model;
    let expected: Vec<_> = damages.iter().map(|(invariant, ..)| Err(*invariant)).collect();
    let found = damages.into_iter().map(|(_, status, state, damage)| {
        let (mut row, mut reservation) = healthy(&model, status, state);
        damage(&mut row, &mut reservation);
        let checked = check_order(FIRST, ONE_ORDER, Some(&row), Some(&reservation));
        checked.map_err(|violation| violation.invariant)
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let (row, reservation) = healthy(&model, Confirmed, Reserved);
    let checks = [
        check_order(FIRST, ONE_ORDER, Some(&row), None),
        check_order(FIRST, ONE_ORDER, None, Some(&reservation)),
        check_order(OTHER, ONE_ORDER, Some(&row), Some(&reservation)),
    ];
    let broken = checks.map(|checked| checked.map_err(|violation| violation.invariant));
    assert_eq!(broken, [Err("INV-5"), Err("INV-5"), Err("INV-6")]);
}

#[test]
fn shortages_that_differ_between_the_services_break_an_invariant() {
    let bounds = Bounds { units: 0, ..ONE_ORDER };
    let model = explore(bounds, Shell::RIGHT, NO_LIMIT).model;
    let (row, mut reservation) = healthy(&model, Status::Rejected, ReservationState::Rejected);
    let rejection = reservation.rejection.as_mut().expect("tees were short");
    rejection.shortfalls[0].shortage.available -= 1;
    let checked = check_order(FIRST, bounds, Some(&row), Some(&reservation));
    assert_eq!(checked.expect_err("the damage is found").invariant, "INV-5");
}
