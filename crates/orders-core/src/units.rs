//! Arithmetic on units by product and location.

use std::collections::BTreeMap;

use contract::{Allocation, Allocations, LocationId, ProductId, Quantity, Returned, ReturnedUnits};

/// Units by product and location; without entries of 0.
pub(super) type UnitsByKey = BTreeMap<(ProductId, LocationId), i64>;

/// The allocations as a map.
pub(super) fn by_key(allocations: &Allocations) -> UnitsByKey {
    let units = |one: &Allocation| {
        ((one.product_id.clone(), one.location_id.clone()), one.quantity.units())
    };
    allocations.iter().map(units).collect()
}

/// What `more` has beyond `less`, per product and location; `None` if it has less anywhere.
pub(super) fn difference(more: &Allocations, less: &Allocations) -> Option<Allocations> {
    let mut units = by_key(more);
    for one in less {
        let rest = units.get_mut(&(one.product_id.clone(), one.location_id.clone()))?;
        *rest -= one.quantity.units();
    }
    allocations(units)
}

/// The sum of both, per product and location; `None` if a sum is no quantity.
pub(super) fn sum(a: &Allocations, b: &Allocations) -> Option<Allocations> {
    let mut units = by_key(a);
    for one in b {
        let key = (one.product_id.clone(), one.location_id.clone());
        *units.entry(key).or_default() += one.quantity.units();
    }
    allocations(units)
}

/// The map as allocations; `None` if a number is negative or too large, or there are too many.
pub(super) fn allocations(units: UnitsByKey) -> Option<Allocations> {
    let mut list = Vec::with_capacity(units.len());
    for ((product_id, location_id), units) in units {
        if units != 0 {
            let quantity = Quantity::new(u32::try_from(units).ok()?).ok()?;
            list.push(Allocation { product_id, location_id, quantity });
        }
    }
    Allocations::try_from(list).ok()
}

/// The sum of both, per product and location; `None` if there would be more than
/// [`MAX_RETURNED`](contract::MAX_RETURNED) entries, or more units than a message takes. Several
/// entries of `more` may name the same product and location.
pub(super) fn returned_sum(before: &Returned, more: &[ReturnedUnits]) -> Option<Returned> {
    let mut entries: BTreeMap<(ProductId, LocationId), ReturnedUnits> = BTreeMap::new();
    for entry in before.iter().chain(more) {
        let key = (entry.product_id.clone(), entry.location_id.clone());
        entries
            .entry(key)
            .and_modify(|sum| {
                sum.restocked = sum.restocked.saturating_add(entry.restocked);
                sum.quarantined = sum.quarantined.saturating_add(entry.quarantined);
                sum.written_off = sum.written_off.saturating_add(entry.written_off);
            })
            .or_insert_with(|| entry.clone());
    }
    Returned::try_from(entries.into_values().collect::<Vec<_>>()).ok()
}

/// What `more` has beyond `less`; `None` if it has less anywhere.
pub(super) fn returned_difference(more: &Returned, less: &Returned) -> Option<Returned> {
    let covers = |entry: &ReturnedUnits| more.at(&entry.product_id, &entry.location_id).is_some();
    if !less.iter().all(covers) {
        return None;
    }
    let mut rest = Vec::new();
    for entry in more {
        let mut left = entry.clone();
        if let Some(before) = less.at(&entry.product_id, &entry.location_id) {
            left.restocked = left.restocked.checked_sub(before.restocked)?;
            left.quarantined = left.quarantined.checked_sub(before.quarantined)?;
            left.written_off = left.written_off.checked_sub(before.written_off)?;
        }
        if left.units() > 0 {
            rest.push(left);
        }
    }
    Returned::try_from(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(parts: &[(&str, &str, u32)]) -> Allocations {
        let part = |(product, location, units): &(&str, &str, u32)| Allocation {
            product_id: product.parse().expect("an id"),
            location_id: location.parse().expect("an id"),
            quantity: Quantity::new(*units).expect("a quantity"),
        };
        Allocations::sorted(parts.iter().map(part).collect()).expect("distinct stock keys")
    }

    #[test]
    fn what_is_added_is_what_is_subtracted() {
        let one = held(&[("A", "x", 1), ("B", "x", 2)]);
        let two = held(&[("A", "x", 3), ("A", "y", 1)]);
        let both = sum(&one, &two).expect("quantities");
        assert_eq!(both, held(&[("A", "x", 4), ("A", "y", 1), ("B", "x", 2)]));
        assert_eq!(difference(&both, &two), Some(one.clone()));
        assert_eq!(difference(&one, &two), None);
        assert_eq!(difference(&one, &one), Some(Allocations::default()));
        let most = held(&[("A", "x", 1_000_000)]);
        assert_eq!(sum(&most, &one), None);
    }

    #[test]
    fn returns_add_up_by_what_became_of_the_units() {
        let entry = |location: &str, [restocked, quarantined, written_off]: [u32; 3]| {
            let product_id = "A".parse().expect("an id");
            let location_id = location.parse().expect("an id");
            ReturnedUnits { product_id, location_id, restocked, quarantined, written_off }
        };
        let list = |entries: &[ReturnedUnits]| Returned::sorted(entries.to_vec()).expect("returns");
        let one = list(&[entry("x", [1, 0, 0])]);
        let two = list(&[entry("x", [1, 2, 0]), entry("y", [0, 0, 1])]);
        let both = returned_sum(&one, &two).expect("few entries");
        assert_eq!(both, list(&[entry("x", [2, 2, 0]), entry("y", [0, 0, 1])]));
        assert_eq!(returned_difference(&both, &two), Some(one.clone()));
        assert_eq!(returned_difference(&one, &two), None);
        assert_eq!(returned_difference(&one, &one), Some(Returned::default()));
    }
}
