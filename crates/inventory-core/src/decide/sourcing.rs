//! Sourcing: which locations serve an order.

use contract::{
    LocationId, MAX_ALLOCATIONS, ProductId, Quantity, Shortage, ShortageReason, WantedLine,
};

use super::batch_state::BatchState;
use crate::reservation::{Holding, Seen, Shortfall, find_holding};

/// Units of a product that sourcing found at a location.
pub(super) struct Part {
    pub(super) product_id: ProductId,
    pub(super) location_id: LocationId,
    pub(super) units: i64,
}

/// Finds stock for every line, each of which wants at least one unit, or for none.
///
/// The first location by (priority, id) that can serve all lines serves them. Without such a
/// location, each line is split over the locations in the same order. The parts are sorted by
/// (product, location). `holdings` are those that the order has already.
///
/// # Errors
///
/// The short products, one entry each, sorted by product. If the order would have more than
/// [`MAX_ALLOCATIONS`] holdings, every product is listed with that reason (R17).
pub(super) fn source(
    state: &BatchState,
    lines: &[WantedLine],
    holdings: &[Holding],
) -> Result<Vec<Part>, Vec<Shortfall>> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let locations: Vec<_> =
        state.locations_by_priority().into_iter().map(|location| &location.location_id).collect();
    let parts = match at_one_location(state, lines, &locations) {
        Some(parts) => parts,
        None => at_many_locations(state, lines, &locations)?,
    };
    let is_new =
        |part: &&Part| find_holding(holdings, &part.product_id, &part.location_id).is_err();
    if holdings.len() + parts.iter().filter(is_new).count() > MAX_ALLOCATIONS {
        let reason = Some(ShortageReason::TooManyAllocations);
        return Err(lines.iter().map(|line| shortfall(state, line, reason)).collect());
    }
    Ok(parts)
}

/// The units of the first location that can serve all lines, if there is one.
fn at_one_location(
    state: &BatchState,
    lines: &[WantedLine],
    locations: &[&LocationId],
) -> Option<Vec<Part>> {
    let serves_all = |location: &&&LocationId| {
        lines.iter().all(|line| {
            let available = state.level(&line.product_id, location).available();
            available >= i64::from(line.quantity)
        })
    };
    let location = locations.iter().find(serves_all)?;
    Some(lines.iter().map(|line| part(line, location, line.quantity.into())).collect())
}

/// The units of each line, wherever they are.
fn at_many_locations(
    state: &BatchState,
    lines: &[WantedLine],
    locations: &[&LocationId],
) -> Result<Vec<Part>, Vec<Shortfall>> {
    let mut parts = Vec::new();
    let mut shortfalls = Vec::new();
    for line in lines {
        match split(state, line, locations) {
            Some(of_line) => parts.extend(of_line),
            None => shortfalls.push(shortfall(state, line, None)),
        }
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
