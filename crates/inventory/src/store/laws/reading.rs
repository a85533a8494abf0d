//! Laws of reading: pages are complete and in order, and the audit sees what was done.

use std::time::Duration;

use inventory_core::stock::Level;
use platform::quarantine::Quarantined;

use super::*;
use crate::store::{LedgerRange, Moment, ProductFilter, StockAudit};

impl Fresh {
    async fn products(&self, filter: ProductFilter) -> Vec<String> {
        let found = self.store.products(filter).await.expect("a page");
        found.into_iter().map(|stock| stock.product.product_id.into()).collect()
    }
}

fn all() -> ProductFilter {
    ProductFilter { limit: 100, ..ProductFilter::default() }
}

pub(crate) async fn products_are_listed_by_id_and_complete_page_by_page(fresh: Fresh) {
    let names: Vec<String> = (10..35).map(|n| format!("P{n}")).collect();
    fresh.run(names.iter().rev().map(|name| put(name)).collect()).await;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(|last| product(last));
        let page = fresh.products(ProductFilter { after, limit: 4, ..all() }).await;
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, names);
}

pub(crate) async fn products_are_found_by_id_or_name_in_any_case(fresh: Fresh) {
    let products =
        [("MUG-1", "Blue mug"), ("TEE-1", "Camiseta AÇAÍ"), ("CAP-1", "100% cotton_cap")];
    fresh.run(products.map(|(id, name)| put_named(id, name, None)).to_vec()).await;
    let sought = [
        ("mug", vec!["MUG-1"]),
        ("BLUE M", vec!["MUG-1"]),
        ("ug-1", vec![]),
        ("açaí", vec!["TEE-1"]),
        ("0% c", vec!["CAP-1"]),
        ("n_c", vec!["CAP-1"]),
        ("%", vec!["CAP-1"]),
        ("_", vec!["CAP-1"]),
        ("c", vec!["CAP-1", "TEE-1"]),
        ("", vec!["CAP-1", "MUG-1", "TEE-1"]),
    ];
    for (text, expected) in sought {
        assert_eq!(
            fresh.products(ProductFilter { text: Some(text.to_owned()), ..all() }).await,
            expected,
            "{text}"
        );
    }
}

pub(crate) async fn products_are_found_by_a_list_of_ids(fresh: Fresh) {
    fresh.run(["A", "B", "C", "D"].map(put).to_vec()).await;
    let listed = |names: &[&str]| ProductFilter {
        ids: Some(names.iter().map(|name| product(name)).collect()),
        ..all()
    };
    assert_eq!(fresh.products(listed(&["D", "nowhere", "B", "D"])).await, ["B", "D"]);
    assert!(fresh.products(listed(&[])).await.is_empty());
    let both = ProductFilter { text: Some("b".to_owned()), ..listed(&["D", "B"]) };
    assert_eq!(fresh.products(both).await, ["B"], "everything that is given must hold");
}

pub(crate) async fn products_low_on_stock_are_found_over_all_locations(fresh: Fresh) {
    let marks = [
        ("AT", Some(5)),
        ("BELOW", Some(6)),
        ("ABOVE", Some(4)),
        ("NONE", None),
        ("EMPTY", Some(0)),
    ];
    fresh.run(marks.map(|(name, mark)| put_named(name, name, mark)).to_vec()).await;
    fresh.run(vec![put_location("SHOP", 1)]).await;
    for name in ["AT", "BELOW", "ABOVE", "NONE"] {
        fresh.run(vec![received(name, "main", 4), received(name, "SHOP", 2)]).await;
        fresh.run(vec![reserve(name.len() as u128, &[(name, 1)])]).await;
    }
    fresh.run(vec![reserve(77, &[("AT", 1)]), reserve(78, &[("AT", 9)])]).await;
    fresh.run(vec![order(StockCommandKind::ReleaseStock, 77, &[("AT", 1)])]).await;
    let low = fresh.products(ProductFilter { low_stock: true, ..all() }).await;
    assert_eq!(low, ["AT", "BELOW", "EMPTY"]);
}

pub(crate) async fn the_ledger_is_newest_first_and_complete_page_by_page(fresh: Fresh) {
    fresh.run(vec![put("MUG"), put("TEE"), put_location("SHOP", 1)]).await;
    for n in 1..=6 {
        // Two movements of one moment, at two locations, and one of another product.
        fresh
            .run(vec![
                received("MUG", "main", n),
                received("MUG", "SHOP", n),
                received("TEE", "main", n),
            ])
            .await;
        fresh.clock.advance(Duration::from_secs(1));
    }
    let mut seen: Vec<Movement> = Vec::new();
    loop {
        let before = seen.last().map(moment);
        let filter =
            MovementFilter { product_id: product("MUG"), location_id: None, before, limit: 5 };
        let page = fresh.store.movements(filter).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 12);
    assert!(
        seen.windows(2).all(|pair| moment(&pair[0]) > moment(&pair[1])),
        "newest first, none twice"
    );
}

fn moment(movement: &Movement) -> Moment {
    Moment {
        created_at_micros: movement.created_at_micros,
        location_id: movement.location_id.clone(),
        seq: movement.seq(),
    }
}

pub(crate) async fn a_ledger_of_one_location_follows_its_numbers_whatever_the_clock_does(
    fresh: Fresh,
) {
    fresh.run(vec![put("MUG"), put_location("SHOP", 1)]).await;
    for n in 1..=5 {
        fresh.clock.set(Timestamp(START.0 - i64::from(n) * 1_000_000));
        fresh.run(vec![received("MUG", "main", n), received("MUG", "SHOP", n)]).await;
    }
    let mut seen: Vec<Movement> = Vec::new();
    for _ in 0..3 {
        let before = seen.last().map(moment);
        let filter = MovementFilter {
            product_id: product("MUG"),
            location_id: Some(location("SHOP")),
            before,
            limit: 2,
        };
        seen.extend(fresh.store.movements(filter).await.expect("a page"));
    }
    assert!(seen.iter().all(|movement| movement.location_id == location("SHOP")));
    assert_eq!(seen.iter().map(Movement::seq).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
}

pub(crate) async fn locations_are_listed_in_the_order_in_which_they_serve(fresh: Fresh) {
    fresh
        .run(vec![
            put_location("B", 7),
            put_location("A", 7),
            put_location("Z", 1),
            put_location("main", 9),
        ])
        .await;
    let order = |locations: Vec<Location>| {
        locations.into_iter().map(|l| (l.location_id.into(), l.priority))
    };
    let listed: Vec<(String, u32)> =
        order(fresh.store.locations().await.expect("a read")).collect();
    assert_eq!(
        listed,
        [("Z", 1), ("A", 7), ("B", 7), ("main", 9)].map(|(id, priority)| (id.to_owned(), priority))
    );
}

pub(crate) async fn the_audit_reads_every_reservation_once_in_order(fresh: Fresh) {
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), None);
    fresh.run(stocked("MUG", 3).to_vec()).await;
    fresh.run([5, 3, 9, 1, 7].into_iter().map(|n| reserve(n, &[("MUG", 1)])).collect()).await;
    let mut seen: Vec<OrderId> = Vec::new();
    loop {
        let page = fresh.audit.reservations_after(seen.last().copied(), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|reservation| reservation.order_id));
    }
    assert_eq!(seen, [1, 3, 5, 7, 9].map(id));
    assert_eq!(fresh.audit.order_ids_after(None, 2).await.expect("ids"), [1, 3].map(id));
    assert_eq!(fresh.audit.order_ids_after(Some(id(3)), 9).await.expect("ids"), [5, 7, 9].map(id));
    assert_eq!(fresh.audit.last_order_id().await.expect("a read"), Some(id(9)));
    let some =
        fresh.audit.reservations_by_id(vec![id(9), id(4), id(1), id(9)]).await.expect("a read");
    assert_eq!(
        some.iter().map(|reservation| reservation.order_id).collect::<Vec<_>>(),
        [id(1), id(9)]
    );
    assert_eq!(
        some[0],
        fresh.store.reservation(id(1)).await.expect("a read").expect("a reservation")
    );
    assert_eq!((some[0].state.shortfalls().len(), some[1].state.allocations().len()), (1, 1));
}

pub(crate) async fn the_audit_reads_every_level_with_what_is_held_there(fresh: Fresh) {
    use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
    fresh.run([stocked("MUG", 9), stocked("TEE", 4)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 2)]).await;
    let mugs = |kind, n| order(kind, n, &[("MUG", 3)]);
    fresh.run([1, 2, 3].map(|n| mugs(ReserveStock, n)).to_vec()).await;
    fresh.run(vec![mugs(ShipStock, 1), mugs(ReleaseStock, 2)]).await;
    let (first, rest) =
        (fresh.audit.stock_after(None, 1).await, fresh.audit.stock_after(None, 10).await);
    let rest = rest.expect("a page");
    let row = |audit: &StockAudit| {
        (audit.location_id.to_string(), audit.level.on_hand, audit.level.reserved, audit.held)
    };
    let expected = [("SHOP", 2, 0, 0), ("main", 6, 3, 3), ("main", 4, 0, 0)];
    assert_eq!(
        rest.iter().map(row).collect::<Vec<_>>(),
        expected.map(|(at, a, b, c)| (at.to_owned(), a, b, Some(c)))
    );
    assert_eq!(first.expect("a page"), rest[..1]);
    let place = (rest[0].product_id.clone(), rest[0].location_id.clone());
    assert_eq!(fresh.audit.stock_after(Some(place), 10).await.expect("a page"), rest[1..]);
}

pub(crate) async fn the_audit_reads_a_ledger_in_stretches_and_at_points(fresh: Fresh) {
    fresh.run(stocked("MUG", 5).to_vec()).await;
    for on_hand in [7, 3, 8, 2] {
        let count = Change::Count { on_hand, expected: None };
        fresh.run(vec![moved("MUG", "main", count, &format!("count {on_hand}"))]).await;
    }
    let stretch = |after_seq, up_to_seq, limit| {
        let (product_id, location_id) = (product("MUG"), LocationId::main());
        fresh.audit.ledger(LedgerRange { product_id, location_id, after_seq, up_to_seq, limit })
    };
    let seqs = |found: Vec<Movement>| found.iter().map(Movement::seq).collect::<Vec<_>>();
    assert_eq!(seqs(stretch(0, 4, 3).await.expect("a read")), [1, 2, 3]);
    assert_eq!(seqs(stretch(3, 4, 3).await.expect("a read")), [4]);

    let point = |name: &str, seq| ((product(name), LocationId::main()), seq);
    let points = vec![point("MUG", 3), point("MUG", 6), point("TEE", 1), point("MUG", 1)];
    let level = |on_hand, last_seq| Some(Level { on_hand, reserved: 0, last_seq });
    assert_eq!(
        fresh.audit.levels_at(points).await.expect("a read"),
        [level(3, 3), None, None, level(5, 1)]
    );
    let known =
        fresh.audit.known_products(vec![product("TEE"), product("MUG")]).await.expect("a read");
    assert_eq!(known, [false, true]);
}

pub(crate) async fn quarantine_counts_repeats_and_keeps_neighbours(fresh: Fresh) {
    let garbage = |bytes: &[u8]| Quarantined::malformed("not a message".to_owned(), bytes.to_vec());
    fresh
        .store
        .quarantine(vec![garbage(b"x"), garbage(b"y"), garbage(b"x")])
        .await
        .expect("written");
    fresh.store.quarantine(vec![garbage(&vec![0; 10_000_000])]).await.expect("written");
    fresh.run(stocked("MUG", 1).to_vec()).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 1, 0)]);
}
