//! Sourcing: which locations serve an order.

use contract::{
    LocationId, MAX_ALLOCATIONS, ProductId, Quantity, Shortage, ShortageReason, Wanted, WantedLine,
};

use super::batch_state::BatchState;
use crate::reservation::{Seen, Shortfall};

/// Units of a product that sourcing found at a location.
pub(super) struct Part {
    pub(super) product_id: ProductId,
    pub(super) location_id: LocationId,
    pub(super) units: i64,
}

/// Finds stock for every line of an order, or for none.
///
/// The first location by (priority, id) that can serve the whole order serves it. Without such a
/// location, each line is split over the locations in the same order. The parts are sorted by
/// (product, location).
///
/// # Errors
///
/// The short products, one entry each, sorted by product. If the order would need more than
/// [`MAX_ALLOCATIONS`] parts, every product is listed with that reason (R17).
pub(super) fn source(state: &BatchState, wanted: &Wanted) -> Result<Vec<Part>, Vec<Shortfall>> {
    let locations: Vec<_> =
        state.locations_by_priority().into_iter().map(|location| &location.location_id).collect();
    let serves_whole_order = |location: &LocationId| {
        wanted.iter().all(|line| {
            let available = state.level(&line.product_id, location).available();
            available >= i64::from(line.quantity)
        })
    };
    if let Some(location) = locations.iter().find(|location| serves_whole_order(location)) {
        return Ok(wanted.iter().map(|line| part(line, location, line.quantity.into())).collect());
    }
    let mut parts = Vec::new();
    let mut shortfalls = Vec::new();
    for line in wanted {
        match split(state, line, &locations) {
            Some(of_line) => parts.extend(of_line),
            None => shortfalls.push(shortfall(state, line, None)),
        }
    }
    if shortfalls.is_empty() && parts.len() > MAX_ALLOCATIONS {
        let reason = Some(ShortageReason::TooManyAllocations);
        shortfalls = wanted.iter().map(|line| shortfall(state, line, reason)).collect();
    }
    if shortfalls.is_empty() { Ok(parts) } else { Err(shortfalls) }
}

/// Takes the available units of each location in turn, until the line is served. Returns `None` if
/// there are too few.
fn split(state: &BatchState, line: &WantedLine, locations: &[&LocationId]) -> Option<Vec<Part>> {
    let mut missing = i64::from(line.quantity);
    let mut parts = Vec::new();
    for location in locations {
        let available = state.level(&line.product_id, location).available();
        let taken = available.min(missing);
        // Skip locations without available units.
        if taken > 0 {
            parts.push(part(line, location, taken));
            missing -= taken;
        }
    }
    parts.sort_by(|a, b| a.location_id.cmp(&b.location_id));
    (missing == 0).then_some(parts)
}

fn part(line: &WantedLine, location_id: &LocationId, units: i64) -> Part {
    Part { product_id: line.product_id.clone(), location_id: location_id.clone(), units }
}

/// A product that the order cannot have, with the last movement that was seen at each location
/// (INV-8).
fn shortfall(state: &BatchState, line: &WantedLine, reason: Option<ShortageReason>) -> Shortfall {
    let levels = state.levels(&line.product_id);
    let short = match state.product(&line.product_id) {
        Some(_) => ShortageReason::OutOfStock,
        None => ShortageReason::UnknownProduct,
    };
    let shortage = Shortage {
        product_id: line.product_id.clone(),
        requested: Quantity::new(line.quantity).expect("stock is sought for at least one unit"),
        available: levels.into_iter().flatten().map(|(_, level)| level.available()).sum(),
        reason: reason.unwrap_or(short),
    };
    let seen = levels.into_iter().flatten().map(|(location_id, level)| Seen {
        location_id: location_id.clone(),
        movement: level.last_movement,
    });
    Shortfall { shortage, seen: seen.collect() }
}
