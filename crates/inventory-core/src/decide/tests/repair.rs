//! What an operator lets Inventory carry out instead of the Order Service.

use std::slice;

use super::*;
use crate::admin::{AdminAct, AdminEvent};

fn by_ana() -> Requester {
    Requester { actor: Some("operator:ana".to_owned()), ..Requester::default() }
}

/// The same command, given by an operator.
fn repair(command: InventoryCommand) -> InventoryCommand {
    let InventoryCommand::Allocate(command) = command else { panic!("{command:?}") };
    InventoryCommand::Repair(Box::new(RepairOrder { command: *command, requester: by_ana() }))
}

/// Two mugs, of which an order holds one, and the command that cancels it.
fn shop() -> (Stock, InventoryCommand) {
    let mut stock = Stock::default();
    let wanted = Wanted::sum([(product_id("MUG"), quantity(1))]).expect("one line");
    let received = movement_request("MUG", "main", Change::Receive(quantity(2)), "one");
    let placed = allocate(order_id("A"), Intent::placed(wanted.clone()));
    stock.run(&[put_product("MUG"), received, placed]);
    (stock, allocate(order_id("A"), cancelled(&wanted)))
}

#[test]
fn a_repair_does_what_the_order_service_could_have_asked_for() {
    let (mut repaired, cancel) = shop();
    let mut asked = repaired.clone();
    let by_operator = repaired.run(&[repair(cancel.clone())]);
    let by_orders = asked.run(&[cancel]);
    assert_eq!((by_operator, repaired), (by_orders, asked));
}

#[test]
fn a_repair_is_recorded_with_the_reservation_before_and_after() {
    let (mut stock, cancel) = shop();
    let before = stock.reservation("A").cloned();
    stock.now_micros = 7;
    let acts = stock.admin_acts(&[repair(cancel.clone())]);
    stock.run(&[repair(cancel)]);
    let after = stock.reservation("A").cloned().expect("a reservation");
    assert_eq!(before.as_ref().map(|it| it.holdings[0].held()), Some(1));
    assert_eq!(after.holdings[0].held(), 0);
    let event = AdminEvent::Repaired { before, after };
    assert_eq!(acts, [AdminAct { requester: by_ana(), at_micros: 7, event }]);
}

/// Neither a repetition nor what contradicts the reservation changes anything.
#[test]
fn a_repair_that_changes_nothing_is_not_recorded() {
    let (mut stock, cancel) = shop();
    stock.run(&[repair(cancel.clone())]);
    let two = Wanted::sum([(product_id("MUG"), quantity(2))]).expect("one line");
    let contradiction = allocate(order_id("A"), cancelled(&two));
    for command in [cancel, contradiction] {
        let mut same = stock.clone();
        assert_eq!(same.admin_acts(&[repair(command.clone())]), []);
        same.run(&[repair(command)]);
        assert_eq!(same.reservation("A"), stock.reservation("A"));
    }
}

#[test]
fn a_repair_loads_the_rows_of_its_order_and_is_not_a_command_of_the_order() {
    let (_, cancel) = shop();
    assert_eq!(Touched::by(&[repair(cancel.clone())]), Touched::by(slice::from_ref(&cancel)));
    assert!(!repair(cancel).is_of_order());
}
