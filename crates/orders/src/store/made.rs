//! What both engines keep in the same form: the entries of the journal, 21 bytes each. A row has all
//! entries of histories that one transaction made.

use std::collections::{BTreeMap, BTreeSet};

use contract::OrderId;
use orders_core::decide::{OrderChange, Origin};
use orders_core::history::EntryKind;
use orders_core::status::Status;
use platform::audit::{JournalKey, Span};
use platform::failure::Failure;
use uuid::Uuid;

use super::packed::{StoredOrder, misfit};
use super::{MadeEntry, OrderView, ReadOrder};

/// What the first entry of every history is.
const RECEIVED: EntryKind = EntryKind::Status(Status::Received);

/// The order id (16 bytes), the number of the entry (4, big-endian), the code of what it is (1).
pub(super) const LENGTH: usize = 21;

/// The entries that a decision makes: of each order in the order of its history.
pub(super) fn pack(changes: &[OrderChange]) -> Vec<u8> {
    let entries = changes.iter().map(|change| change.entries.len() + 1).sum::<usize>();
    let mut packed = Vec::with_capacity(entries * LENGTH);
    for change in changes {
        let mut add = |seq: u32, kind: EntryKind| {
            packed.extend_from_slice(change.order_id.0.as_bytes());
            packed.extend_from_slice(&seq.to_be_bytes());
            packed.push(code(kind));
        };
        if let Origin::Placed(_) = change.from {
            add(1, RECEIVED);
        }
        let kinds = change.entries.iter().zip(&change.kinds);
        kinds.for_each(|(entry, kind)| add(entry.seq, *kind));
    }
    packed
}

/// One entry, unless its number or its code means nothing. A history begins with `received`, and
/// never comes back to it.
pub(super) fn unpack(packed: [u8; LENGTH]) -> Option<MadeEntry> {
    let (order_id, rest) = packed.split_first_chunk::<16>()?;
    let (seq, rest) = rest.split_first_chunk::<4>()?;
    let seq = u32::from_be_bytes(*seq);
    let kind = EntryKind::all().find(|kind| rest == [code(*kind)])?;
    let is_first = seq == 1;
    let begins = kind == RECEIVED;
    (seq > 0 && is_first == begins).then_some(MadeEntry {
        order_id: OrderId(Uuid::from_bytes(*order_id)),
        seq,
        kind,
    })
}

/// One entry, as the audit reads it.
pub(super) fn span(packed: [u8; LENGTH]) -> Option<Span> {
    let MadeEntry { order_id, seq, .. } = unpack(packed)?;
    Some(Span { key: key(order_id), from: seq.into(), to: seq.into() })
}

/// The key of an order in the audit of the journal.
pub(super) fn key(order_id: OrderId) -> JournalKey {
    JournalKey(order_id.0.as_u128())
}

/// The order with this key.
pub(super) fn order_of(JournalKey(key): JournalKey) -> OrderId {
    OrderId(Uuid::from_u128(key))
}

/// The code of what an entry is. Rows stay for ever, so a code is never changed and never given
/// again.
fn code(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Status(Status::Received) => 1,
        EntryKind::Status(Status::Confirmed) => 2,
        EntryKind::Status(Status::Rejected) => 3,
        EntryKind::Status(Status::Cancelling) => 4,
        EntryKind::Status(Status::Cancelled) => 5,
        EntryKind::Status(Status::Fulfilling) => 6,
        EntryKind::Status(Status::Fulfilled) => 7,
        EntryKind::Status(Status::Reserved) => 8,
        EntryKind::Status(Status::Expiring) => 9,
        EntryKind::Status(Status::Expired) => 10,
        EntryKind::Status(Status::Reviving) => 11,
        EntryKind::Paid => 12,
        EntryKind::Refunded => 13,
        EntryKind::CancellationCreated => 14,
        EntryKind::ShipmentCreated => 15,
        EntryKind::ShipmentTracked => 16,
        EntryKind::ShipmentCancelled => 17,
        EntryKind::ReturnCreated => 18,
        // An entry by which an order became `amending` has the name of its change.
        EntryKind::Amended | EntryKind::Status(Status::Amending) => 19,
    }
}

/// The ids of the orders of these entries, each once.
pub(super) fn order_ids(entries: &[MadeEntry]) -> Vec<OrderId> {
    let mut ids: Vec<OrderId> = entries.iter().map(|entry| entry.order_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Orders as they were read, by their ids.
pub(super) type Stored = BTreeMap<OrderId, Result<StoredOrder, Failure>>;

/// The orders as they were after these entries, in the same order. Each is
/// [`Failure::Suspect`] if it is missing or cannot be read, or if its history has no such entry.
/// The history of each order is added up once, however many entries there are of it.
pub(super) fn views(entries: &[MadeEntry], orders: Stored) -> Vec<ReadOrder> {
    let mut seqs: BTreeMap<OrderId, BTreeSet<u32>> = BTreeMap::new();
    for entry in entries {
        seqs.entry(entry.order_id).or_default().insert(entry.seq);
    }
    let mut views: BTreeMap<OrderId, Result<BTreeMap<u32, OrderView>, Failure>> = BTreeMap::new();
    for (order_id, stored) in orders {
        let wanted = seqs.remove(&order_id).unwrap_or_default();
        let folded = stored.and_then(|stored| Ok(stored.folded()?));
        views.insert(order_id, folded.map(|order| order.as_of(&wanted)));
    }
    let as_of = |entry: &MadeEntry| {
        let missing = || {
            let missing = format_args!("without entry {}", entry.seq);
            Failure::from(misfit("order_states", entry.order_id, "history", missing))
        };
        match views.get(&entry.order_id) {
            None => Err(missing()),
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(views)) => views.get(&entry.seq).cloned().ok_or_else(missing),
        }
    };
    entries.iter().map(as_of).collect()
}

#[cfg(test)]
mod tests;
