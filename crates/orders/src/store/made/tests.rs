use orders_core::decide::{LoadedOrders, decide};

use super::*;
use crate::store::laws::{cancel, fulfill, id, pay, place, place_to_pay, reserved, ship};

fn unpacked(packed: &[u8]) -> Vec<MadeEntry> {
    let (entries, rest) = packed.as_chunks();
    assert!(rest.is_empty());
    entries.iter().map(|entry| unpack(*entry).expect("an entry")).collect()
}

#[test]
fn a_row_has_every_entry_that_a_batch_made_in_the_order_of_each_history() {
    let batch = [place(1), reserved(1), place(2), fulfill(1), cancel(3)];
    let decision = decide(0, &batch, LoadedOrders::default());
    let made = |n, seq, status| MadeEntry { order_id: id(n), seq, kind: EntryKind::Status(status) };
    let mut entries = unpacked(&pack(&decision.changes));
    entries.sort_by_key(|entry| entry.order_id);
    assert_eq!(
        entries,
        [
            made(1, 1, Status::Received),
            made(1, 2, Status::Confirmed),
            made(1, 3, Status::Fulfilling),
            made(2, 1, Status::Received),
        ]
    );
    let nothing = decide(0, &[cancel(3)], LoadedOrders::default());
    assert!(pack(&nothing.changes).is_empty());
}

#[test]
fn a_row_names_changes_by_what_they_are() {
    let batch = [place_to_pay(1, 60), pay(1, "ch_1"), reserved(1), ship(1, "s", "789", 1)];
    let decision = decide(0, &batch, LoadedOrders::default());
    let kinds: Vec<_> = unpacked(&pack(&decision.changes)).iter().map(|one| one.kind).collect();
    let [received, confirmed] = [Status::Received, Status::Confirmed].map(EntryKind::Status);
    assert_eq!(kinds, [received, EntryKind::Paid, confirmed, EntryKind::ShipmentCreated]);
}

/// Rows stay for ever: these codes are never changed and never given again.
#[test]
fn every_kind_of_entry_has_a_code_for_ever() {
    let mut codes: Vec<_> = EntryKind::all().map(|kind| (code(kind), kind.as_str())).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            (1, "received"),
            (2, "confirmed"),
            (3, "rejected"),
            (4, "cancelling"),
            (5, "cancelled"),
            (6, "fulfilling"),
            (7, "fulfilled"),
            (8, "reserved"),
            (9, "expiring"),
            (10, "expired"),
            (11, "reviving"),
            (12, "paid"),
            (13, "refunded"),
            (14, "cancellation.created"),
            (15, "shipment.created"),
            (16, "shipment.tracked"),
            (17, "shipment.cancelled"),
            (18, "return.created"),
            (19, "amended"),
        ]
    );
}

#[test]
fn what_is_no_entry_is_not_unpacked() {
    let entry = |seq: u32, code: u8| {
        let mut bytes = [7; LENGTH];
        bytes[16..20].copy_from_slice(&seq.to_be_bytes());
        bytes[20] = code;
        unpack(bytes)
    };
    assert!(entry(1, 1).is_some() && entry(2, 19).is_some());
    assert!(
        [(0, 1), (1, 0), (2, 20), (1, 2), (2, 1)].into_iter().all(|(s, c)| entry(s, c).is_none())
    );
}
