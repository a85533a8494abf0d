//! Laws of deciding: what was decided is what is stored, and what is answered again.

use std::time::Duration;

use inventory_core::decide::Refusal;
use inventory_core::reservation::{Holding, ReservationState, Seen};
use inventory_core::stock::{Cause, MAX_LOCATIONS, MovementKind};

use super::*;

pub(crate) async fn a_new_store_has_one_location_and_nothing_else(fresh: Fresh) {
    let main = Location { location_id: LocationId::main(), name: "Main".to_owned(), priority: 0 };
    assert_eq!(fresh.store.locations().await.expect("a read"), [main]);
    assert!(fresh.store.product(product("MUG")).await.expect("a read").is_none());
    assert!(fresh.store.reservation(id(1)).await.expect("a read").is_none());
    assert!(fresh.audit.stock_after(None, 10).await.expect("a page").is_empty());
    assert_eq!(fresh.audit.last_movement().await.expect("a read"), None);
}

pub(crate) async fn a_reservation_reads_back_with_its_holdings_and_its_evidence(fresh: Fresh) {
    fresh.run([stocked("MUG", 3), stocked("TEE", 1)].concat()).await;
    let lines = [("MUG", 2), ("TEE", 1)];
    let decided = fresh.run(vec![place(1, &lines), place(2, &lines)]).await;
    let last = async |name: &str| fresh.ledger(name).await[0].number();

    let held = fresh.reservation(1).await;
    let holding = |name: &str, promised, movement| Holding {
        product_id: product(name),
        location_id: LocationId::main(),
        promised,
        released: 0,
        shipped: 0,
        movements: vec![movement],
    };
    let expected = [holding("MUG", 2, last("MUG").await), holding("TEE", 1, last("TEE").await)];
    assert_eq!(held.holdings, expected);
    assert_eq!((held.revision, held.digest), (Revision::FIRST, answer(&decided[0]).digest));
    assert_eq!((held.created_at_micros, held.updated_at_micros), (START.0, START.0));

    let short = fresh.reservation(2).await;
    let shortages: Vec<_> = short.shortfalls().iter().map(|short| short.shortage.clone()).collect();
    assert_eq!(shortages, answer(&decided[1]).facts.shortages);
    let seen: Vec<_> = short.shortfalls().iter().map(|short| short.seen.clone()).collect();
    let main = |movement| vec![Seen { location_id: LocationId::main(), movement }];
    assert_eq!(seen, [main(last("MUG").await), main(last("TEE").await)]);
}

pub(crate) async fn a_rejection_cites_every_location_of_its_product(fresh: Fresh) {
    fresh.run(stocked("MUG", 3).to_vec()).await;
    fresh.run([put_location("SHOP", 1), put_location("ATTIC", 2)].to_vec()).await;
    let receipts = [("SHOP", 2), ("SHOP", 4), ("ATTIC", 1)];
    fresh.run(receipts.map(|(at, units)| received("MUG", at, units)).to_vec()).await;
    fresh.run(vec![place(1, &[("MUG", 20)])]).await;
    let short = fresh.reservation(1).await;
    let [short] = short.shortfalls() else { panic!("{short:?}") };
    let seen: Vec<_> =
        short.seen.iter().map(|seen| (seen.location_id.as_str(), seen.movement)).collect();
    let ledger = fresh.ledger("MUG").await;
    let last = |at: &str| {
        let newest = ledger.iter().find(|movement| movement.location_id.as_str() == at);
        newest.expect("a movement").number()
    };
    assert_eq!(seen, ["ATTIC", "SHOP", "main"].map(|at| (at, last(at))));
    assert_eq!(short.shortage.available, 10);
}

/// The facts are the same after they were stored, however often the command comes.
pub(crate) async fn every_path_of_a_reservation_reads_back_and_answers_the_same_again(
    fresh: Fresh,
) {
    use ReservationState::{Rejected, Released, Reserved, Shipped};
    type Step = fn(u128, &[(&str, u32)]) -> InventoryCommand;
    fresh.run(stocked("MUG", 5).to_vec()).await;
    let paths: [(u128, &[Step], u32, ReservationState); 6] = [
        (1, &[place], 1, Reserved),
        (2, &[place, cancel], 1, Released),
        (3, &[place, fulfill], 1, Shipped),
        (4, &[place], 9, Rejected),
        (5, &[place, cancel], 9, Released),
        (6, &[cancel], 1, Released),
    ];
    for (n, path, units, expected) in paths {
        let mut last = None;
        for step in path {
            fresh.clock.advance(Duration::from_secs(1));
            last = fresh.run(vec![step(n, &[("MUG", units)])]).await.pop();
        }
        let first = answer(&last.expect("an answer")).clone();
        let stored = fresh.reservation(n).await;
        assert_eq!((stored.state(), stored.facts()), (expected, first.facts.clone()), "order {n}");
        // Also the commands of lower revisions are answered with the facts of now.
        for step in path {
            fresh.clock.advance(Duration::from_secs(1));
            let again = fresh.run(vec![step(n, &[("MUG", units)])]).await;
            assert_eq!(again[0].outcome, InventoryOutcome::Answered { repeated: true }, "{n}");
            let again = answer(&again[0]);
            assert_eq!(again.facts, first.facts, "order {n}");
            assert_eq!(again.digest, first.digest, "order {n}");
            assert_eq!(again.decided_at_micros, first.decided_at_micros, "order {n}");
        }
        assert_eq!(fresh.reservation(n).await, stored, "order {n}");
    }
    assert_eq!(fresh.reservation(5).await.shortfalls().len(), 1, "kept after a release");
    assert_eq!(fresh.reservation(2).await.last_allocated().total(), 1, "as it had been promised");
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 4, 1)]);
}

pub(crate) async fn commands_of_a_batch_are_decided_in_order(fresh: Fresh) {
    let one = [("MUG", 1)];
    let [made, received] = stocked("MUG", 1);
    let batch = vec![
        received.clone(),
        made,
        received,
        place(1, &one),
        place(2, &one),
        cancel(1, &one),
        place(3, &one),
        fulfill(3, &one),
    ];
    let decided = fresh.run(batch).await;
    assert!(
        matches!(decided[0].outcome, InventoryOutcome::Refused(_)),
        "the product did not exist yet"
    );
    assert_eq!([3, 4, 6].map(|at: usize| is_allocated(&decided[at])), [true, false, true]);
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 0, 0)]);
    let kinds: Vec<_> = fresh.ledger("MUG").await.iter().rev().map(|entry| entry.kind).collect();
    use MovementKind::{Receive, Release, Reserve, Ship};
    assert_eq!(kinds, [Receive, Reserve, Release, Reserve, Ship]);
}

pub(crate) async fn a_movement_reads_back_with_all_members_of_its_request(fresh: Fresh) {
    let decided = fresh.run(stocked("MUG", 5).to_vec()).await;
    let InventoryOutcome::Moved { movement, replayed: false } = &decided[1].outcome else {
        panic!("{decided:?}")
    };
    assert_eq!(fresh.ledger("MUG").await, std::slice::from_ref(movement));
    let Cause::Request(cause) = &movement.cause else { panic!("{movement:?}") };
    let texts = [&cause.reason, &cause.reference, &cause.actor]
        .map(|text| text.as_deref().expect("a text"));
    assert_eq!(texts, ["because", "PO-7", "ana"]);
    fresh.run(vec![place(1, &[("MUG", 2)])]).await;
    assert_eq!(fresh.ledger("MUG").await[0].cause, Cause::Order(id(1)));
}

pub(crate) async fn a_request_moves_stock_once_however_often_it_comes(fresh: Fresh) {
    fresh.run(stocked("MUG", 5).to_vec()).await;
    let count = moved("MUG", "main", Change::Count { on_hand: 7, expected: Some(5) }, "count");
    let first = fresh.run(vec![count.clone(), count.clone()]).await;
    assert_eq!([0, 1].map(|at: usize| is_replay(&first[at])), [false, true], "within a batch");
    fresh.clock.advance(Duration::from_secs(1));
    let later = fresh.run(vec![count]).await;
    assert!(is_replay(&later[0]), "and later");
    let movement = |decided: &DecidedInventory| match &decided.outcome {
        InventoryOutcome::Moved { movement, .. } => movement.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(movement(&later[0]), movement(&first[0]));
    let reused = fresh.run(vec![moved("MUG", "main", Change::Adjust(1), "count")]).await;
    assert!(matches!(reused[0].outcome, InventoryOutcome::Refused(Refusal::KeyReused)));
    assert_eq!(fresh.ledger("MUG").await.len(), 2);
}

/// Over batches and within them, at several locations.
pub(crate) async fn movements_form_one_chain_per_stock_key_and_one_per_product(fresh: Fresh) {
    fresh.run([put("MUG"), put("TEE"), put_location("SHOP", 1)].to_vec()).await;
    for units in 1..=3 {
        let receipts = [("MUG", "main"), ("TEE", "main"), ("MUG", "SHOP"), ("MUG", "main")];
        let receipt =
            |(at, (name, location)): (u32, (&str, &str))| received(name, location, 10 * units + at);
        fresh.run((0..).zip(receipts).map(receipt).collect()).await;
    }
    for name in ["MUG", "TEE"] {
        let mut ledger = fresh.ledger(name).await;
        ledger.reverse();
        assert_eq!(ledger.len(), if name == "MUG" { 9 } else { 3 });
        let mut last_of_product = None;
        let mut last_at = std::collections::BTreeMap::new();
        for movement in &ledger {
            assert_eq!(movement.previous_of_product, last_of_product);
            assert_eq!(movement.previous, last_at.get(&movement.location_id).copied());
            assert!(Some(movement.number()) > last_of_product, "numbers rise");
            last_of_product = Some(movement.number());
            last_at.insert(movement.location_id.clone(), movement.number());
        }
        let stock = fresh.store.product(product(name)).await.expect("a read").expect("a product");
        let known: Vec<_> = stock.levels.values().map(|level| level.last_movement).collect();
        assert_eq!(known, last_at.into_values().collect::<Vec<_>>());
    }
}

/// The products of its reservation are none that the batch has loaded.
pub(crate) async fn a_command_that_names_other_products_than_its_order_is_an_anomaly(fresh: Fresh) {
    fresh.run([stocked("MUG", 3), stocked("TEE", 3)].concat()).await;
    fresh.run(vec![place(1, &[("MUG", 2)])]).await;
    let before = fresh.reservation(1).await;
    let decided = fresh.run(vec![cancel(1, &[("TEE", 2)]), place(1, &[("TEE", 2)])]).await;
    for one in &decided {
        assert!(matches!(one.outcome, InventoryOutcome::Anomaly(_)), "{one:?}");
    }
    assert_eq!(fresh.reservation(1).await, before);
}

/// 100 lines from 40 locations each are 4 000 allocations, the most that an order may have (R17).
pub(crate) async fn the_largest_order_is_reserved_shipped_and_read_back(fresh: Fresh) {
    let products: Vec<String> = (100..200).map(|n| format!("P{n}")).collect();
    let locations: Vec<String> = (10..50).map(|n| format!("L{n}")).collect();
    fresh.run(products.iter().map(|name| put(name)).collect()).await;
    fresh.run(locations.iter().map(|name| put_location(name, 7)).collect()).await;
    for at in &locations {
        fresh.run(products.iter().map(|name| received(name, at, 1)).collect()).await;
    }
    let lines: Vec<(&str, u32)> = products.iter().map(|name| (name.as_str(), 40)).collect();
    let decided = fresh.run(vec![place(1, &lines)]).await;
    let allocated = answer(&decided[0]).facts.allocated.clone();
    assert_eq!(allocated.len(), contract::MAX_ALLOCATIONS);
    let shipped = Intent {
        revision: Revision::FIRST.next(),
        shipped: allocated.clone(),
        ..Intent::placed(wanted(&lines))
    };
    let decided = fresh.run(vec![allocate(1, shipped)]).await;
    assert_eq!(answer(&decided[0]).facts.allocated, allocated);
    let stored = fresh.reservation(1).await;
    assert_eq!((stored.state(), stored.last_allocated()), (ReservationState::Shipped, allocated));
    assert!(stored.holdings.iter().all(|holding| holding.movements.len() == 2));
}

pub(crate) async fn sixteen_deciders_with_crossed_products_neither_oversell_nor_deadlock(
    fresh: Fresh,
) {
    const PRODUCTS: [&str; 3] = ["A", "B", "C"];
    const UNITS: u32 = 100;
    fresh.run(PRODUCTS.into_iter().flat_map(|name| stocked(name, UNITS)).collect()).await;
    let deciders = (0..16u128).map(|decider| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut allocated = 0;
            for n in 0..12 {
                let mut pair = [PRODUCTS[n % 3], PRODUCTS[(n + 1) % 3]];
                if decider % 2 == 1 {
                    pair.reverse();
                }
                let number = decider * 100 + n as u128;
                // Two orders of one product each, in an order that other deciders take the other
                // way round.
                let batch = [place(number, &[(pair[0], 1)]), place(5000 + number, &[(pair[1], 1)])];
                let decided = run_until_done(&*store, Arc::new(batch)).await;
                allocated += decided.iter().filter(|one| is_allocated(one)).count();
            }
            allocated
        })
    });
    let mut allocated = 0;
    for decider in deciders.collect::<Vec<_>>() {
        allocated += decider.await.expect("no panic");
    }
    assert_eq!(allocated, 300, "384 orders for 300 units");
    for name in PRODUCTS {
        assert_eq!(fresh.levels(name).await, [("main".to_owned(), 100, 100)]);
    }
}

/// Eight replicas create locations at once, and there is room for nine.
pub(crate) async fn no_more_locations_are_created_than_the_maximum_however_many_ask_at_once(
    fresh: Fresh,
) {
    let first: Vec<_> = (1..MAX_LOCATIONS - 9).map(|n| put_location(&format!("L{n}"), 1)).collect();
    fresh.run(first).await;
    let deciders = (0..8).map(|decider| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let mut created = 0;
            for n in 0..4 {
                let batch = [put_location(&format!("D{decider}-{n}"), 2)];
                let decided = run_until_done(&*store, Arc::new(batch)).await;
                match &decided[0].outcome {
                    InventoryOutcome::LocationPut { created: true, .. } => created += 1,
                    InventoryOutcome::Refused(Refusal::TooManyLocations) => {}
                    other => panic!("not the outcome of a creation: {other:?}"),
                }
            }
            created
        })
    });
    let mut created = 0;
    for decider in deciders.collect::<Vec<_>>() {
        created += decider.await.expect("no panic");
    }
    assert_eq!(created, 9);
    assert_eq!(fresh.store.locations().await.expect("a read").len(), MAX_LOCATIONS);
}
