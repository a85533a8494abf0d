//! Which units a change is about: at which locations they are held, and where they come back to.

use std::collections::BTreeMap;

use contract::{Intent, LocationId, ProductId, Quantity, ReturnedUnits};

use super::command::{Disposition, ReturnLine, ShipmentLine};
use super::decision::{Refusal, Unavailable};
use crate::units::{self, UnitsByKey};

/// Takes units from what is left, or notes that there are too few.
pub(super) fn take(
    left: &mut i64,
    quantity: Quantity,
    line: usize,
    unavailable: &mut Vec<Unavailable>,
) {
    if quantity.units() > *left {
        unavailable.push(Unavailable { line, available: *left });
    } else {
        *left -= quantity.units();
    }
}

/// # Errors
///
/// [`Refusal::QuantityUnavailable`] if there is anything in the list.
pub(super) fn refuse(mut unavailable: Vec<Unavailable>) -> Result<(), Refusal> {
    unavailable.sort_by_key(|one| one.line);
    if unavailable.is_empty() { Ok(()) } else { Err(Refusal::QuantityUnavailable(unavailable)) }
}

/// The lines with their indices, first those that name a location: the others get what is left.
pub(super) fn named_first<T>(lines: &[T], names_location: impl Fn(&T) -> bool) -> Vec<(usize, &T)> {
    let mut lines: Vec<_> = lines.iter().enumerate().collect();
    lines.sort_by_key(|(_, line)| !names_location(line));
    lines
}

/// The units of a shipment: from the location that a line names, or else from each location in
/// turn. No line takes units that another line names.
///
/// # Errors
///
/// [`Refusal::QuantityUnavailable`] with every line that asks for more than is held.
pub(super) fn pick(held: &UnitsByKey, lines: &[ShipmentLine]) -> Result<UnitsByKey, Refusal> {
    let mut held = held.clone();
    let mut shipment = UnitsByKey::new();
    let mut unavailable = Vec::new();
    for (line, units) in named_first(lines, |line| line.location_id.is_some()) {
        let serves = |(product_id, location_id): &(ProductId, LocationId)| {
            *product_id == units.product_id
                && units.location_id.as_ref().is_none_or(|asked| asked == location_id)
        };
        let mut serving: Vec<_> = held.iter_mut().filter(|(key, _)| serves(key)).collect();
        let available = serving.iter().map(|(_, left)| **left).sum();
        let mut missing = units.quantity.units();
        if missing > available {
            unavailable.push(Unavailable { line, available });
            continue;
        }
        for (key, left) in &mut serving {
            let taken = missing.min(**left);
            **left -= taken;
            missing -= taken;
            *shipment.entry((*key).clone()).or_default() += taken;
        }
    }
    refuse(unavailable)?;
    Ok(shipment)
}

/// The units of an order that are with the customer.
pub(super) struct Out {
    /// Per product.
    of: BTreeMap<ProductId, i64>,
    /// Per product and location that shipped it, less what came back there; may be negative.
    at: UnitsByKey,
}

impl Out {
    pub(super) fn of(intent: &Intent) -> Self {
        let of = intent.wanted.iter().map(|line| {
            let product_id = line.product_id.clone();
            let out = intent.shipped.of(&product_id) - intent.returned.of(&product_id);
            (product_id, out)
        });
        let of = of.collect();
        let mut at = units::by_key(&intent.shipped);
        for back in &intent.returned {
            let key = (back.product_id.clone(), back.location_id.clone());
            if let Some(out) = at.get_mut(&key) {
                *out -= back.units();
            }
        }
        Self { of, at }
    }

    /// Takes the units of a line back: to the location that it names, or else to the locations that
    /// shipped them, in turn.
    ///
    /// # Errors
    ///
    /// How many units could come back, if they are fewer.
    pub(super) fn take(&mut self, back: &ReturnLine) -> Result<Vec<ReturnedUnits>, i64> {
        let out = self.of.get(&back.product_id).copied().unwrap_or(0);
        let units = back.quantity.units();
        if units > out {
            return Err(out);
        }
        self.of.insert(back.product_id.clone(), out - units);
        let mut parts = Vec::new();
        let mut missing = units;
        let mut serving: Vec<(&(ProductId, LocationId), &mut i64)> =
            self.at.iter_mut().filter(|(key, _)| key.0 == back.product_id).collect();
        if let Some(location_id) = &back.location_id {
            let known = serving.iter_mut().find(|(key, _)| key.1 == *location_id);
            if let Some((_, left)) = known {
                **left -= units;
            }
            return Ok(vec![part(back, location_id, units)]);
        }
        let last = serving.len().saturating_sub(1);
        for (index, (key, left)) in serving.iter_mut().enumerate() {
            // What came back to other locations leaves more at these than is still out.
            let taken = if index == last { missing } else { missing.min((**left).max(0)) };
            if taken > 0 {
                **left -= taken;
                missing -= taken;
                parts.push(part(back, &key.1, taken));
            }
        }
        Ok(parts)
    }
}

fn part(back: &ReturnLine, location_id: &LocationId, units: i64) -> ReturnedUnits {
    let units = u32::try_from(units).expect("a part of a quantity");
    let of = |disposition| if back.disposition == disposition { units } else { 0 };
    ReturnedUnits {
        product_id: back.product_id.clone(),
        location_id: location_id.clone(),
        restocked: of(Disposition::Restock),
        quarantined: of(Disposition::Quarantine),
        written_off: of(Disposition::WriteOff),
    }
}
