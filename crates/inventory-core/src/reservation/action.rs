//! What to do about a command, by the table of reservations.

use contract::commands::AllocateStock;
use contract::{Allocation, Intent, Revision, WantedLine};

use super::{Holding, Reservation, ReturnedStock};

/// What to do about a command, given the reservation of its order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Give the facts again. Nothing changes.
    Repeat(Reservation),
    /// Make a reservation: of all that the order wants, or of nothing, so that a late placement
    /// reserves nothing.
    Begin,
    /// Ship, book returns, release and reserve until the order has what its intent says (R23).
    Apply(Reservation),
}

/// Returns the cell of the table of reservations for a command (R12, R14, R21).
///
/// # Errors
///
/// The reason, for people, why no healthy Order Service sends this command. It is an anomaly.
pub(crate) fn choose_action(
    command: &AllocateStock,
    found: Option<Reservation>,
) -> Result<Action, &'static str> {
    let intent = &command.intent;
    if intent.digest() != command.digest {
        return Err("the digest of the command is not the digest of its intent");
    }
    let Some(reservation) = found else {
        if !intent.shipped.is_empty() || !intent.returned.is_empty() {
            return Err("the order has no reservation, so nothing of it can be shipped");
        }
        return match (intent.wanted.total(), intent.revision) {
            (0, _) | (_, Revision::FIRST) => Ok(Action::Begin),
            (_, _) => Err("the order has no reservation, and this is not its first revision"),
        };
    };
    if intent.revision < reservation.revision {
        return Ok(Action::Repeat(reservation));
    }
    if intent.revision == reservation.revision {
        return if command.digest == reservation.digest {
            Ok(Action::Repeat(reservation))
        } else {
            Err("the reservation carried out another intent of the same revision")
        };
    }
    reservation.can_become(intent)?;
    Ok(Action::Apply(reservation))
}

impl Reservation {
    /// Checks that Inventory can carry out an intent (R22).
    fn can_become(&self, intent: &Intent) -> Result<(), &'static str> {
        let names = |holding: &Holding| intent.wanted.names(&holding.product_id);
        if !self.holdings.iter().all(names) {
            return Err("the intent does not name every product of the reservation");
        }
        self.can_ship(intent)?;
        self.can_book_returns(intent)?;
        intent.wanted.iter().try_for_each(|line| self.can_grant(intent, line))
    }

    /// No more is shipped than is allocated where it is shipped from.
    fn can_ship(&self, intent: &Intent) -> Result<(), &'static str> {
        let exceeds = |shipped: &Allocation| {
            let holding = self.find_holding(&shipped.product_id, &shipped.location_id);
            let allocated = holding.map_or(0, |index| self.holdings[index].allocated());
            allocated < shipped.quantity.units()
        };
        if intent.shipped.iter().any(exceeds) {
            return Err("the intent ships more than is allocated");
        }
        Ok(())
    }

    /// What came back stays so, and no more of a product comes back than is out.
    fn can_book_returns(&self, intent: &Intent) -> Result<(), &'static str> {
        let falls = |found: &ReturnedStock| {
            let before = &found.units;
            intent.returned.at(&before.product_id, &before.location_id).is_none_or(|entry| {
                entry.restocked < before.restocked
                    || entry.quarantined < before.quarantined
                    || entry.written_off < before.written_off
            })
        };
        if self.returns.iter().any(falls) {
            return Err("less came back than was booked");
        }
        let exceeds = |entry: &contract::ReturnedUnits| {
            intent.returned.of(&entry.product_id) > intent.shipped.of(&entry.product_id)
        };
        if intent.returned.iter().any(exceeds) {
            return Err("more would come back than is shipped");
        }
        Ok(())
    }

    /// What is shipped stays with the order. More of a product is wanted only by an order that has
    /// nothing of it, and of which nothing is shipped.
    fn can_grant(&self, intent: &Intent, line: &WantedLine) -> Result<(), &'static str> {
        let wanted = i64::from(line.quantity);
        let granted = self.granted(&line.product_id);
        if wanted < intent.shipped.of(&line.product_id) {
            return Err("the intent wants less than it ships");
        }
        if wanted <= granted {
            return Ok(());
        }
        let is_out = |holding: &Holding| holding.shipped > 0;
        if granted > 0 {
            Err("the intent wants more of a product than the order has")
        } else if !intent.shipped.is_empty() || self.holdings.iter().any(is_out) {
            Err("the intent wants more than the order has, of which something is shipped")
        } else {
            Ok(())
        }
    }
}
