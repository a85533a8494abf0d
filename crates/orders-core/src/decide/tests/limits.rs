//! How often an order may be changed, and how long it may get (R17).

use contract::answers::StockAllocated;
use contract::{Allocation, Facts, MAX_ALLOCATIONS, MAX_RETURNED, Quantity, Revision};

use super::harness::World;
use super::script::{Line, id_of, parse, request_of};
use crate::changes::RequestKey;
use crate::decide::{
    Disposition, MAX_CHANGES, MAX_HISTORY_BYTES, OrderCommand, OrderRequest, ReturnLine,
};

fn world(lines: &[&str]) -> World {
    let mut world = World::default();
    for line in lines {
        world.step(line);
    }
    world
}

#[test]
fn an_order_takes_200_changes_and_can_then_still_be_ended() {
    let mut world = world(&["place A 500 pay=900", "answer A", "pay A r1", "ship A s MUG 1"]);
    for number in 2..MAX_CHANGES {
        let seen = match number % 3 {
            0 => world.step(&format!("refund A {number} 1")),
            1 => world.step(&format!("return A {number} MUG 1 restock")),
            _ => world.step(&format!("ship A {number} MUG 1")),
        };
        assert!(seen.starts_with("amending #"), "{seen}");
    }
    assert_eq!(world.step("cancel-lines A last MUG 1"), "amending #203");
    for refused in [
        "cancel-lines A x MUG 1",
        "ship A x MUG 1",
        "return A x MUG 1 restock",
        "cancel-shipment A 4",
        "refund A x 1",
    ] {
        assert_eq!(world.step(refused), "too many changes", "{refused}");
    }
    assert_eq!(world.step("cancel-lines A last MUG 1"), "again amending #203");
    assert_eq!(world.step("track A 4 x"), "amending #204", "Inventory is not asked");
    assert_eq!(world.step("answer A"), "confirmed");
    assert_eq!(world.step("pay A r1"), "again confirmed #3");
    assert_eq!(world.step("fulfill A"), "fulfilling #206");
    assert_eq!(world.step("answer A"), "fulfilled");
}

#[test]
fn what_is_owed_or_left_can_always_be_given_back() {
    let over = ["place A 2 pay=900", "answer A", "pay A r1", "cancel A", "answer A"];
    let kept = ["place A 2 pay=900", "answer A", "pay A r1", "refund A a 500", "answer A"];
    for (lines, given_back) in [(over, 2000), (kept, 1500)] {
        let mut world = world(&lines);
        let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
        order.registers.history_bytes = MAX_HISTORY_BYTES;
        let less = given_back - 1;
        assert_eq!(world.step(&format!("refund A x {less}")), "too many changes");
        let seen = world.step(&format!("refund A x {given_back}"));
        assert!(seen.starts_with("cancelled #6") || seen.starts_with("confirmed #5"), "{seen}");
        assert_eq!(world.step("refund A y 1"), "at most 0");
    }
}

/// A carrier that reports every stop leaves room for returns and cancelled shipments.
#[test]
fn the_tracking_of_shipments_takes_three_quarters_of_a_history() {
    let mut world = world(&["place A 2", "answer A", "ship A s MUG 1"]);
    let stop = |number: usize| format!("track A 3 {number}{}", "x".repeat(1000));
    let seen: Vec<_> = (0..100).map(|number| world.step(&stop(number))).collect();
    let tracked = seen.iter().filter(|seen| *seen != "too many changes").count();
    assert!((70..90).contains(&tracked), "{tracked} times 1000 bytes of text");
    assert_eq!(world.step("return A r MUG 1 restock"), format!("amending #{}", tracked + 4));
    // The length is that of the entries, whichever of them were written together.
    for batches in [&[usize::MAX][..], &[7, 20, 30]] {
        assert_eq!(world.again(batches).outcomes, world.store.outcomes);
    }
}

#[test]
fn an_order_with_a_long_history_can_still_be_paid_cancelled_and_fulfilled() {
    for (before, refused, allowed, status) in [
        (&["answer A", "pay A r1"][..], "ship A k MUG 1", "fulfill A", "fulfilling #4"),
        (&["answer A", "pay A r1"], "cancel-lines A k MUG 1", "cancel A", "cancelling #4"),
        (&["answer A", "pay A r1"], "refund A x 1", "cancel A", "cancelling #4"),
        (&["answer A", "expire A"], "refund A x 1", "pay A r1", "reviving #4"),
    ] {
        let mut world = world(&["place A 2 pay=900"]);
        for line in before {
            world.step(line);
        }
        let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
        order.registers.history_bytes = MAX_HISTORY_BYTES - 1;
        assert_ne!(world.step("ship A x MUG 9"), "too many changes", "it is the last");
        let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
        order.registers.history_bytes = MAX_HISTORY_BYTES;
        let seen = world.step(refused);
        let is_paid = before.contains(&"pay A r1");
        assert_eq!(seen, if is_paid { "too many changes" } else { "at most 0" });
        assert_eq!(world.step(allowed), status);
    }
}

fn return_of(world: &mut World, key: &str, lines: Vec<ReturnLine>) -> String {
    let digest = contract::Digest::of(key.as_bytes());
    let key = RequestKey { key: key.to_owned(), digest };
    let request = OrderRequest::Return { key, lines, reason: None };
    world.store.run(&[request_of(id_of("A"), request)]);
    world.store.outcomes.last().expect("an outcome").clone()
}

fn line(product: &str, units: u32, location: Option<String>) -> ReturnLine {
    ReturnLine {
        product_id: product.parse().expect("an id"),
        quantity: Quantity::new(units).expect("a quantity"),
        location_id: location.map(|location| location.parse().expect("an id")),
        disposition: Disposition::Quarantine,
    }
}

#[test]
fn the_returns_of_an_order_have_at_most_1000_entries() {
    let place = "place A MUG:2000:1 TEE:1:1";
    let mut world = world(&[place, "answer A", "fulfill A", "answer A"]);
    let mut book = |key: &str, numbers: std::ops::Range<usize>| {
        let lines = numbers.map(|number| line("MUG", 1, Some(format!("L{number:04}"))));
        return_of(&mut world, key, lines.collect())
    };
    assert_eq!(book("a", 0..MAX_RETURNED + 1), "no entries for lines [1000]");
    assert_eq!(book("b", 0..MAX_RETURNED), "amending #5");
    assert_eq!(book("c", MAX_RETURNED..MAX_RETURNED + 1), "no entries for lines [0]");
    assert_eq!(book("d", 0..1), "amending #6", "an entry that is there");
    let without_location = |product| vec![line(product, 1, None)];
    assert_eq!(return_of(&mut world, "e", without_location("TEE")), "no entries for lines [0]");
    let seen = return_of(&mut world, "f", without_location("MUG"));
    assert_eq!(seen, "amending #7", "it is booked where units of the product came back to");
    let returned = &world.store.orders[&id_of("A")].registers.intent.returned;
    assert_eq!((returned.len(), returned[MAX_RETURNED - 1].quarantined), (MAX_RETURNED, 2));
}

/// One product at 1500 locations, and all of it comes back.
#[test]
fn an_order_from_more_locations_than_returns_may_name_comes_back_without_a_location() {
    let mut world = world(&["place A MUG:1500:1"]);
    let one = |number: usize| Allocation {
        product_id: "MUG".parse().expect("an id"),
        location_id: format!("L{number:04}").parse().expect("an id"),
        quantity: Quantity::new(1).expect("a quantity"),
    };
    settle(&mut world, (0..1500).map(one).collect());
    assert_eq!(decide(&mut world, "fulfill A"), "fulfilling #3");
    assert_eq!(return_of(&mut world, "r", vec![line("MUG", 1500, None)]), "amending #4");
    let returned = &world.store.orders[&id_of("A")].registers.intent.returned;
    assert_eq!((returned.len(), returned.total()), (MAX_RETURNED, 1500));
}

/// Decides the command of a line about an order that Inventory answered without a line.
fn decide(world: &mut World, line: &str) -> String {
    let Line::Command(command) = parse(line) else { panic!("{line} is a command") };
    world.store.run(&[*command]);
    world.store.outcomes.last().expect("an outcome").clone()
}

/// Inventory answers order A with these units.
fn settle(world: &mut World, allocated: Vec<Allocation>) {
    let allocated = allocated.try_into().expect("sorted allocations");
    let answer = StockAllocated {
        schema: 1,
        order_id: id_of("A"),
        facts: Facts { allocated, ..Facts::nothing(Revision::FIRST) },
        digest: world.store.orders[&id_of("A")].digest,
        attempt: 1,
        decided_at_micros: 5,
        sent_at_micros: 6,
        traceparent: None,
    };
    world.store.run(&[OrderCommand::Settle(Box::new(answer))]);
}

/// 100 products, each at 40 locations.
#[test]
fn an_order_with_4000_allocations_is_shipped_in_parts_and_as_a_whole() {
    for (ship, statuses) in [
        (&["fulfill A"][..], &["fulfilling #3"][..]),
        (&["ship A k"], &["fulfilling #3"]),
        (
            &["ship A k P07 3", "cancel-lines A l P42 40", "cancel-shipment A 3"],
            &["amending #3", "amending #4", "amending #5"],
        ),
    ] {
        let products: Vec<_> = (0..100).map(|number| format!("P{number:02}:40:1")).collect();
        let mut world = world(&[&format!("place A {}", products.join(" "))]);
        let one = |number: usize| Allocation {
            product_id: format!("P{:02}", number / 40).parse().expect("an id"),
            location_id: format!("L{:02}", number % 40).parse().expect("an id"),
            quantity: Quantity::new(1).expect("a quantity"),
        };
        settle(&mut world, (0..MAX_ALLOCATIONS).map(one).collect());
        for (line, status) in ship.iter().zip(statuses) {
            assert_eq!(decide(&mut world, line), *status, "{line}");
        }
        let registers = &world.store.orders[&id_of("A")].registers;
        let shipped = if ship.len() == 1 { MAX_ALLOCATIONS } else { 0 };
        assert_eq!(registers.intent.shipped.len(), shipped);
    }
}
