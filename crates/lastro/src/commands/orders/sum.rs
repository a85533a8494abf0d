//! What the orders of a list come to together.

use std::collections::BTreeMap;

use orders_core::money::Currency;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::Shown;

/// Which amount of an order is added up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Money {
    /// Of an order that waits for its payment, it is what must be paid.
    Total,
    RefundDue,
}

/// The sum of one amount of the orders of a list, in each currency.
#[derive(Debug)]
pub(super) struct Sum {
    name: &'static str,
    money: Money,
    /// In minor units, by the code of the currency.
    of_each: BTreeMap<&'static str, (Currency, i64)>,
    /// How many orders have an amount that cannot be added.
    not_added: usize,
}

impl Sum {
    /// The sum of this amount, and what people call it.
    pub(super) fn of(name: &'static str, money: Money) -> Self {
        Self { name, money, of_each: BTreeMap::new(), not_added: 0 }
    }

    /// Adds an order, from its JSON as the service wrote it: a float could lose cents.
    pub(super) fn add(&mut self, raw: &str) {
        if self.added(raw).is_none() {
            self.not_added += 1;
        }
    }

    fn added(&mut self, raw: &str) -> Option<()> {
        let order: Amounts = serde_json::from_str(raw).ok()?;
        let currency: Currency = order.currency.parse().ok()?;
        let amount = match self.money {
            Money::Total => order.total,
            Money::RefundDue => order.refund_due,
        };
        let amount = minor(amount.get(), currency)?;
        let (_, sum) = self.of_each.entry(currency.code()).or_insert((currency, 0));
        *sum = sum.checked_add(amount)?;
        Some(())
    }

    /// The sums, and of how many orders they are.
    pub(super) fn line(&self, shown: Shown) -> String {
        let orders = if shown.items == 1 { "order" } else { "orders" };
        let is_part = if shown.more { " shown; there are more" } else { "" };
        let sums = self.of_each.values();
        let mut sums: Vec<_> = sums
            .map(|(currency, sum)| format!("{} {}", currency.code(), currency.format(*sum)))
            .collect();
        if self.not_added > 0 {
            sums.push(format!("and {} that cannot be added", self.not_added));
        }
        format!("{}: {} ({} {orders}{is_part})", self.name, sums.join(", "), shown.items)
    }
}

/// The amounts of an order in a list.
#[derive(Deserialize)]
struct Amounts {
    currency: String,
    total: Box<RawValue>,
    refund_due: Box<RawValue>,
}

/// An amount in minor units, from the JSON number that the service wrote.
fn minor(amount: &str, currency: Currency) -> Option<i64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let decimals = usize::from(currency.decimals());
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > decimals {
        return None;
    }
    format!("{whole}{fraction:0<decimals$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_added_to_the_cent() {
        let of = |amount: &str, code: &str| minor(amount, code.parse().expect("a currency"));
        assert_eq!([of("39.90", "BRL"), of("0.07", "BRL")], [Some(3990), Some(7)]);
        assert_eq!([of("5", "BRL"), of("5.0", "BRL")], [Some(500), Some(500)]);
        assert_eq!([of("1500", "JPY"), of("1.250", "KWD")], [Some(1500), Some(1250)]);
        assert_eq!(of("90071992547409.91", "EUR"), Some((1 << 53) - 1));
        assert_eq!([of("1.999", "BRL"), of("1e300", "BRL")], [None, None]);
    }

    #[test]
    fn a_sum_says_of_which_orders_it_is() {
        let mut sum = Sum::of("owed", Money::RefundDue);
        let order = |due: &str, currency: &str| {
            format!(r#"{{"currency":"{currency}","total":9,"refund_due":{due}}}"#)
        };
        sum.add(&order("0.10", "BRL"));
        assert_eq!(sum.line(Shown { items: 1, more: false }), "owed: BRL 0.10 (1 order)");
        sum.add(&order("0.20", "BRL"));
        sum.add(&order("7", "JPY"));
        let all = sum.line(Shown { items: 3, more: false });
        assert_eq!(all, "owed: BRL 0.30, JPY 7 (3 orders)");
        sum.add(&order("1.00", "XYZ"));
        let some = sum.line(Shown { items: 4, more: true });
        let expected =
            "owed: BRL 0.30, JPY 7, and 1 that cannot be added (4 orders shown; there are more)";
        assert_eq!(some, expected);
    }
}
