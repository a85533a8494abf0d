//! The invariants, checked on the rows themselves: a second opinion that shares no code with the
//! audit.

use std::collections::BTreeMap;

use contract::OrderId;
use inventory_core::reservation::StateName;

use crate::databases::{
    Databases, Level, OrderRow, ReservationRow, SeenRow, ShortageRow, StockRow,
};
use crate::states::{Violation, agree, broken, may_follow, waits_for};

/// INV-4, INV-5 and INV-7 of one order, at one moment of both databases.
pub(crate) fn check_order(databases: &Databases, order_id: OrderId) -> Result<(), Violation> {
    let order = databases.order(order_id);
    let reservation = databases.reservation(order_id);
    match (&order, &reservation) {
        (None, None) => Ok(()),
        (None, Some(reservation)) => broken(
            "INV-5",
            format!("order {order_id} does not exist, its reservation is {:?}", reservation.state),
        ),
        (Some(order), reservation) => {
            check_history(order)?;
            check_pair(order, reservation.as_ref())?;
            check_allocations(databases, order_id, reservation.as_ref())
        }
    }
}

fn check_history(order: &OrderRow) -> Result<(), Violation> {
    let OrderRow { order_id, status, history, pending, last_seq, .. } = order;
    let mut before = None;
    for ((seq, status), expected) in history.iter().zip(1..) {
        if *seq != expected || !may_follow(before, *status) {
            return broken("INV-4", format!("order {order_id} has the history {history:?}"));
        }
        before = Some(*status);
    }
    if before != Some(*status) || history.last().map(|(seq, _)| *seq) != Some(*last_seq) {
        return broken(
            "INV-4",
            format!("order {order_id} is {status:?} with the history {history:?}"),
        );
    }
    if *pending != waits_for(*status) {
        return broken(
            "INV-7",
            format!("order {order_id} is {status:?} and waits for {pending:?}"),
        );
    }
    Ok(())
}

fn check_pair(order: &OrderRow, reservation: Option<&ReservationRow>) -> Result<(), Violation> {
    let state = reservation.map(|reservation| reservation.state);
    if !agree(Some(order.status), state) {
        return broken(
            "INV-5",
            format!("order {} is {:?}, its reservation {state:?}", order.order_id, order.status),
        );
    }
    if reservation.is_some_and(|reservation| reservation.digest != order.digest) {
        return broken(
            "INV-5",
            format!("order {} and its reservation are about different lines", order.order_id),
        );
    }
    Ok(())
}

fn check_allocations(
    databases: &Databases,
    id: OrderId,
    reservation: Option<&ReservationRow>,
) -> Result<(), Violation> {
    let state = reservation.map(|reservation| reservation.state);
    let lines = databases.lines(id);
    let allocated = databases.allocated(id);
    let right = match state {
        Some(StateName::Reserved | StateName::Shipped) => allocated == lines,
        Some(StateName::Released) => allocated.is_empty() || allocated == lines,
        Some(StateName::Rejected) | None => allocated.is_empty(),
    };
    if right {
        Ok(())
    } else {
        broken("INV-5", format!("order {id} wants {lines:?} and was allocated {allocated:?}"))
    }
}

/// INV-1, INV-2 and INV-3 of every level.
pub(crate) fn check_stock(databases: &Databases) -> Result<(), Violation> {
    for StockRow { key, level, ledger, movements, held } in databases.stock() {
        if level.reserved < 0 || level.on_hand < level.reserved {
            return broken("INV-1", format!("{key:?} has {level:?}"));
        }
        if level != ledger || movements != level.last_seq {
            return broken(
                "INV-2",
                format!("{key:?} has {level:?}, its {movements} movements come to {ledger:?}"),
            );
        }
        if held != level.reserved {
            return broken("INV-3", format!("{key:?} has {level:?}, and orders hold {held}"));
        }
    }
    Ok(())
}

/// INV-1 and INV-2 at every prefix of every ledger. Returns what each movement left behind.
pub(crate) fn check_ledgers(
    databases: &Databases,
) -> Result<BTreeMap<(String, String), Vec<Level>>, Violation> {
    let mut ledgers: BTreeMap<(String, String), Vec<Level>> = BTreeMap::new();
    for movement in databases.movements() {
        let ledger = ledgers.entry(movement.key.clone()).or_default();
        let before =
            ledger.last().copied().unwrap_or(Level { on_hand: 0, reserved: 0, last_seq: 0 });
        let expected = Level {
            on_hand: before.on_hand + movement.on_hand_delta,
            reserved: before.reserved + movement.reserved_delta,
            last_seq: before.last_seq + 1,
        };
        if movement.after != expected {
            return broken("INV-2", format!("{movement:?} follows {before:?}"));
        }
        if expected.reserved < 0 || expected.on_hand < expected.reserved {
            return broken("INV-1", format!("{movement:?}"));
        }
        ledger.push(expected);
    }
    Ok(ledgers)
}

/// INV-8: at the points that a rejection is based on, its product was short. Whether the rejection
/// considered every location is checked when it is decided.
pub(crate) fn check_rejection(
    databases: &Databases,
    reservation: &ReservationRow,
    ledgers: &BTreeMap<(String, String), Vec<Level>>,
) -> Result<(), Violation> {
    let order_id = reservation.order_id;
    let shortages = databases.shortages(reservation.order_id);
    if reservation.state == StateName::Rejected && shortages.is_empty() {
        return broken("INV-8", format!("order {order_id} is rejected and nothing was short"));
    }
    for ShortageRow { product_id, requested, available: recorded, seen } in shortages {
        let at = |seen: &SeenRow| {
            let ledger = ledgers.get(&(product_id.clone(), seen.location_id.clone()))?;
            let level = ledger.get(usize::try_from(seen.seq).ok()?.checked_sub(1)?)?;
            Some(level.on_hand - level.reserved)
        };
        let available: Option<i64> = seen.iter().map(at).sum();
        if available != Some(recorded) || recorded >= requested {
            let what =
                format!("order {order_id} wanted {requested} of {product_id}, recorded {recorded}");
            return broken("INV-8", format!("{what}, and there were {available:?}"));
        }
    }
    Ok(())
}
