//! Reservations: what an order has of the stock, and Inventory's memory of what it answered (R12).

use std::ops::Range;

use contract::commands::AllocateStock;
use contract::{
    Allocation, Allocations, BookedAt, Digest, Facts, LocationId, OrderId, ProductId, Quantity,
    Returned, ReturnedUnits, Revision, Shortage,
};

pub(crate) use action::{Action, choose_action};

mod action;

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
    /// Why the order got nothing when it last asked for more than it had, if that was so. Kept
    /// after a release.
    pub rejection: Option<Rejection>,
    /// What came back from the customer, sorted by (product, location as the client named it).
    pub returns: Vec<ReturnedStock>,
    /// When the first command of the order was decided, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// When a revision was last carried out, in microseconds since 1970 UTC.
    pub updated_at_micros: i64,
}

/// What an order was promised at one stock key, and what became of it. What was promised and what
/// was released only rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The units that were reserved for the order, at any time.
    pub promised: i64,
    /// The promised units that became available again.
    pub released: i64,
    /// The promised units that are out. Units whose shipment was cancelled are not.
    pub shipped: i64,
    /// The numbers of the order's movements at this stock key, rising (INV-3). Those of returns
    /// are in [`ReturnedStock::movements`].
    pub movements: Vec<i64>,
}

impl Holding {
    /// The holding of an order that was not promised anything at this stock key yet.
    pub(super) fn nothing(product_id: ProductId, location_id: LocationId) -> Self {
        let movements = Vec::new();
        Self { product_id, location_id, promised: 0, released: 0, shipped: 0, movements }
    }

    /// The units that belong to the order, shipped or not.
    pub fn allocated(&self) -> i64 {
        self.promised - self.released
    }

    /// The units that are reserved for the order: allocated and not shipped.
    pub fn held(&self) -> i64 {
        self.allocated() - self.shipped
    }
}

/// What came back of one product to one location, and where its units are booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnedStock {
    /// The product, the location as the client named it, and what became of the units.
    pub units: ReturnedUnits,
    /// The location whose stock the units were added to. It stays the same for all units that come
    /// back to the location that the client named.
    pub booked_at: LocationId,
    /// The numbers of the movements that booked them, rising (INV-3).
    pub movements: Vec<i64>,
}

impl ReturnedStock {
    /// What came back before the first unit did.
    pub(super) fn nothing(entry: &ReturnedUnits, booked_at: LocationId) -> Self {
        let units = ReturnedUnits { restocked: 0, quarantined: 0, written_off: 0, ..entry.clone() };
        Self { units, booked_at, movements: Vec::new() }
    }

    /// What returns are sorted and looked up by.
    fn key(&self) -> (&ProductId, &LocationId) {
        (&self.units.product_id, &self.units.location_id)
    }

    /// Where the units are booked, if it is not where the client said.
    fn elsewhere(&self) -> Option<BookedAt> {
        let ReturnedUnits { product_id, location_id, .. } = &self.units;
        (self.booked_at != *location_id).then(|| BookedAt {
            product_id: product_id.clone(),
            location_id: location_id.clone(),
            booked_at: self.booked_at.clone(),
        })
    }
}

/// Why an order got nothing of what it asked for.
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
    /// The order was cancelled or has expired, so it has nothing.
    Released,
    /// All units of the order have left the stock, whether they came back or not.
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

impl Reservation {
    /// A new reservation without holdings.
    pub(super) fn first(command: &AllocateStock, now_micros: i64) -> Self {
        Self {
            order_id: command.order_id,
            revision: command.intent.revision,
            digest: command.digest,
            holdings: Vec::new(),
            rejection: None,
            returns: Vec::new(),
            created_at_micros: now_micros,
            updated_at_micros: now_micros,
        }
    }

    /// The holding at one stock key.
    ///
    /// # Errors
    ///
    /// Where it belongs, if there is none.
    pub(super) fn find_holding(
        &self,
        product_id: &ProductId,
        location_id: &LocationId,
    ) -> Result<usize, usize> {
        find_holding(&self.holdings, product_id, location_id)
    }

    /// The indexes of the holdings of one product.
    pub(super) fn range_of(&self, product_id: &ProductId) -> Range<usize> {
        let start = self.holdings.partition_point(|holding| holding.product_id < *product_id);
        let end = self.holdings.partition_point(|holding| holding.product_id <= *product_id);
        start..end
    }

    /// The units of one product that belong to the order, over all locations.
    pub fn granted(&self, product_id: &ProductId) -> i64 {
        self.holdings[self.range_of(product_id)].iter().map(Holding::allocated).sum()
    }

    /// What came back of one product to one location.
    ///
    /// # Errors
    ///
    /// Where it belongs, if nothing did.
    pub(super) fn find_returned(
        &self,
        product_id: &ProductId,
        location_id: &LocationId,
    ) -> Result<usize, usize> {
        let key = (product_id, location_id);
        self.returns.binary_search_by(|found| found.key().cmp(&key))
    }

    /// What came back of one product to one location; `None` if nothing did.
    pub(super) fn returned_to(
        &self,
        product_id: &ProductId,
        location_id: &LocationId,
    ) -> Option<&ReturnedStock> {
        self.find_returned(product_id, location_id).ok().map(|index| &self.returns[index])
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
            booked_at: self.returns.iter().filter_map(ReturnedStock::elsewhere).collect(),
        }
    }

    /// The units that are out, by stock key. It is the register of the intent that was carried out.
    ///
    /// # Panics
    ///
    /// As [`facts`](Self::facts).
    pub fn shipped(&self) -> Allocations {
        units_of(&self.holdings, |holding| holding.shipped)
    }

    /// What came back. It is the register of the intent that was carried out.
    ///
    /// # Panics
    ///
    /// If the reservation is damaged: its returns are not sorted, or exceed what an order may have.
    pub fn returned(&self) -> Returned {
        let entries = self.returns.iter().map(|found| found.units.clone());
        Returned::try_from(entries.collect::<Vec<_>>()).expect("returns are those of an intent")
    }

    /// The allocations that clients see: what the order has, or all that it was ever promised if
    /// that was released.
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

    /// The products that were short when the order last asked for more than it had; else empty.
    pub fn shortfalls(&self) -> &[Shortfall] {
        self.rejection.as_ref().map(|found| found.shortfalls.as_slice()).unwrap_or_default()
    }

    /// The numbers of all movements that the order caused.
    pub fn movements(&self) -> impl Iterator<Item = i64> + '_ {
        let of_holdings = self.holdings.iter().flat_map(|holding| &holding.movements);
        of_holdings.chain(self.returns.iter().flat_map(|found| &found.movements)).copied()
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

/// The holding at one stock key, among those of one order.
///
/// # Errors
///
/// Where it belongs, if there is none.
pub(super) fn find_holding(
    holdings: &[Holding],
    product_id: &ProductId,
    location_id: &LocationId,
) -> Result<usize, usize> {
    let key = (product_id, location_id);
    holdings.binary_search_by(|holding| (&holding.product_id, &holding.location_id).cmp(&key))
}

/// The holdings as allocations, without those that have no units. An order that was released and
/// reserved again and again may have been promised more units than one allocation may have.
fn units_of(holdings: &[Holding], units: fn(&Holding) -> i64) -> Allocations {
    let allocation = |holding: &Holding| {
        let units = units(holding).min(i64::from(Quantity::MAX));
        let quantity = u32::try_from(units).ok().and_then(|units| Quantity::new(units).ok());
        quantity.map(|quantity| Allocation {
            product_id: holding.product_id.clone(),
            location_id: holding.location_id.clone(),
            quantity,
        })
    };
    Allocations::try_from(holdings.iter().filter_map(allocation).collect::<Vec<_>>())
        .expect("holdings are sorted, and as many as an order may have")
}
