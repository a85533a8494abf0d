//! How often an order may be changed, and how long it may get (R17).

use contract::answers::StockAllocated;
use contract::{Allocation, Facts, MAX_ALLOCATIONS, MAX_RETURNED, Quantity, Revision};

use super::harness::World;
use super::script::{id_of, request_of};
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
        let seen = match number % 4 {
            0 => world.step(&format!("track A 4 {number}")),
            1 => world.step(&format!("refund A {number} 1")),
            2 => world.step(&format!("return A {number} MUG 1 restock")),
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
        "track A 4 x",
        "refund A x 1",
    ] {
        assert_eq!(world.step(refused), "too many changes", "{refused}");
    }
    assert_eq!(world.step("cancel-lines A last MUG 1"), "again amending #203");
    assert_eq!(world.step("answer A"), "confirmed");
    assert_eq!(world.step("pay A r1"), "again confirmed #3");
    assert_eq!(world.step("fulfill A"), "fulfilling #205");
    assert_eq!(world.step("answer A"), "fulfilled");
}

#[test]
fn what_is_owed_can_always_be_given_back() {
    let mut world = world(&["place A 2 pay=900", "answer A", "pay A r1", "cancel A", "answer A"]);
    let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
    order.history_bytes = MAX_HISTORY_BYTES;
    let owed = order.registers.refund_due_minor(&order.terms);
    assert_eq!(world.step(&format!("refund A x {}", owed - 1)), "too many changes");
    assert_eq!(world.step(&format!("refund A x {owed}")), "cancelled #6");
    assert_eq!(world.step("refund A y 1"), "at most 0");
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
        order.history_bytes = MAX_HISTORY_BYTES - 1;
        assert_ne!(world.step("ship A x MUG 9"), "too many changes", "it is the last");
        let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
        order.history_bytes = MAX_HISTORY_BYTES;
        let seen = world.step(refused);
        let is_paid = before.contains(&"pay A r1");
        assert_eq!(seen, if is_paid { "too many changes" } else { "at most 0" });
        assert_eq!(world.step(allowed), status);
    }
}

#[test]
fn the_returns_of_an_order_have_at_most_1000_entries() {
    let mut world = world(&["place A 2000", "answer A", "fulfill A", "answer A"]);
    let line = |number: usize| ReturnLine {
        product_id: "MUG".parse().expect("an id"),
        quantity: Quantity::new(1).expect("a quantity"),
        location_id: Some(format!("L{number}").parse().expect("an id")),
        disposition: Disposition::Quarantine,
    };
    let mut take_back = |key: &str, numbers: std::ops::Range<usize>| {
        let digest = contract::Digest::of(key.as_bytes());
        let key = RequestKey { key: key.to_owned(), digest };
        let lines = numbers.map(line).collect();
        let request = OrderRequest::Return { key, lines, reason: None };
        world.store.run(&[request_of(id_of("A"), request)]);
        world.store.outcomes.last().expect("an outcome").clone()
    };
    assert_eq!(take_back("a", 0..MAX_RETURNED + 1), "too many changes");
    assert_eq!(take_back("b", 0..MAX_RETURNED), "amending #5");
    assert_eq!(take_back("c", MAX_RETURNED..MAX_RETURNED + 1), "too many changes");
    assert_eq!(take_back("d", 0..1), "amending #6", "an entry that is there");
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
        let allocated: Vec<_> = (0..MAX_ALLOCATIONS).map(one).collect();
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
        // With ids as short as these, the stored history is half as long as the limit.
        let order = world.store.orders.get_mut(&id_of("A")).expect("an order");
        assert!(order.history_bytes > MAX_HISTORY_BYTES, "ids are taken to be longer");
        order.history_bytes = MAX_HISTORY_BYTES / 2;
        for (line, status) in ship.iter().zip(statuses) {
            let super::script::Line::Command(command) = super::script::parse(line) else {
                panic!("{line} is a command");
            };
            world.store.run(&[*command]);
            assert_eq!(world.store.outcomes.last().map(String::as_str), Some(*status), "{line}");
        }
        let registers = &world.store.orders[&id_of("A")].registers;
        let shipped = if ship.len() == 1 { MAX_ALLOCATIONS } else { 0 };
        assert_eq!(registers.intent.shipped.len(), shipped);
    }
}
