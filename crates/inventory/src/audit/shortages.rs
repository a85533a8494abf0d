//! INV-8: a rejection cites the last movement of every ledger that the decision saw. At those
//! movements, the product must have been short.
//!
//! Whether the decision missed a ledger is not checked: a rejection has no number that would show
//! which of the two came first, and a clock may be set back.

use std::collections::BTreeSet;

use contract::{ProductId, ShortageReason};
use inventory_core::reservation::{Reservation, Seen, Shortfall};
use inventory_core::stock::Level;
use platform::audit::Findings;
use platform::failure::Failure;

use super::INV_8;
use super::reservations::Movements;
use crate::store::StockAuditStore;

/// Judges the rejections among these reservations. `movements` are those that they name.
pub(super) async fn check(
    store: &dyn StockAuditStore,
    reservations: &[Reservation],
    movements: &Movements,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let rejected: Vec<_> =
        reservations.iter().filter(|reservation| reservation.rejection.is_some()).collect();
    if rejected.is_empty() {
        return Ok(());
    }
    let known = known_products(store, &rejected).await?;
    findings.read(known.len());
    findings.checked(INV_8, rejected.len());
    for reservation in rejected {
        for shortfall in reservation.shortfalls() {
            if let Err(why) = check_shortfall(shortfall, movements, &known) {
                let product_id = &shortfall.shortage.product_id;
                findings
                    .violated(INV_8, format!("order {}: {product_id} {why}", reservation.order_id));
            }
        }
    }
    Ok(())
}

/// Those of the short products that exist.
async fn known_products(
    store: &dyn StockAuditStore,
    rejected: &[&Reservation],
) -> Result<BTreeSet<ProductId>, Failure> {
    let shortfalls = rejected.iter().flat_map(|reservation| reservation.shortfalls());
    let products: BTreeSet<_> =
        shortfalls.map(|shortfall| shortfall.shortage.product_id.clone()).collect();
    let products: Vec<_> = products.into_iter().collect();
    let known = store.known_products(products.clone()).await?;
    Ok(products.into_iter().zip(known).filter_map(|(id, known)| known.then_some(id)).collect())
}

fn check_shortfall(
    shortfall: &Shortfall,
    movements: &Movements,
    known: &BTreeSet<ProductId>,
) -> Result<(), String> {
    let shortage = &shortfall.shortage;
    // A product never becomes unknown again. Since when it is known cannot be checked.
    match shortage.reason {
        // The units were there, from too many stock keys.
        ShortageReason::TooManyAllocations => return Ok(()),
        ShortageReason::UnknownProduct if !shortfall.seen.is_empty() => {
            return Err("was called unknown, but its ledgers were seen".to_owned());
        }
        ShortageReason::OutOfStock if !known.contains(&shortage.product_id) => {
            return Err("was called out of stock, but is not known".to_owned());
        }
        ShortageReason::UnknownProduct | ShortageReason::OutOfStock => {}
    }
    if shortage.available >= shortage.requested.units() {
        let requested = shortage.requested.get();
        return Err(format!("was not short: {} available of {requested}", shortage.available));
    }
    match available(shortfall, movements)? {
        Some(available) if available != shortage.available => {
            Err(format!("had {available} available where it says {}", shortage.available))
        }
        _ => Ok(()),
    }
}

/// The units that were available after the movements that a shortage cites. `None` if one of them
/// cannot be decoded, which was reported.
fn available(shortfall: &Shortfall, movements: &Movements) -> Result<Option<i64>, String> {
    let mut available = 0_i64;
    for Seen { location_id, movement: number } in &shortfall.seen {
        let Some(movement) = movements.get(number) else {
            return Err(format!("cites movement {number} that is not there"));
        };
        let Some(movement) = movement else { return Ok(None) };
        let product_id = &shortfall.shortage.product_id;
        if movement.product_id != *product_id || movement.location_id != *location_id {
            return Err(format!("cites movement {number} of another stock key"));
        }
        // Damaged numbers may be of any size.
        let Level { on_hand, reserved, quarantined, .. } = movement.after;
        let units = on_hand.saturating_sub(reserved).saturating_sub(quarantined);
        available = available.saturating_add(units);
    }
    Ok(Some(available))
}
