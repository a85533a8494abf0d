//! Whether what clients asked of accepted orders is in their histories, as it was asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Change, Heard, Mark, count};
use crate::databases::OrderRow;
use crate::fold::{Back, IntentThen, Made, NewIntent, ProductUnits, StockUnits, Tracking};
use crate::states::{Violation, broken};

/// A change that was confirmed is in the history of its order as it was asked for; one that was
/// refused, and has a key of its own, is not. `all` are all changes of all orders.
pub(super) fn check(change: &Change, all: &[Change], rows: &[OrderRow]) -> Result<(), Violation> {
    let Some(row) = rows.iter().find(|row| row.order_id == change.order_id) else {
        return broken("INV-6", format!("{change:?}, and there is no such order"));
    };
    let done = count(&change.heard, Heard::Done) > 0;
    let is_there = match &change.mark {
        Mark::Key(key) => return check_key(change, key, done, all, row),
        Mark::Payment(reference, amount) => has_recorded(row, change, reference, *amount, all),
        Mark::Unship(shipment) => row.history().iter().any(|step| match &step.made {
            Made::Intent(new) => new.cancelled_shipment == Some(*shipment),
            _ => false,
        }),
        Mark::Track(shipment, tracking) => is_tracked(row, *shipment, tracking),
    };
    if done && !is_there {
        return broken("INV-6", format!("{change:?}, and its order is {row:?}"));
    }
    Ok(())
}

/// Whether the money was recorded. A payment without an amount is of what is due, or it repeats
/// another request.
fn has_recorded(
    row: &OrderRow,
    change: &Change,
    reference: &str,
    amount: Option<i64>,
    all: &[Change],
) -> bool {
    let asked_by_others = |recorded: i64| {
        let mut others = all.iter().filter(|other| other.order_id == change.order_id);
        others.any(|other| other.mark == Mark::Payment(reference.to_owned(), Some(recorded)))
    };
    let is_right = |recorded: i64| match amount {
        Some(amount) => recorded == amount,
        None => recorded == row.total_minor || asked_by_others(recorded),
    };
    row.history().iter().any(|step| match &step.made {
        Made::Payment { reference: its, amount } if change.path == "pay" => {
            its == reference && is_right(*amount)
        }
        Made::Refund { reference: its, amount } if change.path == "refunds" => {
            its == reference && is_right(*amount)
        }
        _ => false,
    })
}

/// Whether the shipment was ever said to be followed so.
fn is_tracked(row: &OrderRow, shipment: i64, tracking: &Tracking) -> bool {
    row.history().iter().zip(2..).any(|(step, seq)| match &step.made {
        Made::Tracking { shipment: its, tracking: how } => *its == shipment && how == tracking,
        Made::Intent(new) => seq == shipment && new.tracking.as_ref() == Some(tracking),
        _ => false,
    })
}

fn check_key(
    change: &Change,
    key: &str,
    done: bool,
    all: &[Change],
    row: &OrderRow,
) -> Result<(), Violation> {
    let made = made_with(key, row)?;
    let is_as_asked = made.as_ref().is_some_and(|made| made.is_as_asked(change));
    let is_shared = all.iter().filter(|other| other.mark == change.mark).count() > 1;
    // Of twins that are sent at once, one may be refused and the other be carried out a moment later.
    let never = !done && count(&change.heard, Heard::Unknown) == 0;
    let is_wrong = if is_shared {
        done && !is_as_asked
    } else {
        done && made.is_none() || never && made.is_some() || made.is_some() && !is_as_asked
    };
    if is_wrong {
        return broken("INV-6", format!("{change:?}, and its order is {row:?}"));
    }
    Ok(())
}

/// The entry that a change with a key made.
struct MadeByKey<'a> {
    new: &'a NewIntent,
    before: IntentThen,
    allocated: StockUnits,
}

/// The entry with the key, if there is one, and what was before it.
fn made_with<'a>(key: &str, row: &'a OrderRow) -> Result<Option<MadeByKey<'a>>, Violation> {
    let registers = row.registers()?;
    let mut allocated = StockUnits::new();
    for step in row.history() {
        match &step.made {
            Made::Answer(answer) => allocated = answer.allocated.clone().unwrap_or(allocated),
            Made::Intent(new) if new.key.as_deref() == Some(key) => {
                let before = registers.intent(new.revision - 1).expect("a revision before");
                return Ok(Some(MadeByKey { new, before: before.clone(), allocated }));
            }
            _ => {}
        }
    }
    Ok(None)
}

impl MadeByKey<'_> {
    /// Whether the entry changes what the body asks for, and nothing else.
    fn is_as_asked(&self, change: &Change) -> bool {
        let body: Value = serde_json::from_str(&change.body).expect("a good body");
        match change.path.as_str() {
            "cancellations" => self.cancels(&lines(&body)),
            "shipments" => self.ships(&body),
            "returns" => self.returns(&body),
            other => panic!("{other} has no key"),
        }
    }

    fn cancels(&self, asked: &ProductUnits) -> bool {
        let Some(wanted) = &self.new.wanted else { return false };
        let fell = self.before.wanted.iter().filter_map(|(product, before)| {
            let less = before - wanted.get(product)?;
            (less != 0).then(|| (product.clone(), less))
        });
        fell.collect::<ProductUnits>() == *asked
    }

    fn ships(&self, body: &Value) -> bool {
        let Some(shipped) = &self.new.shipped else { return false };
        let mut rose = difference(shipped, &self.before.shipped);
        let tracking = body
            .get("tracking")
            .map(|how| serde_json::from_value::<Tracking>(how.clone()).expect("a good body"));
        let is_right = match body.get("lines") {
            None => rose == difference(&self.allocated, &self.before.shipped),
            Some(lines_of_body) => {
                let line = &lines_of_body[0];
                if let Some(location) = line["location_id"].as_str() {
                    rose.retain(|(_, its), _| its == location);
                }
                by_product(&rose) == lines(body)
            }
        };
        is_right && self.new.tracking == tracking
    }

    fn returns(&self, body: &Value) -> bool {
        let Some(returned) = &self.new.returned else { return false };
        let line = &body["lines"][0];
        let became = ["restock", "quarantine", "write_off"];
        let index = became.iter().position(|name| line["disposition"] == **name);
        let index = index.expect("a good body");
        let mut rose = risen(returned, &self.before.returned, index);
        if let Some(location) = line["location_id"].as_str() {
            rose.retain(|(_, its), _| its == location);
        }
        let others = (0..3).filter(|other| *other != index);
        let nothing_else = others
            .map(|other| risen(returned, &self.before.returned, other))
            .all(|rose| rose.is_empty());
        nothing_else && by_product(&rose) == lines(body)
    }
}

/// The units of each product that the lines of a body ask for.
fn lines(body: &Value) -> ProductUnits {
    let mut sums = ProductUnits::new();
    for line in body["lines"].as_array().into_iter().flatten() {
        let product = line["product_id"].as_str().expect("a product").to_owned();
        *sums.entry(product).or_default() += line["quantity"].as_i64().expect("a quantity");
    }
    sums
}

fn difference(after: &StockUnits, before: &StockUnits) -> StockUnits {
    let rose = after
        .iter()
        .map(|(key, units)| (key.clone(), units - before.get(key).copied().unwrap_or(0)));
    rose.filter(|(_, units)| *units != 0).collect()
}

/// By how much one of the numbers rose at each location.
fn risen(after: &Back, before: &Back, index: usize) -> StockUnits {
    let of = |back: &Back| -> StockUnits {
        back.iter().map(|(key, units)| (key.clone(), units[index])).collect()
    };
    difference(&of(after), &of(before))
}

fn by_product(units: &StockUnits) -> ProductUnits {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for ((product, _), units) in units {
        *sums.entry(product.clone()).or_default() += units;
    }
    sums
}

#[cfg(test)]
mod tests;
