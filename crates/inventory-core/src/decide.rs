//! A batch in, decisions out. The store loads what the batch touches, this decides, the store writes it down.

use std::collections::{BTreeMap, BTreeSet};

use contract::answers::StockAnswer;
use contract::{LocationId, OrderId, ProductId, Quantity, commands};

use super::reservation::{Reservation, StateName};
use super::stock::{
    Deltas, Level, Levels, Location, Movement, MovementKind, Product, ProductStock, RequestCause, RequestId,
};
use batch_state::BatchState;

mod batch_state;
mod movement_requests;
mod sourcing;
mod stock_commands;
#[cfg(test)]
mod tests;

/// One thing that the Inventory Service is asked to do. A repeat of it is decided anew, and changes nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryCommand {
    /// From the Order Service.
    Stock(Box<commands::StockCommand>),
    Move(Box<MovementRequest>),
    PutProduct(PutProduct),
    PutLocation(Location),
}

impl InventoryCommand {
    /// Whether it comes from the Order Service.
    pub fn is_of_order(&self) -> bool {
        matches!(self, Self::Stock(_))
    }
}

/// Somebody tells what happened on the shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRequest {
    pub product_id: ProductId,
    pub location_id: LocationId,
    pub change: Change,
    pub cause: RequestCause,
}

/// How a request changes what is on hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many units came in.
    Receive(Quantity),
    /// So many more, or fewer, than the books say.
    Adjust(i64),
    /// So many are there. With `expected`, only if the books still say what the counter believed they did.
    Count { on_hand: i64, expected: Option<i64> },
}

impl Change {
    pub fn kind(self) -> MovementKind {
        match self {
            Self::Receive(_) => MovementKind::Receive,
            Self::Adjust(_) => MovementKind::Adjust,
            Self::Count { .. } => MovementKind::Count,
        }
    }
}

/// Makes a product, or replaces what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutProduct {
    pub product_id: ProductId,
    pub name: String,
    pub low_stock_at: Option<i64>,
}

/// What a batch has to see before it can be decided.
///
/// **Shape:** sorted, as locks are taken (R11). A product means its levels at every location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub orders: BTreeSet<OrderId>,
    pub requests: BTreeSet<RequestId>,
    pub products: BTreeSet<ProductId>,
}

impl Touched {
    pub fn by(batch: &[InventoryCommand]) -> Self {
        let mut touched = Self::default();
        for command in batch {
            match command {
                InventoryCommand::Stock(command) => {
                    touched.orders.insert(command.order_id);
                    touched.products.extend(command.lines.iter().map(|line| line.product_id.clone()));
                }
                InventoryCommand::Move(request) => {
                    touched.requests.insert(request.cause.request_id);
                    touched.products.insert(request.product_id.clone());
                }
                InventoryCommand::PutProduct(put) => {
                    touched.products.insert(put.product_id.clone());
                }
                InventoryCommand::PutLocation(_) => {}
            }
        }
        touched
    }
}

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

/// How a store is told to decide; a plain function, so that it can hold no state and do no I/O.
pub type Decide = fn(i64, &[InventoryCommand], Loaded) -> Decision;

/// Decides the commands in their order, each seeing the ones before.
///
/// **Units:** `now_micros` since the epoch. **Source:** the table of reservations, R12, R14, INV-1 to INV-3, INV-8.
pub fn decide(now_micros: i64, batch: &[InventoryCommand], loaded: Loaded) -> Decision {
    let mut state = BatchState::new(now_micros, loaded);
    let decided = batch.iter().map(|command| state.decide_one(command)).collect();
    Decision { decided, changes: state.into_changes() }
}

impl BatchState {
    fn decide_one(&mut self, command: &InventoryCommand) -> Decided {
        match command {
            InventoryCommand::Stock(command) => self.execute(command),
            InventoryCommand::Move(request) => {
                Decided::silent(self.request(request).unwrap_or_else(InventoryOutcome::Refused))
            }
            InventoryCommand::PutProduct(put) => Decided::silent(self.put_product(put)),
            InventoryCommand::PutLocation(location) => Decided::silent(self.put_location(location)),
        }
    }
}

impl Decided {
    fn silent(outcome: InventoryOutcome) -> Self {
        Self { outcome, publish: None }
    }
}
