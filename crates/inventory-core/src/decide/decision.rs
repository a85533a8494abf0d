//! What a decision rests on, and what it comes to.

use std::collections::BTreeMap;

use contract::answers::StockAnswer;
use contract::{LocationId, OrderId, ProductId};

use crate::reservation::{Reservation, StateName};
use crate::stock::{Deltas, Level, Levels, Location, Movement, Product, ProductStock, RequestId};

/// What the store found of all that the batch touches, locked until the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// What requests of this batch have moved before.
    pub movements: BTreeMap<RequestId, Movement>,
    pub products: BTreeMap<ProductId, Product>,
    /// Of every product that the batch touches, at every location where it ever moved.
    pub levels: BTreeMap<ProductId, Levels>,
    /// All of them: there are few.
    pub locations: BTreeMap<LocationId, Location>,
}

/// What the batch comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// One per command, in order.
    pub decided: Vec<Decided>,
    pub changes: Changes,
}

/// One command's outcome, and what is published once it is durable (R6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub outcome: InventoryOutcome,
    pub publish: Option<StockAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryOutcome {
    /// A command of the Order Service was carried out, now or, if `repeated`, before.
    Answered {
        repeated: bool,
    },
    /// A command that no healthy Order Service sends; it changed nothing.
    Anomaly(&'static str),
    /// The stock moved, now or, if `replayed`, when the same request came before.
    Moved {
        movement: Movement,
        replayed: bool,
    },
    ProductPut {
        stock: ProductStock,
        created: bool,
    },
    LocationPut {
        location: Location,
        created: bool,
    },
    Refused(Refusal),
}

/// Why a request is not carried out. It changed nothing.
///
/// **Shape:** where several apply, the one listed first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request's id belongs to a movement that another request made.
    KeyReused,
    ProductNotFound,
    UnknownLocation,
    /// The books do not say what was expected, but this.
    StockChanged {
        on_hand: i64,
    },
    /// Less would be on hand than these units, which orders were promised.
    BelowReserved {
        reserved: i64,
    },
    /// More would be on hand than may ever be.
    OutOfRange,
}

/// All that a batch does to the tables, to be written in this order.
///
/// **Shape:** every row at most once, sorted by key. A row that is no longer what it was before must not be written,
/// and makes the batch suspect (R11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New or replaced.
    pub products: Vec<Product>,
    /// New or replaced.
    pub locations: Vec<Location>,
    pub stock: Vec<StockChange>,
    pub reservations: Vec<ReservationChange>,
    /// In the order in which they happened.
    pub movements: Vec<Movement>,
}

/// A level that moved, once or often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    pub product_id: ProductId,
    pub location_id: LocationId,
    /// With a `last_seq` of 0 there was no row.
    pub before: Level,
    pub after: Level,
}

impl StockChange {
    /// The sum of all movements of the batch.
    pub fn deltas(&self) -> Deltas {
        Deltas {
            on_hand: self.after.on_hand - self.before.on_hand,
            reserved: self.after.reserved - self.before.reserved,
        }
    }
}

/// A reservation that was made or changed its state.
///
/// **Shape:** one that was made, `from` nothing, brings its allocations; later ones never change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationChange {
    pub from: Option<StateName>,
    pub to: Reservation,
}

impl Decided {
    pub(super) fn silent(outcome: InventoryOutcome) -> Self {
        Self { outcome, publish: None }
    }
}
