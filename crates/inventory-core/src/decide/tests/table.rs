use super::*;
use crate::reservation::{State, StateName};

/// The columns are ReserveStock, ReleaseStock and ShipStock. A cell has `new` or `same` (a repeated
/// answer), the answer, and the units on hand and reserved. There are five mugs, and the order asks
/// for two, or for six if it is to be rejected.
#[test]
fn every_state_and_command_have_the_answer_of_the_table() {
    #[rustfmt::skip]
    let table = [
        ("absent",   ["new reserved 5/2",  "new released 5/0",  "anomaly 5/0"]),
        ("reserved", ["same reserved 5/2", "new released 5/0",  "new shipped 3/0"]),
        ("rejected", ["same rejected 5/0", "new released 5/0",  "anomaly 5/0"]),
        ("released", ["same released 5/0", "same released 5/0", "anomaly 5/0"]),
        ("shipped",  ["same reserved 3/0", "anomaly 3/0",       "same shipped 3/0"]),
    ];
    for (state, row) in table {
        for (kind, expected) in StockCommandKind::ALL.into_iter().zip(row) {
            assert_eq!(cell(state, kind), expected, "{state} × {kind:?}");
        }
    }
}

fn cell(state: &str, kind: StockCommandKind) -> String {
    let (mut stock, lines) = stock_with(state);
    let decided = stock.run(&[stock_command(kind, order_id("A"), lines)]).remove(0);
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

/// A stock of five mugs with the reservation of order A in this state, and the lines of A.
fn stock_with(state: &str) -> (Stock, StockLines) {
    let units = if state == "rejected" { 6 } else { 2 };
    let lines = StockLines::sum([(product_id("MUG"), Quantity::new(units).expect("a quantity"))])
        .expect("one line");
    let mut stock = Stock::default();
    let five = Change::Receive(Quantity::new(5).expect("a quantity"));
    stock.run(&[put_product("MUG"), movement_request("MUG", "main", five, "five")]);
    let history: &[StockCommandKind] = match state {
        "absent" => &[],
        "released" => &[StockCommandKind::ReserveStock, StockCommandKind::ReleaseStock],
        "shipped" => &[StockCommandKind::ReserveStock, StockCommandKind::ShipStock],
        _ => &[StockCommandKind::ReserveStock],
    };
    for kind in history {
        stock.run(&[stock_command(*kind, order_id("A"), lines.clone())]);
    }
    let stored = stock.reservation("A").map_or("absent", |found| found.state.name().as_str());
    assert_eq!(stored, state);
    (stock, lines)
}

#[test]
fn a_release_from_any_state_leaves_nothing_reserved_and_keeps_the_allocations() {
    for (state, held) in [("absent", 0), ("reserved", 1), ("rejected", 0), ("released", 1)] {
        let (mut stock, lines) = stock_with(state);
        stock.run(&[stock_command(StockCommandKind::ReleaseStock, order_id("A"), lines)]);
        let reservation = stock.reservation("A").expect("a reservation");
        assert!(matches!(reservation.state, State::Released(_)), "{state}");
        assert_eq!(
            reservation.state.allocations().len(),
            held,
            "{state}: the allocations are kept"
        );
        assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "main 5/0", "{state}");
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
