//! Reservations: what an order has of the stock, and Inventory's memory of what it answered (R12).

use contract::commands::AllocateStock;
use contract::{
    Allocation, Allocations, Digest, Facts, Intent, LocationId, OrderId, ProductId, Quantity,
    Revision, Shortage,
};

/// The reservation of one order. It is never deleted, so that a repeated command gets the same
/// facts again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// The revision that was carried out last (R21).
    pub revision: Revision,
    /// The digest of that revision's intent (R14).
    pub digest: Digest,
    /// What the order was ever promised, sorted by (product, location).
    pub holdings: Vec<Holding>,
    /// Why the order was rejected, if it was. Kept after a release.
    pub rejection: Option<Rejection>,
    /// When the first command of the order was decided, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// When a revision was last carried out, in microseconds since 1970 UTC.
    pub updated_at_micros: i64,
}

/// What an order was promised at one stock key, and what became of it. All numbers only rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The units that were reserved for the order.
    pub promised: i64,
    /// The promised units that became available again.
    pub released: i64,
    /// The promised units that left the stock.
    pub shipped: i64,
    /// The numbers of the order's movements at this stock key, rising (INV-3).
    pub movements: Vec<i64>,
}

impl Holding {
    /// The units that belong to the order, shipped or not.
    pub fn allocated(&self) -> i64 {
        self.promised - self.released
    }

    /// The units that are reserved for the order: allocated and not shipped.
    pub fn held(&self) -> i64 {
        self.allocated() - self.shipped
    }
}

/// Why the placement of an order was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The revision at which products were short.
    pub revision: Revision,
    /// One entry per short product, sorted by product; never empty.
    pub shortfalls: Vec<Shortfall>,
}

/// A shortage, with the evidence for it (INV-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The short product.
    pub shortage: Shortage,
    /// The last movement at each location where the product ever moved, sorted by location.
    pub seen: Vec<Seen>,
}

/// A point in the ledger of one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The location.
    pub location_id: LocationId,
    /// The number of the product's last movement there.
    pub movement: i64,
}

/// The state of a reservation, as clients see it. It is a function of the reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationState {
    /// Units are held for the order.
    Reserved,
    /// At least one product was short, so the order has nothing.
    Rejected,
    /// The order was cancelled, so it has nothing.
    Released,
    /// All units of the order have left the stock.
    Shipped,
}

impl ReservationState {
    /// The name in the API, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Shipped => "shipped",
        }
    }
}

/// What to do about a command, given the reservation of its order.
#[derive(Debug)]
pub(super) enum Action {
    /// Give the facts again. Nothing changes.
    Repeat(Reservation),
    /// Look for stock and reserve it.
    Source,
    /// Record that the order has nothing, so that a late placement reserves nothing.
    RecordTombstone,
    /// Ship and release until the order has what its intent says (R23).
    Apply(Reservation),
}

/// Returns the cell of the table of reservations for a command (R12, R14, R21).
///
/// # Errors
///
/// The reason, for people, why no healthy Order Service sends this command. It is an anomaly.
pub(super) fn choose_action(
    command: &AllocateStock,
    found: Option<Reservation>,
) -> Result<Action, &'static str> {
    let intent = &command.intent;
    if intent.digest() != command.digest {
        return Err("the digest of the command is not the digest of its intent");
    }
    let Some(reservation) = found else {
        if !intent.shipped.is_empty() {
            return Err("the order has no reservation, so nothing of it can be shipped");
        }
        return match (intent.wanted.total(), intent.revision) {
            (0, _) => Ok(Action::RecordTombstone),
            (_, Revision::FIRST) => Ok(Action::Source),
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
    /// A new reservation without holdings.
    pub(super) fn first(command: &AllocateStock, now_micros: i64) -> Self {
        Self {
            order_id: command.order_id,
            revision: command.intent.revision,
            digest: command.digest,
            holdings: Vec::new(),
            rejection: None,
            created_at_micros: now_micros,
            updated_at_micros: now_micros,
        }
    }

    /// Checks that Inventory can carry out an intent (R22). Nothing shipped comes back, no more is
    /// shipped than is allocated, and what is wanted less is not wanted at all.
    fn can_become(&self, intent: &Intent) -> Result<(), &'static str> {
        let names = |holding: &Holding| intent.wanted.names(&holding.product_id);
        if !self.holdings.iter().all(names) {
            return Err("the intent does not name every product of the reservation");
        }
        let unships = |holding: &Holding| {
            intent.shipped.at(&holding.product_id, &holding.location_id) < holding.shipped
        };
        if self.holdings.iter().any(unships) {
            return Err("the intent takes back what was shipped");
        }
        let exceeds = |shipped: &Allocation| {
            let holding = self.holding(&shipped.product_id, &shipped.location_id);
            holding.map_or(0, Holding::allocated) < shipped.quantity.units()
        };
        if intent.shipped.iter().any(exceeds) {
            return Err("the intent ships more than is allocated");
        }
        for line in &intent.wanted {
            let granted = self.granted(&line.product_id);
            let wanted = i64::from(line.quantity);
            if wanted > granted {
                return Err("the intent wants more than the order has");
            }
            if wanted < granted && (wanted > 0 || intent.shipped.of(&line.product_id) > 0) {
                return Err("the intent wants less than the order has, but not nothing");
            }
        }
        Ok(())
    }

    /// What was promised at one stock key.
    fn holding(&self, product_id: &ProductId, location_id: &LocationId) -> Option<&Holding> {
        self.holdings.iter().find(|holding| {
            holding.product_id == *product_id && holding.location_id == *location_id
        })
    }

    /// The units of one product that belong to the order, over all locations.
    fn granted(&self, product_id: &ProductId) -> i64 {
        let holdings = self.holdings.iter().filter(|holding| holding.product_id == *product_id);
        holdings.map(Holding::allocated).sum()
    }

    /// What the order has, and the revision that this answers.
    ///
    /// # Panics
    ///
    /// If the reservation is damaged: its holdings are not sorted, or exceed what an order may have.
    pub fn facts(&self) -> Facts {
        let rejected = self.rejection.as_ref().filter(|found| found.revision == self.revision);
        let shortfalls = rejected.map(|found| found.shortfalls.as_slice()).unwrap_or_default();
        Facts {
            revision: self.revision,
            allocated: units_of(&self.holdings, Holding::allocated),
            shortages: shortfalls.iter().map(|short| short.shortage.clone()).collect(),
        }
    }

    /// The allocations that clients see: what the order has, or what it was promised before a
    /// release.
    ///
    /// # Panics
    ///
    /// As [`facts`](Self::facts).
    pub fn last_allocated(&self) -> Allocations {
        let allocated = units_of(&self.holdings, Holding::allocated);
        if allocated.is_empty() {
            units_of(&self.holdings, |holding| holding.promised)
        } else {
            allocated
        }
    }

    /// The products that were short when the order was placed; otherwise empty.
    pub fn shortfalls(&self) -> &[Shortfall] {
        self.rejection.as_ref().map(|found| found.shortfalls.as_slice()).unwrap_or_default()
    }

    /// The state of the reservation.
    pub fn state(&self) -> ReservationState {
        let allocated: i64 = self.holdings.iter().map(Holding::allocated).sum();
        let held: i64 = self.holdings.iter().map(Holding::held).sum();
        let rejected = self.rejection.as_ref().is_some_and(|found| found.revision == self.revision);
        match (allocated, held) {
            (0, _) if rejected => ReservationState::Rejected,
            (0, _) => ReservationState::Released,
            (_, 0) => ReservationState::Shipped,
            (_, _) => ReservationState::Reserved,
        }
    }
}

/// The holdings as allocations, without those that have no units.
fn units_of(holdings: &[Holding], units: fn(&Holding) -> i64) -> Allocations {
    let allocation = |holding: &Holding| {
        let quantity =
            u32::try_from(units(holding)).ok().and_then(|units| Quantity::new(units).ok());
        quantity.map(|quantity| Allocation {
            product_id: holding.product_id.clone(),
            location_id: holding.location_id.clone(),
            quantity,
        })
    };
    Allocations::try_from(holdings.iter().filter_map(allocation).collect::<Vec<_>>())
        .expect("holdings are sorted, and as many as an order may have")
}
