//! What the audit reads, and what is set aside.

use super::*;

pub(crate) async fn the_audit_reads_every_order_once_in_order(fresh: Fresh) {
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), None);
    fresh.run([5, 3, 9, 1, 7].into_iter().map(place).collect()).await;
    let mut seen = Vec::new();
    loop {
        let page = fresh.audit.orders_after(seen.last().copied(), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|audit| audit.order_id));
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(id));
    assert_eq!(fresh.audit.order_ids_after(None, 2).await.expect("ids"), [1, 3].map(id));
    assert_eq!(fresh.audit.order_ids_after(Some(id(3)), 9).await.expect("ids"), [5, 7, 9].map(id));
    let some = fresh.audit.orders_by_id(vec![id(9), id(4), id(1), id(9)]).await.expect("a read");
    assert_eq!(some.iter().map(|audit| audit.order_id).collect::<Vec<_>>(), [id(1), id(9)]);
    assert_eq!(some[0].terms, placement(1, None).terms);
    assert_eq!((some[0].state, some[0].history.len()), (None, 0));
    assert_eq!(some[0].digest, placement(1, None).digest);
    fresh.run(vec![reserved(9)]).await;
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), Some(id(9)));
}

pub(crate) async fn the_audit_reads_every_pending_command_with_its_order(fresh: Fresh) {
    assert_eq!(fresh.audit.last_pending().await.expect("a read"), None);
    for n in [1, 3, 5, 9] {
        fresh.run(vec![place(n)]).await;
    }
    fresh.run(vec![reserved(3), reserved(5)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![cancel(5), cancel(9)]).await;
    fresh.clock.advance(DELAY);
    fresh.lease(10, DUE).await;
    let mut seen: Vec<RowAudit> = Vec::new();
    loop {
        let after = seen.last().map(|last| last.key);
        let page = fresh.audit.pending_after(after, 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|command| command.has_order));
    assert!(seen.windows(2).all(|pair| pair[0].key < pair[1].key));
    let last = fresh.audit.last_pending().await.expect("a read");
    assert_eq!(last, seen.last().map(|command| command.key));

    let orders = fresh.audit.orders_by_id([1, 3, 5, 9].map(id).to_vec()).await.expect("a read");
    let pending = |audit: &OrderAudit| {
        audit.pending.map(|pending| (pending.revision, pending.since_micros - START.0))
    };
    let pending: Vec<_> = orders.iter().map(pending).collect();
    assert_eq!(pending, [Some((1, 0)), None, Some((2, 1_000_000)), Some((2, 1_000_000))]);
}

pub(crate) async fn quarantine_counts_repeats_and_keeps_neighbours(fresh: Fresh) {
    let garbage = |bytes: &[u8]| Quarantined::malformed("not a message".to_owned(), bytes.to_vec());
    fresh
        .store
        .quarantine(vec![garbage(b"x"), garbage(b"y"), garbage(b"x")])
        .await
        .expect("written");
    fresh.store.quarantine(vec![garbage(&vec![0; 10_000_000])]).await.expect("written");
    fresh.run(vec![place(1)]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

/// Garbage must not fill the disk. The first entries are kept, and go on counting.
pub(crate) async fn a_full_quarantine_keeps_what_it_has(fresh: Fresh) {
    let garbage = |number: usize| {
        Quarantined::malformed("not a message".to_owned(), number.to_be_bytes().to_vec())
    };
    let set_aside = async |numbers: std::ops::Range<usize>| {
        fresh.store.quarantine(numbers.map(garbage).collect()).await.expect("written")
    };
    assert_eq!(set_aside(0..MAX_ENTRIES - 1).await, 0);
    assert_eq!(set_aside(MAX_ENTRIES - 3..MAX_ENTRIES + 2).await, 2, "one had room");
    assert_eq!(set_aside(0..MAX_ENTRIES).await, 0, "repeats of what is kept");
    assert_eq!(set_aside(MAX_ENTRIES..MAX_ENTRIES + 1).await, 1);
}
