//! INV-8: a rejection names the point of every ledger that it saw; there, the product must have been short.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::ProductId;
use contract::inventory::ShortageReason;
use platform::audit::Findings;
use platform::batcher::Failure;
use platform::clock::Timestamp;

use super::INV_8;
use crate::core::reservation::{Before, Reservation, Shortfall, State};
use crate::core::stock::Level;
use crate::store::{Place, Store, Stretch};

pub(super) async fn check(
    inventory: &dyn Store,
    reservations: &[Reservation],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let rejected: Vec<_> = reservations.iter().filter(|reservation| was_rejected(&reservation.state)).collect();
    if rejected.is_empty() {
        return Ok(());
    }
    let evidence = Evidence::gather(inventory, &rejected).await?;
    findings.read(evidence.rows());
    findings.checked(INV_8, rejected.len());
    for reservation in rejected {
        if reservation.state.shortfalls().is_empty() {
            findings.violated(INV_8, format!("order {}: rejected without a shortage", reservation.order_id));
        }
        for shortfall in reservation.state.shortfalls() {
            if let Err(why) = evidence.supports(shortfall, reservation.created_at_micros) {
                let product_id = &shortfall.shortage.product_id;
                findings.violated(INV_8, format!("order {}: {product_id} {why}", reservation.order_id));
            }
        }
    }
    Ok(())
}

fn was_rejected(state: &State) -> bool {
    matches!(state, State::Rejected(_) | State::Released(Before::Rejected(_)))
}

/// All that the rejections of one page rest on.
struct Evidence {
    levels: BTreeMap<(Place, i64), Level>,
    /// Two transactions that close together may not have seen each other. Only what is known is locked: a product that is
    /// being made is not.
    overlap: Duration,
    /// Since when each product is known.
    known_since: BTreeMap<ProductId, i64>,
    /// When stock first moved at each place of a product.
    first_moved: BTreeMap<ProductId, Vec<(Place, i64)>>,
}

impl Evidence {
    async fn gather(inventory: &dyn Store, rejected: &[&Reservation]) -> Result<Self, Failure> {
        let shortfalls = || rejected.iter().flat_map(|reservation| reservation.state.shortfalls());
        let points: BTreeSet<(Place, i64)> = shortfalls().flat_map(points).collect();
        let points: Vec<_> = points.into_iter().collect();
        let levels = inventory.audit_levels(points.clone()).await?;
        let products: BTreeSet<_> = shortfalls().map(|shortfall| shortfall.shortage.product_id.clone()).collect();
        let products: Vec<_> = products.into_iter().collect();
        let known = inventory.audit_products(products.clone()).await?;
        let mut first_moved = BTreeMap::new();
        for product_id in &products {
            first_moved.insert(product_id.clone(), first_movements(inventory, product_id).await?);
        }
        Ok(Self {
            overlap: inventory.longest_overlap(),
            levels: points.into_iter().zip(levels).filter_map(|(point, level)| Some((point, level?))).collect(),
            known_since: products.into_iter().zip(known).filter_map(|(id, since)| Some((id, since?))).collect(),
            first_moved,
        })
    }

    fn rows(&self) -> usize {
        self.levels.len() + self.known_since.len() + self.first_moved.values().map(Vec::len).sum::<usize>()
    }

    /// Whether the product was short at the point that the rejection saw, and that point was the whole of the stock.
    fn supports(&self, shortfall: &Shortfall, decided_at_micros: i64) -> Result<(), String> {
        let shortage = &shortfall.shortage;
        if shortage.available >= shortage.requested.units() {
            return Err(format!("was not short: {} available of {}", shortage.available, shortage.requested.get()));
        }
        let mut available = 0;
        for point in points(shortfall) {
            let level =
                self.levels.get(&point).ok_or_else(|| format!("cites movement {} that is not there", point.1))?;
            available += level.available();
        }
        if available != shortage.available {
            return Err(format!("had {available} available where it says {}", shortage.available));
        }
        let known = self.known_since.get(&shortage.product_id);
        let known = known.is_some_and(|since| Timestamp(*since).after(self.overlap) < Timestamp(decided_at_micros));
        if shortage.reason == ShortageReason::UnknownProduct && known {
            return Err("was called unknown and was known before".to_owned());
        }
        let overlooked =
            self.first_moved.get(&shortage.product_id).into_iter().flatten().find(|((_, location_id), at)| {
                *at < decided_at_micros && shortfall.seen.iter().all(|seen| seen.location_id != *location_id)
            });
        overlooked
            .map_or(Ok(()), |((_, location_id), _)| Err(format!("had stock at {location_id} that was not looked at")))
    }
}

/// The movements that a rejection cites. A place where nothing had moved yet has none.
fn points(shortfall: &Shortfall) -> impl Iterator<Item = (Place, i64)> + '_ {
    let product_id = &shortfall.shortage.product_id;
    let moved = shortfall.seen.iter().filter(|seen| seen.seq > 0);
    moved.map(move |seen| ((product_id.clone(), seen.location_id.clone()), seen.seq))
}

async fn first_movements(inventory: &dyn Store, product_id: &ProductId) -> Result<Vec<(Place, i64)>, Failure> {
    let Some(product) = inventory.product(product_id.clone()).await? else { return Ok(Vec::new()) };
    let mut first = Vec::new();
    for location_id in product.levels.into_keys() {
        let stretch = Stretch {
            product_id: product_id.clone(),
            location_id: location_id.clone(),
            after_seq: 0,
            up_to_seq: 1,
            limit: 1,
        };
        let movements = inventory.audit_movements(stretch).await?;
        first.extend(movements.first().map(|movement| ((product_id.clone(), location_id), movement.created_at_micros)));
    }
    Ok(first)
}
