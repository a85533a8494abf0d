//! INV-8: a rejection cites the last movement of every ledger that the decision saw. At those
//! movements, the product must have been short.
//!
//! Whether the decision missed a ledger is not checked: only timestamps could show which of the two
//! came first, and a clock may be set back.

use std::collections::{BTreeMap, BTreeSet};

use contract::ProductId;
use contract::answers::ShortageReason;
use inventory_core::reservation::{Before, Reservation, Shortfall, State};
use inventory_core::stock::Level;
use platform::audit::Findings;
use platform::failure::Failure;

use super::INV_8;
use crate::store::{AuditStore, StockKey};

pub(super) async fn check(
    inventory: &dyn AuditStore,
    reservations: &[Reservation],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let rejected: Vec<_> =
        reservations.iter().filter(|reservation| was_rejected(&reservation.state)).collect();
    if rejected.is_empty() {
        return Ok(());
    }
    let evidence = Evidence::gather(inventory, &rejected).await?;
    findings.read(evidence.rows());
    findings.checked(INV_8, rejected.len());
    for reservation in rejected {
        if reservation.state.shortfalls().is_empty() {
            findings.violated(
                INV_8,
                format!("order {}: rejected without a shortage", reservation.order_id),
            );
        }
        for shortfall in reservation.state.shortfalls() {
            if let Err(why) = evidence.supports(shortfall) {
                let product_id = &shortfall.shortage.product_id;
                findings
                    .violated(INV_8, format!("order {}: {product_id} {why}", reservation.order_id));
            }
        }
    }
    Ok(())
}

fn was_rejected(state: &State) -> bool {
    matches!(state, State::Rejected(_) | State::Released(Before::Rejected(_)))
}

/// The movements and products that the rejections of one page cite.
struct Evidence {
    levels: BTreeMap<(StockKey, i64), Level>,
    known: BTreeSet<ProductId>,
}

impl Evidence {
    async fn gather(
        inventory: &dyn AuditStore,
        rejected: &[&Reservation],
    ) -> Result<Self, Failure> {
        let shortfalls = || rejected.iter().flat_map(|reservation| reservation.state.shortfalls());
        let points: BTreeSet<(StockKey, i64)> = shortfalls().flat_map(points).collect();
        let points: Vec<_> = points.into_iter().collect();
        let levels = inventory.levels_at(points.clone()).await?;
        let products: BTreeSet<_> =
            shortfalls().map(|shortfall| shortfall.shortage.product_id.clone()).collect();
        let products: Vec<_> = products.into_iter().collect();
        let known = inventory.known_products(products.clone()).await?;
        let known = products.into_iter().zip(known).filter(|(_, known)| *known);
        Ok(Self {
            levels: points
                .into_iter()
                .zip(levels)
                .filter_map(|(point, level)| Some((point, level?)))
                .collect(),
            known: known.map(|(product_id, _)| product_id).collect(),
        })
    }

    fn rows(&self) -> usize {
        self.levels.len() + self.known.len()
    }

    fn supports(&self, shortfall: &Shortfall) -> Result<(), String> {
        let shortage = &shortfall.shortage;
        if shortage.available >= shortage.requested.units() {
            return Err(format!(
                "was not short: {} available of {}",
                shortage.available,
                shortage.requested.get()
            ));
        }
        let mut available = 0;
        for point in points(shortfall) {
            let level = self
                .levels
                .get(&point)
                .ok_or_else(|| format!("cites movement {} that is not there", point.1))?;
            available += level.available();
        }
        if available != shortage.available {
            return Err(format!("had {available} available where it says {}", shortage.available));
        }
        // A product never becomes unknown again. Since when it is known cannot be checked.
        match shortage.reason {
            ShortageReason::UnknownProduct if !shortfall.seen.is_empty() => {
                Err("was called unknown, but its ledgers were seen".to_owned())
            }
            ShortageReason::OutOfStock if !self.known.contains(&shortage.product_id) => {
                Err("was called out of stock, but is not known".to_owned())
            }
            ShortageReason::UnknownProduct | ShortageReason::OutOfStock => Ok(()),
        }
    }
}

/// Returns the movements that a rejection cites. A stock key without movements has none.
fn points(shortfall: &Shortfall) -> impl Iterator<Item = (StockKey, i64)> + '_ {
    let product_id = &shortfall.shortage.product_id;
    let moved = shortfall.seen.iter().filter(|seen| seen.seq > 0);
    moved.map(move |seen| ((product_id.clone(), seen.location_id.clone()), seen.seq))
}
