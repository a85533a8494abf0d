use super::*;
use crate::core::reservation::{State, StateName};

/// Every cell of the table of reservations, a row per state: ReserveStock, ReleaseStock, ShipStock; and after each,
/// what is on hand and reserved of the five mugs, of which the order asks for two (three when it has to be rejected).
#[test]
fn every_state_answers_every_command_as_the_table_says() {
    let (new, again) = (false, true);
    let released = "StockReleased";
    #[rustfmt::skip]
    let table = [
        ("absent",   [Cell(Some(("StockReserved", new)),   "5/2"), Cell(Some((released, new)),   "5/0"), Cell(None, "5/0")]),
        ("reserved", [Cell(Some(("StockReserved", again)), "5/2"), Cell(Some((released, new)),   "5/0"), Cell(Some(("StockShipped", new)), "3/0")]),
        ("rejected", [Cell(Some(("StockRejected", again)), "5/0"), Cell(Some((released, new)),   "5/0"), Cell(None, "5/0")]),
        ("released", [Cell(Some((released, again)),        "5/0"), Cell(Some((released, again)), "5/0"), Cell(None, "5/0")]),
        ("shipped",  [Cell(Some(("StockReserved", again)), "3/0"), Cell(None, "3/0"),                    Cell(Some(("StockShipped", again)), "3/0")]),
    ];
    for (state, row) in table {
        for (kind, expected) in CommandKind::ALL.into_iter().zip(row) {
            assert_eq!(cell(state, kind), expected, "{state} × {kind:?}");
        }
    }
}

/// The answer and whether it was given before, or nothing for an anomaly; and the level after it.
#[derive(Debug, PartialEq)]
struct Cell(Option<(&'static str, bool)>, &'static str);

fn cell(state: &str, kind: CommandKind) -> Cell {
    let (mut shelf, lines) = shelf_with(state);
    let decided = shelf.run(&[stock_command(kind, order_id("A"), lines)]).remove(0);
    shelf.audit();
    let answer = decided.publish.map(|answer| answer.outcome.name());
    let told = match decided.outcome {
        Outcome::Answered { repeated } => answer.map(|name| (name, repeated)),
        Outcome::Anomaly(_) => None,
        other => panic!("no answer to a command: {other:?}"),
    };
    let level =
        ["5/2", "5/0", "3/0"].into_iter().find(|level| tell_levels(shelf.levels(&product_id("MUG"))).ends_with(level));
    Cell(told, level.expect("one of the levels in the table"))
}

/// Five mugs, and the order A in the state.
fn shelf_with(state: &str) -> (Shelf, StockLines) {
    let units = if state == "rejected" { 6 } else { 2 };
    let lines = StockLines::sum([(product_id("MUG"), Quantity::new(units).expect("a quantity"))]).expect("one line");
    let mut shelf = Shelf::default();
    let five = Change::Receive(Quantity::new(5).expect("a quantity"));
    shelf.run(&[put_product("MUG"), movement_request("MUG", "main", five, "five")]);
    let history: &[CommandKind] = match state {
        "absent" => &[],
        "released" => &[CommandKind::ReserveStock, CommandKind::ReleaseStock],
        "shipped" => &[CommandKind::ReserveStock, CommandKind::ShipStock],
        _ => &[CommandKind::ReserveStock],
    };
    for kind in history {
        shelf.run(&[stock_command(*kind, order_id("A"), lines.clone())]);
    }
    let stored = shelf.reservation("A").map_or("absent", |found| found.state.name().as_str());
    assert_eq!(stored, state);
    (shelf, lines)
}

#[test]
fn a_release_of_a_rejected_order_gives_nothing_back_and_a_release_absorbs_whatever_was_before() {
    for (state, held) in [("absent", 0), ("reserved", 1), ("rejected", 0), ("released", 1)] {
        let (mut shelf, lines) = shelf_with(state);
        shelf.run(&[stock_command(CommandKind::ReleaseStock, order_id("A"), lines)]);
        let reservation = shelf.reservation("A").expect("a reservation");
        assert!(matches!(reservation.state, State::Released(_)), "{state}");
        assert_eq!(reservation.state.allocations().len(), held, "{state}: what was held is still known");
        assert_eq!(tell_levels(shelf.levels(&product_id("MUG"))), "main 5/0", "{state}");
    }
}

#[test]
fn names_read_back() {
    for state in StateName::ALL {
        assert_eq!(StateName::parse(state.as_str()), Some(state));
    }
    for kind in MovementKind::ALL {
        assert_eq!(MovementKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!((StateName::parse("lost"), MovementKind::parse("steal")), (None, None));
}
