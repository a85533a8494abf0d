//! The history of an order as the API shows it: one page tells all of it in order.

use contract::{Allocation, Allocations, ReturnedUnits};
use orders_core::history::{Entry, EntryKind, Event, Intended};
use orders_core::money::Currency;
use orders_core::registers::Registers;
use orders_core::status::{Purpose, Status};
use platform::clock::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::changes::{TrackingView, by_disposition};
use super::number;
use crate::store::OrderView;

/// Who makes the entries of a history that no client asked for.
const SYSTEM: &str = "system";

/// A status that the order entered, or a change of the order, and when.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(super) struct EntryView {
    seq: u32,
    /// The status of the order after this entry.
    status: &'static str,
    /// Who asked for it, or `system` if the Inventory Service answered or a deadline passed; null
    /// if clients are not asked who they are.
    #[schema(example = "key:4fT9xQ2mLp0a")]
    actor: Option<String>,
    reason: Option<String>,
    /// The trace of the request that asked for it, or in which the order expired; present only if
    /// that is exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    trace_id: Option<String>,
    /// What was changed, if it was more than the status.
    change: Option<ChangeView>,
    #[schema(value_type = String, format = "date-time")]
    at: String,
}

/// What an entry of a history changed. Only the members are there that say something about it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Change)]
pub(super) struct ChangeView {
    /// `paid`, `refunded`, `cancellation.created`, `shipment.created`, `shipment.tracked`,
    /// `shipment.cancelled` or `return.created`: the words that types of events have.
    #[schema(example = "shipment.created")]
    r#type: &'static str,
    /// What tells a payment or a refund from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reference: Option<String>,
    /// What was paid or refunded, or by how much the value of the order fell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, nullable = false, example = 69.97)]
    amount: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    shipment_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cancellation_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    return_id: Option<u32>,
    /// The units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lines: Option<Vec<ChangedUnits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tracking: Option<TrackingView>,
}

/// Units that an entry of a history is about.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedUnits {
    product_id: String,
    /// Where they were shipped from, or came back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    location_id: Option<String>,
    quantity: u32,
    /// What becomes of units that came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "restock")]
    disposition: Option<&'static str>,
}

/// The entries of the order's history, oldest first.
pub(super) fn entries(order: &OrderView) -> Vec<EntryView> {
    let first = EntryView {
        seq: 1,
        status: Status::Received.as_str(),
        actor: order.actor.clone(),
        reason: None,
        trace_id: order.trace_id.map(|id| id.to_string()),
        change: None,
        at: Timestamp(order.created_at_micros).to_rfc3339(),
    };
    let later = order.history.iter().map(|entry| EntryView::new(entry, order));
    std::iter::once(first).chain(later).collect()
}

impl EntryView {
    fn new(entry: &Entry, order: &OrderView) -> Self {
        let (actor, reason) = match &entry.event {
            Event::Intended(intended) if intended.purpose == Purpose::Expire => {
                (Some(SYSTEM.to_owned()), None)
            }
            Event::Intended(intended) => (intended.actor.clone(), intended.reason.clone()),
            Event::Paid { actor, .. }
            | Event::Refunded { actor, .. }
            | Event::Tracked { actor, .. } => (actor.clone(), None),
            Event::Settled { .. } => (Some(SYSTEM.to_owned()), None),
        };
        Self {
            seq: entry.seq,
            status: entry.status.as_str(),
            actor,
            reason,
            trace_id: entry.trace_id.map(|id| id.to_string()),
            change: ChangeView::of(entry, &order.registers, order.terms.currency),
            at: Timestamp(entry.at_micros).to_rfc3339(),
        }
    }
}

impl ChangeView {
    /// What an entry changed; `None` for an entry that only has a status.
    ///
    /// The registers are those of this or of a later entry: what a client did is never taken from
    /// them again.
    fn of(entry: &Entry, registers: &Registers, currency: Currency) -> Option<Self> {
        let amount = |minor| Some(number(currency, minor));
        match &entry.event {
            Event::Settled { .. } => None,
            Event::Paid { reference, amount_minor, .. } => Some(Self {
                r#type: EntryKind::Paid.as_str(),
                reference: Some(reference.clone()),
                amount: amount(*amount_minor),
                ..Self::default()
            }),
            Event::Refunded { reference, amount_minor, .. } => Some(Self {
                r#type: EntryKind::Refunded.as_str(),
                reference: Some(reference.clone()),
                amount: amount(*amount_minor),
                ..Self::default()
            }),
            Event::Tracked { shipment, tracking, .. } => Some(Self {
                r#type: EntryKind::ShipmentTracked.as_str(),
                shipment_id: Some(*shipment),
                tracking: TrackingView::new(Some(tracking)),
                ..Self::default()
            }),
            Event::Intended(intended) => Self::intended(entry.seq, intended, registers, currency),
        }
    }

    fn intended(
        seq: u32,
        intended: &Intended,
        registers: &Registers,
        currency: Currency,
    ) -> Option<Self> {
        let made_shipment = registers.shipments.iter().find(|made| made.seq == seq);
        let cancelled_shipment = intended.cancelled_shipment.and_then(|cancelled| {
            registers.shipments.iter().find(|shipment| shipment.seq == cancelled)
        });
        if let Some(shipment) = made_shipment.or(cancelled_shipment) {
            let kind = match made_shipment {
                Some(_) => EntryKind::ShipmentCreated,
                None => EntryKind::ShipmentCancelled,
            };
            return Some(Self {
                r#type: kind.as_str(),
                shipment_id: Some(shipment.seq),
                lines: Some(shipped(&shipment.lines)),
                tracking: TrackingView::new(intended.tracking.as_ref()),
                ..Self::default()
            });
        }
        if let Some(back) = registers.returns.iter().find(|made| made.seq == seq) {
            return Some(Self {
                r#type: EntryKind::ReturnCreated.as_str(),
                return_id: Some(seq),
                lines: Some(back.lines.iter().flat_map(returned).collect()),
                ..Self::default()
            });
        }
        let cancelled = registers.cancellations.iter().find(|made| made.seq == seq)?;
        let lines = cancelled.lines.iter().map(|(product_id, quantity)| ChangedUnits {
            product_id: product_id.to_string(),
            location_id: None,
            quantity: quantity.get(),
            disposition: None,
        });
        Some(Self {
            r#type: EntryKind::CancellationCreated.as_str(),
            cancellation_id: Some(seq),
            amount: Some(number(currency, cancelled.amount_minor)),
            lines: Some(lines.collect()),
            ..Self::default()
        })
    }
}

fn shipped(lines: &Allocations) -> Vec<ChangedUnits> {
    let line = |allocation: &Allocation| ChangedUnits {
        product_id: allocation.product_id.to_string(),
        location_id: Some(allocation.location_id.to_string()),
        quantity: allocation.quantity.get(),
        disposition: None,
    };
    lines.iter().map(line).collect()
}

fn returned(units: &ReturnedUnits) -> impl Iterator<Item = ChangedUnits> {
    by_disposition(units).map(|(disposition, quantity)| ChangedUnits {
        product_id: units.product_id.to_string(),
        location_id: Some(units.location_id.to_string()),
        quantity,
        disposition: Some(disposition.as_str()),
    })
}
