//! About how long entries are in a stored history (R17).

use contract::{Allocations, Returned, Wanted};

use super::{Event, Intended};
use crate::changes::Tracking;

/// The members that every entry has, their names, and the numbers of the rarer ones. The id of a trace
/// is left out: few entries have one, of 45 bytes.
const ENTRY: usize = 150;
/// What a line has beside its ids: up to three numbers, and punctuation.
const LINE: usize = 24;

impl Event {
    /// About how long its entry is in a stored history, in bytes: the lengths of all ids and texts,
    /// and a little more than the numbers and names take.
    pub(crate) fn approximate_bytes(&self) -> usize {
        let rest = match self {
            Self::Intended(intended) => of_intended(intended),
            Self::Settled { decided_at_micros: _, allocated, shortages, booked_at } => {
                let short = shortages.iter().map(|short| LINE + short.product_id.as_str().len());
                let booked = booked_at.iter().flatten().map(|booked| {
                    let at = booked.booked_at.as_str().len();
                    LINE + booked.product_id.as_str().len() + booked.location_id.as_str().len() + at
                });
                of_allocations(allocated.as_ref()) + short.sum::<usize>() + booked.sum::<usize>()
            }
            Self::Paid { actor, reference, .. } | Self::Refunded { actor, reference, .. } => {
                of_text(actor.as_ref()) + reference.len()
            }
            Self::Tracked { actor, tracking, .. } => {
                of_text(actor.as_ref()) + of_tracking(tracking)
            }
        };
        ENTRY + rest
    }
}

fn of_intended(intended: &Intended) -> usize {
    let key = intended.key.as_ref().map_or(0, |key| key.key.len() + LINE);
    of_text(intended.actor.as_ref())
        + of_text(intended.reason.as_ref())
        + intended.wanted.as_ref().map_or(0, of_wanted)
        + of_allocations(intended.shipped.as_ref())
        + intended.returned.as_ref().map_or(0, of_returned)
        + key
        + intended.tracking.as_ref().map_or(0, of_tracking)
}

fn of_text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

fn of_wanted(wanted: &Wanted) -> usize {
    wanted.iter().map(|line| LINE + line.product_id.as_str().len()).sum()
}

fn of_allocations(allocations: Option<&Allocations>) -> usize {
    let lines = allocations.into_iter().flatten();
    lines.map(|one| LINE + one.product_id.as_str().len() + one.location_id.as_str().len()).sum()
}

fn of_returned(returned: &Returned) -> usize {
    let line = |one: &contract::ReturnedUnits| {
        LINE + one.product_id.as_str().len() + one.location_id.as_str().len()
    };
    returned.iter().map(line).sum()
}

fn of_tracking(tracking: &Tracking) -> usize {
    let Tracking { carrier, number, url } = tracking;
    of_text(carrier.as_ref()) + of_text(number.as_ref()) + of_text(url.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_texts_count() {
        let tracked = |url: &str| {
            let tracking = Tracking { url: Some(url.to_owned()), ..Tracking::default() };
            Event::Tracked { actor: Some("shop".to_owned()), shipment: 3, tracking }
        };
        assert_eq!(tracked("").approximate_bytes(), ENTRY + 4);
        assert_eq!(tracked(&"x".repeat(500)).approximate_bytes(), ENTRY + 504);
        let wanted = |product: &str| {
            let product_id = product.parse().expect("an id");
            let quantity = contract::Quantity::new(2).expect("a quantity");
            Wanted::sum([(product_id, quantity)]).expect("a line")
        };
        let cancelled = |product: &str, reason: &str| {
            let purpose = crate::status::Purpose::Cancel;
            let next = Intended::unchanged(contract::Revision::FIRST.next(), purpose);
            let reason = Some(reason.to_owned());
            Event::from(Intended { reason, wanted: Some(wanted(product)), ..next })
        };
        let longer = cancelled(&"P".repeat(60), "as the customer asked").approximate_bytes();
        assert_eq!(longer - cancelled("P", "").approximate_bytes(), 59 + 21);
    }
}
