//! Requests of clients, and the 2xx that they get.

use contract::{LocationId, ProductId, Quantity};
use orders_core::changes::{RequestKey, Tracking};
use orders_core::decide::{
    Disposition, OrderCommand, OrderRequest, RequestContext, ReturnLine, ShipmentLine,
    UnitsOfProduct,
};

use super::actors::{self, name};
use super::bounds::Bounds;
use super::state::IDS;

/// A request, by the number of its order or delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Place(u8),
    Receive(u8),
    /// Something is asked of an order that exists.
    Ask(u8, Ask),
}

/// What is asked of an order. A repeat has the same key or reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Cancel,
    Fulfill,
    /// To pay what the order costs.
    Pay,
    /// To pay what is due by another charge, which names no amount.
    PayAgain,
    /// To give the price of a unit back.
    Refund,
    /// To cancel a mug.
    CancelMug,
    /// To cancel the tee.
    CancelTee,
    /// To ship a mug, wherever it is.
    ShipMug,
    /// To ship all that is held.
    ShipRest,
    /// To cancel the first shipment.
    Unship,
    /// To say how to follow the first shipment.
    Track,
    /// To book a mug that came back to where it was shipped from, and can be sold again.
    Return,
    /// To book a mug that came back to a location that Inventory does not know, and is quarantined.
    ReturnElsewhere,
    /// To book a tee that came back broken.
    WriteOff,
    /// To release the units of an order that was not paid in time. A worker of the service asks
    /// this, which has found the deadline.
    Expire,
}

/// A 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The order was placed under this id.
    Placed(u8),
    /// The request is done.
    Done(Request),
}

impl Ask {
    pub(crate) const ALL: [Self; 15] = [
        Self::Cancel,
        Self::Fulfill,
        Self::Pay,
        Self::PayAgain,
        Self::Refund,
        Self::CancelMug,
        Self::CancelTee,
        Self::ShipMug,
        Self::ShipRest,
        Self::Unship,
        Self::Track,
        Self::Return,
        Self::ReturnElsewhere,
        Self::WriteOff,
        Self::Expire,
    ];

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Fulfill => "fulfill",
            Self::Pay => "pay",
            Self::PayAgain => "pay again",
            Self::Refund => "refund",
            Self::CancelMug => "cancel a mug",
            Self::CancelTee => "cancel a tee",
            Self::ShipMug => "ship a mug",
            Self::ShipRest => "ship the rest",
            Self::Unship => "unship",
            Self::Track => "track",
            Self::Return => "return a mug",
            Self::ReturnElsewhere => "return a mug elsewhere",
            Self::WriteOff => "return a broken tee",
            Self::Expire => "deadline",
        }
    }

    /// The key that carries the change out once, or the reference of a payment or refund.
    pub(super) fn key(self) -> &'static str {
        self.describe()
    }

    fn code(self) -> u8 {
        let index = Self::ALL.iter().position(|ask| *ask == self).expect("it is one of all");
        u8::try_from(index).expect("few requests")
    }
}

impl Request {
    /// A unique number that is not 0.
    pub(super) fn code(self) -> u8 {
        let ids = u8::try_from(IDS).expect("few orders");
        match self {
            Self::Place(order) => 1 + order,
            Self::Receive(delivery) => 5 + delivery,
            Self::Ask(order, ask) => 8 + ask.code() * ids + order,
        }
    }

    pub(super) fn describe(self) -> String {
        match self {
            Self::Place(order) => format!("place {}", name(order)),
            Self::Receive(delivery) => format!("receive delivery {}", delivery + 1),
            Self::Ask(order, ask) => format!("{} {}", ask.describe(), name(order)),
        }
    }
}

impl Reply {
    /// A unique number that is not 0.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Placed(order) => 128 + order,
            Self::Done(request) => request.code(),
        }
    }
}

/// The request as a command of the Order Service. `shipment` is the number of the order's first
/// shipment, which the client knows, or 0.
pub(crate) fn order_command(request: Request, bounds: Bounds, shipment: u32) -> OrderCommand {
    match request {
        Request::Place(order) => OrderCommand::Place(Box::new(actors::placement(order, bounds))),
        Request::Ask(order, Ask::Expire) => OrderCommand::expire(actors::order_id(order)),
        Request::Ask(order, ask) => OrderCommand::Request {
            order_id: actors::order_id(order),
            request: Box::new(order_request(
                ask,
                actors::terms(order, bounds).total_minor,
                shipment,
            )),
            context: RequestContext::default(),
        },
        Request::Receive(_) => unreachable!("deliveries go to the Inventory Service"),
    }
}

fn order_request(ask: Ask, total_minor: i64, shipment: u32) -> OrderRequest {
    let reference = ask.key().to_owned();
    let key = RequestKey { key: reference.clone(), digest: contract::Digest::of(&[ask.code()]) };
    let units = |product: &str| (actors::product_id(product), actors::quantity(1));
    let mug = || units(actors::MUG);
    let tee = || units(actors::TEE);
    match ask {
        Ask::Cancel => OrderRequest::Cancel { reason: None },
        Ask::Fulfill => OrderRequest::Fulfill,
        Ask::Pay => OrderRequest::Pay { reference, amount_minor: Some(total_minor) },
        Ask::PayAgain => OrderRequest::Pay { reference, amount_minor: None },
        Ask::Refund => OrderRequest::Refund { reference, amount_minor: actors::PRICE_MINOR },
        Ask::CancelMug => cancel(key, mug()),
        Ask::CancelTee => cancel(key, tee()),
        Ask::ShipMug => {
            let (product_id, quantity) = mug();
            let lines = Some(vec![ShipmentLine { product_id, location_id: None, quantity }]);
            OrderRequest::Ship { key, lines, tracking: None }
        }
        Ask::ShipRest => OrderRequest::Ship { key, lines: None, tracking: None },
        Ask::Unship => OrderRequest::CancelShipment { shipment, reason: None },
        Ask::Track => {
            let tracking = Tracking { number: Some(reference), ..Tracking::default() };
            OrderRequest::Track { shipment, tracking }
        }
        Ask::Return => book_return(key, mug(), None, Disposition::Restock),
        Ask::ReturnElsewhere => {
            let nowhere = "nowhere".parse().expect("an id");
            book_return(key, mug(), Some(nowhere), Disposition::Quarantine)
        }
        Ask::WriteOff => book_return(key, tee(), None, Disposition::WriteOff),
        Ask::Expire => unreachable!("the service itself asks for it"),
    }
}

fn cancel(key: RequestKey, (product_id, quantity): (ProductId, Quantity)) -> OrderRequest {
    let lines = vec![UnitsOfProduct { product_id, quantity }];
    OrderRequest::CancelLines { key, lines, reason: None }
}

fn book_return(
    key: RequestKey,
    (product_id, quantity): (ProductId, Quantity),
    location_id: Option<LocationId>,
    disposition: Disposition,
) -> OrderRequest {
    let lines = vec![ReturnLine { product_id, quantity, location_id, disposition }];
    OrderRequest::Return { key, lines, reason: None }
}
