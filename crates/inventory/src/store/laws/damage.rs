//! Laws of damage: a row that was edited by hand costs what reads it, and nothing else (R17).

use inventory_core::stock::MAX_ON_HAND;
use platform::journal::{Position, Recorded};

use super::*;

/// What may stand in a damaged row, and which column is named.
const DAMAGES: [(&str, &str); 9] = [
    ("allocations = '[7]'", "allocations is"),
    ("allocations = 'none'", "allocations is"),
    ("allocations = '[[99,1,1,0,0,[1]]]'", "allocations is of the unknown product 99"),
    ("allocations = '[[1,99,1,0,0,[1]]]'", "allocations is at the unknown location 99"),
    ("allocations = '[[1,1,2,3,0,[1]]]'", "allocations is of units that do not add up"),
    ("revision = 0", "revision is 0"),
    ("revision = -7", "revision is -7"),
    ("shortages = '[]'", "shortages is"),
    (r#"shortages = '{"revision":1,"short":[]}'"#, "shortages is empty"),
];

pub(crate) async fn a_damaged_reservation_fails_its_own_order_and_no_other(fresh: Fresh) {
    fresh.run(stocked("MUG", 50).to_vec()).await;
    let mut left = 0;
    let one = [("MUG", 1)];
    for (n, (damage, named)) in (1..).zip(DAMAGES) {
        fresh.run(vec![place(n, &one), place(n + 100, &one)]).await;
        fresh
            .damage(&format!("UPDATE reservations SET {damage} WHERE order_id = {{order {n}}}"))
            .await;
        let read = fresh.store.reservation(id(n)).await;
        let batch: Arc<[_]> = Arc::new([cancel(n, &one), cancel(n + 100, &one)]);
        for failed in [read.map(|_| ()), fresh.store.run(batch, decide).await.map(|_| ())] {
            let failure = failed.expect_err("damaged");
            assert!(matches!(failure, Failure::Suspect(_)), "{failure}");
            let message = platform::failure::Chain(&failure).to_string();
            let named = format!("reservations {}: {named}", id(n));
            assert!(message.contains(&named), "{damage}: {message}");
        }
        // The committer runs the commands one by one.
        let alone = fresh.store.run(Arc::new([cancel(n, &one)]), decide).await;
        assert!(matches!(alone, Err(Failure::Suspect(_))), "{alone:?}");
        fresh.run(vec![cancel(n + 100, &one)]).await;
        assert_eq!(fresh.reservation(n + 100).await.facts().allocated.total(), 0);
        left += 1;
        assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 50, left)]);
    }
}

/// Every batch reads all locations, so one of them must not fail every batch.
pub(crate) async fn a_damaged_location_fails_what_is_there_and_nothing_else(fresh: Fresh) {
    fresh.run([stocked("MUG", 5), stocked("TEE", 5)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("TEE", "SHOP", 2)]).await;
    fresh.damage("UPDATE locations SET location_id = '?' WHERE location_id = 'SHOP'").await;
    let decided = fresh.run(vec![place(1, &[("MUG", 1)]), received("MUG", "main", 1)]).await;
    assert!(is_allocated(&decided[0]));
    assert_eq!(fresh.levels("MUG").await, [("main".to_owned(), 6, 1)]);
    let there = fresh.store.run(Arc::new([place(2, &[("TEE", 1)])]), decide).await;
    assert!(matches!(there, Err(Failure::Suspect(_))), "{there:?}");
    let listed = fresh.store.locations().await;
    assert!(matches!(listed, Err(Failure::Suspect(_))), "{listed:?}");
    // A number out of range is no obstacle for other products either.
    let damage = format!("UPDATE stock SET on_hand = {} WHERE product_no = {{TEE}}", -MAX_ON_HAND);
    fresh.damage(&damage).await;
    fresh.run(vec![place(3, &[("MUG", 1)])]).await;
}

pub(crate) async fn a_ledger_with_a_gap_is_not_listed_as_if_it_ended_there(fresh: Fresh) {
    fresh.run([stocked("MUG", 5), stocked("TEE", 5)].concat()).await;
    for n in 1..=3 {
        fresh.run(vec![place(n, &[("MUG", 1)])]).await;
    }
    fresh.damage("DELETE FROM movements WHERE product_no = {MUG} AND seq = 2").await;
    for at in [None, Some("main")] {
        let filter = |limit| MovementFilter {
            product_id: product("MUG"),
            location_id: at.map(location),
            from: None,
            limit,
        };
        assert_eq!(fresh.store.movements(filter(2)).await.expect("the newest two").len(), 2);
        let failure = fresh.store.movements(filter(3)).await.expect_err("a gap");
        assert!(matches!(failure, Failure::Suspect(_)), "{failure}");
    }
    assert_eq!(fresh.ledger("TEE").await.len(), 1);
}

/// What may be wrong with a movement of the product `P`.
const DAMAGED_MOVEMENTS: [&str; 4] = [
    "UPDATE movements SET product_no = 99",
    "UPDATE movements SET order_id = NULL",
    "UPDATE movements SET seq = -2",
    "DELETE FROM movements",
];

pub(crate) async fn a_damaged_movement_costs_its_own_entry_of_the_journal(fresh: Fresh) {
    let mut expected = Vec::new();
    for (n, damage) in (1..).zip(DAMAGED_MOVEMENTS) {
        let name = format!("P{n}");
        fresh.run(stocked(&name, 5).to_vec()).await;
        fresh.run(vec![place(n, &[(&name, 1)])]).await;
        fresh.run(vec![place(n + 100, &[(&name, 1)])]).await;
        fresh.damage(&format!("{damage} WHERE product_no = {{{name}}} AND seq = 2")).await;
        expected.extend([Some((name.clone(), 1)), None, Some((name, 3))]);
    }
    feeding::numbered(&*fresh.journal).await;
    let mut found = Vec::new();
    for Recorded { entry, .. } in fresh.feed.made(Position::START, 100).await.expect("a page") {
        assert!(entry.last_movement > 0);
        found.push(match entry.moved {
            Ok(moved) => Some((moved.product_id.to_string(), moved.to_seq)),
            Err(Failure::Suspect(_)) => None,
            Err(failure) => panic!("{failure}"),
        });
    }
    assert_eq!(found, expected);
}
