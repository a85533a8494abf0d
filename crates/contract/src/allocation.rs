//! Units of products at locations.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, ProductId};
use crate::quantity::Quantity;

/// The most allocations that an order may have, so that every message fits into 1 MiB (R17).
///
/// An allocation with the longest ids takes about 180 bytes in a message, so 4000 of them take
/// about 710 KiB. Inventory rejects an order whose stock would come from more stock keys
/// ([`TooManyAllocations`](crate::ShortageReason::TooManyAllocations)).
pub const MAX_ALLOCATIONS: usize = 4_000;

/// Units of one product at one location that belong to an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Allocation {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// The location that holds the units, and ships them.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub location_id: LocationId,
    /// How many units; a part of what the order wants of the product, or all of it.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub quantity: Quantity,
}

impl Allocation {
    /// What the allocation is sorted and looked up by.
    fn key(&self) -> (&ProductId, &LocationId) {
        (&self.product_id, &self.location_id)
    }
}

/// Allocations of one order: at most [`MAX_ALLOCATIONS`], one per product and location, sorted by
/// product and then location. Absolute numbers, never differences (R20).
///
/// Two registers are of this type: what an order *has* ([`Facts::allocated`](crate::Facts)), and what
/// *shall be shipped* of it ([`Intent::shipped`](crate::Intent)). An allocation with 0 units is not
/// listed, so that each set of numbers has one spelling, and one digest.
///
/// In JSON, it is an array of objects with `product_id`, `location_id` and `quantity`, written in
/// this order. It may be empty: the order has nothing, or nothing shall be shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Allocation>", into = "Vec<Allocation>")]
pub struct Allocations(Vec<Allocation>);

/// Why a list is not the allocations of an order. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAllocations {
    /// There are more than [`MAX_ALLOCATIONS`].
    #[error("an order must have at most 4000 allocations")]
    Count,
    /// The list is not sorted by product and location, or names a product and location twice.
    #[error("allocations must be sorted by product and location, one per product and location")]
    Unsorted,
}

impl Allocations {
    /// Sorts allocations that name each product and location once.
    ///
    /// # Errors
    ///
    /// [`BadAllocations::Count`], or [`BadAllocations::Unsorted`] if a product and location occurs
    /// twice.
    pub fn sorted(mut allocations: Vec<Allocation>) -> Result<Self, BadAllocations> {
        allocations.sort_by(|a, b| a.key().cmp(&b.key()));
        Self::try_from(allocations)
    }

    /// The units at one product and location; 0 if none are listed.
    pub fn at(&self, product_id: &ProductId, location_id: &LocationId) -> i64 {
        let key = (product_id, location_id);
        let found = self.0.binary_search_by(|allocation| allocation.key().cmp(&key));
        found.map_or(0, |index| self.0[index].quantity.units())
    }

    /// The units of one product, over all locations; 0 if none are listed.
    pub fn of(&self, product_id: &ProductId) -> i64 {
        let start = self.0.partition_point(|allocation| allocation.product_id < *product_id);
        self.0[start..]
            .iter()
            .take_while(|allocation| allocation.product_id == *product_id)
            .map(|allocation| allocation.quantity.units())
            .sum()
    }

    /// All units, over all products and locations. At most [`MAX_ALLOCATIONS`] times
    /// [`Quantity::MAX`], so the sum cannot overflow.
    pub fn total(&self) -> i64 {
        self.0.iter().map(|allocation| allocation.quantity.units()).sum()
    }
}

impl Deref for Allocations {
    type Target = [Allocation];

    fn deref(&self) -> &[Allocation] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Allocations {
    type Item = &'a Allocation;
    type IntoIter = std::slice::Iter<'a, Allocation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl TryFrom<Vec<Allocation>> for Allocations {
    type Error = BadAllocations;

    /// Takes allocations that are already sorted, as a message has them.
    ///
    /// # Errors
    ///
    /// [`BadAllocations`]; if both are true, [`Count`](BadAllocations::Count).
    fn try_from(allocations: Vec<Allocation>) -> Result<Self, BadAllocations> {
        if allocations.len() > MAX_ALLOCATIONS {
            return Err(BadAllocations::Count);
        }
        let strictly_sorted = allocations.windows(2).all(|pair| pair[0].key() < pair[1].key());
        if strictly_sorted { Ok(Self(allocations)) } else { Err(BadAllocations::Unsorted) }
    }
}

impl From<Allocations> for Vec<Allocation> {
    fn from(allocations: Allocations) -> Self {
        allocations.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(product: &str, location: &str, units: u32) -> Allocation {
        Allocation {
            product_id: product.parse().expect("an id"),
            location_id: location.parse().expect("an id"),
            quantity: Quantity::new(units).expect("a quantity"),
        }
    }

    #[test]
    fn units_are_looked_up_by_product_and_location() {
        let allocations = Allocations::sorted(vec![
            allocation("b", "x", 4),
            allocation("a", "y", 2),
            allocation("a", "x", 1),
        ])
        .expect("three stock keys");
        let id = |text: &str| text.parse().expect("an id");
        assert_eq!(allocations.at(&id("a"), &"y".parse().expect("an id")), 2);
        assert_eq!(allocations.at(&id("a"), &"z".parse().expect("an id")), 0);
        assert_eq!(["a", "b", "c"].map(|product| allocations.of(&id(product))), [3, 4, 0]);
        assert_eq!((allocations.total(), Allocations::default().total()), (7, 0));
    }

    #[test]
    fn allocations_of_a_message_are_sorted_and_bounded() {
        let a = allocation("a", "x", 1);
        let b = allocation("a", "y", 1);
        assert!(Allocations::try_from(vec![a.clone(), b.clone()]).is_ok());
        for unsorted in [vec![b, a.clone()], vec![a.clone(), a]] {
            assert_eq!(Allocations::try_from(unsorted), Err(BadAllocations::Unsorted));
        }
        let numbered = |count: usize| {
            (10_000..10_000 + count).map(|n| allocation(&n.to_string(), "x", 1)).collect::<Vec<_>>()
        };
        assert!(Allocations::try_from(numbered(MAX_ALLOCATIONS)).is_ok());
        let too_many = numbered(MAX_ALLOCATIONS + 1);
        assert_eq!(Allocations::try_from(too_many), Err(BadAllocations::Count));
    }
}
