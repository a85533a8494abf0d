//! The table of requests and answers, cell by cell.

use super::harness::World;
use super::script::id_of;
use crate::status::Status;

/// What leads to each status. Order A has two mugs and is to be paid.
const STATUSES: [(Status, &[&str]); 12] = [
    (Status::Received, &[]),
    (Status::Reserved, &["answer A"]),
    (Status::Confirmed, &["answer A", "pay A r1"]),
    (Status::Rejected, &["answer A short"]),
    (Status::Amending, &["answer A", "pay A r1", "ship A s MUG 1"]),
    (Status::Cancelling, &["answer A", "cancel A"]),
    (Status::Cancelled, &["answer A", "cancel A", "answer A"]),
    (Status::Fulfilling, &["answer A", "pay A r1", "fulfill A"]),
    (Status::Fulfilled, &["answer A", "pay A r1", "fulfill A", "answer A"]),
    (Status::Expiring, &["answer A", "expire A"]),
    (Status::Expired, &["answer A", "expire A", "answer A"]),
    (Status::Reviving, &["answer A", "expire A", "pay A r1"]),
];

/// The order in this status.
fn world(before: &[&str]) -> World {
    let mut world = World::default();
    world.step("place A 2 pay=900");
    for line in before {
        world.step(line);
    }
    world
}

/// The columns: `cancel`, `fulfill`, a cancellation of a line, a payment, the deadline.
#[test]
fn every_status_answers_every_request_as_the_table_says() {
    const REQUESTS: [&str; 5] =
        ["cancel A", "fulfill A", "cancel-lines A x MUG 1", "pay A r9 2000", "expire A"];
    #[rustfmt::skip]
    let table = [
        // cancel, fulfill, cancel-lines, pay, expire
        ["cancelling", "not", "not", "received", "stale"],                 // received
        ["cancelling", "not", "not", "confirmed", "expiring"],             // reserved
        ["cancelling", "fulfilling", "amending", "already paid", "stale"], // confirmed
        ["not", "not", "not", "rejected", "stale"],                        // rejected
        ["not", "fulfilling", "fulfilling", "already paid", "stale"],      // amending
        ["again cancelling", "not", "not", "cancelling", "stale"],         // cancelling
        ["again cancelled", "not", "not", "cancelled", "stale"],           // cancelled
        ["not", "again fulfilling", "unavailable line 0 has 0", "already paid", "stale"],
        ["not", "again fulfilled", "unavailable line 0 has 0", "already paid", "stale"],
        ["cancelling", "not", "not", "reviving", "stale"],                 // expiring
        ["cancelling", "not", "not", "reviving", "stale"],                 // expired
        ["cancelling", "not", "not", "already paid", "stale"],             // reviving
    ];
    for ((status, before), row) in STATUSES.into_iter().zip(table) {
        assert_eq!(world(before).store.orders[&id_of("A")].status(), status);
        for (request, expected) in REQUESTS.into_iter().zip(row) {
            let seen = world(before).step(request);
            let seen = seen.split(" #").next().unwrap_or_default();
            let not = format!("not while {}", status.as_str());
            let expected = if expected == "not" { &not } else { expected };
            assert_eq!(seen, expected, "{request} while {}", status.as_str());
        }
    }
}

/// Once paid, the same reference is unchanged in every status, and changes no number.
#[test]
fn the_same_payment_is_unchanged_in_every_status() {
    for (status, before) in STATUSES {
        let mut world = world(before);
        if !before.contains(&"pay A r1") {
            world.step("pay A r1 2000");
        }
        let order = world.store.orders[&id_of("A")].clone();
        let now = order.status().as_str();
        let seen = world.step("pay A r1");
        assert!(seen.starts_with(&format!("again {now} #")), "{status:?}: {seen}");
        assert_eq!(world.store.orders[&id_of("A")], order);
        assert_eq!(world.step("pay A r2"), "already paid");
    }
}

/// Each kind of change in the statuses that admit changes; the order has two mugs, of which the
/// shipment with the number 4 has one in `amending`, and two in `fulfilling` and `fulfilled`.
#[test]
fn changes_are_admitted_by_status_and_then_by_numbers() {
    const CHANGES: [&str; 4] = [
        "cancel-lines A x MUG 2",
        "ship A x MUG 2",
        "cancel-shipment A 4",
        "return A x MUG 1 restock",
    ];
    let few = |count: u32| format!("unavailable line 0 has {count}");
    let amending = || "amending".to_owned();
    let none = || "no such shipment".to_owned();
    for (status, row) in [
        (Status::Confirmed, ["cancelling".to_owned(), "fulfilling".to_owned(), none(), few(0)]),
        (Status::Amending, [few(1), few(1), amending(), amending()]),
        (Status::Fulfilling, [few(0), few(0), amending(), amending()]),
        (Status::Fulfilled, [few(0), few(0), amending(), amending()]),
    ] {
        let (_, before) = STATUSES.into_iter().find(|(one, _)| *one == status).expect("a row");
        for (change, expected) in CHANGES.into_iter().zip(row) {
            let seen = world(before).step(change);
            let seen = seen.split(" #").next().unwrap_or_default();
            assert_eq!(seen, expected, "{change} while {}", status.as_str());
        }
    }
    for (status, before) in STATUSES {
        use Status::{Amending, Confirmed, Fulfilled, Fulfilling};
        if matches!(status, Confirmed | Amending | Fulfilling | Fulfilled) {
            continue;
        }
        for change in ["cancel-lines A x MUG 2", "ship A x", "return A x MUG 1 restock"] {
            let expected = format!("not while {}", status.as_str());
            assert_eq!(world(before).step(change), expected, "{change}");
        }
    }
}

/// The last column: what the newest answer of Inventory makes of an order.
#[test]
fn every_answer_makes_of_every_status_what_the_table_says() {
    for (before, answer, expected) in [
        (Status::Received, "", "reserved"),
        (Status::Received, "short", "rejected"),
        (Status::Reserved, "", "stale"),
        (Status::Confirmed, "", "stale"),
        (Status::Rejected, "", "stale"),
        (Status::Amending, "", "confirmed"),
        (Status::Cancelling, "", "cancelled"),
        (Status::Cancelled, "", "stale"),
        (Status::Fulfilling, "", "fulfilled"),
        (Status::Fulfilled, "", "stale"),
        (Status::Expiring, "", "expired"),
        (Status::Expired, "", "stale"),
        (Status::Reviving, "", "confirmed"),
    ] {
        let (_, lines) = STATUSES.into_iter().find(|(status, _)| *status == before).expect("a row");
        let seen = world(lines).step(&format!("answer A {answer}"));
        assert_eq!(seen, expected, "answer {answer} while {}", before.as_str());
    }
}
