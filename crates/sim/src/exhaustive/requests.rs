//! Requests of clients, and the 2xx that they get.

use orders_core::decide as order;

use super::actors::{self, name};
use super::bounds::Bounds;

/// A request, by the number of its order or delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Place(u8),
    Cancel(u8),
    Fulfill(u8),
    Receive(u8),
}

/// A 2xx, by the number of the order or delivery that it confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The order was placed under this id.
    Placed(u8),
    Cancelled(u8),
    Fulfilled(u8),
    Received(u8),
}

impl Request {
    /// A unique number that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Place(order) => 1 + order,
            Self::Cancel(order) => 5 + order,
            Self::Fulfill(order) => 9 + order,
            Self::Receive(delivery) => 13 + delivery,
        }
    }

    pub(super) fn describe(self) -> String {
        match self {
            Self::Place(order) => format!("place {}", name(order)),
            Self::Cancel(order) => format!("cancel {}", name(order)),
            Self::Fulfill(order) => format!("fulfill {}", name(order)),
            Self::Receive(delivery) => format!("receive delivery {}", delivery + 1),
        }
    }
}

impl Reply {
    /// A unique number that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Placed(order) => 1 + order,
            Self::Cancelled(order) => 5 + order,
            Self::Fulfilled(order) => 9 + order,
            Self::Received(delivery) => 13 + delivery,
        }
    }
}

/// The request as a command of the Order Service.
pub(crate) fn order_command(request: Request, bounds: Bounds) -> order::OrderCommand {
    match request {
        Request::Place(order) => {
            order::OrderCommand::Place(Box::new(actors::placement(order, bounds)))
        }
        Request::Cancel(order) => order::OrderCommand::Cancel {
            order_id: actors::order_id(order),
            reason: None,
            context: order::RequestContext::default(),
        },
        Request::Fulfill(order) => order::OrderCommand::Fulfill {
            order_id: actors::order_id(order),
            context: order::RequestContext::default(),
        },
        Request::Receive(_) => unreachable!("deliveries go to the Inventory Service"),
    }
}
