//! Sourcing: which locations serve an order.

use contract::answers::{Allocation, Shortage, ShortageReason};
use contract::{LocationId, Quantity, StockLine, StockLines};

use super::batch_state::BatchState;
use crate::reservation::{Seen, Shortfall};

/// Finds stock for every line of an order, or for none.
///
/// The first location by (priority, id) that can serve the whole order serves it. Without such a
/// location, each line is split over the locations in the same order. The allocations are sorted by
/// (product, location).
///
/// # Errors
///
/// The short products, one entry each, sorted by product.
pub(super) fn source(
    state: &BatchState,
    lines: &StockLines,
) -> Result<Vec<Allocation>, Vec<Shortfall>> {
    let locations: Vec<_> =
        state.locations_by_priority().into_iter().map(|location| &location.location_id).collect();
    let serves_whole_order = |location: &LocationId| {
        lines.iter().all(|line| {
            state.level(&line.product_id, location).available() >= line.quantity.units()
        })
    };
    if let Some(location) = locations.iter().find(|location| serves_whole_order(location)) {
        return Ok(lines.iter().map(|line| allocation(line, location, line.quantity)).collect());
    }
    let mut allocations = Vec::new();
    let mut shortfalls = Vec::new();
    for line in lines {
        match split(state, line, &locations) {
            Some(parts) => allocations.extend(parts),
            None => shortfalls.push(shortfall(state, line)),
        }
    }
    if shortfalls.is_empty() { Ok(allocations) } else { Err(shortfalls) }
}

/// Takes the available units of each location in turn, until the line is served. Returns `None` if
/// there are too few.
fn split(
    state: &BatchState,
    line: &StockLine,
    locations: &[&LocationId],
) -> Option<Vec<Allocation>> {
    let mut missing = line.quantity.get();
    let mut parts = Vec::new();
    for location in locations {
        let available = state.level(&line.product_id, location).available();
        let taken = u32::try_from(available).map_or(missing, |available| available.min(missing));
        // Skip locations without available units.
        if let Ok(quantity) = Quantity::new(taken) {
            parts.push(allocation(line, location, quantity));
            missing -= taken;
        }
    }
    parts.sort_by(|a, b| a.location_id.cmp(&b.location_id));
    (missing == 0).then_some(parts)
}

fn allocation(line: &StockLine, location_id: &LocationId, quantity: Quantity) -> Allocation {
    Allocation { product_id: line.product_id.clone(), location_id: location_id.clone(), quantity }
}

/// A short product, with the last movement that was seen at each location (INV-8).
fn shortfall(state: &BatchState, line: &StockLine) -> Shortfall {
    let levels = state.levels(&line.product_id);
    let reason = match state.product(&line.product_id) {
        Some(_) => ShortageReason::OutOfStock,
        None => ShortageReason::UnknownProduct,
    };
    Shortfall {
        shortage: Shortage {
            product_id: line.product_id.clone(),
            requested: line.quantity,
            available: levels.into_iter().flatten().map(|(_, level)| level.available()).sum(),
            reason,
        },
        seen: levels
            .into_iter()
            .flatten()
            .map(|(location_id, level)| Seen {
                location_id: location_id.clone(),
                seq: level.last_seq,
            })
            .collect(),
    }
}
