//! Sourcing: which locations serve an order.

use contract::{LocationId, MAX_ALLOCATIONS, ProductId, Quantity, Shortage, ShortageReason};

use super::batch_state::BatchState;
use crate::reservation::{Holding, Seen, Shortfall, find_holding};

/// Units of a product that an order wants and does not have.
#[derive(Clone, Copy)]
pub(super) struct MissingLine<'a> {
    pub(super) product_id: &'a ProductId,
    pub(super) quantity: Quantity,
}

/// Units of a product that sourcing found at a location.
pub(super) struct Part<'a> {
    pub(super) product_id: &'a ProductId,
    pub(super) location_id: LocationId,
    pub(super) units: i64,
}

/// Finds stock for every line, or for none.
///
/// The first location by (priority, id) that can serve all lines serves them. Without such a
/// location, each line is split over the locations in the same order. The parts are sorted by
/// (product, location). `holdings` are those that the order has already.
///
/// # Errors
///
/// The short products, one entry each, sorted by product. If the order would have more than
/// [`MAX_ALLOCATIONS`] holdings, every product is listed with that reason (R17).
pub(super) fn source<'a>(
    state: &BatchState,
    lines: &[MissingLine<'a>],
    holdings: &[Holding],
) -> Result<Vec<Part<'a>>, Vec<Shortfall>> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let locations: Vec<_> =
        state.locations_by_priority().into_iter().map(|location| &location.location_id).collect();
    let parts = match at_one_location(state, lines, &locations) {
        Some(parts) => parts,
        None => at_many_locations(state, lines, &locations)?,
    };
    if count_holdings(holdings, &parts) > MAX_ALLOCATIONS {
        let reason = Some(ShortageReason::TooManyAllocations);
        return Err(lines.iter().map(|line| shortfall(state, line, reason)).collect());
    }
    Ok(parts)
}

/// How many holdings the order would have. Those whose units were all released count too: they
/// stay in the row of the reservation, and are listed as its last allocations.
fn count_holdings(holdings: &[Holding], parts: &[Part]) -> usize {
    if holdings.is_empty() {
        return parts.len();
    }
    let is_new = |part: &&Part| find_holding(holdings, part.product_id, &part.location_id).is_err();
    holdings.len() + parts.iter().filter(is_new).count()
}

/// The units of the first location that can serve all lines, if there is one.
fn at_one_location<'a>(
    state: &BatchState,
    lines: &[MissingLine<'a>],
    locations: &[&LocationId],
) -> Option<Vec<Part<'a>>> {
    let serves_all = |location: &&&LocationId| {
        lines
            .iter()
            .all(|line| state.level(line.product_id, location).available() >= line.quantity.units())
    };
    let location = locations.iter().find(serves_all)?;
    Some(lines.iter().map(|line| part(line, location, line.quantity.units())).collect())
}

/// The units of each line, wherever they are.
fn at_many_locations<'a>(
    state: &BatchState,
    lines: &[MissingLine<'a>],
    locations: &[&LocationId],
) -> Result<Vec<Part<'a>>, Vec<Shortfall>> {
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
fn split<'a>(
    state: &BatchState,
    line: &MissingLine<'a>,
    locations: &[&LocationId],
) -> Option<Vec<Part<'a>>> {
    let mut missing = line.quantity.units();
    let mut parts = Vec::new();
    for location in locations {
        let available = state.level(line.product_id, location).available();
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

fn part<'a>(line: &MissingLine<'a>, location_id: &LocationId, units: i64) -> Part<'a> {
    Part { product_id: line.product_id, location_id: location_id.clone(), units }
}

/// A product that the order cannot have, with the last movement that was seen at each location
/// (INV-8).
fn shortfall(state: &BatchState, line: &MissingLine, reason: Option<ShortageReason>) -> Shortfall {
    let levels = state.levels(line.product_id);
    let short = match state.product(line.product_id) {
        Some(_) => ShortageReason::OutOfStock,
        None => ShortageReason::UnknownProduct,
    };
    let shortage = Shortage {
        product_id: line.product_id.clone(),
        requested: line.quantity,
        available: levels.into_iter().flatten().map(|(_, level)| level.available()).sum(),
        reason: reason.unwrap_or(short),
    };
    let seen = levels.into_iter().flatten().map(|(location_id, level)| Seen {
        location_id: location_id.clone(),
        movement: level.last_movement,
    });
    Shortfall { shortage, seen: seen.collect() }
}
