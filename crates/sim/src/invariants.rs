//! The invariants of orders, checked on the rows themselves: a second opinion that shares no code
//! with the audit.

use contract::OrderId;

use crate::databases::{Databases, HoldingRow, OrderRow, PendingRow, ReservationRow, ReturnRow};
use crate::fold::{Registers, of_product};
use crate::states::{Violation, agree, broken, waits};

/// The rows of one order in both databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) order: Option<OrderRow>,
    pub(crate) reservation: Option<ReservationRow>,
}

/// INV-4, INV-5, INV-7, INV-9 and INV-10 of one order, at one moment of both databases. Returns its rows.
pub(crate) fn check_order(databases: &Databases, order_id: OrderId) -> Result<Pair, Violation> {
    let pair =
        Pair { order: databases.order(order_id), reservation: databases.reservation(order_id) };
    let reservation = pair.reservation.as_ref();
    let Some(order) = &pair.order else {
        let Some(reservation) = reservation else { return Ok(pair) };
        return broken("INV-5", format!("there is no order {order_id}, but {reservation:?}"));
    };
    let registers = order.registers()?;
    check_state(order, &registers)?;
    check_pending(order, &registers)?;
    check_deadline(order, &registers)?;
    check_pair(order, &registers, reservation)?;
    Ok(pair)
}

/// INV-4: what is stored beside the history follows from it.
fn check_state(order: &OrderRow, registers: &Registers) -> Result<(), Violation> {
    let first = registers.intent(1).expect("an order begins with an intent");
    if order.first_digest != first.digest(1).0 {
        return broken("INV-4", format!("the digest is not that of the lines: {order:?}"));
    }
    let revision = registers.revision();
    let Some(state) = &order.state else { return Ok(()) };
    let newest = registers.intent(revision).expect("an order has its newest intent");
    let digest = (revision > 1).then(|| newest.digest(revision).0.to_vec());
    let entries = i64::try_from(state.history.len()).expect("a short history");
    let right = state.status == registers.status
        && state.revision == revision
        && state.settled == registers.settled()
        && state.last_seq == entries + 1
        && entries > 0
        && state.digest == digest
        && Some(state.updated_at) == state.history.last().map(|entry| entry.at);
    if !right {
        return broken("INV-4", format!("the history says {registers:?}, stored is {order:?}"));
    }
    let refund_due = Some(registers.refund_due()).filter(|due| *due > 0);
    if state.refund_due == refund_due {
        Ok(())
    } else {
        broken("INV-9", format!("{refund_due:?} is owed: {order:?}"))
    }
}

/// INV-7: a command is pending, of the newest revision, exactly while that is not answered.
fn check_pending(order: &OrderRow, registers: &Registers) -> Result<(), Violation> {
    let revision = registers.revision();
    let is_ahead = registers.settled() < revision;
    let expected = is_ahead.then_some(PendingRow { revision, since: registers.made_at });
    if order.pending == expected && waits(registers.status) == is_ahead {
        Ok(())
    } else {
        broken("INV-7", format!("{expected:?} should be pending: {order:?}"))
    }
}

/// INV-7: there is a deadline exactly while the order waits for its payment. Leases postpone it, and
/// it is armed again if the clock was set back.
fn check_deadline(order: &OrderRow, registers: &Registers) -> Result<(), Violation> {
    let right = match (order.deadline, registers.pay_by()) {
        (None, None) => true,
        (Some(deadline), Some(pay_by)) => {
            Some(deadline.armed_at) != registers.reserved_at || deadline.pay_by >= pay_by
        }
        _ => false,
    };
    if right {
        Ok(())
    } else {
        broken("INV-7", format!("the order should expire at {:?}: {order:?}", registers.pay_by()))
    }
}

/// INV-5: settled ≤ Inventory's revision ≤ the intent's revision, and what Inventory has is what
/// the intent of its revision says.
fn check_pair(
    order: &OrderRow,
    registers: &Registers,
    reservation: Option<&ReservationRow>,
) -> Result<(), Violation> {
    let state = reservation.map(ReservationRow::state);
    if !agree(Some(registers.status), state) {
        let status = registers.status;
        let id = order.order_id;
        return broken("INV-5", format!("order {id} is {status:?}, its reservation {state:?}"));
    }
    let there = reservation.map_or(0, |reservation| reservation.revision);
    if there < registers.settled() || registers.revision() < there {
        return broken("INV-5", format!("Inventory is at revision {there}: {order:?}"));
    }
    let Some(reservation) = reservation else { return Ok(()) };
    check_holdings(registers, reservation)?;
    check_carried_out(registers, reservation)?;
    check_settled(registers, reservation)
}

/// INV-10 at Inventory: the numbers of each stock key, and those of each product.
fn check_holdings(registers: &Registers, reservation: &ReservationRow) -> Result<(), Violation> {
    let is_right = |holding: &HoldingRow| {
        let HoldingRow { key, promised, released, shipped, .. } = holding;
        registers.ordered.contains_key(&key.0)
            && *promised > 0
            && (0..=*promised).contains(released)
            && (0..=promised - released).contains(shipped)
    };
    let keys = reservation.holdings.iter().map(|holding| &holding.key);
    let allocated = reservation.allocated();
    let is_ordered = |(product, units): (&String, &i64)| of_product(&allocated, product) <= *units;
    let returned = |back: &ReturnRow| {
        registers.ordered.contains_key(&back.key.0)
            && back.units.iter().all(|units| *units >= 0)
            && back.units.iter().sum::<i64>() > 0
    };
    let right = reservation.holdings.iter().all(is_right)
        && keys.is_sorted_by(|one, next| one < next)
        && registers.ordered.iter().all(is_ordered)
        && reservation.returns.iter().all(returned);
    if right {
        Ok(())
    } else {
        let ordered = &registers.ordered;
        broken("INV-10", format!("{ordered:?} was ordered, the reservation is {reservation:?}"))
    }
}

/// What Inventory has is what the intent of its revision wants and ships.
fn check_carried_out(registers: &Registers, reservation: &ReservationRow) -> Result<(), Violation> {
    let there = reservation.revision;
    let intent = registers.intent(there).expect("Inventory's revision is one of the order");
    let allocated = reservation.allocated();
    let is_short = !reservation.short_at(there).is_empty();
    let got = |(product, units): (&String, &i64)| of_product(&allocated, product) == *units;
    let right = reservation.digest == intent.digest(there).0
        && reservation.shipped() == intent.shipped
        && reservation.returned() == intent.returned
        && if is_short {
            intent.asks_for_stock() && allocated.is_empty()
        } else {
            intent.sent_wanted().iter().all(got)
        };
    if right {
        Ok(())
    } else {
        broken("INV-5", format!("{intent:?} was not carried out: {reservation:?}"))
    }
}

/// At equal revisions, the facts of the order are what Inventory has.
fn check_settled(registers: &Registers, reservation: &ReservationRow) -> Result<(), Violation> {
    let Some(facts) = registers.facts().filter(|its| its.revision == reservation.revision) else {
        return Ok(());
    };
    let short = reservation.short_at(facts.revision).iter().map(|short| {
        (short.product_id.clone(), short.requested, short.available, short.reason.clone())
    });
    let right = facts.allocated == reservation.allocated()
        && short.eq(facts.shortages.iter().cloned())
        && facts.booked_at == reservation.booked_at()
        && facts.decided_at == reservation.updated_at;
    if right {
        Ok(())
    } else {
        broken("INV-5", format!("the order knows {facts:?}, and there is {reservation:?}"))
    }
}

/// What may change between two moments: content never, histories and lists only grow, numbers only
/// rise, and at one revision Inventory's facts stay (R24).
pub(crate) fn check_growth(before: &Pair, after: &Pair) -> Result<(), Violation> {
    if let Some(before) = &before.order
        && !after.order.as_ref().is_some_and(|after| order_grew(before, after))
    {
        return broken("INV-4", format!("the order was {before:?}, and is {:?}", after.order));
    }
    if let Some(before) = &before.reservation
        && !after.reservation.as_ref().is_some_and(|after| reservation_grew(before, after))
    {
        let now = &after.reservation;
        return broken("R12", format!("the reservation was {before:?}, and is {now:?}"));
    }
    Ok(())
}

fn order_grew(before: &OrderRow, after: &OrderRow) -> bool {
    let content =
        |row: &OrderRow| OrderRow { state: None, pending: None, deadline: None, ..row.clone() };
    let numbers = |row: &OrderRow| row.state.as_ref().map(|state| (state.revision, state.settled));
    let (revision, settled) = numbers(before).unwrap_or((1, 0));
    content(before) == content(after)
        && after.history().starts_with(before.history())
        && numbers(after).unwrap_or((1, 0)).0 >= revision
        && numbers(after).unwrap_or((1, 0)).1 >= settled
}

fn reservation_grew(before: &ReservationRow, after: &ReservationRow) -> bool {
    let grew = |before: &HoldingRow| {
        let after = after.holdings.iter().find(|after| after.key == before.key);
        after.is_some_and(|after| {
            before.promised <= after.promised
                && before.released <= after.released
                && after.movements.starts_with(&before.movements)
        })
    };
    let came_back = |before: &ReturnRow| {
        let after = after.returns.iter().find(|after| after.key == before.key);
        after.is_some_and(|after| {
            before.booked_at == after.booked_at
                && before.units.iter().zip(after.units).all(|(before, after)| *before <= after)
                && after.movements.starts_with(&before.movements)
        })
    };
    let is_short_again =
        after.rejection.as_ref().is_some_and(|after| after.revision > before.revision);
    before == after
        || before.revision < after.revision
            && (before.rejection == after.rejection || is_short_again)
            && before.holdings.iter().all(grew)
            && before.returns.iter().all(came_back)
}
