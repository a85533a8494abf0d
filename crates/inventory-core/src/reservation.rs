//! Reservations: the stock that is held for an order, and Inventory's memory of its answer (R12).

use contract::answers::{Allocation, Shortage, StockOutcome};
use contract::commands::{StockCommand, StockCommandKind};
use contract::{Digest, LocationId, OrderId};

/// The reservation of one order. It is never deleted, so that a repeated command gets its first
/// answer again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// The digest of the order's lines (R14).
    pub digest: Digest,
    /// The state, with the data that belongs to it.
    pub state: State,
    /// When the first command of the order was decided, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// When the state last changed, in microseconds since 1970 UTC.
    pub updated_at_micros: i64,
}

/// The state of a reservation. `Released` and `Shipped` are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The units are held for the order, sorted by (product, location).
    Reserved(Vec<Allocation>),
    /// At least one product was short, so nothing is held. One entry per short product, sorted by
    /// product.
    Rejected(Vec<Shortfall>),
    /// The order was cancelled, so nothing is held. The earlier decision is kept.
    Released(Before),
    /// The units have left the stock.
    Shipped(Vec<Allocation>),
}

/// The state of a reservation before it was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// There was no reservation: the release came first and left a tombstone.
    Absent,
    /// It was [`State::Reserved`] with these allocations.
    Reserved(Vec<Allocation>),
    /// It was [`State::Rejected`] with these shortages.
    Rejected(Vec<Shortfall>),
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
    /// The number of a movement in the ledger of the product at the location.
    pub seq: i64,
}

/// The name of a [`State`], without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    /// The name of [`State::Reserved`].
    Reserved,
    /// The name of [`State::Rejected`].
    Rejected,
    /// The name of [`State::Released`].
    Released,
    /// The name of [`State::Shipped`].
    Shipped,
}

impl StateName {
    /// All names, in the order of the variants.
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Rejected, Self::Released, Self::Shipped];

    /// The name in tables and in the API, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Shipped => "shipped",
        }
    }

    /// Reads a name that [`as_str`](Self::as_str) wrote; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What to do about a command, given the reservation of its order.
#[derive(Debug)]
pub(super) enum Action {
    /// Give the answer that was given before. Nothing changes.
    Repeat(Reservation),
    /// Look for stock and reserve it.
    Source,
    /// Record a released reservation, so that a late ReserveStock reserves nothing.
    RecordTombstone,
    /// Make the reserved units available again.
    Release(Reservation),
    /// Take the reserved units out of the stock.
    Ship(Reservation),
}

/// Checks the digests (R14) and returns the cell of the table of reservations (R12).
///
/// # Errors
///
/// The reason, for people, why no healthy Order Service sends this command. It is an anomaly.
pub(super) fn choose_action(
    command: &StockCommand,
    found: Option<Reservation>,
) -> Result<Action, &'static str> {
    use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
    if command.lines.digest() != command.digest {
        return Err("the digest of the command is not the digest of its lines");
    }
    let Some(reservation) = found else {
        return match command.kind {
            ReserveStock => Ok(Action::Source),
            ReleaseStock => Ok(Action::RecordTombstone),
            ShipStock => Err("ShipStock for an order without a reservation"),
        };
    };
    if reservation.digest != command.digest {
        return Err("the digest of the command is not the digest of the reservation");
    }
    match (&reservation.state, command.kind) {
        (State::Reserved(_) | State::Rejected(_), ReserveStock) => Ok(Action::Repeat(reservation)),
        (State::Reserved(_) | State::Rejected(_), ReleaseStock) => Ok(Action::Release(reservation)),
        (State::Reserved(_), ShipStock) => Ok(Action::Ship(reservation)),
        (State::Rejected(_), ShipStock) => {
            Err("ShipStock for an order whose reservation was rejected")
        }
        (State::Released(_), ReserveStock | ReleaseStock) => Ok(Action::Repeat(reservation)),
        (State::Released(_), ShipStock) => {
            Err("ShipStock for an order whose reservation was released")
        }
        (State::Shipped(_), ReserveStock | ShipStock) => Ok(Action::Repeat(reservation)),
        (State::Shipped(_), ReleaseStock) => {
            Err("ReleaseStock for an order whose stock was shipped")
        }
    }
}

impl Reservation {
    /// A new reservation.
    pub(super) fn first(command: &StockCommand, state: State, now_micros: i64) -> Self {
        Self {
            order_id: command.order_id,
            digest: command.digest,
            state,
            created_at_micros: now_micros,
            updated_at_micros: now_micros,
        }
    }

    /// The reservation after a release.
    ///
    /// # Panics
    ///
    /// If the state is final.
    pub(super) fn released(self, now_micros: i64) -> Self {
        let state = match self.state {
            State::Reserved(allocations) => State::Released(Before::Reserved(allocations)),
            State::Rejected(shortfalls) => State::Released(Before::Rejected(shortfalls)),
            other => {
                unreachable!("a reservation in state {} is never released", other.name().as_str())
            }
        };
        Self { state, updated_at_micros: now_micros, ..self }
    }

    /// The reservation after a shipment.
    ///
    /// # Panics
    ///
    /// Unless the state is `Reserved`.
    pub(super) fn shipped(self, now_micros: i64) -> Self {
        let state = match self.state {
            State::Reserved(allocations) => State::Shipped(allocations),
            other => {
                unreachable!("a reservation in state {} is never shipped", other.name().as_str())
            }
        };
        Self { state, updated_at_micros: now_micros, ..self }
    }

    /// The outcome to answer a command of this kind with, and when it was decided, in microseconds
    /// since 1970 UTC.
    pub(super) fn answer_to(&self, kind: StockCommandKind) -> (StockOutcome, i64) {
        match &self.state {
            State::Shipped(_) if kind == StockCommandKind::ShipStock => {
                (StockOutcome::StockShipped, self.updated_at_micros)
            }
            State::Reserved(allocations) | State::Shipped(allocations) => (
                StockOutcome::StockReserved { allocations: allocations.clone() },
                self.created_at_micros,
            ),
            State::Rejected(shortfalls) => {
                let shortages =
                    shortfalls.iter().map(|shortfall| shortfall.shortage.clone()).collect();
                (StockOutcome::StockRejected { shortages }, self.created_at_micros)
            }
            State::Released(_) => (StockOutcome::StockReleased, self.updated_at_micros),
        }
    }
}

impl State {
    /// The name of the state.
    pub fn name(&self) -> StateName {
        match self {
            Self::Reserved(_) => StateName::Reserved,
            Self::Rejected(_) => StateName::Rejected,
            Self::Released(_) => StateName::Released,
            Self::Shipped(_) => StateName::Shipped,
        }
    }

    /// The units that were ever reserved, even if they were released or shipped since.
    pub fn allocations(&self) -> &[Allocation] {
        match self {
            Self::Reserved(allocations)
            | Self::Shipped(allocations)
            | Self::Released(Before::Reserved(allocations)) => allocations,
            Self::Rejected(_) | Self::Released(Before::Absent | Before::Rejected(_)) => &[],
        }
    }

    /// The short products of a rejected order, even if it was released since.
    pub fn shortfalls(&self) -> &[Shortfall] {
        match self {
            Self::Rejected(shortfalls) | Self::Released(Before::Rejected(shortfalls)) => shortfalls,
            Self::Reserved(_)
            | Self::Shipped(_)
            | Self::Released(Before::Absent | Before::Reserved(_)) => &[],
        }
    }
}
