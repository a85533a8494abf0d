//! The lines of an order as the Inventory Service sees them: products and quantities, no prices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::ProductId;

/// The most lines that an order may have (R17).
pub const MAX_LINES: usize = 100;

/// A number of units of one product, from 1 to 1 000 000.
///
/// The limit also holds for the sum of all lines of a product in one order.
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

    fn try_from(units: u32) -> Result<Self, BadQuantity> {
        Self::new(units)
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

/// The units of one product that an order asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockLine {
    /// The product.
    pub product_id: ProductId,
    /// The sum over all lines of the order that name the product.
    pub quantity: Quantity,
}

/// The lines of one order: 1 to [`MAX_LINES`] lines, one per product, sorted by product id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<StockLine>", into = "Vec<StockLine>")]
pub struct StockLines(Vec<StockLine>);

/// Why lines are not the lines of an order. A retry fails again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLines {
    /// There are no lines, or more than [`MAX_LINES`].
    #[error("an order must have 1 to 100 lines")]
    Count,
    /// The lines of this product add up to more than [`Quantity::MAX`].
    #[error("the lines of {0} must not add up to more than 1000000")]
    TooMany(ProductId),
    /// Lines of a message are not sorted by product id, or a product has several.
    #[error("lines must be sorted by product id, one per product")]
    Unsorted,
}

impl StockLines {
    /// Sums the lines of each product. The lines may come in any order.
    ///
    /// # Errors
    ///
    /// [`BadLines::Count`] if there are no lines or more than [`MAX_LINES`], counted before they
    /// are summed; otherwise [`BadLines::TooMany`] with the first product, by id, whose sum exceeds
    /// [`Quantity::MAX`].
    pub fn sum(lines: impl IntoIterator<Item = (ProductId, Quantity)>) -> Result<Self, BadLines> {
        let mut sums = BTreeMap::<ProductId, u64>::new();
        let mut count = 0;
        for (product_id, quantity) in lines {
            *sums.entry(product_id).or_default() += u64::from(quantity.get());
            count += 1;
        }
        if !(1..=MAX_LINES).contains(&count) {
            return Err(BadLines::Count);
        }
        let summed = sums.into_iter().map(|(product_id, units)| {
            match u32::try_from(units).ok().and_then(|units| Quantity::new(units).ok()) {
                Some(quantity) => Ok(StockLine { product_id, quantity }),
                None => Err(BadLines::TooMany(product_id)),
            }
        });
        summed.collect::<Result<_, _>>().map(Self)
    }

    /// Computes the digest of the lines, over `product_id 0x00 quantity 0x0A` per line (R14).
    ///
    /// Quantities are written in decimal. The order in which the lines were sent makes no
    /// difference.
    pub fn digest(&self) -> Digest {
        let mut text = Vec::with_capacity(self.0.len() * 16);
        for line in &self.0 {
            text.extend_from_slice(line.product_id.as_str().as_bytes());
            text.push(0);
            text.extend_from_slice(line.quantity.get().to_string().as_bytes());
            text.push(b'\n');
        }
        Digest::of(&text)
    }

    /// Iterates over the lines by product id.
    pub fn iter(&self) -> std::slice::Iter<'_, StockLine> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a StockLines {
    type Item = &'a StockLine;
    type IntoIter = std::slice::Iter<'a, StockLine>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<StockLine>> for StockLines {
    type Error = BadLines;

    /// Takes the lines of a message, which must already be summed and sorted.
    ///
    /// # Errors
    ///
    /// [`BadLines::Count`], or [`BadLines::Unsorted`] if product ids do not strictly ascend.
    fn try_from(lines: Vec<StockLine>) -> Result<Self, BadLines> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(BadLines::Count);
        }
        let strictly_sorted = lines.windows(2).all(|pair| pair[0].product_id < pair[1].product_id);
        if strictly_sorted { Ok(Self(lines)) } else { Err(BadLines::Unsorted) }
    }
}

impl From<StockLines> for Vec<StockLine> {
    fn from(lines: StockLines) -> Self {
        lines.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(product: &str, units: u32) -> (ProductId, Quantity) {
        (product.parse().expect("an id"), Quantity::new(units).expect("a quantity"))
    }

    #[test]
    fn lines_of_one_product_are_summed_before_the_sum_is_checked() {
        let lines =
            StockLines::sum([line("b", 1), line("a", 2), line("b", 3)]).expect("two products");
        let seen: Vec<_> =
            lines.iter().map(|l| (l.product_id.as_str(), l.quantity.get())).collect();
        assert_eq!(seen, [("a", 2), ("b", 4)]);

        let too_many = StockLines::sum([line("a", 1_000_000), line("a", 1)]);
        assert_eq!(too_many, Err(BadLines::TooMany("a".parse().expect("an id"))));
    }

    #[test]
    fn an_order_has_at_least_one_and_at_most_a_hundred_lines() {
        assert_eq!(StockLines::sum([]), Err(BadLines::Count));
        assert!(StockLines::sum((0..100).map(|n| line(&n.to_string(), 1))).is_ok());
        assert_eq!(StockLines::sum((0..101).map(|_| line("a", 1))), Err(BadLines::Count));
    }

    #[test]
    fn a_quantity_is_from_one_to_a_million() {
        for (units, good) in [(0, false), (1, true), (1_000_000, true), (1_000_001, false)] {
            assert_eq!(Quantity::new(units).is_ok(), good, "{units}");
            assert_eq!(Quantity::try_from(units).map(u32::from).ok(), good.then_some(units));
        }
        let quantity = Quantity::new(7).expect("a quantity");
        assert_eq!((quantity.get(), quantity.units()), (7, 7));
    }

    #[test]
    fn lines_of_a_message_must_be_sorted_and_at_most_a_hundred() {
        let read = |products: &[String]| {
            let line = |product: &String| StockLine {
                product_id: product.parse().expect("an id"),
                quantity: Quantity(1),
            };
            StockLines::try_from(products.iter().map(line).collect::<Vec<_>>())
        };
        let numbered = |count: usize| (100..100 + count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(read(&[]), Err(BadLines::Count));
        assert_eq!(read(&numbered(101)), Err(BadLines::Count));
        for unsorted in [["b", "a"], ["a", "a"]] {
            assert_eq!(read(&unsorted.map(str::to_owned)), Err(BadLines::Unsorted));
        }
        let lines = read(&numbered(100)).expect("a hundred lines");
        assert_eq!(
            (lines.iter().count(), (&lines).into_iter().count(), Vec::from(lines).len()),
            (100, 100, 100)
        );
    }

    /// Stored orders and reservations keep their digest, so its computation must never change.
    #[test]
    fn the_digest_of_the_example_order_is_pinned() {
        let lines = StockLines::sum([line("789", 2), line("456", 1)]).expect("two lines");
        assert_eq!(lines.digest().to_string(), "6001b0afb95f13ef07ff5c6d151fa4d4");
        assert_eq!(lines.digest(), Digest::of(b"456\x001\n789\x002\n"));
    }

    proptest! {
        #[test]
        fn the_digest_does_not_depend_on_the_order_of_the_lines(
            mut sent in prop::collection::vec(("[a-c]", 1u32..5), 1..20)
        ) {
            let digest = |lines: &[(String, u32)]| {
                StockLines::sum(lines.iter().map(|(p, n)| line(p, *n))).expect("few units").digest()
            };
            let before = digest(&sent);
            sent.reverse();
            prop_assert_eq!(before, digest(&sent));
        }
    }
}
