use contract::answers::{Shortage, ShortageReason, StockOutcome};

use super::*;
use crate::reservation::{Seen, Shortfall};
use crate::stock::Cause;

/// A release makes every unit available again. A repeated command gets the same answer and changes
/// nothing.
#[test]
fn an_order_reserves_every_line_or_none() {
    check(
        "
        stock   MUG 2
        stock   TEE 1
        reserve A  MUG 1 TEE 1  -> reserved
        reserve B  MUG 1 TEE 1  -> rejected TEE           // so B holds no MUG
        reserve C  MUG 1        -> reserved
        release A               -> released
        release A               -> released               // replay
        reserve B               -> rejected TEE           // B gets its first answer again
        reserve D  TEE 1        -> reserved
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
        reserve A  MUG 2        -> reserved MUG@main(2)
        ship    A               -> shipped
        ship    A               -> shipped
        reserve A               -> reserved MUG@main(2)   // its first answer
        release A               -> anomaly
        levels  MUG             -> main 3/0
    ",
    );
}

#[test]
fn a_release_that_comes_first_leaves_a_tombstone() {
    check(
        "
        stock   MUG 5
        release A  MUG 2        -> released
        reserve A               -> released
        ship    A               -> anomaly
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
        reserve A  MUG 3 TEE 2 CAP 1 PIN 1  -> rejected MUG(3>2) PIN(1>0) TEE(2>1)
        levels  CAP                         -> main 9/0
    ",
    );
}

#[test]
fn the_first_order_gets_the_last_units() {
    check(
        "
        stock   MUG 3
        reserve A  MUG 2        -> reserved
        reserve B  MUG 2        -> rejected MUG(2>1)
        reserve C  MUG 1        -> reserved
        release A               -> released
        reserve D  MUG 2        -> reserved
        levels  MUG             -> main 3/3
    ",
    );
}

#[test]
fn a_command_about_other_lines_is_an_anomaly() {
    check(
        "
        stock   MUG 9
        reserve A  MUG 1        -> reserved
        reserve A  MUG 2        -> anomaly
        release A  MUG 2        -> anomaly
        release A  MUG 1        -> released
        release B  MUG 1        -> released
        reserve B  MUG 2        -> anomaly                // a tombstone has a digest too
        levels  MUG             -> main 9/0
    ",
    );
}

#[test]
fn a_command_whose_digest_is_not_the_digest_of_its_lines_is_an_anomaly() {
    let InventoryCommand::Stock(mut command) = reserve("A", "MUG", 1) else { unreachable!() };
    command.digest = contract::Digest::of(b"something else");
    let mut stock = Stock::default();
    let decided = stock.run(&[InventoryCommand::Stock(command)]);
    assert!(matches!(decided[0], Decided { outcome: InventoryOutcome::Anomaly(_), publish: None }));
    assert_eq!(stock, Stock::default());
}

#[test]
fn a_rejection_keeps_its_evidence_after_a_release() {
    let mut stock = Stock::default();
    stock.run(&[
        put_product("MUG"),
        put_location("SHOP", 5),
        receive("MUG", "main", 2),
        receive("MUG", "SHOP", 1),
    ]);
    stock.run(&[reserve("A", "MUG", 1), reserve("B", "MUG", 4), reserve("C", "TEE", 1)]);
    let seen = |location: &str, seq| Seen { location_id: location.parse().expect("an id"), seq };
    let short = |product: &str, requested, available, reason, seen| Shortfall {
        shortage: Shortage { product_id: product_id(product), requested, available, reason },
        seen,
    };
    let units = |units| Quantity::new(units).expect("a quantity");
    let evidence = vec![seen("SHOP", 1), seen("main", 2)];
    let expected = [short("MUG", units(4), 2, ShortageReason::OutOfStock, evidence)];
    assert_eq!(stock.reservation("B").expect("rejected").state.shortfalls(), expected);
    let unknown = [short("TEE", units(1), 0, ShortageReason::UnknownProduct, Vec::new())];
    assert_eq!(stock.reservation("C").expect("rejected").state.shortfalls(), unknown);

    stock.run(&[command(StockCommandKind::ReleaseStock, "B", "MUG", 4)]);
    assert_eq!(stock.reservation("B").expect("released").state.shortfalls(), expected);
    stock.audit();
}

/// The time of sending, the attempt and the trace context are those of the repeated command.
#[test]
fn a_repeated_answer_keeps_the_time_of_the_first_decision() {
    let mut stock = Stock::default();
    stock.run(&[put_product("MUG"), receive("MUG", "main", 2)]);
    let answer = |stock: &mut Stock, now_micros: i64, kind, attempt: u32| {
        stock.now_micros = now_micros;
        let InventoryCommand::Stock(mut sent) = command(kind, "A", "MUG", 2) else {
            unreachable!()
        };
        sent.attempt = attempt;
        sent.traceparent = Some(format!("trace {attempt}"));
        let answer =
            stock.run(&[InventoryCommand::Stock(sent)])[0].publish.clone().expect("an answer");
        assert_eq!(
            (answer.attempt, answer.traceparent),
            (attempt, Some(format!("trace {attempt}")))
        );
        assert_eq!((answer.schema, answer.sent_at_micros), (1, now_micros));
        (answer.outcome.name(), answer.decided_at_micros)
    };
    use StockCommandKind::{ReleaseStock, ReserveStock, ShipStock};
    let mut released = stock.clone();
    assert_eq!(answer(&mut stock, 10, ReserveStock, 1), ("StockReserved", 10));
    assert_eq!(answer(&mut stock, 20, ReserveStock, 2), ("StockReserved", 10));
    assert_eq!(answer(&mut stock, 30, ShipStock, 3), ("StockShipped", 30));
    assert_eq!(answer(&mut stock, 40, ShipStock, 4), ("StockShipped", 30));
    assert_eq!(answer(&mut stock, 50, ReserveStock, 5), ("StockReserved", 10));

    assert_eq!(answer(&mut released, 10, ReserveStock, 1), ("StockReserved", 10));
    assert_eq!(answer(&mut released, 20, ReleaseStock, 2), ("StockReleased", 20));
    assert_eq!(answer(&mut released, 30, ReserveStock, 3), ("StockReleased", 20));
}

#[test]
fn an_answer_is_written_in_the_version_of_its_command() {
    let InventoryCommand::Stock(mut command) = reserve("A", "MUG", 1) else { unreachable!() };
    command.schema = 0;
    let decided = Stock::default().run(&[InventoryCommand::Stock(command)]);
    let answer = decided[0].publish.as_ref().expect("an answer");
    assert!(matches!(answer.outcome, StockOutcome::StockRejected { .. }));
    assert_eq!(answer.schema, 0);
}

#[test]
fn the_ledger_names_the_order_of_each_movement() {
    let mut stock = Stock::default();
    stock.run(&[put_product("MUG"), receive("MUG", "main", 5), reserve("A", "MUG", 2)]);
    stock.run(&[command(StockCommandKind::ShipStock, "A", "MUG", 2)]);
    let ledger = stock.ledger("MUG", "main");
    let answer: Vec<_> = ledger
        .iter()
        .map(|entry| (entry.kind.as_str(), entry.deltas.on_hand, entry.deltas.reserved))
        .collect();
    assert_eq!(answer, [("receive", 5, 0), ("reserve", 0, 2), ("ship", -2, -2)]);
    assert!(ledger[1..].iter().all(|entry| entry.cause == Cause::Order(order_id("A"))));
}

fn command(kind: StockCommandKind, order: &str, product: &str, units: u32) -> InventoryCommand {
    let quantity = Quantity::new(units).expect("a quantity");
    stock_command(
        kind,
        order_id(order),
        StockLines::sum([(product_id(product), quantity)]).expect("one line"),
    )
}

fn reserve(order: &str, product: &str, units: u32) -> InventoryCommand {
    command(StockCommandKind::ReserveStock, order, product, units)
}

fn receive(product: &str, location: &str, units: u32) -> InventoryCommand {
    let change = Change::Receive(Quantity::new(units).expect("a quantity"));
    movement_request(product, location, change, &format!("receive {product} {location}"))
}
