//! The input of a decision beside the commands, and its result.

use std::collections::BTreeMap;

use contract::answers::StockAllocated;
use contract::{LocationId, OrderId, ProductId, Revision};

use crate::admin::AdminAct;
use crate::reservation::Reservation;
use crate::stock::{Deltas, Level, Levels, Location, Movement, Product, ProductStock, RequestId};

/// The stored rows that a batch touches. The store keeps them locked until the commit (R5, R11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedInventory {
    /// The reservations of the orders that the batch names.
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// The movements that requests of the batch made before.
    pub movements: BTreeMap<RequestId, Movement>,
    /// The products that the batch touches.
    pub products: BTreeMap<ProductId, Product>,
    /// The levels of these products at every location where they ever moved.
    pub levels: BTreeMap<ProductId, Levels>,
    /// All locations, at most [`MAX_LOCATIONS`](crate::stock::MAX_LOCATIONS).
    pub locations: BTreeMap<LocationId, Location>,
    /// The number of the next movement. It exceeds every number that was given before.
    pub next_movement: i64,
}

/// The decision about a batch: outcomes to answer with, and changes to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryDecision {
    /// One per command, in the order of the batch.
    pub decided: Vec<DecidedInventory>,
    /// The rows to write.
    pub changes: InventoryChanges,
}

/// The decision about one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedInventory {
    /// What the command led to.
    pub outcome: InventoryOutcome,
    /// The answer to publish after the commit, if there is one (R6).
    pub publish: Option<StockAllocated>,
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryOutcome {
    /// A command of the Order Service has its answer, which is published.
    Answered {
        /// Whether an earlier command already had this answer, so that nothing changed (R12).
        repeated: bool,
    },
    /// No healthy Order Service sends this command; this is the reason, for people. It changed
    /// nothing, has no answer, and goes into quarantine (R16).
    Anomaly(&'static str),
    /// A request moved stock.
    Moved {
        /// The movement that the request made.
        movement: Movement,
        /// Whether an earlier delivery of the same request made it, so that nothing changed now.
        replayed: bool,
    },
    /// A product was created or replaced.
    ProductPut {
        /// The product and its stock after the command.
        stock: ProductStock,
        /// Whether the product did not exist before.
        created: bool,
    },
    /// A location was created or replaced.
    LocationPut {
        /// The location after the command.
        location: Location,
        /// Whether the location did not exist before.
        created: bool,
    },
    /// A row of an import is counted.
    Imported(Box<Imported>),
    /// A note is in the admin log.
    Noted,
    /// A request was refused and changed nothing.
    Refused(Refusal),
    /// A row of an import was refused and changed nothing: all reasons, of which there is at least
    /// one.
    RowRefused(Vec<Refusal>),
}

/// What a row of an import led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The count.
    pub movement: Movement,
    /// The name of the product after the row.
    pub name: String,
    /// The name of the product before the row; `None` if the row created the product.
    pub name_before: Option<String>,
    /// Whether an earlier delivery of the same row was counted, so that nothing changed now.
    pub replayed: bool,
}

/// Why a request was refused. It changed nothing.
///
/// If several refusals apply, the decider returns the one that is listed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request's id belongs to a movement of another request.
    KeyReused,
    /// What the request replaces is not as its [`Precondition`](super::Precondition) demands.
    PreconditionFailed,
    /// [`MAX_LOCATIONS`](crate::stock::MAX_LOCATIONS) exist, and the request creates one more.
    TooManyLocations,
    /// There is no product with the id.
    ProductNotFound,
    /// There is no location with the id.
    UnknownLocation,
    /// A count expected another number of units on hand.
    StockChanged {
        /// The units on hand now.
        on_hand: i64,
    },
    /// Fewer units would be on hand than are reserved for orders and quarantined (INV-1).
    BelowReserved {
        /// The units that are reserved now.
        reserved: i64,
        /// The units that are quarantined now.
        quarantined: i64,
    },
    /// More units would be quarantined than are available, or fewer than none (INV-1).
    QuantityUnavailable {
        /// The units that the request can take: those that are available, or those that are
        /// quarantined.
        units: i64,
    },
    /// More than [`MAX_ON_HAND`](crate::stock::MAX_ON_HAND) units would be on hand.
    OutOfRange,
}

/// All rows that a batch changes, in the order in which the store writes them.
///
/// A row is listed once, sorted by key. The store writes a level or a reservation only if the row
/// is still as it was before the batch. Otherwise it writes nothing, and the committer runs the
/// batch command by command (R11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryChanges {
    /// New or replaced products.
    pub products: Vec<Product>,
    /// New or replaced locations.
    pub locations: Vec<Location>,
    /// New or changed levels.
    pub stock: Vec<StockChange>,
    /// New or changed reservations.
    pub reservations: Vec<ReservationChange>,
    /// New movements, in the order in which they were made.
    pub movements: Vec<Movement>,
    /// The entries of the admin log, in the order in which they happened.
    pub acts: Vec<AdminAct>,
}

/// The change of one level by all movements of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The level before the batch. A `last_seq` of 0 means that there is no row.
    pub before: Level,
    /// The level after the batch.
    pub after: Level,
}

impl StockChange {
    /// The sum of all movements of the batch at this product and location.
    pub fn deltas(&self) -> Deltas {
        Deltas {
            on_hand: self.after.on_hand - self.before.on_hand,
            reserved: self.after.reserved - self.before.reserved,
            quarantined: self.after.quarantined - self.before.quarantined,
        }
    }
}

/// A reservation that the batch created or changed.
///
/// The store changes a reservation only if it still is at the revision before the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationChange {
    /// The revision before the batch; `None` if the batch created the reservation.
    pub from: Option<Revision>,
    /// The reservation after the batch.
    pub to: Reservation,
}

impl DecidedInventory {
    /// A decision that publishes nothing.
    pub(super) fn silent(outcome: InventoryOutcome) -> Self {
        Self { outcome, publish: None }
    }
}
