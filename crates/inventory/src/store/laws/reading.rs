//! Laws of reading: pages are complete and in order.

use platform::quarantine::Quarantined;
use serde_json::{Value, json};

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

/// A request of a person at a till.
fn by_ana(command: InventoryCommand) -> InventoryCommand {
    let requester = Requester {
        actor: Some("key:ana".to_owned()),
        request_id: Some("r-1".to_owned()),
        address: Some("192.0.2.7".to_owned()),
    };
    match command {
        InventoryCommand::PutProduct(put) => {
            InventoryCommand::PutProduct(PutProduct { requester, ..put })
        }
        InventoryCommand::PutLocation(put) => {
            InventoryCommand::PutLocation(PutLocation { requester, ..put })
        }
        InventoryCommand::Move(request) => {
            InventoryCommand::Move(Box::new(MovementRequest { requester, ..*request }))
        }
        InventoryCommand::Allocate(_) => panic!("no person asks for that"),
    }
}

pub(crate) async fn the_admin_log_has_what_people_changed_and_who_did_it(fresh: Fresh) {
    let count = Change::Count { on_hand: 7, expected: None };
    let batch = vec![
        put_named("MUG", "Mug", Some(3)),
        put_named("MUG", "Mug", Some(3)),
        put_named("MUG", "Big mug", None),
        put_location("shop", 5),
        received("MUG", "shop", 9),
        moved("MUG", "shop", count, "count"),
        moved("MUG", "shop", count, "count"),
        moved("MUG", "shop", Change::Adjust(-9), "too many"),
        moved("MUG", "shop", Change::Adjust(-1), "broken"),
    ];
    fresh.run(batch.into_iter().map(by_ana).collect()).await;
    let mut log = fresh.audit.admin_log(None, 100).await.expect("a page");
    log.reverse();
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let seen: Vec<_> = log
        .iter()
        .map(|entry| {
            let before = entry.before.as_deref().map(json);
            (entry.action.as_str(), entry.subject.as_str(), before, json(&entry.after))
        })
        .collect();
    let stock = |units: i64| json!({"location_id": "shop", "on_hand": units});
    let changed =
        |units: i64| json!({"location_id": "shop", "on_hand": units, "reason": "because"});
    let small = json!({"name": "Mug", "low_stock_at": 3});
    let big = json!({"name": "Big mug", "low_stock_at": null});
    assert_eq!(
        seen,
        [
            ("put_product", "MUG", None, small.clone()),
            ("put_product", "MUG", Some(small), big),
            ("put_location", "shop", None, json!({"name": "shop", "priority": 5})),
            ("count", "MUG", Some(stock(9)), changed(7)),
            ("adjust", "MUG", Some(stock(7)), changed(6)),
        ]
    );
    for entry in &log {
        assert_eq!(entry.at_micros, START.0);
        assert_eq!(entry.actor.as_deref(), Some("key:ana"));
        assert_eq!(entry.request_id.as_deref(), Some("r-1"));
        assert_eq!(entry.address.as_deref(), Some("192.0.2.7"));
    }
}

pub(crate) async fn the_admin_log_is_complete_page_by_page(fresh: Fresh) {
    let names: Vec<String> = (10..22).map(|n| format!("P{n}")).collect();
    for name in &names {
        fresh.run(vec![put(name)]).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = fresh.audit.admin_log(before, 5).await.expect("a page");
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page.into_iter().map(|entry| entry.subject));
    }
    seen.reverse();
    assert_eq!(seen, names);
}
