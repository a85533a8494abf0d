//! A number of units of one product.

use serde::{Deserialize, Serialize};

/// A number of units of one product, from 1 to 1 000 000.
///
/// The limit also holds for the sum of all lines of a product in one order. Zero is not a quantity: a
/// line of an order, an allocation and a receipt of stock have at least one unit. What an order wants
/// may fall to 0, and is therefore a plain number
/// ([`WantedLine::quantity`](crate::WantedLine::quantity)).
///
/// In JSON, it is an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// The number is not a quantity. A retry fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity must be a whole number from 1 to 1000000")]
pub struct BadQuantity;

impl Quantity {
    /// The largest quantity, in units.
    pub const MAX: u32 = 1_000_000;

    /// Checks a number of units.
    ///
    /// # Errors
    ///
    /// [`BadQuantity`] if `units` is 0 or greater than [`MAX`](Self::MAX).
    pub fn new(units: u32) -> Result<Self, BadQuantity> {
        if (1..=Self::MAX).contains(&units) { Ok(Self(units)) } else { Err(BadQuantity) }
    }

    /// The number of units.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of units, in the integer type of stock levels.
    pub fn units(self) -> i64 {
        i64::from(self.0)
    }
}

impl TryFrom<u32> for Quantity {
    type Error = BadQuantity;

    /// # Errors
    ///
    /// As [`Quantity::new`].
    fn try_from(units: u32) -> Result<Self, BadQuantity> {
        Self::new(units)
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_from_one_to_a_million() {
        for (units, good) in [(0, false), (1, true), (1_000_000, true), (1_000_001, false)] {
            assert_eq!(Quantity::new(units).is_ok(), good, "{units}");
            assert_eq!(Quantity::try_from(units).map(u32::from).ok(), good.then_some(units));
        }
        let quantity = Quantity::new(7).expect("a quantity");
        assert_eq!((quantity.get(), quantity.units()), (7, 7));
    }
}
