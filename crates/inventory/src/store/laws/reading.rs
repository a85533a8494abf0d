//! Laws of reading: pages are complete and in order.

use platform::quarantine::{MAX_ENTRIES, Quarantined};

use super::*;
use crate::store::ProductFilter;

impl Fresh {
    async fn products(&self, filter: ProductFilter) -> Vec<String> {
        let found = self.store.products(filter).await.expect("a page");
        found.into_iter().map(|stock| stock.product.product_id.to_string()).collect()
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
    let products = [
        ("MUG-1", "Blue mug"),
        ("TEE-1", "Camiseta AÇAÍ"),
        ("CAP-1", "100% cotton_cap"),
        ("ODO-1", "Βιβλίο ὉΔΌΣ ΜΆΣ"),
    ];
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
        ("ac\u{327}ai\u{301}", vec!["TEE-1"]),
        // The last letter of a word is another one, also where a name goes on.
        ("ὁδός", vec!["ODO-1"]),
        ("ὁδόσ", vec!["ODO-1"]),
        ("ΜΆΣ", vec!["ODO-1"]),
        ("", vec!["CAP-1", "MUG-1", "ODO-1", "TEE-1"]),
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
        fresh.run(vec![place(name.len() as u128, &[(name, 1)])]).await;
    }
    fresh.run(vec![place(77, &[("AT", 1)]), place(78, &[("AT", 9)])]).await;
    fresh.run(vec![cancel(77, &[("AT", 1)])]).await;
    let low = fresh.products(ProductFilter { low_stock: true, ..all() }).await;
    assert_eq!(low, ["AT", "BELOW", "EMPTY"]);
}

impl Fresh {
    /// A whole ledger, page by page. Only the last page may be short.
    async fn pages(&self, name: &str, at: Option<&str>, limit: u32) -> Vec<Movement> {
        let mut filter = MovementFilter {
            product_id: product(name),
            location_id: at.map(location),
            from: None,
            limit,
        };
        let mut seen = Vec::new();
        loop {
            let page = self.store.movements(filter.clone()).await.expect("a page");
            let next = page.last().and_then(|last| filter.next_of(last));
            assert!(next.is_none() || page.len() == limit as usize, "{page:?}");
            seen.extend(page);
            match next {
                None => return seen,
                next => filter.from = next,
            }
        }
    }
}

pub(crate) async fn a_ledger_is_newest_first_and_complete_page_by_page(fresh: Fresh) {
    fresh.run(vec![put("MUG"), put("TEE"), put_location("SHOP", 1)]).await;
    let mut made = Vec::new();
    for n in 1..=6 {
        // Two movements of one batch, at two locations, and one of another product.
        let batch = [("MUG", "main"), ("TEE", "main"), ("MUG", "SHOP")];
        for decided in fresh.run(batch.map(|(name, at)| received(name, at, n)).to_vec()).await {
            let InventoryOutcome::Moved { movement, .. } = decided.outcome else { panic!() };
            made.push(movement);
        }
    }
    made.reverse();
    let expected = |name: &str, at: Option<&str>| -> Vec<Movement> {
        let its = |movement: &&Movement| {
            movement.product_id == product(name)
                && at.is_none_or(|at| movement.location_id == location(at))
        };
        made.iter().filter(its).cloned().collect()
    };
    for (name, at) in [("MUG", None), ("MUG", Some("main")), ("MUG", Some("SHOP")), ("TEE", None)] {
        for limit in [1, 5, 6, 12, 100] {
            assert_eq!(fresh.pages(name, at, limit).await, expected(name, at), "{name} {at:?}");
        }
    }
    assert_eq!(fresh.pages("TEE", Some("SHOP"), 5).await, []);
    assert_eq!(fresh.pages("TEE", Some("NOWHERE"), 5).await, []);
    assert_eq!(fresh.pages("CAP", None, 5).await, []);
}

pub(crate) async fn a_ledger_follows_what_happened_whatever_the_clock_does(fresh: Fresh) {
    fresh.run(vec![put("MUG"), put_location("SHOP", 1)]).await;
    for n in 1..=5 {
        fresh.clock.set(Timestamp(START.0 - i64::from(n) * 1_000_000));
        fresh.run(vec![received("MUG", "main", n), received("MUG", "SHOP", n)]).await;
    }
    let seqs = |page: Vec<Movement>| page.iter().map(Movement::seq).collect::<Vec<_>>();
    assert_eq!(seqs(fresh.pages("MUG", Some("SHOP"), 2).await), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(fresh.pages("MUG", None, 3).await), [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]);
}

/// A client that makes a cursor itself gets nothing that it did not ask for.
pub(crate) async fn a_page_that_begins_in_another_ledger_is_empty(fresh: Fresh) {
    fresh.run([stocked("MUG", 3), stocked("TEE", 4)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 1)]).await;
    let tee = fresh.ledger("TEE").await[0].number();
    let at_shop = fresh.ledger("MUG").await[0].number();
    let page = async |at: Option<&str>, from| {
        let location_id = at.map(location);
        let filter =
            MovementFilter { product_id: product("MUG"), location_id, from: Some(from), limit: 9 };
        fresh.store.movements(filter).await.expect("a page").len()
    };
    assert_eq!(page(None, at_shop).await, 2);
    for (at, from) in [(None, tee), (None, 0), (None, i64::MAX), (Some("main"), at_shop)] {
        assert_eq!(page(at, from).await, 0, "{at:?} {from}");
    }
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
        locations.into_iter().map(|l| (l.location_id.to_string(), l.priority))
    };
    let listed: Vec<(String, u32)> =
        order(fresh.store.locations().await.expect("a read")).collect();
    assert_eq!(
        listed,
        [("Z", 1), ("A", 7), ("B", 7), ("main", 9)].map(|(id, priority)| (id.to_owned(), priority))
    );
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
