use super::stock::Stock;
use super::*;
use crate::reservation::{Reservation, ReservationState};

/// The commands of the columns: the placement, the cancellation and the fulfillment of order A.
const COMMANDS: [&str; 3] = ["place", "cancel", "fulfill"];

/// A cell has `new` or `same` (repeated facts), the answer with the revision that it answers, and
/// the units on hand and reserved. There are five mugs, and the order wants two, or six if it is to
/// be rejected.
#[test]
fn every_state_and_command_have_the_answer_of_the_table() {
    #[rustfmt::skip]
    let table = [
        ("absent",    ["new allocated(1) 5/2",  "new nothing(2) 5/0",    "anomaly 5/0"]),
        ("reserved",  ["same allocated(1) 5/2", "new nothing(2) 5/0",    "new allocated(2) 3/0"]),
        ("rejected",  ["same rejected(1) 5/0",  "new nothing(2) 5/0",    "anomaly 5/0"]),
        ("tombstone", ["same nothing(2) 5/0",   "same nothing(2) 5/0",   "anomaly 5/0"]),
        ("released",  ["same nothing(2) 5/0",   "same nothing(2) 5/0",   "anomaly 5/0"]),
        ("shipped",   ["same allocated(2) 3/0", "anomaly 3/0",           "same allocated(2) 3/0"]),
    ];
    for (state, row) in table {
        for (command, expected) in COMMANDS.into_iter().zip(row) {
            assert_eq!(cell(state, command), expected, "{state} × {command}");
        }
    }
}

fn cell(state: &str, command: &str) -> String {
    let (mut stock, units) = stock_with(state);
    let decided = stock.run(&[command_of_a(command, units)]).remove(0);
    stock.audit();
    let text = describe(&decided);
    let answer = words(&text)[0];
    let level = stock.levels(&product_id("MUG"))[&LocationId::main()];
    let level = format!("{}/{}", level.on_hand, level.reserved);
    match decided.outcome {
        InventoryOutcome::Answered { repeated: true } => format!("same {answer} {level}"),
        InventoryOutcome::Answered { repeated: false } => format!("new {answer} {level}"),
        _ => format!("{answer} {level}"),
    }
}

fn command_of_a(command: &str, units: u32) -> InventoryCommand {
    let wanted = wanted("MUG", units);
    let shipped = Allocation {
        product_id: product_id("MUG"),
        location_id: LocationId::main(),
        quantity: quantity(units),
    };
    let intent = match command {
        "place" => Intent::placed(wanted),
        "cancel" => cancelled(&wanted),
        _ => fulfilled(wanted, Allocations::sorted(vec![shipped]).expect("one stock key")),
    };
    allocate(order_id("A"), intent)
}

/// A stock of five mugs with the reservation of order A in this state, and how many A wants.
fn stock_with(state: &str) -> (Stock, u32) {
    let units = if state == "rejected" { 6 } else { 2 };
    let mut stock = Stock::default();
    let five = Change::Receive(quantity(5));
    stock.run(&[put_product("MUG"), movement_request("MUG", "main", five, "five")]);
    let (history, expected): (&[&str], _) = match state {
        "absent" => (&[], None),
        "reserved" => (&["place"], Some(ReservationState::Reserved)),
        "rejected" => (&["place"], Some(ReservationState::Rejected)),
        "tombstone" => (&["cancel"], Some(ReservationState::Released)),
        "released" => (&["place", "cancel"], Some(ReservationState::Released)),
        _ => (&["place", "fulfill"], Some(ReservationState::Shipped)),
    };
    for command in history {
        stock.run(&[command_of_a(command, units)]);
    }
    assert_eq!(stock.reservation("A").map(Reservation::state), expected);
    (stock, units)
}

#[test]
fn a_cancellation_in_any_state_leaves_nothing_reserved_and_remembers_what_was_promised() {
    for (state, promised) in [("absent", 0), ("reserved", 2), ("rejected", 0), ("released", 2)] {
        let (mut stock, units) = stock_with(state);
        stock.run(&[command_of_a("cancel", units)]);
        let reservation = stock.reservation("A").expect("a reservation");
        assert_eq!(reservation.state(), ReservationState::Released, "{state}");
        assert!(reservation.facts().allocated.is_empty(), "{state}");
        assert_eq!(reservation.last_allocated().total(), promised, "{state}");
        assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "main 5/0", "{state}");
    }
}

#[test]
fn names_read_back() {
    for kind in MovementKind::ALL {
        assert_eq!(MovementKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(MovementKind::parse("steal"), None);
    let names = [
        ReservationState::Reserved,
        ReservationState::Rejected,
        ReservationState::Released,
        ReservationState::Shipped,
    ];
    let names = names.map(ReservationState::as_str);
    assert_eq!(names, ["reserved", "rejected", "released", "shipped"]);
}
