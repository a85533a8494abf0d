use contract::commands::AllocateStock;
use contract::{Intent, Revision, ShortageReason};
use inventory_core::decide::decide;
use inventory_core::reservation::Shortfall;
use inventory_core::stock::MovementKind;
use orders_core::decide::Placement;

use super::*;
use crate::exhaustive::batch::{Batch, Item};
use crate::exhaustive::bounds::{Bounds, ONE_ORDER, TWO_ORDERS};
use crate::exhaustive::messages::Messages;
use crate::exhaustive::orders_database::LATER_MICROS;
use crate::exhaustive::shell::Shell;
use crate::exhaustive::stock_database::StockRun;

/// A database of Inventory, and the placements of both orders.
struct Fixture {
    database: StockDatabase,
    commands: [InventoryCommand; 2],
    messages: Messages,
    batches: [Batch; 2],
}

fn fixture(bounds: Bounds) -> Fixture {
    let mut messages = Messages::default();
    let commands = [actors::FIRST, actors::OTHER].map(|order| {
        let Placement { order_id, terms, digest, .. } = actors::placement(order, bounds);
        AllocateStock::first(order_id, Intent::placed(terms.ordered()), digest, 0)
    });
    let batches = [0, 1].map(|index: usize| {
        let number = messages.command(commands[index].clone()).trailing_zeros();
        [Some(Item::Message(u8::try_from(number).expect("few messages"))), None]
    });
    let commands = commands.map(|command| InventoryCommand::Allocate(Box::new(command)));
    Fixture { database: StockDatabase::new(bounds, Shell::RIGHT), commands, messages, batches }
}

impl Fixture {
    /// What the decider wants to write for the order's placement.
    fn changes(&self, index: usize, stock: Stock) -> InventoryChanges {
        let batch = std::slice::from_ref(&self.commands[index]);
        decide(LATER_MICROS, batch, self.database.load(batch, stock)).changes
    }

    fn after(&mut self, index: usize, stock: Stock) -> Stock {
        let run = self.database.run(self.batches[index], stock, None, &mut self.messages);
        match run {
            Ok(StockRun::Committed(commit)) => commit.stock,
            other => panic!("{other:?}"),
        }
    }
}

type Damage = fn(&mut InventoryChanges);

#[test]
fn every_damage_to_a_transaction_breaks_a_rule() {
    let damages: [(&str, Damage); 19] = [
        // The levels.
        ("R11", |changes| changes.stock[0].before.last_seq -= 1),
        ("R11", |changes| changes.stock[0].before.last_movement += 1),
        ("INV-2", |changes| changes.stock[0].after.last_movement += 1),
        ("INV-1", |changes| changes.stock[0].after.reserved = -1),
        // The movements.
        ("INV-2", |changes| changes.movements[0].previous = None),
        ("INV-2", |changes| changes.movements[1].previous_of_product = None),
        ("INV-2", |changes| changes.movements[0].after.last_seq += 1),
        ("INV-2", |changes| changes.movements[0].after.on_hand += 1),
        ("INV-2", |changes| changes.movements[0].deltas.reserved += 1),
        ("INV-2", |changes| changes.movements.swap(0, 1)),
        ("INV-2", |changes| drop(changes.movements.pop())),
        ("INV-11", |changes| changes.movements[0].kind = MovementKind::Release),
        ("INV-11", |changes| changes.movements[0].kind = MovementKind::Receive),
        // The reservation.
        ("INV-3", |changes| changes.reservations.clear()),
        ("INV-3", |changes| changes.reservations[0].to.holdings[0].promised += 1),
        ("INV-3", |changes| changes.reservations[0].to.holdings[0].movements.clear()),
        ("INV-3", |changes| drop(changes.reservations[0].to.holdings.pop())),
        ("INV-3", |changes| changes.reservations[0].to.order_id = actors::order_id(1)),
        ("R11", |changes| changes.reservations[0].from = Some(Revision::FIRST)),
    ];
    let mut fixture = fixture(ONE_ORDER);
    let right = fixture.changes(0, Stock::default());
    fixture.database.write(Stock::default(), right.clone()).expect("nothing is damaged");
    for (number, (rule, damage)) in damages.into_iter().enumerate() {
        let mut changes = right.clone();
        damage(&mut changes);
        let written = fixture.database.write(Stock::default(), changes);
        assert_eq!(written.expect_err("it is found").invariant, rule, "damage {number}");
    }
}

#[test]
fn a_rejection_that_is_not_true_is_found() {
    let mut fixture = fixture(TWO_ORDERS);
    let stock = fixture.after(0, Stock::default());
    let right = fixture.changes(1, stock);
    let damages: [fn(&mut Vec<Shortfall>); 5] = [
        |shortfalls| shortfalls.clear(),
        |shortfalls| shortfalls[0].seen.clear(),
        |shortfalls| shortfalls[0].seen[0].movement += 1,
        |shortfalls| shortfalls[0].shortage.available = -1,
        |shortfalls| shortfalls[0].shortage.reason = ShortageReason::UnknownProduct,
    ];
    fixture.database.write(stock, right.clone()).expect("nothing is damaged");
    for (number, damage) in damages.into_iter().enumerate() {
        let mut changes = right.clone();
        let rejection = changes.reservations[0].to.rejection.as_mut().expect("B is rejected");
        damage(&mut rejection.shortfalls);
        let written = fixture.database.write(stock, changes);
        assert_eq!(written.expect_err("it is found").invariant, "INV-8", "damage {number}");
    }
}

#[test]
fn a_reservation_is_not_replaced_by_one_of_a_lower_revision() {
    let mut fixture = fixture(ONE_ORDER);
    let right = fixture.changes(0, Stock::default());
    let stock = fixture.after(0, Stock::default());
    let mut again = InventoryChanges { reservations: right.reservations, ..Default::default() };
    again.reservations[0].from = Some(Revision::FIRST);
    let stored = fixture.database.reservation(stock.reservations[0]).expect("it is stored").clone();
    again.reservations[0].to = stored;
    let written = fixture.database.write(stock, again);
    assert_eq!(written.expect_err("it is found").invariant, "R12");
}

#[test]
fn a_transaction_that_changes_what_it_has_not_locked_is_found() {
    let fixture = fixture(TWO_ORDERS);
    let changes = fixture.changes(0, Stock::default());
    let [placement_of_a, placement_of_b] = fixture.commands.map(|command| [command]);
    assert_eq!(check_locked(&placement_of_a, &changes), Ok(()));
    let broken = check_locked(&placement_of_b, &changes).expect_err("mugs are not locked");
    assert_eq!(broken.invariant, "R11");
}
