//! Orders as the API shows them. Later versions only add members; clients must accept new ones.

use contract::{Allocation, Shortage};
use orders_core::decide::Receipt;
use orders_core::history::{Entry, Event};
use orders_core::money::Currency;
use orders_core::order::OrderLine;
use orders_core::status::Status;
use platform::clock::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::service::message;
use crate::store::{OrderSummary, OrderView};

/// Who makes the entries of a history that no client asked for.
const SYSTEM: &str = "system";

/// The response to a request that places, cancels or fulfills an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderReceipt)]
pub(super) struct ReceiptView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    #[schema(example = "received")]
    status: &'static str,
    #[schema(example = "Order successfully placed.")]
    message: &'static str,
    /// The products that were short; present only for a rejected order.
    #[serde(skip_serializing_if = "Option::is_none")]
    shortages: Option<Vec<Shortage>>,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        Self {
            order_id: receipt.order_id.to_string(),
            status: receipt.status.as_str(),
            message: message(receipt.status),
            shortages: (!receipt.shortages.is_empty()).then_some(receipt.shortages),
        }
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

/// A status that the order entered, and when.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(super) struct EntryView {
    seq: u32,
    status: &'static str,
    /// Who asked for it, or `system` if the Inventory Service answered; null if clients are not
    /// asked who they are.
    #[schema(example = "key:4fT9xQ2mLp0a")]
    actor: Option<String>,
    reason: Option<String>,
    #[schema(value_type = String, format = "date-time")]
    at: String,
}

impl EntryView {
    /// The first entry, by which the order was accepted.
    fn first(created_at_micros: i64, actor: Option<String>) -> Self {
        let at = Timestamp(created_at_micros).to_rfc3339();
        Self { seq: 1, status: Status::Received.as_str(), actor, reason: None, at }
    }
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        let at = Timestamp(entry.at_micros).to_rfc3339();
        let (actor, reason) = match &entry.event {
            Event::Intended(intended) => (intended.actor.clone(), intended.reason.clone()),
            Event::Paid { actor, .. }
            | Event::Refunded { actor, .. }
            | Event::Tracked { actor, .. } => (actor.clone(), None),
            Event::Settled { .. } => (Some(SYSTEM.to_owned()), None),
        };
        Self { seq: entry.seq, status: entry.status.as_str(), actor, reason, at }
    }
}

/// An order with its products, allocations, shortages and history.
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
    /// The products that were short; empty unless the order was rejected.
    shortages: Vec<Shortage>,
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
            created_at: Timestamp(order.created_at_micros).to_rfc3339(),
            updated_at: Timestamp(order.updated_at_micros).to_rfc3339(),
        }
    }
}

impl From<OrderView> for FullView {
    fn from(order: OrderView) -> Self {
        let terms = order.terms;
        let currency = terms.currency;
        let first = EntryView::first(order.created_at_micros, order.actor);
        let later = order.history.iter().map(EntryView::from);
        Self {
            order_id: order.order_id.to_string(),
            customer_id: terms.customer_id.as_str().to_owned(),
            status: order.status.as_str(),
            currency: currency.code(),
            total: number(currency, terms.total_minor),
            products: terms.lines.iter().map(|line| line_view(currency, line)).collect(),
            allocations: order.allocated.into(),
            shortages: order.shortages,
            history: std::iter::once(first).chain(later).collect(),
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
