//! Whether an answer of Inventory, or a new intent, can follow on the registers before it.

use contract::{Allocation, Allocations, BookedAt, Facts, Intent, Wanted, WantedLine};

use super::{Misfit, Registers};
use crate::order::Terms;
use crate::status::{Admission, Purpose, RequestKind, Status};

impl Registers {
    /// Checks the arithmetic of a line for facts that answer the intent (INV-10).
    ///
    /// An intent that asks for stock gets all of it or nothing, and Inventory says what was short.
    /// After any other, the order has what it wants, and what is shipped was allocated.
    pub(super) fn fits(&self, facts: &Facts) -> Result<(), Misfit> {
        // Inventory is sent the products, shipments and returns of the intent as they are written.
        let intent = &self.intent;
        if facts.allocated.iter().any(|allocation| !intent.wanted.names(&allocation.product_id)) {
            return Err(Misfit("a product is allocated that the order does not name"));
        }
        let short = self.purpose.asks_for_stock() && facts.allocated.is_empty();
        if short == facts.shortages.is_empty() {
            return Err(Misfit("shortages are named exactly when an order gets nothing"));
        }
        let is_granted =
            |line: &WantedLine| facts.allocated.of(&line.product_id) == self.sent_units(line);
        if !short && !intent.wanted.iter().all(is_granted) {
            return Err(Misfit("the order has other units than it wants"));
        }
        if !intent.shipped.iter().all(|shipped| is_allocated(&facts.allocated, shipped)) {
            return Err(Misfit("more is shipped than was allocated"));
        }
        self.fits_returns(&facts.booked_at)
    }

    /// Checks the places where returns were booked: at most one for each product and location that
    /// units came back to, sorted, and each another location.
    fn fits_returns(&self, booked_at: &[BookedAt]) -> Result<(), Misfit> {
        let is_before = |one: &BookedAt, next: &BookedAt| {
            (&one.product_id, &one.location_id) < (&next.product_id, &next.location_id)
        };
        if !booked_at.is_sorted_by(is_before) {
            return Err(Misfit("the places of returns are not sorted, or named twice"));
        }
        let returned = &self.intent.returned;
        let came_back =
            |booked: &BookedAt| returned.at(&booked.product_id, &booked.location_id).is_some();
        if !booked_at.iter().all(came_back) {
            return Err(Misfit("something is booked that did not come back"));
        }
        if booked_at.iter().any(|booked| booked.booked_at == booked.location_id) {
            return Err(Misfit("a return is booked elsewhere, at the same location"));
        }
        Ok(())
    }

    /// Checks that a request could have made this intent from these registers (INV-4, R22).
    pub(super) fn follows(
        &self,
        terms: &Terms,
        next: &Intent,
        purpose: Purpose,
    ) -> Result<(), Misfit> {
        if next.revision != self.intent.revision.next() {
            return Err(Misfit("the revision does not follow the one before"));
        }
        let status = self.status(terms);
        match purpose {
            Purpose::Expire if status == Status::Reserved && self.has_numbers_of(next) => Ok(()),
            // It follows on a payment that came late and pays for all that is written.
            Purpose::Revive if self.must_revive && self.has_numbers_of(next) => Ok(()),
            Purpose::Cancel if self.is_cancelled_by(status, next) => Ok(()),
            Purpose::Amend | Purpose::Fulfill | Purpose::Cancel => {
                self.is_changed_to(status, next, purpose)
            }
            Purpose::Place | Purpose::Expire | Purpose::Revive => {
                Err(Misfit("no request makes this intent from the one before"))
            }
        }
    }

    fn has_numbers_of(&self, next: &Intent) -> bool {
        let Intent { revision: _, wanted, shipped, returned } = &self.intent;
        (wanted, shipped, returned) == (&next.wanted, &next.shipped, &next.returned)
    }

    /// Whether the whole order is cancelled: it wants nothing, and nothing is shipped.
    fn is_cancelled_by(&self, status: Status, next: &Intent) -> bool {
        status.admits(RequestKind::Cancel) == Admission::Next
            && next.wanted.total() == 0
            && have_same_products(&next.wanted, &self.intent.wanted)
            && next.shipped.is_empty()
            && self.intent.shipped.is_empty()
            && next.returned == self.intent.returned
    }

    fn is_changed_to(&self, status: Status, next: &Intent, purpose: Purpose) -> Result<(), Misfit> {
        if status.admits(RequestKind::Change) != Admission::Next {
            return Err(Misfit("the status does not allow this change"));
        }
        let before = &self.intent;
        let reduces = next.wanted != before.wanted;
        let ships = next.shipped.total() > before.shipped.total();
        let changed = [reduces, next.shipped != before.shipped, next.returned != before.returned];
        if changed.into_iter().filter(|changed| *changed).count() != 1 {
            return Err(Misfit("a change must be of one register"));
        }
        if purpose != Purpose::of_change(next, reduces || ships) {
            return Err(Misfit("the purpose is not that of the change"));
        }
        if !have_same_products(&next.wanted, &before.wanted)
            || !next.returned.iter().all(|entry| next.wanted.names(&entry.product_id))
        {
            return Err(Misfit("the order has other products"));
        }
        for line in &next.wanted {
            let wanted = i64::from(line.quantity);
            let shipped = next.shipped.of(&line.product_id);
            if wanted > before.wanted.of(&line.product_id) || wanted < shipped {
                return Err(Misfit("the order wants more than before, or less than is shipped"));
            }
            if next.returned.of(&line.product_id) > shipped {
                return Err(Misfit("more came back than was shipped"));
            }
        }
        if ships {
            if self.is_reducing() {
                return Err(Misfit("units are shipped while Inventory takes some"));
            }
            let allocated = self.facts.as_ref().map(|facts| &facts.allocated);
            let has = |shipped| allocated.is_some_and(|units| is_allocated(units, shipped));
            if !next.shipped.iter().all(has) {
                return Err(Misfit("more is shipped than was allocated"));
            }
        }
        Ok(())
    }
}

fn is_allocated(allocated: &Allocations, shipped: &Allocation) -> bool {
    shipped.quantity.units() <= allocated.at(&shipped.product_id, &shipped.location_id)
}

fn have_same_products(a: &Wanted, b: &Wanted) -> bool {
    a.iter().len() == b.iter().len() && a.iter().zip(b).all(|(a, b)| a.product_id == b.product_id)
}
