//! Units that came back from the customer.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, ProductId};
use crate::quantity::Quantity;

/// The most entries that the returns of an order may have, so that every message fits into 1 MiB
/// (R17).
pub const MAX_RETURNED: usize = 1_000;

/// What came back of one product to one location, and what became of it. At least one number is
/// above 0.
///
/// In JSON, numbers that are 0 are left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReturnedUnits {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// The location that the units came back to, as the client named it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub location_id: LocationId,
    /// The units that can be sold again.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub restocked: u32,
    /// The units that are on hand and cannot be sold until somebody has looked at them.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub quarantined: u32,
    /// The units that were lost on the way back or thrown away.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub written_off: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(units: &u32) -> bool {
    *units == 0
}

impl ReturnedUnits {
    /// What came back, whatever became of it.
    pub fn units(&self) -> i64 {
        i64::from(self.restocked) + i64::from(self.quarantined) + i64::from(self.written_off)
    }

    /// What the entry is sorted and looked up by.
    fn key(&self) -> (&ProductId, &LocationId) {
        (&self.product_id, &self.location_id)
    }

    fn is_plausible(&self) -> bool {
        let numbers = [self.restocked, self.quarantined, self.written_off];
        self.units() > 0 && numbers.into_iter().all(|units| units <= Quantity::MAX)
    }
}

/// All that came back of one order: at most [`MAX_RETURNED`] entries, one per product and location,
/// sorted by product and then location. Absolute numbers, which only rise (R20).
///
/// In JSON, it is an array of objects with `product_id`, `location_id`, `restocked`, `quarantined`
/// and `written_off`, written in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<ReturnedUnits>", into = "Vec<ReturnedUnits>")]
pub struct Returned(Vec<ReturnedUnits>);

/// Why a list is not what came back of an order. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReturned {
    /// There are more than [`MAX_RETURNED`].
    #[error("the returns of an order must have at most 1000 entries")]
    Count,
    /// The list is not sorted by product and location, or names a product and location twice.
    #[error("returns must be sorted by product and location, one entry per product and location")]
    Unsorted,
    /// An entry has no units, or more of one kind than an order can have.
    #[error("an entry of the returns must have 1 to 1000000 units")]
    Units,
}

impl Returned {
    /// Sorts entries that name each product and location once.
    ///
    /// # Errors
    ///
    /// [`BadReturned`]; [`Unsorted`](BadReturned::Unsorted) if a product and location occurs twice.
    pub fn sorted(mut entries: Vec<ReturnedUnits>) -> Result<Self, BadReturned> {
        entries.sort_by(|a, b| a.key().cmp(&b.key()));
        Self::try_from(entries)
    }

    /// What came back of a product to a location; `None` if nothing did.
    pub fn at(&self, product_id: &ProductId, location_id: &LocationId) -> Option<&ReturnedUnits> {
        let key = (product_id, location_id);
        let found = self.0.binary_search_by(|entry| entry.key().cmp(&key));
        found.ok().map(|index| &self.0[index])
    }

    /// The units of one product that came back, over all locations.
    pub fn of(&self, product_id: &ProductId) -> i64 {
        let start = self.0.partition_point(|entry| entry.product_id < *product_id);
        let entries = self.0[start..].iter().take_while(|entry| entry.product_id == *product_id);
        entries.map(ReturnedUnits::units).sum()
    }

    /// All units that came back.
    pub fn total(&self) -> i64 {
        self.0.iter().map(ReturnedUnits::units).sum()
    }
}

impl Deref for Returned {
    type Target = [ReturnedUnits];

    fn deref(&self) -> &[ReturnedUnits] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Returned {
    type Item = &'a ReturnedUnits;
    type IntoIter = std::slice::Iter<'a, ReturnedUnits>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl TryFrom<Vec<ReturnedUnits>> for Returned {
    type Error = BadReturned;

    /// Takes entries that are already sorted, as a message has them.
    ///
    /// # Errors
    ///
    /// [`BadReturned`]; if several are true, the first one in the order of its variants.
    fn try_from(entries: Vec<ReturnedUnits>) -> Result<Self, BadReturned> {
        if entries.len() > MAX_RETURNED {
            return Err(BadReturned::Count);
        }
        if !entries.windows(2).all(|pair| pair[0].key() < pair[1].key()) {
            return Err(BadReturned::Unsorted);
        }
        if entries.iter().all(ReturnedUnits::is_plausible) {
            Ok(Self(entries))
        } else {
            Err(BadReturned::Units)
        }
    }
}

impl From<Returned> for Vec<ReturnedUnits> {
    fn from(returned: Returned) -> Self {
        returned.0
    }
}

/// Where Inventory booked what came back to a location that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BookedAt {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// The location that the client named.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub location_id: LocationId,
    /// The location whose stock the units are in.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub booked_at: LocationId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(product: &str, location: &str, numbers: [u32; 3]) -> ReturnedUnits {
        let [restocked, quarantined, written_off] = numbers;
        let (product_id, location_id) =
            (product.parse().expect("an id"), location.parse().expect("an id"));
        ReturnedUnits { product_id, location_id, restocked, quarantined, written_off }
    }

    #[test]
    fn units_are_looked_up_by_product_and_location() {
        let returned = Returned::sorted(vec![
            entry("b", "x", [4, 0, 0]),
            entry("a", "y", [1, 2, 0]),
            entry("a", "x", [0, 0, 1]),
        ])
        .expect("three entries");
        let id = |text: &str| text.parse().expect("an id");
        let at = |location: &str| returned.at(&id("a"), &location.parse().expect("an id"));
        assert_eq!(at("y").map(ReturnedUnits::units), Some(3));
        assert_eq!(at("z"), None);
        assert_eq!(["a", "b", "c"].map(|product| returned.of(&id(product))), [4, 4, 0]);
        assert_eq!((returned.total(), Returned::default().total()), (8, 0));
    }

    #[test]
    fn returns_of_a_message_are_sorted_bounded_and_of_something() {
        let a = entry("a", "x", [1, 0, 0]);
        let b = entry("a", "y", [0, 1_000_000, 0]);
        assert!(Returned::try_from(vec![a.clone(), b.clone()]).is_ok());
        for unsorted in [vec![b, a.clone()], vec![a.clone(), a]] {
            assert_eq!(Returned::try_from(unsorted), Err(BadReturned::Unsorted));
        }
        for numbers in [[0, 0, 0], [1_000_001, 0, 0], [0, 0, u32::MAX]] {
            let entries = vec![entry("a", "x", numbers)];
            assert_eq!(Returned::try_from(entries), Err(BadReturned::Units));
        }
        let numbered = |count: usize| -> Vec<_> {
            (10_000..10_000 + count).map(|n| entry(&n.to_string(), "x", [1, 0, 0])).collect()
        };
        assert!(Returned::try_from(numbered(MAX_RETURNED)).is_ok());
        assert_eq!(Returned::try_from(numbered(MAX_RETURNED + 1)), Err(BadReturned::Count));
    }
}
