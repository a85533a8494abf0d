//! An order: its content, which never changes, and its registers, which its history adds up to.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use contract::{BadId, Digest, OrderId, ProductId, Quantity, Wanted};

use super::money::Currency;
use super::registers::Registers;
use super::status::Status;

/// The id of a customer, chosen by the client. It has the form of a product id
/// ([`contract::is_id`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CustomerId {
    type Err = BadId;

    /// Checks the text with [`contract::is_id`].
    ///
    /// # Errors
    ///
    /// [`BadId`] if the text cannot be an id. A retry fails again.
    fn from_str(text: &str) -> Result<Self, BadId> {
        if contract::is_id(text) { Ok(Self(text.into())) } else { Err(BadId) }
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of an order as the client sent it. Several lines may name the same product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit, in minor units of the order's currency; 0 or more.
    pub price_minor: i64,
}

/// The content of an order as the service accepted it. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The customer who placed the order.
    pub customer_id: CustomerId,
    /// The currency of all prices and of the total.
    pub currency: Currency,
    /// The sum of quantity × price over the lines, in minor units.
    pub total_minor: i64,
    /// 1 to 100 lines, in the order in which the client sent them.
    pub lines: Vec<OrderLine>,
    /// How the order is paid, if it waits for its payment.
    pub payment: Option<PaymentTerms>,
}

/// An order that waits for its payment: its units are reserved until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentTerms {
    /// How long the units are reserved, in seconds; 60 to [`MAX_WITHIN_S`](Self::MAX_WITHIN_S).
    pub within_s: u32,
}

impl PaymentTerms {
    /// The shortest time for a payment, in seconds: a minute.
    pub const MIN_WITHIN_S: u32 = 60;
    /// The longest time for a payment, in seconds: a week.
    pub const MAX_WITHIN_S: u32 = 604_800;

    /// How long the units are reserved, in microseconds.
    pub fn within_micros(self) -> i64 {
        i64::from(self.within_s) * 1_000_000
    }
}

impl Terms {
    /// The units that the order asks for: the sum of its lines per product, without prices.
    ///
    /// # Panics
    ///
    /// If the lines are not those of an accepted order, whose count and sums were checked.
    pub fn ordered(&self) -> Wanted {
        let lines = self.lines.iter().map(|line| (line.product_id.clone(), line.quantity));
        Wanted::sum(lines)
            .expect("an accepted order has 1 to 100 lines, and their sums are quantities")
    }

    /// The value of this many units of each product, in minor units of the currency. The units fill
    /// the lines of a product from the first one.
    ///
    /// It is at most the total if there are no more units than were ordered, so it cannot overflow
    /// then.
    pub fn value_of<'a>(&'a self, units: impl Fn(&ProductId) -> i64) -> i64 {
        let mut left: BTreeMap<&ProductId, i64> = BTreeMap::new();
        let value = |line: &'a OrderLine| {
            let OrderLine { product_id, quantity, price_minor } = line;
            let left = left.entry(product_id).or_insert_with(|| units(product_id));
            let filled = quantity.units().min(*left);
            *left -= filled;
            filled.saturating_mul(*price_minor)
        };
        self.lines.iter().map(value).sum()
    }

    /// Whether the terms have the same customer, products, quantities and prices, where `19.9` in a
    /// currency with two decimals is the same price as `19.9` in one with three.
    pub fn equals_but_for_the_currency(&self, other: &Self) -> bool {
        let unit = |currency: Currency| 10_i128.pow(currency.decimals().into());
        let amount = |minor: i64, other: Currency| i128::from(minor) * unit(other);
        let equal = |(line, its): (&OrderLine, &OrderLine)| {
            (&line.product_id, line.quantity) == (&its.product_id, its.quantity)
                && amount(line.price_minor, other.currency)
                    == amount(its.price_minor, self.currency)
        };
        self.customer_id == other.customer_id
            && self.payment == other.payment
            && self.lines.len() == other.lines.len()
            && self.lines.iter().zip(&other.lines).all(equal)
    }
}

/// A stored order, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The id of the order.
    pub order_id: OrderId,
    /// The content of the order.
    pub terms: Terms,
    /// The fold of the order's history.
    pub registers: Registers,
    /// The digest of the intent in `registers`, computed when the revision was made (R14).
    pub digest: Digest,
    /// The number of the last entry of the history, from 1 (R13).
    pub last_seq: u32,
}

impl Order {
    /// The order after its first entry. `digest` is the digest of its first intent.
    pub fn placed(order_id: OrderId, terms: Terms, digest: Digest) -> Self {
        let registers = Registers::placed(terms.ordered());
        Self { order_id, terms, registers, digest, last_seq: 1 }
    }

    /// The status of the order.
    pub fn status(&self) -> Status {
        self.registers.status(&self.terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_the_same_in_currencies_with_other_decimals() {
        let terms = |code: &str, customer: &str, price_minor| Terms {
            customer_id: customer.parse().expect("an id"),
            currency: code.parse().expect("a currency"),
            total_minor: price_minor,
            lines: vec![OrderLine {
                product_id: "MUG".parse().expect("an id"),
                quantity: Quantity::new(1).expect("a quantity"),
                price_minor,
            }],
            payment: None,
        };
        let ours = terms("BRL", "C1", 1990);
        for (other, expected) in [
            (terms("BRL", "C1", 1990), true),
            (terms("EUR", "C1", 1990), true),
            (terms("KWD", "C1", 19_900), true),
            (terms("KWD", "C1", 1990), false),
            (terms("JPY", "C1", 1990), false),
            (terms("BRL", "C1", 1991), false),
            (terms("BRL", "C2", 1990), false),
            (Terms { lines: Vec::new(), ..ours.clone() }, false),
        ] {
            assert_eq!(ours.equals_but_for_the_currency(&other), expected, "{other:?}");
            assert_eq!(other.equals_but_for_the_currency(&ours), expected, "{other:?}");
        }
    }

    #[test]
    fn units_fill_the_lines_of_a_product_from_the_first_one() {
        let line = |product: &str, units, price_minor| OrderLine {
            product_id: product.parse().expect("an id"),
            quantity: Quantity::new(units).expect("a quantity"),
            price_minor,
        };
        let terms = Terms {
            customer_id: "C1".parse().expect("an id"),
            currency: Currency::BRL,
            total_minor: 2 * 100 + 5 + 3 * 10,
            lines: vec![line("MUG", 2, 100), line("TEE", 1, 5), line("MUG", 3, 10)],
            payment: None,
        };
        let value = |mugs: i64, tees: i64| {
            terms.value_of(|product| if product.as_str() == "MUG" { mugs } else { tees })
        };
        assert_eq!(value(5, 1), terms.total_minor);
        assert_eq!([value(0, 0), value(1, 0), value(2, 1), value(3, 0)], [0, 100, 205, 210]);
    }

    #[test]
    fn a_customer_id_keeps_its_text() {
        let customer: CustomerId = "123456".parse().expect("an id");
        assert_eq!((customer.as_str(), format!("{customer:?}").as_str()), ("123456", "123456"));
        assert!("".parse::<CustomerId>().is_err());
    }
}
