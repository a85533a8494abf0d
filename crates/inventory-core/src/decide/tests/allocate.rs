use contract::{Shortage, ShortageReason};

use super::stock::Stock;
use super::*;
use crate::reservation::{Seen, Shortfall};
use crate::stock::Cause;

/// A release makes every unit available again. A repeated command gets the same facts and changes
/// nothing.
#[test]
fn an_order_reserves_every_line_or_none() {
    check(
        "
        stock   MUG 2
        stock   TEE 1
        place   A  MUG 1 TEE 1  -> allocated
        place   B  MUG 1 TEE 1  -> rejected TEE           // so B holds no MUG
        place   C  MUG 1        -> allocated
        cancel  A               -> nothing
        cancel  A               -> nothing                // a repeat
        place   B               -> rejected TEE           // B gets the same facts again
        place   D  TEE 1        -> allocated
        levels  MUG             -> main 2/1
        levels  TEE             -> main 1/1
    ",
    );
}

#[test]
fn a_shipment_takes_the_units_out_of_the_stock_once() {
    check(
        "
        stock   MUG 5
        place   A  MUG 2        -> allocated(1) MUG@main(2)
        fulfill A  MUG@main 2   -> allocated(2) MUG@main(2)
        fulfill A  MUG@main 2   -> allocated(2) MUG@main(2)
        place   A               -> allocated(2) MUG@main(2)   // the facts of the newest revision
        cancel  A               -> anomaly                    // of the same revision
        levels  MUG             -> main 3/0
    ",
    );
}

#[test]
fn a_cancellation_that_comes_first_leaves_a_tombstone() {
    check(
        "
        stock   MUG 5
        cancel  A  MUG 2        -> nothing(2)
        place   A               -> nothing(2)
        fulfill A  MUG@main 2   -> anomaly
        levels  MUG             -> main 5/0
    ",
    );
}

#[test]
fn a_rejection_lists_every_short_product_with_its_available_units() {
    check(
        "
        stock   MUG 2
        stock   TEE 1
        stock   CAP 9
        product PIN
        place   A  MUG 3 TEE 2 CAP 1 PIN 1  -> rejected MUG(3>2) PIN(1>0) TEE(2>1)
        levels  CAP                         -> main 9/0
    ",
    );
}

#[test]
fn the_first_order_gets_the_last_units() {
    check(
        "
        stock   MUG 3
        place   A  MUG 2        -> allocated
        place   B  MUG 2        -> rejected MUG(2>1)
        place   C  MUG 1        -> allocated
        cancel  A               -> nothing
        place   D  MUG 2        -> allocated
        levels  MUG             -> main 3/3
    ",
    );
}

#[test]
fn a_command_with_another_intent_of_the_same_revision_is_an_anomaly() {
    check(
        "
        stock   MUG 9
        place   A  MUG 1        -> allocated
        place   A  MUG 2        -> anomaly
        cancel  A  MUG 1        -> nothing
        cancel  B  MUG 1        -> nothing
        place   B  MUG 2        -> nothing                // lower revisions change nothing
        cancel  B  TEE 1        -> anomaly                // a tombstone has a digest too
        levels  MUG             -> main 9/0
    ",
    );
}

/// Orders never sends these. Each changes nothing.
#[test]
fn an_intent_that_cannot_be_carried_out_is_an_anomaly() {
    check(
        "
        stock   MUG 9
        place   B  MUG 2        -> allocated
        fulfill B  MUG@main 3   -> anomaly                 // more than is allocated
        fulfill B  MUG@shop 2   -> anomaly                 // at another location
        place   C  MUG 20       -> rejected
        fulfill C  MUG@main 1   -> anomaly                 // nothing was allocated
        levels  MUG             -> main 9/2
    ",
    );
}

/// A later revision carries out all that lies between.
#[test]
fn a_revision_may_be_skipped() {
    let mut stock = Stock::default();
    stock.run(&[put_product("MUG"), receive("MUG", "main", 5), place("A", "MUG", 2)]);
    let third = Intent { revision: Revision::FIRST.next().next(), ..cancelled(&wanted("MUG", 2)) };
    let decided = stock.run(&[allocate(order_id("A"), third)]);
    assert_eq!(describe(&decided[0]), "nothing(3)");
    let late = stock.run(&[allocate(order_id("A"), cancelled(&wanted("MUG", 2)))]);
    assert_eq!(describe(&late[0]), "nothing(3)");
    stock.audit();
}

/// Orders never sends these either. What is shipped is out of reach of a cancellation.
#[test]
fn what_breaks_the_arithmetic_of_a_line_is_an_anomaly() {
    check(
        "
        stock   MUG 9
        stock   TEE 9
        place   A  MUG 3 TEE 1                       -> allocated
        revise  A 2 wants MUG 3                      -> anomaly    // it has a TEE too
        revise  A 2 wants MUG 4 TEE 1                -> anomaly    // more of what it has
        revise  A 2 wants MUG 1 TEE 1 ships MUG@main 2  -> anomaly // less than it ships
        revise  A 2 wants MUG 3 TEE 1 ships MUG@main 2  -> allocated(2)
        revise  A 3 wants MUG 0 TEE 0                -> nothing    // back to the order first
        place   B  MUG 3 TEE 1                       -> allocated
        revise  B 2 wants MUG 3 TEE 0 ships MUG@main 2  -> allocated(2) MUG@main(3)
        revise  B 3 wants MUG 3 TEE 1 ships MUG@main 2  -> anomaly // more, and something is out
        revise  B 3 wants MUG 3 TEE 1                -> anomaly    // as it is when that comes
        revise  B 3 wants MUG 1 TEE 0 ships MUG@main 2  -> anomaly
        levels  MUG                                  -> main 7/1
        levels  TEE                                  -> main 9/0
    ",
    );
}

#[test]
fn a_command_whose_digest_is_not_the_digest_of_its_intent_is_an_anomaly() {
    let InventoryCommand::Allocate(mut command) = place("A", "MUG", 1) else { unreachable!() };
    command.digest = contract::Digest::of(b"something else");
    let mut stock = Stock::default();
    let decided = stock.run(&[InventoryCommand::Allocate(command)]);
    let anomaly = matches!(decided[0].outcome, InventoryOutcome::Anomaly(_));
    assert!(anomaly && decided[0].publish.is_none());
    assert_eq!(stock, Stock::default());
}

#[test]
fn a_rejection_keeps_its_evidence_after_a_cancellation() {
    let mut stock = Stock::default();
    stock.run(&[
        put_product("MUG"),
        put_location("SHOP", 5),
        receive("MUG", "main", 2),
        receive("MUG", "SHOP", 1),
    ]);
    stock.run(&[place("A", "MUG", 1), place("B", "MUG", 4), place("C", "TEE", 1)]);
    let seen =
        |location: &str, movement| Seen { location_id: location.parse().expect("an id"), movement };
    let short = |product: &str, requested, available, reason, seen| Shortfall {
        shortage: Shortage { product_id: product_id(product), requested, available, reason },
        seen,
    };
    // The third movement is the reservation of A at main.
    let evidence = vec![seen("SHOP", 2), seen("main", 3)];
    let expected = [short("MUG", quantity(4), 2, ShortageReason::OutOfStock, evidence)];
    assert_eq!(stock.reservation("B").expect("rejected").shortfalls(), expected);
    let unknown = [short("TEE", quantity(1), 0, ShortageReason::UnknownProduct, Vec::new())];
    assert_eq!(stock.reservation("C").expect("rejected").shortfalls(), unknown);

    stock.run(&[allocate(order_id("B"), cancelled(&wanted("MUG", 4)))]);
    let released = stock.reservation("B").expect("released");
    assert_eq!((released.shortfalls(), released.facts().shortages.len()), (&expected[..], 0));
    stock.audit();
}

/// The time of sending, the attempt and the trace context are those of the repeated command.
#[test]
fn a_repeated_answer_keeps_the_time_of_the_decision() {
    let mut stock = Stock::default();
    stock.run(&[put_product("MUG"), receive("MUG", "main", 2)]);
    let answer = |stock: &mut Stock, now_micros: i64, command: InventoryCommand, attempt: u32| {
        stock.now_micros = now_micros;
        let InventoryCommand::Allocate(mut sent) = command else { unreachable!() };
        sent.attempt = attempt;
        sent.traceparent = Some(format!("trace {attempt}"));
        let decided = stock.run(&[InventoryCommand::Allocate(sent)]).remove(0);
        let answer = decided.publish.expect("an answer");
        let traceparent = Some(format!("trace {attempt}"));
        assert_eq!((answer.attempt, answer.traceparent), (attempt, traceparent));
        assert_eq!((answer.schema, answer.sent_at_micros), (1, now_micros));
        (answer.facts.revision.get(), answer.decided_at_micros)
    };
    let place = || place("A", "MUG", 2);
    let cancel = || allocate(order_id("A"), cancelled(&wanted("MUG", 2)));
    assert_eq!(answer(&mut stock, 10, place(), 1), (1, 10));
    assert_eq!(answer(&mut stock, 20, place(), 2), (1, 10));
    assert_eq!(answer(&mut stock, 30, cancel(), 3), (2, 30));
    assert_eq!(answer(&mut stock, 40, cancel(), 4), (2, 30));
    assert_eq!(answer(&mut stock, 50, place(), 5), (2, 30));
}

#[test]
fn an_answer_is_written_in_the_version_of_its_command() {
    let InventoryCommand::Allocate(mut command) = place("A", "MUG", 1) else { unreachable!() };
    command.schema = 0;
    let decided = Stock::default().run(&[InventoryCommand::Allocate(command)]);
    let answer = decided[0].publish.as_ref().expect("an answer");
    assert_eq!((answer.facts.shortages.len(), answer.schema), (1, 0));
}

#[test]
fn the_ledger_names_the_order_of_each_movement() {
    let mut stock = Stock::default();
    stock.run(&[put_product("MUG"), receive("MUG", "main", 5), place("A", "MUG", 2)]);
    let two = Allocations::sorted(vec![allocation(&["MUG@main", "2"])]).expect("one stock key");
    stock.run(&[allocate(order_id("A"), fulfilled(wanted("MUG", 2), two))]);
    let ledger = stock.ledger("MUG", "main");
    let entries: Vec<_> = ledger
        .iter()
        .map(|entry| (entry.kind.as_str(), entry.deltas.on_hand, entry.deltas.reserved))
        .collect();
    assert_eq!(entries, [("receive", 5, 0), ("reserve", 0, 2), ("ship", -2, -2)]);
    assert!(ledger[1..].iter().all(|entry| entry.cause == Cause::Order(order_id("A"))));
    assert_eq!(stock.reservation("A").expect("shipped").holdings[0].movements, [2, 3]);
}

fn place(order: &str, product: &str, units: u32) -> InventoryCommand {
    allocate(order_id(order), Intent::placed(wanted(product, units)))
}

fn receive(product: &str, location: &str, units: u32) -> InventoryCommand {
    let change = Change::Receive(quantity(units));
    movement_request(product, location, change, &format!("receive {product} {location}"))
}
