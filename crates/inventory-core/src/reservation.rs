//! What the stock has promised to an order, which is also the memory of what was answered (R12).

use contract::answers::{Allocation, Shortage, StockOutcome};
use contract::commands::{StockCommand, StockCommandKind};
use contract::{Digest, LocationId, OrderId};

/// All that is known about one order. It is kept for ever, so a repeated command gets its first answer again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub order_id: OrderId,
    /// Of the order's lines (R14).
    pub digest: Digest,
    pub state: State,
    /// When the order was first decided.
    pub created_at_micros: i64,
    /// When its state last changed.
    pub updated_at_micros: i64,
}

/// Where a reservation stands. Released and shipped are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The units are held.
    Reserved(Vec<Allocation>),
    /// There were not enough; nothing is held.
    Rejected(Vec<Shortfall>),
    /// The order is off; nothing is held. What was decided before is kept.
    Released(Before),
    /// The units have left.
    Shipped(Vec<Allocation>),
}

/// What a reservation was before it was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: the release came first, and this is its tombstone.
    Absent,
    Reserved(Vec<Allocation>),
    Rejected(Vec<Shortfall>),
}

/// A shortage with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub shortage: Shortage,
    /// The last movement at every location of the product; none if nothing ever moved there (INV-8).
    pub seen: Vec<Seen>,
}

/// A point in the ledger of one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub location_id: LocationId,
    pub seq: i64,
}

/// The names of the states, as tables and the API spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateName {
    Reserved,
    Rejected,
    Released,
    Shipped,
}

impl StateName {
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Rejected, Self::Released, Self::Shipped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Shipped => "shipped",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a command asks for, given what is known about its order.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing changes: the answer was given before.
    Repeat(Reservation),
    /// Find the units.
    Source,
    /// Remember that the order is off, so that a late ReserveStock finds nothing to do.
    Bury,
    Release(Reservation),
    Ship(Reservation),
}

/// The table of states and commands (R12), behind the check of the digests (R14).
///
/// **Errors:** why the command is an anomaly: no healthy Order Service sends it.
pub(super) fn judge(command: &StockCommand, found: Option<Reservation>) -> Result<Action, &'static str> {
    use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
    if command.lines.digest() != command.digest {
        return Err("a command whose digest is not that of its lines");
    }
    let Some(reservation) = found else {
        return match command.kind {
            ReserveStock => Ok(Action::Source),
            ReleaseStock => Ok(Action::Bury),
            ShipStock => Err("a ShipStock for an order that nothing was reserved for"),
        };
    };
    if reservation.digest != command.digest {
        return Err("a command about other lines than the reservation's");
    }
    match (&reservation.state, command.kind) {
        (State::Reserved(_) | State::Rejected(_), ReserveStock) => Ok(Action::Repeat(reservation)),
        (State::Reserved(_) | State::Rejected(_), ReleaseStock) => Ok(Action::Release(reservation)),
        (State::Reserved(_), ShipStock) => Ok(Action::Ship(reservation)),
        (State::Rejected(_), ShipStock) => Err("a ShipStock for an order that was rejected"),
        (State::Released(_), ReserveStock | ReleaseStock) => Ok(Action::Repeat(reservation)),
        (State::Released(_), ShipStock) => Err("a ShipStock for an order that was released"),
        (State::Shipped(_), ReserveStock | ShipStock) => Ok(Action::Repeat(reservation)),
        (State::Shipped(_), ReleaseStock) => Err("a ReleaseStock for an order that was shipped"),
    }
}

impl Reservation {
    pub(super) fn first(command: &StockCommand, state: State, now_micros: i64) -> Self {
        Self {
            order_id: command.order_id,
            digest: command.digest,
            state,
            created_at_micros: now_micros,
            updated_at_micros: now_micros,
        }
    }

    pub(super) fn released(self, now_micros: i64) -> Self {
        let state = match self.state {
            State::Reserved(allocations) => State::Released(Before::Reserved(allocations)),
            State::Rejected(shortfalls) => State::Released(Before::Rejected(shortfalls)),
            other => unreachable!("a reservation in state {} is never released", other.name().as_str()),
        };
        Self { state, updated_at_micros: now_micros, ..self }
    }

    pub(super) fn shipped(self, now_micros: i64) -> Self {
        let state = match self.state {
            State::Reserved(allocations) => State::Shipped(allocations),
            other => unreachable!("a reservation in state {} is never shipped", other.name().as_str()),
        };
        Self { state, updated_at_micros: now_micros, ..self }
    }

    /// What a command that was carried out, now or long ago, is told: the outcome, and when it was decided.
    pub(super) fn answer_to(&self, kind: StockCommandKind) -> (StockOutcome, i64) {
        match &self.state {
            State::Shipped(_) if kind == StockCommandKind::ShipStock => {
                (StockOutcome::StockShipped, self.updated_at_micros)
            }
            State::Reserved(allocations) | State::Shipped(allocations) => {
                (StockOutcome::StockReserved { allocations: allocations.clone() }, self.created_at_micros)
            }
            State::Rejected(shortfalls) => {
                let shortages = shortfalls.iter().map(|shortfall| shortfall.shortage.clone()).collect();
                (StockOutcome::StockRejected { shortages }, self.created_at_micros)
            }
            State::Released(_) => (StockOutcome::StockReleased, self.updated_at_micros),
        }
    }
}

impl State {
    pub fn name(&self) -> StateName {
        match self {
            Self::Reserved(_) => StateName::Reserved,
            Self::Rejected(_) => StateName::Rejected,
            Self::Released(_) => StateName::Released,
            Self::Shipped(_) => StateName::Shipped,
        }
    }

    /// What was ever allocated, also when it has been given back or shipped since.
    pub fn allocations(&self) -> &[Allocation] {
        match self {
            Self::Reserved(allocations)
            | Self::Shipped(allocations)
            | Self::Released(Before::Reserved(allocations)) => allocations,
            Self::Rejected(_) | Self::Released(Before::Absent | Before::Rejected(_)) => &[],
        }
    }

    /// Why the order was rejected, also when it has been released since.
    pub fn shortfalls(&self) -> &[Shortfall] {
        match self {
            Self::Rejected(shortfalls) | Self::Released(Before::Rejected(shortfalls)) => shortfalls,
            Self::Reserved(_) | Self::Shipped(_) | Self::Released(Before::Absent | Before::Reserved(_)) => &[],
        }
    }
}
