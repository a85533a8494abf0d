//! The history of an order as a column: a list of objects, one per entry from the second on.
//!
//! An entry names what changed, in absolute numbers. What a client made beside the status of the
//! order is not written a second time: a shipment is the difference that an entry makes to
//! `shipped`, and its number is that of the entry.

use contract::{
    Allocation, Allocations, BookedAt, Digest, LocationId, OrderId, ProductId, Quantity, Returned,
    ReturnedUnits, Revision, Shortage, ShortageReason, Wanted, WantedLine,
};
use orders_core::changes::{RequestKey, Tracking};
use orders_core::history::{Entry, Event, Intended};
use orders_core::status::{Purpose, Status};
use serde::{Deserialize, Serialize};
use storage::Misfit;

use super::{misfit, text};

/// One entry, as the history column has it. What is absent did not change.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedEntry {
    status: String,
    at: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    decided_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    actor: Option<String>,
    /// The trace of the request that caused the entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    reason: Option<String>,
    /// Only of a new intent, whose purpose is the status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    wanted: Option<Vec<(ProductId, u32)>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    shipped: Option<Vec<PackedAllocation>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    returned: Option<Vec<PackedReturn>>,
    /// The idempotency key of a change, and the digest of its request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<(String, Digest)>,
    /// The shipment that a new intent takes back, or that a client said how to follow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    shipment: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tracking: Option<PackedTracking>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    allocated: Option<Vec<PackedAllocation>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    booked_at: Option<Vec<(ProductId, LocationId, LocationId)>>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    shortages: Vec<(ProductId, Quantity, i64, ShortageReason)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    payment: Option<PackedMoney>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refund: Option<PackedMoney>,
}

type PackedAllocation = (ProductId, LocationId, Quantity);
/// Product, location, and the units that were restocked, quarantined and written off.
type PackedReturn = (ProductId, LocationId, u32, u32, u32);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedTracking {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    carrier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    url: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedMoney {
    reference: String,
    amount: i64,
}

/// Entries as they follow on a history: `{…},{…}`.
pub(in crate::store) fn write_entries(entries: &[Entry]) -> String {
    let packed: Vec<String> = entries.iter().map(|entry| text(&pack(entry))).collect();
    packed.join(",")
}

fn pack(entry: &Entry) -> PackedEntry {
    let status = entry.status.as_str().to_owned();
    let trace = entry.trace_id.map(|id| id.to_string());
    let empty = PackedEntry { status, at: entry.at_micros, trace, ..PackedEntry::default() };
    let money = |reference: &str, amount: i64| {
        Some(PackedMoney { reference: reference.to_owned(), amount })
    };
    match &entry.event {
        Event::Intended(intended) => pack_intended(intended, empty),
        Event::Settled { decided_at_micros, allocated, shortages, booked_at } => PackedEntry {
            decided_at: Some(*decided_at_micros),
            allocated: allocated.as_ref().map(pack_allocations),
            booked_at: booked_at.as_ref().map(|booked| booked.iter().map(pack_booked).collect()),
            shortages: shortages.iter().map(pack_shortage).collect(),
            ..empty
        },
        Event::Paid { actor, reference, amount_minor } => {
            let payment = money(reference, *amount_minor);
            PackedEntry { actor: actor.clone(), payment, ..empty }
        }
        Event::Refunded { actor, reference, amount_minor } => {
            let refund = money(reference, *amount_minor);
            PackedEntry { actor: actor.clone(), refund, ..empty }
        }
        Event::Tracked { actor, shipment, tracking } => PackedEntry {
            actor: actor.clone(),
            shipment: Some(*shipment),
            tracking: Some(pack_tracking(tracking)),
            ..empty
        },
    }
}

fn pack_intended(intended: &Intended, empty: PackedEntry) -> PackedEntry {
    PackedEntry {
        actor: intended.actor.clone(),
        reason: intended.reason.clone(),
        revision: Some(intended.revision),
        wanted: intended.wanted.as_ref().map(pack_wanted),
        shipped: intended.shipped.as_ref().map(pack_allocations),
        returned: intended.returned.as_ref().map(pack_returned),
        key: intended.key.as_ref().map(|key| (key.key.clone(), key.digest)),
        shipment: intended.cancelled_shipment,
        tracking: intended.tracking.as_ref().map(pack_tracking),
        ..empty
    }
}

fn pack_wanted(wanted: &Wanted) -> Vec<(ProductId, u32)> {
    wanted.iter().map(|line| (line.product_id.clone(), line.quantity)).collect()
}

fn pack_allocations(allocations: &Allocations) -> Vec<PackedAllocation> {
    let pack = |one: &Allocation| (one.product_id.clone(), one.location_id.clone(), one.quantity);
    allocations.iter().map(pack).collect()
}

fn pack_returned(returned: &Returned) -> Vec<PackedReturn> {
    let pack = |one: &ReturnedUnits| {
        let (product_id, location_id) = (one.product_id.clone(), one.location_id.clone());
        (product_id, location_id, one.restocked, one.quarantined, one.written_off)
    };
    returned.iter().map(pack).collect()
}

fn pack_booked(booked: &BookedAt) -> (ProductId, LocationId, LocationId) {
    (booked.product_id.clone(), booked.location_id.clone(), booked.booked_at.clone())
}

fn pack_shortage(short: &Shortage) -> (ProductId, Quantity, i64, ShortageReason) {
    (short.product_id.clone(), short.requested, short.available, short.reason)
}

fn pack_tracking(tracking: &Tracking) -> PackedTracking {
    let Tracking { carrier, number, url } = tracking.clone();
    PackedTracking { carrier, number, url }
}

/// Reads the column.
///
/// # Errors
///
/// [`Misfit`] if it is no list of entries.
pub(super) fn read_history(id: OrderId, text: &str) -> Result<Vec<Entry>, Misfit> {
    let bad = |reason: String| misfit("order_states", id, "history", reason);
    let packed: Vec<PackedEntry> =
        serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    (2..).zip(packed).map(|(seq, entry)| unpack(seq, entry).map_err(bad)).collect()
}

fn unpack(seq: u32, mut packed: PackedEntry) -> Result<Entry, String> {
    let status = Status::parse(&packed.status)
        .ok_or_else(|| format!("entry {seq} with the status {}", packed.status))?;
    let at_micros = packed.at;
    let trace = packed.trace.take().map(|text| text.parse());
    let trace_id = trace.transpose().map_err(|error| format!("entry {seq}: {error}"))?;
    let event = take_event(status, &mut packed)?;
    match event {
        // What belongs to no event of this kind.
        Some(event) if packed.is_used_up() => Ok(Entry { seq, status, at_micros, event, trace_id }),
        _ => {
            Err(format!("entry {seq}, which is neither an intent nor an answer nor another event"))
        }
    }
}

/// Takes the members of the event out of the entry; `None` if none has the ones that it needs.
fn take_event(status: Status, packed: &mut PackedEntry) -> Result<Option<Event>, String> {
    let actor = packed.actor.take();
    if let Some(revision) = packed.revision.take() {
        let Some(purpose) = Purpose::of_status(status) else { return Ok(None) };
        let key = packed.key.take().map(|(key, digest)| RequestKey { key, digest });
        return Ok(Some(Event::Intended(Box::new(Intended {
            revision,
            purpose,
            actor,
            reason: packed.reason.take(),
            wanted: packed.wanted.take().map(unpack_wanted).transpose()?,
            shipped: packed.shipped.take().map(unpack_allocations).transpose()?,
            returned: packed.returned.take().map(unpack_returned).transpose()?,
            key,
            tracking: packed.tracking.take().map(unpack_tracking),
            cancelled_shipment: packed.shipment.take(),
        }))));
    }
    if let Some(decided_at_micros) = packed.decided_at.take() {
        let booked_at = packed.booked_at.take();
        return Ok(actor.is_none().then_some(Event::Settled {
            decided_at_micros,
            allocated: packed.allocated.take().map(unpack_allocations).transpose()?,
            shortages: packed.shortages.drain(..).map(unpack_shortage).collect(),
            booked_at: booked_at.map(|booked| booked.into_iter().map(unpack_booked).collect()),
        }));
    }
    if let Some(PackedMoney { reference, amount }) = packed.payment.take() {
        return Ok(Some(Event::Paid { actor, reference, amount_minor: amount }));
    }
    if let Some(PackedMoney { reference, amount }) = packed.refund.take() {
        return Ok(Some(Event::Refunded { actor, reference, amount_minor: amount }));
    }
    let tracked = packed.shipment.take().zip(packed.tracking.take());
    Ok(tracked.map(|(shipment, tracking)| {
        let tracking = unpack_tracking(tracking);
        Event::Tracked { actor, shipment, tracking }
    }))
}

impl PackedEntry {
    /// Whether nothing is left but the status and the time.
    fn is_used_up(&self) -> bool {
        let Self {
            status: _,
            at: _,
            trace: _,
            decided_at,
            actor,
            reason,
            revision,
            wanted,
            shipped,
            ..
        } = self;
        let Self { returned, key, shipment, tracking, allocated, booked_at, shortages, .. } = self;
        let Self { payment, refund, .. } = self;
        let of_all = decided_at.is_none() && actor.is_none() && reason.is_none();
        let of_intent = revision.is_none() && wanted.is_none() && shipped.is_none();
        let of_change = returned.is_none() && key.is_none() && shipment.is_none();
        let of_answer = allocated.is_none() && booked_at.is_none() && shortages.is_empty();
        let of_money = payment.is_none() && refund.is_none();
        of_all && of_intent && of_change && tracking.is_none() && of_answer && of_money
    }
}

fn unpack_wanted(packed: Vec<(ProductId, u32)>) -> Result<Wanted, String> {
    let lines =
        packed.into_iter().map(|(product_id, quantity)| WantedLine { product_id, quantity });
    Wanted::try_from(lines.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn unpack_allocations(packed: Vec<PackedAllocation>) -> Result<Allocations, String> {
    let allocations = packed.into_iter().map(|(product_id, location_id, quantity)| Allocation {
        product_id,
        location_id,
        quantity,
    });
    Allocations::try_from(allocations.collect::<Vec<_>>()).map_err(|error| error.to_string())
}

fn unpack_returned(packed: Vec<PackedReturn>) -> Result<Returned, String> {
    let unpack = |(product_id, location_id, restocked, quarantined, written_off)| ReturnedUnits {
        product_id,
        location_id,
        restocked,
        quarantined,
        written_off,
    };
    let entries: Vec<_> = packed.into_iter().map(unpack).collect();
    Returned::try_from(entries).map_err(|error| error.to_string())
}

fn unpack_booked(
    (product_id, location_id, booked_at): (ProductId, LocationId, LocationId),
) -> BookedAt {
    BookedAt { product_id, location_id, booked_at }
}

fn unpack_shortage(
    (product_id, requested, available, reason): (ProductId, Quantity, i64, ShortageReason),
) -> Shortage {
    Shortage { product_id, requested, available, reason }
}

fn unpack_tracking(PackedTracking { carrier, number, url }: PackedTracking) -> Tracking {
    Tracking { carrier, number, url }
}

#[cfg(test)]
mod tests;
