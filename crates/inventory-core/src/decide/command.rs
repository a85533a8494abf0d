//! What the Inventory Service can be asked to do, and what has to be loaded for it.

use std::collections::BTreeSet;

use contract::commands::StockCommand;
use contract::{LocationId, OrderId, ProductId, Quantity};

use crate::stock::{Location, MovementKind, RequestCause, RequestId};

/// One thing that the Inventory Service is asked to do. A repeat of it is decided anew, and changes nothing twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryCommand {
    /// From the Order Service.
    Stock(Box<StockCommand>),
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
