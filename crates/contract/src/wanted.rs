//! How many units of each product an order wants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ProductId;
use crate::quantity::Quantity;

/// The most lines that an order may have, and so the most products (R17).
pub const MAX_LINES: usize = 100;

/// The units of one product that an order wants.
///
/// In JSON, it is an object with `product_id` and `quantity`, written in this order. Another member
/// makes the message malformed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WantedLine {
    /// The product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub product_id: ProductId,
    /// How many units, from 0 to [`Quantity::MAX`].
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000))]
    pub quantity: u32,
}

/// The units that an order wants: 1 to [`MAX_LINES`] products, sorted by product id.
///
/// Every revision of an order names every product of the order. A product that is not wanted any
/// more has the quantity 0.
///
/// In JSON, it is an array with one line per product, sorted by the bytes of the ids. So each set
/// of numbers has one spelling, and one digest.
///
/// ```
/// use contract::{BadWanted, Wanted, WantedLine};
///
/// let wanted: Wanted = serde_json::from_str(
///     r#"[{"product_id":"mug","quantity":2},{"product_id":"tee","quantity":0}]"#,
/// )?;
/// let mut lines = Vec::<WantedLine>::from(wanted);
/// lines.reverse();
/// // The reader refuses lines that are not sorted. It does not sort them.
/// assert_eq!(Wanted::try_from(lines), Err(BadWanted::Unsorted));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<WantedLine>", into = "Vec<WantedLine>")]
pub struct Wanted(Vec<WantedLine>);

/// Why lines are not the lines of an order. A retry fails again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWanted {
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

impl Wanted {
    /// Sums the lines of each product. The lines may come in any order.
    ///
    /// ```
    /// use contract::{Quantity, Wanted};
    ///
    /// let line = |product: &str, units| -> Result<_, Box<dyn std::error::Error>> {
    ///     Ok((product.parse()?, Quantity::new(units)?))
    /// };
    /// let wanted = Wanted::sum([line("tee", 1)?, line("mug", 2)?, line("tee", 3)?])?;
    /// let products: Vec<_> = wanted.iter().map(|line| line.product_id.as_str()).collect();
    /// assert_eq!(products, ["mug", "tee"]);
    /// assert_eq!(wanted.of(&"tee".parse()?), 4);
    /// assert_eq!(wanted.total(), 6);
    /// assert_eq!(wanted.nothing().total(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadWanted::Count`] or [`BadWanted::TooMany`]. Lines are counted before they are summed, so
    /// 101 lines of one product are too many.
    pub fn sum(lines: impl IntoIterator<Item = (ProductId, Quantity)>) -> Result<Self, BadWanted> {
        let mut sums: BTreeMap<ProductId, u32> = BTreeMap::new();
        let mut count = 0;
        for (product_id, quantity) in lines {
            count += 1;
            if count > MAX_LINES {
                return Err(BadWanted::Count);
            }
            let sum = sums.get(&product_id).copied().unwrap_or(0) + quantity.get();
            if sum > Quantity::MAX {
                return Err(BadWanted::TooMany(product_id));
            }
            sums.insert(product_id, sum);
        }
        let lines =
            sums.into_iter().map(|(product_id, quantity)| WantedLine { product_id, quantity });
        Self::try_from(lines.collect::<Vec<_>>())
    }

    /// The same products with 0 units each: what a cancelled order wants.
    ///
    /// Inventory must know every product of an order to lock them all, even if it has never seen the
    /// order before (R11).
    #[must_use]
    pub fn nothing(&self) -> Self {
        let line =
            |line: &WantedLine| WantedLine { product_id: line.product_id.clone(), quantity: 0 };
        Self(self.0.iter().map(line).collect())
    }

    /// The units of one product; 0 if it is not a product of the order.
    pub fn of(&self, product_id: &ProductId) -> i64 {
        let found = self.0.binary_search_by(|line| line.product_id.cmp(product_id));
        found.map_or(0, |index| i64::from(self.0[index].quantity))
    }

    /// Whether the order has this product, wanted or not.
    pub fn names(&self, product_id: &ProductId) -> bool {
        self.0.binary_search_by(|line| line.product_id.cmp(product_id)).is_ok()
    }

    /// All units; 0 if the order wants nothing.
    pub fn total(&self) -> i64 {
        self.0.iter().map(|line| i64::from(line.quantity)).sum()
    }

    /// Iterates over the lines by product id.
    pub fn iter(&self) -> std::slice::Iter<'_, WantedLine> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Wanted {
    type Item = &'a WantedLine;
    type IntoIter = std::slice::Iter<'a, WantedLine>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<WantedLine>> for Wanted {
    type Error = BadWanted;

    /// Takes lines that are already summed and sorted, as a message has them. Quantities may be 0.
    ///
    /// # Errors
    ///
    /// [`BadWanted`]; if several are true, the first one in the order of the variants.
    fn try_from(lines: Vec<WantedLine>) -> Result<Self, BadWanted> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(BadWanted::Count);
        }
        if let Some(line) = lines.iter().find(|line| line.quantity > Quantity::MAX) {
            return Err(BadWanted::TooMany(line.product_id.clone()));
        }
        let strictly_sorted = lines.windows(2).all(|pair| pair[0].product_id < pair[1].product_id);
        if strictly_sorted { Ok(Self(lines)) } else { Err(BadWanted::Unsorted) }
    }
}

impl From<Wanted> for Vec<WantedLine> {
    fn from(wanted: Wanted) -> Self {
        wanted.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: &str, units: u32) -> (ProductId, Quantity) {
        (product.parse().expect("an id"), Quantity::new(units).expect("a quantity"))
    }

    fn product(text: &str) -> ProductId {
        text.parse().expect("an id")
    }

    #[test]
    fn lines_of_one_product_are_summed_before_the_sum_is_checked() {
        let wanted = Wanted::sum([line("b", 1), line("a", 2), line("b", 3)]).expect("two products");
        let seen: Vec<_> = wanted.iter().map(|l| (l.product_id.as_str(), l.quantity)).collect();
        assert_eq!(seen, [("a", 2), ("b", 4)]);
        let too_many = Wanted::sum([line("a", 1_000_000), line("a", 1)]);
        assert_eq!(too_many, Err(BadWanted::TooMany(product("a"))));
    }

    #[test]
    fn an_order_has_at_least_one_and_at_most_a_hundred_lines() {
        assert_eq!(Wanted::sum([]), Err(BadWanted::Count));
        assert!(Wanted::sum((0..100).map(|n| line(&n.to_string(), 1))).is_ok());
        assert_eq!(Wanted::sum((0..101).map(|_| line("a", 1))), Err(BadWanted::Count));
    }

    #[test]
    fn lines_of_a_message_must_be_sorted_and_bounded() {
        let read = |products: &[String], quantity: u32| {
            let line = |text: &String| WantedLine { product_id: product(text), quantity };
            Wanted::try_from(products.iter().map(line).collect::<Vec<_>>())
        };
        let numbered = |count: usize| (100..100 + count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(read(&[], 1), Err(BadWanted::Count));
        assert_eq!(read(&numbered(101), 1), Err(BadWanted::Count));
        assert_eq!(read(&numbered(1), 1_000_001), Err(BadWanted::TooMany(product("100"))));
        for unsorted in [["b", "a"], ["a", "a"]] {
            assert_eq!(read(&unsorted.map(str::to_owned), 1), Err(BadWanted::Unsorted));
        }
        assert_eq!(read(&numbered(100), 0).map(|wanted| wanted.total()), Ok(0));
    }

    #[test]
    fn nothing_is_wanted_of_the_same_products() {
        let wanted = Wanted::sum([line("a", 2), line("b", 4)]).expect("two products");
        assert_eq!((wanted.total(), wanted.of(&product("b")), wanted.of(&product("c"))), (6, 4, 0));
        let nothing = wanted.nothing();
        assert_eq!((nothing.total(), nothing.iter().count()), (0, 2));
        assert!(nothing.names(&product("a")) && !nothing.names(&product("c")));
    }
}
