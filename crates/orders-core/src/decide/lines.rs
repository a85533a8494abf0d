//! Which units a change is about: at which locations they are held, and where they come back to.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Intent, LocationId, MAX_RETURNED, ProductId, Quantity, ReturnedUnits};

use super::command::{Disposition, ReturnLine, ShipmentLine};
use super::decision::{Refusal, Unavailable};
use crate::units::{self, UnitsByKey};

/// Takes units from what is left.
///
/// # Errors
///
/// How many units are left, if they are fewer.
pub(super) fn take(left: &mut i64, quantity: Quantity) -> Result<(), i64> {
    if quantity.units() > *left {
        return Err(*left);
    }
    *left -= quantity.units();
    Ok(())
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
pub(super) struct UnitsWithCustomer {
    /// Per product.
    of: BTreeMap<ProductId, i64>,
    /// Per product and location that shipped it, less what came back there; may be negative.
    at: UnitsByKey,
    /// The products and locations of the returns, of which there are at most [`MAX_RETURNED`].
    entries: BTreeSet<(ProductId, LocationId)>,
}

/// Why the units of a line cannot come back.
pub(super) enum NotTaken {
    /// So many could.
    TooFew { available: i64 },
    /// The returns have as many entries as they may have, and none where these units could be added.
    NoEntry,
}

impl UnitsWithCustomer {
    pub(super) fn of(intent: &Intent) -> Self {
        let of = intent.wanted.iter().map(|line| {
            let product_id = line.product_id.clone();
            let out = intent.shipped.of(&product_id) - intent.returned.of(&product_id);
            (product_id, out)
        });
        let mut at = units::by_key(&intent.shipped);
        let mut entries = BTreeSet::new();
        for back in &intent.returned {
            let key = (back.product_id.clone(), back.location_id.clone());
            if let Some(out) = at.get_mut(&key) {
                *out -= back.units();
            }
            entries.insert(key);
        }
        Self { of: of.collect(), at, entries }
    }

    /// Takes the units of a line back: to the location that it names, or else to the locations that
    /// shipped them, in turn.
    ///
    /// # Errors
    ///
    /// [`NotTaken`]. The request is refused then, so what was taken does not matter.
    pub(super) fn take(&mut self, back: &ReturnLine) -> Result<Vec<ReturnedUnits>, NotTaken> {
        let out = self.of.entry(back.product_id.clone()).or_default();
        take(out, back.quantity).map_err(|available| NotTaken::TooFew { available })?;
        let units = back.quantity.units();
        match &back.location_id {
            Some(location_id) => self.take_to(back, location_id, units),
            None => self.take_to_shippers(back, units),
        }
    }

    fn take_to(
        &mut self,
        back: &ReturnLine,
        location_id: &LocationId,
        units: i64,
    ) -> Result<Vec<ReturnedUnits>, NotTaken> {
        let key = (back.product_id.clone(), location_id.clone());
        if !add_entry(&mut self.entries, &key) {
            return Err(NotTaken::NoEntry);
        }
        if let Some(left) = self.at.get_mut(&key) {
            *left -= units;
        }
        Ok(vec![part(back, location_id, units)])
    }

    fn take_to_shippers(
        &mut self,
        back: &ReturnLine,
        units: i64,
    ) -> Result<Vec<ReturnedUnits>, NotTaken> {
        let mut parts = Vec::new();
        let mut missing = units;
        let serving = self.at.iter_mut().filter(|(key, _)| key.0 == back.product_id);
        for (key, left) in serving {
            let taken = missing.min((*left).max(0));
            if taken > 0 && add_entry(&mut self.entries, key) {
                *left -= taken;
                missing -= taken;
                parts.push(part(back, &key.1, taken));
            }
        }
        // What came back to other locations leaves more at these than is still out, and there may
        // be too many of them.
        if missing > 0 {
            let location_id = self.location_for_rest(&back.product_id).ok_or(NotTaken::NoEntry)?;
            parts.extend(self.take_to(back, &location_id, missing)?);
        }
        Ok(parts)
    }

    /// The last location that shipped the product, or else the last one that has an entry for it.
    fn location_for_rest(&self, product_id: &ProductId) -> Option<LocationId> {
        let has_room = |key: &&(ProductId, LocationId)| {
            self.entries.len() < MAX_RETURNED || self.entries.contains(*key)
        };
        let mut shippers = self.at.keys().rev().filter(|key| key.0 == *product_id);
        let mut entries = self.entries.iter().rev().filter(|key| key.0 == *product_id);
        let found = shippers.find(has_room).or_else(|| entries.next());
        found.map(|(_, location_id)| location_id.clone())
    }
}

/// Whether the returns have the entry, or may have one more, which is added.
fn add_entry(
    entries: &mut BTreeSet<(ProductId, LocationId)>,
    key: &(ProductId, LocationId),
) -> bool {
    let is_known = entries.contains(key);
    if !is_known && entries.len() < MAX_RETURNED { entries.insert(key.clone()) } else { is_known }
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
