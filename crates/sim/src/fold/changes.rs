//! What a new intent may change (INV-4, R22).

use orders_core::status::Status;

use super::{
    IntentThen, NewIntent, ProductUnits, Registers, Step, StockUnits, back_of, of_product,
};
use crate::states::{Violation, broken};

impl Registers {
    /// Whether a change with this key was made.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// The units of each shipment, by its number, and whether it was cancelled.
    pub(crate) fn shipments(&self) -> impl Iterator<Item = (i64, &StockUnits, bool)> {
        self.shipments.iter().map(|(seq, (units, is_cancelled))| (*seq, units, *is_cancelled))
    }

    pub(super) fn intend(
        &mut self,
        seq: i64,
        step: &Step,
        new: &NewIntent,
    ) -> Result<(), Violation> {
        if new.revision != self.revision() + 1 {
            return broken("INV-4", format!("it follows revision {}", self.revision()));
        }
        if let Some(key) = &new.key
            && !self.keys.insert(key.clone())
        {
            return broken("INV-6", format!("the key {key} has made a change before"));
        }
        let before = self.newest().clone();
        let next = IntentThen {
            purpose: step.status,
            wanted: new.wanted.clone().unwrap_or_else(|| before.wanted.clone()),
            shipped: new.shipped.clone().unwrap_or_else(|| before.shipped.clone()),
            returned: new.returned.clone().unwrap_or_else(|| before.returned.clone()),
        };
        let changed = [
            next.wanted != before.wanted,
            next.shipped != before.shipped,
            next.returned != before.returned,
        ];
        let is_right = match (step.status, changed) {
            (Status::Expiring | Status::Reviving, [false, false, false]) => new.key.is_none(),
            (Status::Cancelling, [true, false, false]) => {
                before.shipped.is_empty() && next.wanted.values().all(|units| *units == 0)
            }
            (_, [true, false, false]) => new.key.is_some() && self.reduces(&before, &next),
            (_, [false, true, false]) => match new.cancelled_shipment {
                Some(shipment) => self.cancels_shipment(shipment, &before, &next)?,
                None => self.ships(seq, &before, &next, new.key.is_some())?,
            },
            (Status::Amending, [false, false, true]) => {
                new.key.is_some() && books_return(&before, &next)
            }
            _ => false,
        };
        if !is_right {
            return broken("INV-4", format!("no request makes this intent from {before:?}"));
        }
        self.intents.push(next);
        self.made_at = step.at;
        Ok(())
    }

    /// Fewer units are wanted, and none of those that are shipped is given up. If the rest is
    /// shipped, that fulfills the order.
    fn reduces(&self, before: &IntentThen, next: &IntentThen) -> bool {
        let less = next.wanted.iter().all(|(product, units)| {
            let shipped = of_product(&before.shipped, product);
            *units <= before.wanted.get(product).copied().unwrap_or(0) && *units >= shipped
        });
        less && next.purpose == purpose_of(next)
    }

    /// More units are shipped, of those that Inventory says it has allocated. Orders cannot know
    /// these while Inventory takes some away.
    fn ships(
        &mut self,
        seq: i64,
        before: &IntentThen,
        next: &IntentThen,
        has_key: bool,
    ) -> Result<bool, Violation> {
        let allocated = self.allocated();
        let wanted = &before.wanted;
        let is_reducing =
            wanted.iter().any(|(product, units)| *units < of_product(&allocated, product));
        if is_reducing {
            return broken("INV-4", "units are shipped while Inventory takes some");
        }
        let Some(lines) = difference(&next.shipped, &before.shipped) else { return Ok(false) };
        self.shipments.insert(seq, (lines, false));
        Ok((has_key || next.shipped == allocated) && next.purpose == purpose_of(next))
    }

    fn cancels_shipment(
        &mut self,
        shipment: i64,
        before: &IntentThen,
        next: &IntentThen,
    ) -> Result<bool, Violation> {
        let lines = difference(&before.shipped, &next.shipped);
        match self.shipments.get_mut(&shipment) {
            Some((units, is_cancelled @ false)) if lines.as_ref() == Some(units) => {
                *is_cancelled = true;
            }
            _ => return broken("INV-4", format!("shipment {shipment} is not what is cancelled")),
        }
        Ok(next.purpose == Status::Amending)
    }
}

/// The purpose of a change that ships or cancels.
fn purpose_of(next: &IntentThen) -> Status {
    let sum = |units: &ProductUnits| units.values().sum::<i64>();
    if sum(&next.wanted) == 0 {
        Status::Cancelling
    } else if next.shipped.values().sum::<i64>() == sum(&next.wanted) {
        Status::Fulfilling
    } else {
        Status::Amending
    }
}

/// What came back only rises, and is no more than what is out.
fn books_return(before: &IntentThen, next: &IntentThen) -> bool {
    let keeps = |(key, units): (_, &[i64; 3])| {
        let now = next.returned.get(key).copied().unwrap_or_default();
        units.iter().zip(now).all(|(before, now)| *before <= now)
    };
    let is_out =
        |product: &String| back_of(&next.returned, product) <= of_product(&next.shipped, product);
    before.returned.iter().all(keeps) && next.wanted.keys().all(is_out)
}

/// What `more` has beyond `less`; `None` if it has less anywhere.
fn difference(more: &StockUnits, less: &StockUnits) -> Option<StockUnits> {
    let mut units = more.clone();
    for (key, less) in less {
        *units.get_mut(key)? -= less;
    }
    units.retain(|_, units| *units != 0);
    units.values().all(|units| *units > 0).then_some(units)
}
