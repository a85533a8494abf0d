//! Laws of writing: what was decided is what is stored, all of it or nothing.

use std::time::Duration;

use inventory_core::decide::{Decision, Loaded};
use inventory_core::reservation::{Before, Seen, State, StateName};
use inventory_core::stock::{Cause, MovementKind};

use super::*;

pub(crate) async fn a_new_store_has_one_location_and_nothing_else(fresh: Fresh) {
    let main = Location { location_id: LocationId::main(), name: "Main".to_owned(), priority: 0 };
    assert_eq!(fresh.store.locations().await.expect("a read"), [main]);
    assert!(fresh.store.product(product("MUG")).await.expect("a read").is_none());
    assert!(fresh.store.reservation(id(1)).await.expect("a read").is_none());
    assert!(fresh.audit.stock_after(None, 10).await.expect("a page").is_empty());
}

pub(crate) async fn a_reservation_reads_back_with_its_allocations_and_its_evidence(fresh: Fresh) {
    fresh.run([stocked("MUG", 3), stocked("TEE", 1)].concat()).await;
    let lines = [("MUG", 2), ("TEE", 1)];
    let decided = fresh.run(vec![reserve(1, &lines), reserve(2, &lines)]).await;

    let held = fresh.store.reservation(id(1)).await.expect("a read").expect("a reservation");
    let StockOutcome::StockReserved { allocations } = &answer(&decided[0]).outcome else {
        panic!("{decided:?}")
    };
    assert_eq!(held.state, State::Reserved(allocations.clone()));
    assert_eq!((held.digest, held.created_at_micros), (answer(&decided[0]).digest, START.0));

    let short = fresh.store.reservation(id(2)).await.expect("a read").expect("a reservation");
    let State::Rejected(shortfalls) = short.state else { panic!("{short:?}") };
    let StockOutcome::StockRejected { shortages } = &answer(&decided[1]).outcome else {
        panic!("{decided:?}")
    };
    assert_eq!(
        shortfalls.iter().map(|short| &short.shortage).collect::<Vec<_>>(),
        shortages.iter().collect::<Vec<_>>()
    );
    let seen: Vec<_> = shortfalls.iter().map(|short| short.seen.clone()).collect();
    let main = |seq| vec![Seen { location_id: LocationId::main(), seq }];
    assert_eq!(seen, [main(2), main(2)], "one unit left of three, none of one");
}

pub(crate) async fn a_rejection_cites_every_location_of_its_product(fresh: Fresh) {
    fresh.run(stocked("MUG", 3).to_vec()).await;
    fresh.run([put_location("SHOP", 1), put_location("ATTIC", 2)].to_vec()).await;
    fresh
        .run(vec![
            received("MUG", "SHOP", 2),
            received("MUG", "SHOP", 4),
            received("MUG", "ATTIC", 1),
        ])
        .await;
    fresh.run(vec![reserve(1, &[("MUG", 20)])]).await;
    let short = fresh.store.reservation(id(1)).await.expect("a read").expect("a reservation");
    let [short] = short.state.shortfalls() else { panic!("{short:?}") };
    let seen: Vec<_> =
        short.seen.iter().map(|seen| (seen.location_id.as_str(), seen.seq)).collect();
    assert_eq!(
        (seen, short.shortage.available),
        (vec![("ATTIC", 1), ("SHOP", 2), ("main", 1)], 10)
    );
}

pub(crate) async fn every_path_of_a_reservation_reads_back_and_answers_the_same_again(
    fresh: Fresh,
) {
    use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
    fresh.run(stocked("MUG", 5).to_vec()).await;
    let paths: [(u128, &[StockCommandKind], u32, StateName); 6] = [
        (1, &[ReserveStock], 1, StateName::Reserved),
        (2, &[ReserveStock, ReleaseStock], 1, StateName::Released),
        (3, &[ReserveStock, ShipStock], 1, StateName::Shipped),
        (4, &[ReserveStock], 9, StateName::Rejected),
        (5, &[ReserveStock, ReleaseStock], 9, StateName::Released),
        (6, &[ReleaseStock], 1, StateName::Released),
    ];
    for (n, path, units, expected) in paths {
        let mut last = None;
        for kind in path {
            fresh.clock.advance(Duration::from_secs(1));
            last = fresh.run(vec![order(*kind, n, &[("MUG", units)])]).await.pop();
        }
        let first = answer(&last.expect("an answer")).clone();
        let stored = fresh.store.reservation(id(n)).await.expect("a read").expect("a reservation");
        assert_eq!(stored.state.name(), expected, "order {n}");
        fresh.clock.advance(Duration::from_secs(1));
        let kind = path[path.len() - 1];
        let again = fresh.run(vec![order(kind, n, &[("MUG", units)])]).await;
        assert_eq!(again[0].outcome, InventoryOutcome::Answered { repeated: true }, "order {n}");
        let again = answer(&again[0]);
        assert_eq!(
            (&again.outcome, again.decided_at_micros),
            (&first.outcome, first.decided_at_micros),
            "order {n}"
        );
    }
    let before = |state: State| matches!(state, State::Released(Before::Absent));
    assert!(before(
        fresh.store.reservation(id(6)).await.expect("a read").expect("a tombstone").state
    ));
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 4, 1)]);
}

pub(crate) async fn commands_of_a_batch_are_decided_in_order(fresh: Fresh) {
    let one = |kind, n| order(kind, n, &[("MUG", 1)]);
    let [made, received] = stocked("MUG", 1);
    let batch = vec![
        received.clone(),
        made,
        received,
        one(StockCommandKind::ReserveStock, 1),
        one(StockCommandKind::ReserveStock, 2),
        one(StockCommandKind::ReleaseStock, 1),
        one(StockCommandKind::ReserveStock, 3),
        one(StockCommandKind::ShipStock, 3),
    ];
    let decided = fresh.run(batch).await;
    assert!(
        matches!(decided[0].outcome, InventoryOutcome::Refused(_)),
        "the product did not exist yet"
    );
    assert_eq!([3, 4, 6].map(|at: usize| is_reserved(&decided[at])), [true, false, true]);
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
    fresh.run(vec![reserve(1, &[("MUG", 2)])]).await;
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
    let movement = |decided: &Decided| match &decided.outcome {
        InventoryOutcome::Moved { movement, .. } => movement.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(movement(&later[0]), movement(&first[0]));
    let reused = fresh.run(vec![moved("MUG", "main", Change::Adjust(1), "count")]).await;
    assert!(matches!(
        reused[0].outcome,
        InventoryOutcome::Refused(inventory_core::decide::Refusal::KeyReused)
    ));
    assert_eq!(fresh.ledger("MUG").await.len(), 2);
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(fresh: Fresh) {
    /// Decides well, but moves the last movement twice.
    fn twice(now: i64, batch: &[InventoryCommand], loaded: Loaded) -> Decision {
        let mut decision = decide(now, batch, loaded);
        let last = decision.changes.movements.last().expect("a movement").clone();
        decision.changes.movements.push(last);
        decision
    }
    fresh.run(stocked("MUG", 5).to_vec()).await;
    let batch = [stocked("TEE", 1).to_vec(), vec![reserve(1, &[("MUG", 1)])]].concat();
    let refused = fresh.store.run(batch.clone().into(), twice).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert!(fresh.store.product(product("TEE")).await.expect("a read").is_none());
    assert!(fresh.store.reservation(id(1)).await.expect("a read").is_none());
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 0)]);
    fresh.run(batch).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 1)]);
}

pub(crate) async fn a_level_moves_only_from_where_the_decision_saw_it(fresh: Fresh) {
    /// Decides on levels that stand one movement further on than they do.
    fn ahead(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded
            .levels
            .values_mut()
            .flat_map(|levels| levels.values_mut())
            .for_each(|level| level.last_seq += 1);
        decide(now, batch, loaded)
    }
    /// Decides on levels of one movement ago.
    fn behind(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded
            .levels
            .values_mut()
            .flat_map(|levels| levels.values_mut())
            .for_each(|level| level.last_seq -= 1);
        decide(now, batch, loaded)
    }
    /// Decides as if nothing had ever moved.
    fn blank(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded.levels.clear();
        decide(now, batch, loaded)
    }
    fresh.run(stocked("MUG", 5).to_vec()).await;
    fresh.run(vec![received("MUG", "main", 2)]).await;
    for decider in [ahead, behind, blank] {
        let refused = fresh.store.run(Arc::new([received("MUG", "main", 1)]), decider).await;
        assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
        assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 7, 0)]);
    }
}

pub(crate) async fn a_reservation_moves_only_from_where_the_decision_saw_it(fresh: Fresh) {
    /// Decides as if every rejected order held its units.
    fn generous(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded
            .reservations
            .values_mut()
            .for_each(|found| found.state = State::Reserved(Vec::new()));
        decide(now, batch, loaded)
    }
    /// Decides as if it had never heard of any order.
    fn forgetful(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded.reservations.clear();
        decide(now, batch, loaded)
    }
    fresh.run(vec![reserve(1, &[("MUG", 1)])]).await;
    let ship = order(StockCommandKind::ShipStock, 1, &[("MUG", 1)]);
    let deciders: [(inventory_core::decide::Decide, InventoryCommand); 2] =
        [(generous, ship), (forgetful, reserve(1, &[("MUG", 1)]))];
    for (decider, command) in deciders {
        let refused = fresh.store.run(Arc::new([command]), decider).await;
        assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    }
    let stored = fresh.store.reservation(id(1)).await.expect("a read").expect("a reservation");
    assert_eq!(stored.state.name(), StateName::Rejected);
}

pub(crate) async fn a_decision_that_oversells_is_refused_by_the_database(fresh: Fresh) {
    /// Decides as if there were ten more of everything, and writes it as differences.
    fn optimistic(now: i64, batch: &[InventoryCommand], mut loaded: Loaded) -> Decision {
        loaded
            .levels
            .values_mut()
            .flat_map(|levels| levels.values_mut())
            .for_each(|level| level.on_hand += 10);
        decide(now, batch, loaded)
    }
    fresh.run(stocked("MUG", 1).to_vec()).await;
    let refused = fresh.store.run(Arc::new([reserve(1, &[("MUG", 2)])]), optimistic).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 1, 0)]);
}

pub(crate) async fn a_panicking_decider_leaves_nothing_behind_and_the_store_working(fresh: Fresh) {
    fn broken(_: i64, _: &[InventoryCommand], _: Loaded) -> Decision {
        panic!("a bug in the decider (this test wants it)")
    }
    let refused = fresh.store.run(stocked("MUG", 5).into(), broken).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    fresh.run(stocked("MUG", 5).to_vec()).await;
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 5, 0)]);
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
            let mut reserved = 0;
            for n in 0..12 {
                let mut pair = [PRODUCTS[n % 3], PRODUCTS[(n + 1) % 3]];
                if decider % 2 == 1 {
                    pair.reverse();
                }
                let number = decider * 100 + n as u128;
                // Two orders of one product each, in an order that other deciders take the other
                // way round.
                let batch =
                    [reserve(number, &[(pair[0], 1)]), reserve(5000 + number, &[(pair[1], 1)])];
                let decided = run_until_done(&*store, Arc::new(batch)).await;
                reserved += decided.iter().filter(|one| is_reserved(one)).count();
            }
            reserved
        })
    });
    let mut reserved = 0;
    for decider in deciders.collect::<Vec<_>>() {
        reserved += decider.await.expect("no panic");
    }
    assert_eq!(reserved, 300, "384 orders for 300 units");
    for name in PRODUCTS {
        assert_eq!(fresh.levels(name).await, [("main".to_owned(), 100, 100)]);
    }
}
