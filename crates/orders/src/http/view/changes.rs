//! The money of an order, and what clients did to it, as the API shows them.

use std::collections::BTreeMap;

use contract::{Allocation, BookedAt, ProductId, ReturnedUnits};
use orders_core::changes::{Cancellation, Return, Shipment, Tracking};
use orders_core::decide::Disposition;
use orders_core::money::Currency;
use orders_core::order::Terms;
use orders_core::payment::{Balance, MoneyEntry};
use orders_core::registers::Registers;
use platform::clock::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::number;

/// The money of an order that was placed with a payment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(in super::super) struct PaymentView {
    /// `due`: the order waits for it. `paid`: the order has what it needs. `refund_due`: more was paid
    /// than the order keeps. `expired`: the deadline has passed; a payment brings the order back if
    /// there is stock. `not_due`: nothing is to be paid or given back.
    #[schema(example = "due")]
    state: &'static str,
    /// What the order costs: the value of the units that it wants.
    #[schema(value_type = f64, example = 69.97)]
    amount: Box<RawValue>,
    #[schema(value_type = f64, example = 0.0)]
    paid: Box<RawValue>,
    #[schema(value_type = f64, example = 0.0)]
    refunded: Box<RawValue>,
    /// What must be given back.
    #[schema(value_type = f64, example = 0.0)]
    refund_due: Box<RawValue>,
    /// When the order expires unless it is paid; null unless it is `reserved`.
    #[schema(value_type = Option<String>, format = "date-time")]
    pay_by: Option<String>,
}

impl From<Balance> for PaymentView {
    fn from(balance: Balance) -> Self {
        let amount = |minor| number(balance.currency, minor);
        Self {
            state: balance.state.as_str(),
            amount: amount(balance.amount_minor),
            paid: amount(balance.paid_minor),
            refunded: amount(balance.refunded_minor),
            refund_due: amount(balance.refund_due_minor),
            pay_by: balance.pay_by_micros.map(|at| Timestamp(at).to_rfc3339()),
        }
    }
}

/// A refund that was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
pub(in super::super) struct RefundView {
    #[schema(example = "re_1Nispe2eZvKYlo2C")]
    reference: String,
    #[schema(value_type = f64, example = 29.99)]
    amount: Box<RawValue>,
}

impl RefundView {
    pub(in super::super) fn new(refund: &MoneyEntry, currency: Currency) -> Self {
        let reference = refund.reference.clone();
        Self { reference, amount: number(currency, refund.amount_minor) }
    }
}

/// What an order has of one product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderItem)]
pub(super) struct ItemView {
    product_id: String,
    /// The units of all its lines; never changes.
    ordered: i64,
    /// The units that the order does not keep, for whatever reason: they were cancelled, or there
    /// was too little stock, or the payment was not in time.
    cancelled: i64,
    /// The units that belong to the order, shipped or not.
    allocated: i64,
    /// The units of shipments that are not cancelled.
    shipped: i64,
    /// The units that came back.
    returned: i64,
}

/// What the order has of each product, in the order of its lines.
pub(super) fn items(terms: &Terms, registers: &Registers) -> Vec<ItemView> {
    let mut products: Vec<&ProductId> = Vec::new();
    let mut ordered: BTreeMap<&ProductId, i64> = BTreeMap::new();
    for line in &terms.lines {
        let units = ordered.entry(&line.product_id).or_insert_with(|| {
            products.push(&line.product_id);
            0
        });
        *units += line.quantity.units();
    }
    let allocated = registers.allocated();
    let item = |product_id: &ProductId| ItemView {
        product_id: product_id.to_string(),
        ordered: ordered[product_id],
        cancelled: ordered[product_id] - registers.kept(product_id),
        allocated: allocated.of(product_id),
        shipped: registers.intent.shipped.of(product_id),
        returned: registers.intent.returned.of(product_id),
    };
    products.into_iter().map(item).collect()
}

/// How much of something was done.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Extent)]
pub(super) enum ExtentView {
    None,
    Partial,
    Full,
}

impl ExtentView {
    fn of(done: i64, all: i64) -> Self {
        match done {
            0 => Self::None,
            done if done < all => Self::Partial,
            _ => Self::Full,
        }
    }

    /// How much of what the order keeps is shipped.
    pub(super) fn shipped(registers: &Registers) -> Self {
        let kept = registers.intent.wanted.iter().map(|line| registers.kept(&line.product_id));
        Self::of(registers.intent.shipped.total(), kept.sum())
    }

    /// How much of what was shipped came back.
    pub(super) fn returned(registers: &Registers) -> Self {
        let returned = registers.intent.returned.iter().map(ReturnedUnits::units);
        Self::of(returned.sum(), registers.intent.shipped.total())
    }
}

/// How a customer follows a shipment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tracking)]
pub(in super::super) struct TrackingView {
    #[schema(example = "Correios")]
    carrier: Option<String>,
    #[schema(example = "BR123456789BR")]
    number: Option<String>,
    url: Option<String>,
}

impl TrackingView {
    /// `None` if nothing is known.
    pub(super) fn new(tracking: Option<&Tracking>) -> Option<Self> {
        let known = tracking.filter(|its| **its != Tracking::default());
        known.cloned().map(|Tracking { carrier, number, url }| Self { carrier, number, url })
    }
}

/// Units that left the stock together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub(in super::super) struct ShipmentView {
    /// The number of its entry in the history of the order.
    #[schema(example = 4)]
    shipment_id: u32,
    /// `shipping` or `cancelling` until Inventory has answered, then `shipped` or `cancelled`.
    #[schema(example = "shipped")]
    state: &'static str,
    lines: Vec<Allocation>,
    tracking: Option<TrackingView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
}

impl ShipmentView {
    pub(in super::super) fn new(shipment: &Shipment, registers: &Registers) -> Self {
        Self {
            shipment_id: shipment.seq,
            state: shipment.state(registers.settled()).as_str(),
            lines: shipment.lines.to_vec(),
            tracking: TrackingView::new(shipment.tracking.as_ref()),
            created_at: Timestamp(shipment.created_at_micros).to_rfc3339(),
        }
    }
}

/// Units that came back together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Return)]
pub(in super::super) struct ReturnView {
    /// The number of its entry in the history of the order.
    #[schema(example = 6)]
    return_id: u32,
    lines: Vec<ReturnLineView>,
    reason: Option<String>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
}

/// Units of a product that came back.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReturnLine)]
struct ReturnLineView {
    product_id: String,
    quantity: u32,
    /// Where they came back to.
    location_id: String,
    /// What becomes of them: `restock`, `quarantine` or `write_off`.
    #[schema(example = "restock")]
    disposition: &'static str,
    /// Where Inventory booked them, if it does not know the location that they came back to.
    booked_at: Option<String>,
}

impl ReturnView {
    pub(in super::super) fn new(back: &Return, registers: &Registers) -> Self {
        let elsewhere = registers.facts.as_ref().map(|facts| facts.booked_at.as_slice());
        let elsewhere = elsewhere.unwrap_or_default();
        let lines = back.lines.iter().flat_map(|units| {
            let booked_at = elsewhere.iter().find(|booked| is_of(booked, units));
            by_disposition(units).map(move |(disposition, quantity)| ReturnLineView {
                product_id: units.product_id.to_string(),
                quantity,
                location_id: units.location_id.to_string(),
                disposition: disposition.as_str(),
                booked_at: booked_at.map(|booked| booked.booked_at.to_string()),
            })
        });
        Self {
            return_id: back.seq,
            lines: lines.collect(),
            reason: back.reason.clone(),
            created_at: Timestamp(back.created_at_micros).to_rfc3339(),
        }
    }
}

fn is_of(booked: &BookedAt, units: &ReturnedUnits) -> bool {
    (&booked.product_id, &booked.location_id) == (&units.product_id, &units.location_id)
}

/// The dispositions of which there are units, and how many.
pub(super) fn by_disposition(units: &ReturnedUnits) -> impl Iterator<Item = (Disposition, u32)> {
    let of_each = [units.restocked, units.quarantined, units.written_off];
    Disposition::ALL.into_iter().zip(of_each).filter(|(_, units)| *units > 0)
}

/// Units that were cancelled, while others of the order were kept or shipped.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CancelledUnits)]
pub(in super::super) struct CancellationView {
    /// The number of its entry in the history of the order.
    #[schema(example = 5)]
    cancellation_id: u32,
    lines: Vec<UnitsView>,
    /// By how much the value of the order fell.
    #[schema(value_type = f64, example = 19.99)]
    amount: Box<RawValue>,
    reason: Option<String>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
}

/// Units of a product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnitsOfProduct)]
struct UnitsView {
    product_id: String,
    quantity: u32,
}

impl CancellationView {
    pub(in super::super) fn new(cancellation: &Cancellation, currency: Currency) -> Self {
        let lines = cancellation.lines.iter().map(|(product_id, quantity)| UnitsView {
            product_id: product_id.to_string(),
            quantity: quantity.get(),
        });
        Self {
            cancellation_id: cancellation.seq,
            lines: lines.collect(),
            amount: number(currency, cancellation.amount_minor),
            reason: cancellation.reason.clone(),
            created_at: Timestamp(cancellation.created_at_micros).to_rfc3339(),
        }
    }
}
