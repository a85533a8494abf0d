//! Checks what a transaction adds to the ledger and to the reservations, without the code under
//! test.

use inventory_core::decide::ReservationChange;
use inventory_core::reservation::StateName;
use inventory_core::stock::{Level as Stored, Movement};

use super::actors;
use crate::states::{Violation, broken};

/// INV-1 and INV-2 of one movement: it explains how one level became the next. Returns the next
/// level.
pub(super) fn check_movement(before: Stored, movement: &Movement) -> Result<Stored, Violation> {
    let after = Stored {
        on_hand: before.on_hand + movement.deltas.on_hand,
        reserved: before.reserved + movement.deltas.reserved,
        last_seq: before.last_seq + 1,
    };
    if movement.after != after {
        return broken(
            "INV-2",
            format!("after {before:?}, {:?} leaves {:?}", movement.kind, movement.after),
        );
    }
    if after.reserved < 0 || after.on_hand < after.reserved {
        return broken("INV-1", format!("{:?} leaves {after:?}", movement.kind));
    }
    Ok(after)
}

/// INV-8: at the points of the ledger that a rejection is based on, the stock was too little.
/// `points` are those of the ledger, starting before the batch.
pub(super) fn check_rejection(
    change: &ReservationChange,
    points: &[Stored],
) -> Result<(), Violation> {
    let name = actors::name(actors::order_of(change.to.order_id));
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
        let stated = &shortfall.shortage;
        if available != Some(stated.available) || stated.available >= stated.requested.units() {
            let (requested, there) = (
                stated.requested.get(),
                available.map_or("?".to_owned(), |units| units.to_string()),
            );
            return broken(
                "INV-8",
                format!("order {name} is rejected: it wanted {requested}, and {there} were there"),
            );
        }
    }
    Ok(())
}
