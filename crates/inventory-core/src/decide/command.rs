//! The commands of the Inventory Service, and the rows that they touch.

use std::collections::BTreeSet;

use contract::commands::AllocateStock;
use contract::{Digest, LocationId, OrderId, ProductId, Quantity};

use crate::admin::{ImportNote, Requester};
use crate::stock::{Location, MovementKind, RequestCause, RequestId};

/// A command to the Inventory Service.
///
/// A repeated command is decided again and has its effect once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryCommand {
    /// The Order Service says what an order shall have of the stock.
    Allocate(Box<AllocateStock>),
    /// A client moves stock, by any [`Change`].
    Move(Box<MovementRequest>),
    /// A client creates or replaces a product.
    PutProduct(PutProduct),
    /// A client creates or replaces a location.
    PutLocation(PutLocation),
    /// A client imports a row of counted stock.
    Import(Box<ImportRow>),
    /// The service notes something in the admin log.
    Note(Box<ImportNote>),
    /// An operator lets Inventory carry out a command that the Order Service would send if it knew
    /// that it is needed.
    Repair(Box<RepairOrder>),
}

impl InventoryCommand {
    /// Whether the Order Service sent the command, and not a client.
    pub fn is_of_order(&self) -> bool {
        matches!(self, Self::Allocate(_))
    }
}

/// A command that the Order Service has not sent, because one of both databases went back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairOrder {
    /// The command, as the Order Service would send it.
    pub command: AllocateStock,
    /// Who asks for it.
    pub requester: Requester,
}

/// A client's request to change the stock of a product at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementRequest {
    /// The product.
    pub product_id: ProductId,
    /// The location.
    pub location_id: LocationId,
    /// The change of the stock.
    pub change: Change,
    /// The id of the request and what the client says about it.
    pub cause: RequestCause,
    /// Who asks for it.
    pub requester: Requester,
}

/// How a request changes the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds units that came in.
    Receive(Quantity),
    /// Adds a difference in units, which may be negative.
    Adjust(i64),
    /// Sets the units on hand to a counted number.
    Count {
        /// The counted units.
        on_hand: i64,
        /// The units on hand when the counting began. If they have changed since, the request is
        /// refused ([`Refusal::StockChanged`](super::Refusal::StockChanged)).
        expected: Option<i64>,
    },
    /// Sets available units apart.
    Quarantine(Quantity),
    /// Makes quarantined units available.
    Unquarantine(Quantity),
    /// Takes quarantined units out of the stock for good.
    WriteOff(Quantity),
}

impl Change {
    /// The kind of the movement that the change makes.
    pub fn kind(self) -> MovementKind {
        match self {
            Self::Receive(_) => MovementKind::Receive,
            Self::Adjust(_) => MovementKind::Adjust,
            Self::Count { .. } => MovementKind::Count,
            Self::Quarantine(_) => MovementKind::Quarantine,
            Self::Unquarantine(_) => MovementKind::Unquarantine,
            Self::WriteOff(_) => MovementKind::WriteOff,
        }
    }
}

/// A request to create a product, or to replace its name and its threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutProduct {
    /// The id of the product.
    pub product_id: ProductId,
    /// The name, for people.
    pub name: String,
    /// The product is low on stock at this many available units or fewer; `None` for never.
    pub low_stock_at: Option<i64>,
    /// What must hold of the product before.
    pub precondition: Precondition,
    /// Who asks for it.
    pub requester: Requester,
}

/// A row of an import: a count of a product, and the product's name.
///
/// It is a count ([`MovementRequest`]) and a request for the name ([`PutProduct`]) in one: a row that
/// is refused changes neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// The product.
    pub product_id: ProductId,
    /// The name of the product; `None` keeps the name that it has.
    pub name: Option<String>,
    /// The location.
    pub location_id: LocationId,
    /// The counted units.
    pub on_hand: i64,
    /// The id of the row and what the client says about the import.
    pub cause: RequestCause,
    /// Who asks for it.
    pub requester: Requester,
}

/// A request to create a location, or to replace its name and its priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutLocation {
    /// The location as it shall be.
    pub location: Location,
    /// What must hold of the location before.
    pub precondition: Precondition,
    /// Who asks for it.
    pub requester: Requester,
}

/// What a client demands of what it replaces. Between its read and its request, somebody else may
/// have replaced it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
    /// It has one of these versions.
    Version(Vec<Digest>),
}

impl Precondition {
    /// Whether it holds of what was found, which has this version.
    pub fn holds(&self, found: Option<Digest>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Version(versions) => found.is_some_and(|found| versions.contains(&found)),
        }
    }
}

/// The rows that must be loaded before a batch can be decided.
///
/// The sets are sorted, and the store takes locks in that order (R11). All locations are loaded for
/// every batch, and the list of locations is locked for a batch that changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The orders whose reservations are loaded.
    pub orders: BTreeSet<OrderId>,
    /// The requests whose movements are loaded.
    pub requests: BTreeSet<RequestId>,
    /// The products that are loaded, with their levels at every location.
    pub products: BTreeSet<ProductId>,
    /// Whether a location is created or replaced.
    pub changes_locations: bool,
}

impl Touched {
    /// Collects the rows that the commands of a batch touch.
    pub fn by(batch: &[InventoryCommand]) -> Self {
        let mut touched = Self::default();
        for command in batch {
            match command {
                InventoryCommand::Allocate(command) => touched.by_order(command),
                InventoryCommand::Repair(repair) => touched.by_order(&repair.command),
                InventoryCommand::Move(request) => {
                    touched.requests.insert(request.cause.request_id);
                    touched.products.insert(request.product_id.clone());
                }
                InventoryCommand::PutProduct(put) => {
                    touched.products.insert(put.product_id.clone());
                }
                InventoryCommand::PutLocation(_) => touched.changes_locations = true,
                InventoryCommand::Import(row) => {
                    touched.requests.insert(row.cause.request_id);
                    touched.products.insert(row.product_id.clone());
                }
                InventoryCommand::Note(_) => {}
            }
        }
        touched
    }

    fn by_order(&mut self, command: &AllocateStock) {
        self.orders.insert(command.order_id);
        let wanted = &command.intent.wanted;
        self.products.extend(wanted.iter().map(|line| line.product_id.clone()));
    }
}
