//! INV-10: the arithmetic of a line, at every entry of a history.
//!
//! It adds up the numbers of the entries by itself and asks nothing of the fold, whose rules it
//! checks.

use std::collections::BTreeMap;

use contract::{Allocations, ProductId, Returned, Revision, Wanted};
use orders_core::history::Event;
use orders_core::status::Purpose;

use crate::store::OrderAudit;

/// The numbers of an order after some of its entries.
struct Numbers {
    ordered: BTreeMap<ProductId, i64>,
    wanted: Wanted,
    shipped: Allocations,
    returned: Returned,
    /// `None` until the first answer.
    allocated: Option<Allocations>,
    revision: Revision,
    settled: Option<Revision>,
    /// What the revision is for.
    purpose: Purpose,
}

/// The first rule that is broken, and by which entry.
pub(super) fn broken(audit: &OrderAudit) -> Option<String> {
    let wanted = audit.terms.ordered();
    let units = |line: &contract::WantedLine| (line.product_id.clone(), i64::from(line.quantity));
    let mut numbers = Numbers {
        ordered: wanted.iter().map(units).collect(),
        wanted,
        shipped: Allocations::default(),
        returned: Returned::default(),
        allocated: None,
        revision: Revision::FIRST,
        settled: None,
        purpose: Purpose::Place,
    };
    audit.history.iter().find_map(|entry| {
        numbers.add(&entry.event);
        numbers.broken().map(|why| format!("entry {}: {why}", entry.seq))
    })
}

impl Numbers {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Intended(intended) => {
                self.revision = intended.revision;
                self.purpose = intended.purpose;
                set(&mut self.wanted, intended.wanted.as_ref());
                set(&mut self.shipped, intended.shipped.as_ref());
                set(&mut self.returned, intended.returned.as_ref());
            }
            Event::Settled { allocated, .. } => {
                self.settled = Some(self.revision);
                set(self.allocated.get_or_insert_default(), allocated.as_ref());
            }
            Event::Paid { .. } | Event::Refunded { .. } | Event::Tracked { .. } => {}
        }
    }

    fn broken(&self) -> Option<String> {
        if self.wanted.iter().len() != self.ordered.len() {
            return Some("the order wants other products than were ordered".to_owned());
        }
        let of_product = self.ordered.iter().find_map(|(product_id, ordered)| {
            self.broken_of(product_id, *ordered).map(|why| format!("{why} of {product_id}"))
        });
        of_product.or_else(|| self.broken_at_a_location())
    }

    fn broken_of(&self, product_id: &ProductId, ordered: i64) -> Option<&'static str> {
        let wanted = self.wanted.of(product_id);
        let granted = self.allocated.as_ref().map_or(0, |units| units.of(product_id));
        let shipped = self.shipped.of(product_id);
        let is_settled = self.settled >= Some(self.revision);
        let kept = match (self.purpose, is_settled) {
            (Purpose::Expire, _) => 0,
            (_, true) => granted,
            (_, false) => wanted,
        };
        // Only who asks for units may get fewer than they want: none.
        let must_be_granted = match self.purpose {
            Purpose::Place | Purpose::Revive => None,
            Purpose::Expire => Some(0),
            Purpose::Amend | Purpose::Cancel | Purpose::Fulfill => Some(wanted),
        };
        if wanted > ordered {
            Some("the order wants more than was ordered")
        } else if is_settled && granted > wanted {
            Some("more is allocated than the order wants")
        } else if is_settled && must_be_granted.is_some_and(|units| granted != units) {
            Some("other units are allocated than the order keeps")
        } else if shipped > kept {
            Some("more is shipped than the order keeps")
        } else if self.returned.of(product_id) > shipped {
            Some("more came back than was shipped")
        } else {
            None
        }
    }

    fn broken_at_a_location(&self) -> Option<String> {
        let nothing = Allocations::default();
        let allocated = self.allocated.as_ref().unwrap_or(&nothing);
        let excess = self.shipped.iter().find(|shipped| {
            shipped.quantity.units() > allocated.at(&shipped.product_id, &shipped.location_id)
        });
        excess.map(|shipped| {
            let (product_id, location_id) = (&shipped.product_id, &shipped.location_id);
            format!("more is shipped than was allocated of {product_id} at {location_id}")
        })
    }
}

/// Takes a number that is absolute, if it changed.
fn set<T: Clone>(number: &mut T, changed: Option<&T>) {
    if let Some(changed) = changed {
        number.clone_from(changed);
    }
}
