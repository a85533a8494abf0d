//! Orders as the API shows them. Later versions only add members; clients must accept new ones.

use contract::{Allocation, OrderId, Shortage};
use orders_core::decide::Receipt;
use orders_core::money::Currency;
use orders_core::order::OrderLine;
use orders_core::payment::Balance;
use orders_core::status::Status;
use platform::clock::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::service::message;
use crate::store::{OrderSummary, OrderView};

pub(super) use changes::{CancellationView, RefundView, ReturnView, ShipmentView};
use changes::{ExtentView, ItemView, PaymentView};
use history::EntryView;

mod changes;
mod history;

/// The response to a request that places, cancels, fulfills or pays an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderReceipt)]
pub(super) struct ReceiptView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    #[schema(example = "received")]
    status: &'static str,
    #[schema(example = "Order successfully placed.")]
    message: &'static str,
    /// The products that were short; present only for an order that has nothing therefore.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    shortages: Option<Vec<Shortage>>,
    /// Present only for an order that was placed with a payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payment: Option<PaymentView>,
}

impl ReceiptView {
    fn new(
        order_id: OrderId,
        status: Status,
        shortages: Vec<Shortage>,
        balance: Option<Balance>,
    ) -> Self {
        Self {
            order_id: order_id.to_string(),
            status: status.as_str(),
            message: message(status),
            shortages: (!shortages.is_empty()).then_some(shortages),
            payment: balance.map(PaymentView::from),
        }
    }
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        Self::new(receipt.order_id, receipt.status, receipt.shortages, receipt.balance)
    }
}

impl From<&OrderView> for ReceiptView {
    fn from(order: &OrderView) -> Self {
        Self::new(order.order_id, order.status, order.shortages.clone(), order.balance)
    }
}

/// One product of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
pub(super) struct LineView {
    product_id: String,
    quantity: u32,
    /// Price per unit in the order's currency, with exactly as many decimals as it has.
    #[schema(value_type = f64, example = 19.99)]
    price: Box<RawValue>,
}

/// An order with its products, stock, money, changes and history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct FullView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    customer_id: String,
    #[schema(example = "confirmed")]
    status: &'static str,
    #[schema(example = "BRL")]
    currency: &'static str,
    /// Σ quantity × price, with exactly as many decimals as the currency has.
    #[schema(value_type = f64, example = 69.97)]
    total: Box<RawValue>,
    /// The lines as the client sent them.
    products: Vec<LineView>,
    /// The stock that was reserved; empty until the order is confirmed, and kept afterwards.
    allocations: Vec<Allocation>,
    /// The products that were short; empty unless the order has nothing therefore.
    shortages: Vec<Shortage>,
    /// Its money; null if it was placed without a payment.
    payment: Option<PaymentView>,
    /// What must be given back; 0 if it was placed without a payment.
    #[schema(value_type = f64, example = 0.0)]
    refund_due: Box<RawValue>,
    /// How much of what the order keeps is shipped: `none`, `partial` or `full`.
    fulfillment: ExtentView,
    /// How much of what was shipped came back: `none`, `partial` or `full`.
    returns_status: ExtentView,
    /// What it has of each product, in the order of its lines.
    items: Vec<ItemView>,
    /// Its shipments, oldest first, also those that were cancelled.
    shipments: Vec<ShipmentView>,
    /// What came back, oldest first.
    returns: Vec<ReturnView>,
    /// The units that were cancelled while others were kept or shipped, oldest first.
    cancellations: Vec<CancellationView>,
    /// All that happened to it, oldest first.
    history: Vec<EntryView>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

/// An order in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
pub(super) struct SummaryView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    customer_id: String,
    #[schema(example = "confirmed")]
    status: &'static str,
    #[schema(example = "BRL")]
    currency: &'static str,
    /// Σ quantity × price, with exactly as many decimals as the currency has.
    #[schema(value_type = f64, example = 69.97)]
    total: Box<RawValue>,
    /// What must be given back; 0 if it was placed without a payment.
    #[schema(value_type = f64, example = 0.0)]
    refund_due: Box<RawValue>,
    /// When the order expires unless it is paid; null unless it is `reserved`.
    #[schema(value_type = Option<String>, format = "date-time")]
    pay_by: Option<String>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
    #[schema(value_type = String, format = "date-time")]
    updated_at: String,
}

impl From<OrderSummary> for SummaryView {
    fn from(order: OrderSummary) -> Self {
        Self {
            order_id: order.order_id.to_string(),
            customer_id: order.customer_id.as_str().to_owned(),
            status: order.status.as_str(),
            currency: order.currency.code(),
            total: number(order.currency, order.total_minor),
            refund_due: number(order.currency, order.refund_due_minor),
            pay_by: order.pay_by_micros.map(|at| Timestamp(at).to_rfc3339()),
            created_at: Timestamp(order.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(order.updated_at_micros).to_rfc3339(),
        }
    }
}

impl From<OrderView> for FullView {
    fn from(order: OrderView) -> Self {
        let history = history::entries(&order);
        let OrderView { terms, registers, balance, .. } = order;
        let currency = terms.currency;
        let shipment = |shipment| ShipmentView::new(shipment, &registers);
        let back = |back| ReturnView::new(back, &registers);
        let cancelled = |cancelled| CancellationView::new(cancelled, currency);
        Self {
            order_id: order.order_id.to_string(),
            customer_id: terms.customer_id.as_str().to_owned(),
            status: order.status.as_str(),
            currency: currency.code(),
            total: number(currency, terms.total_minor),
            products: terms.lines.iter().map(|line| line_view(currency, line)).collect(),
            allocations: order.allocated.into(),
            shortages: order.shortages,
            payment: balance.map(PaymentView::from),
            refund_due: number(currency, registers.refund_due_minor(&terms)),
            fulfillment: ExtentView::shipped(&registers),
            returns_status: ExtentView::returned(&registers),
            items: changes::items(&terms, &registers),
            shipments: registers.shipments.iter().map(shipment).collect(),
            returns: registers.returns.iter().map(back).collect(),
            cancellations: registers.cancellations.iter().map(cancelled).collect(),
            history,
            created_at: Timestamp(order.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(order.updated_at_micros).to_rfc3339(),
        }
    }
}

fn line_view(currency: Currency, line: &OrderLine) -> LineView {
    LineView {
        product_id: line.product_id.to_string(),
        quantity: line.quantity.get(),
        price: number(currency, line.price_minor),
    }
}

/// An amount as a JSON number with all decimals: 69.90 stays 69.90.
fn number(currency: Currency, minor: i64) -> Box<RawValue> {
    RawValue::from_string(currency.format(minor))
        .expect("an amount in decimal notation is a JSON number")
}
