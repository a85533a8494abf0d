//! Orders that want less than they have, and orders that ask again.

use contract::{Shortage, ShortageReason};

use super::*;
use crate::reservation::{ReservationState, Seen, Shortfall};

#[test]
fn less_wanted_releases_units_of_the_location_that_serves_last() {
    check(
        "
        location SHOP 1
        location BARN 2
        location ATTIC 2
        stock   MUG 2
        stock   MUG 2 @SHOP
        stock   MUG 2 @BARN
        stock   MUG 2 @ATTIC
        place   A  MUG 8        -> allocated MUG@ATTIC(2) MUG@BARN(2) MUG@SHOP(2) MUG@main(2)
        revise  A 2 wants MUG 7 -> allocated(2) MUG@ATTIC(2) MUG@BARN(1) MUG@SHOP(2) MUG@main(2)
        revise  A 3 wants MUG 5 -> allocated(3) MUG@ATTIC(1) MUG@SHOP(2) MUG@main(2)
        location main 9         -> replaced
        revise  A 4 wants MUG 4 -> allocated(4) MUG@ATTIC(1) MUG@SHOP(2) MUG@main(1)
        levels  MUG             -> ATTIC 2/1 BARN 2/0 SHOP 2/2 main 2/1
    ",
    );
}

#[test]
fn a_cancellation_never_frees_what_is_shipped() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 3 @SHOP
        place   A  MUG 5                         -> allocated MUG@SHOP(3) MUG@main(2)
        revise  A 2 wants MUG 5 ships MUG@SHOP 1 -> allocated(2)
        revise  A 3 wants MUG 2 ships MUG@SHOP 1 -> allocated(3) MUG@SHOP(1) MUG@main(1)
        levels  MUG                              -> SHOP 2/0 main 2/1
        revise  A 4 wants MUG 1 ships MUG@SHOP 1 -> allocated(4) MUG@SHOP(1)
        revise  A 5 wants MUG 0 ships MUG@SHOP 1 -> anomaly
        levels  MUG                              -> SHOP 2/0 main 2/0
    ",
    );
}

/// A shipment and a reduction that are carried out at once: first the shipment, so that nothing is
/// released that it needs.
#[test]
fn what_is_shipped_is_never_what_is_released() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 2 @SHOP
        place   A  MUG 4                         -> allocated MUG@SHOP(2) MUG@main(2)
        revise  A 3 wants MUG 3 ships MUG@SHOP 2 -> allocated(3) MUG@SHOP(2) MUG@main(1)
        place   B  MUG 1                         -> allocated(1) MUG@main(1)
        revise  A 4 wants MUG 2 ships MUG@SHOP 2 -> allocated(4) MUG@SHOP(2)
        levels  MUG                              -> SHOP 0/0 main 2/1
    ",
    );
}

#[test]
fn one_product_of_an_order_is_cancelled_without_the_others() {
    check(
        "
        stock   MUG 3
        stock   TEE 3
        place   A  MUG 2 TEE 2        -> allocated
        revise  A 2 wants MUG 0 TEE 1 -> allocated(2) TEE@main(1)
        levels  MUG                   -> main 3/0
        levels  TEE                   -> main 3/1
        revise  A 3 wants MUG 0 TEE 1 ships TEE@main 1 -> allocated(3) TEE@main(1)
        revise  A 4 wants MUG 0 TEE 1 ships TEE@main 1 returns TEE@main 1/0/0 -> allocated(4)
        levels  TEE                   -> main 3/0
    ",
    );
}

/// Revision 2 is the expiry, revision 3 the payment that came late.
#[test]
fn a_late_payment_gets_back_what_is_still_there() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 2 @SHOP
        stock   TEE 1
        place   A  MUG 3 TEE 1        -> allocated MUG@SHOP(1) MUG@main(2) TEE@main(1)
        revise  A 2 wants MUG 0 TEE 0 -> nothing(2)
        place   B  MUG 1              -> allocated MUG@main(1)
        revise  A 3 wants MUG 3 TEE 1 -> allocated(3) MUG@SHOP(2) MUG@main(1) TEE@main(1)
        revise  A 3 wants MUG 3 TEE 1 -> allocated(3)
        levels  MUG                   -> SHOP 2/2 main 2/2
        revise  A 4 wants MUG 3 TEE 1 ships MUG@SHOP 2 MUG@main 1 TEE@main 1 -> allocated(4)
        levels  MUG                   -> SHOP 0/0 main 1/1
    ",
    );
}

#[test]
fn a_late_payment_that_overtakes_the_expiry_moves_no_unit() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2        -> allocated
        revise  A 3 wants MUG 2 -> allocated(3) MUG@main(2)
        revise  A 2 wants MUG 0 -> allocated(3)
        receive MUG 1           -> moved #3 3/2
    ",
    );
}

#[test]
fn a_late_payment_gets_everything_or_nothing() {
    check(
        "
        stock   MUG 2
        stock   TEE 2
        place   A  MUG 2 TEE 2        -> allocated
        revise  A 2 wants MUG 0 TEE 0 -> nothing(2)
        place   B  TEE 1              -> allocated
        revise  A 3 wants MUG 2 TEE 2 -> rejected(3) TEE(2>1)
        levels  MUG                   -> main 2/0
        cancel  B                     -> nothing
        revise  A 3 wants MUG 2 TEE 2 -> rejected(3)        // as it was decided
        revise  A 4 wants MUG 2 TEE 2 -> allocated(4)
    ",
    );
}

/// The Order Service has no such change yet. What the order has stays, and what it asks for comes
/// whole or not at all.
#[test]
fn an_order_that_asks_for_another_of_its_products_keeps_what_it_has() {
    check(
        "
        stock   MUG 2
        stock   TEE 1
        place   A  MUG 1 TEE 1        -> allocated
        revise  A 2 wants MUG 1 TEE 0 -> allocated(2) MUG@main(1)
        place   B  TEE 1              -> allocated
        revise  A 3 wants MUG 1 TEE 1 -> rejected(3) TEE(1>0)
        levels  MUG                   -> main 2/1
        cancel  B                     -> nothing
        revise  A 4 wants MUG 1 TEE 1 -> allocated(4) MUG@main(1) TEE@main(1)
    ",
    );
}

/// Another order's units, which are released and reserved again, are never touched by repeats.
#[test]
fn repeats_beside_a_live_reservation_free_nothing_of_it() {
    check(
        "
        stock   MUG 2
        place   A  MUG 1        -> allocated
        place   B  MUG 1        -> allocated
        revise  A 2 wants MUG 0 -> nothing(2)
        place   C  MUG 1        -> allocated
        revise  A 2 wants MUG 0 -> nothing(2)
        place   A               -> nothing(2)
        levels  MUG             -> main 2/2
        cancel  B               -> nothing
        revise  A 2 wants MUG 0 -> nothing(2)
        levels  MUG             -> main 2/1
    ",
    );
}

/// The evidence is of what was seen at the later revision, and the state says that it was short.
#[test]
fn a_shortage_of_a_late_payment_has_its_own_evidence() {
    let mut stock = shop_after(&[
        "place A MUG 2",
        "revise A 2 wants MUG 0",
        "quarantine MUG 1",
        "revise A 3 wants MUG 2 -> rejected(3) MUG(2>1)",
    ]);
    let reservation = stock.reservation("A").expect("a reservation").clone();
    assert_eq!(reservation.state(), ReservationState::Rejected);
    let shortage = Shortage {
        product_id: product_id("MUG"),
        requested: quantity(2),
        available: 1,
        reason: ShortageReason::OutOfStock,
    };
    let seen = vec![Seen { location_id: LocationId::main(), movement: 4 }];
    assert_eq!(reservation.shortfalls(), [Shortfall { shortage, seen }]);
    stock.run(&[allocate(order_id("A"), revised("4", &words("wants MUG 0")))]);
    let cancelled = stock.reservation("A").expect("a reservation");
    assert_eq!(cancelled.state(), ReservationState::Released);
    assert_eq!((cancelled.shortfalls().len(), cancelled.facts().shortages.len()), (1, 0));
    assert_eq!(cancelled.last_allocated().total(), 2, "what it had been promised");
    stock.audit();
}

/// The units that it gets again are promised once more, so the sums go on (INV-3).
#[test]
fn a_holding_adds_up_over_a_release_and_a_new_reservation() {
    let stock = shop_after(&[
        "place A MUG 2",
        "revise A 2 wants MUG 0",
        "revise A 3 wants MUG 1",
        "revise A 4 wants MUG 1 ships MUG@main 1",
    ]);
    let reservation = stock.reservation("A").expect("a reservation");
    let holding = &reservation.holdings[0];
    assert_eq!((holding.promised, holding.released, holding.shipped), (3, 2, 1));
    assert_eq!(holding.movements, [2, 3, 4, 5]);
    assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "main 1/0");
}

/// An order has at most 4000 holdings, those included that it has nothing of any more (R17).
#[test]
fn an_order_that_would_have_more_than_4000_holdings_gets_nothing() {
    let mut stock = Stock::default();
    let location = |number: usize| format!("L{number}");
    let product = |number: usize| format!("P{number}");
    let one = |line: usize, at: usize| {
        let key = format!("{line} {at}");
        movement_request(&product(line), &location(at), Change::Receive(quantity(1)), &key)
    };
    stock.run(&(0..41).map(|n| put_location(&location(n), 1)).collect::<Vec<_>>());
    for line in 0..100 {
        stock.run(&[put_product(&product(line))]);
        stock.run(&(0..40).map(|at| one(line, at)).collect::<Vec<_>>());
    }
    let lines = (0..100).map(|line| (product_id(&product(line)), quantity(40)));
    let placed = Intent::placed(Wanted::sum(lines).expect("a hundred lines"));
    let expired = Intent {
        revision: placed.revision.next(),
        wanted: placed.wanted.nothing(),
        ..placed.clone()
    };
    let revived = Intent { revision: expired.revision.next(), ..placed.clone() };
    let again = Intent { revision: revived.revision.next(), ..placed.clone() };
    let sent = |intent: &Intent| allocate(order_id("A"), intent.clone());
    stock.run(&[sent(&placed), sent(&expired)]);
    // One unit is somewhere else meanwhile.
    let gone = movement_request(&product(7), &location(3), Change::Adjust(-1), "gone");
    stock.run(&[gone, one(7, 40)]);
    let decided = stock.run(&[sent(&revived)]);
    assert_eq!(words(&describe(&decided[0]))[..2], ["rejected(3)", "P0(40>40)"]);
    let reasons = decided[0].publish.iter().flat_map(|answer| &answer.facts.shortages);
    assert!(reasons.into_iter().all(|short| short.reason == ShortageReason::TooManyAllocations));
    let back = movement_request(&product(7), &location(3), Change::Adjust(1), "back");
    let decided = stock.run(&[
        back,
        movement_request(&product(7), &location(40), Change::Adjust(-1), "away"),
        sent(&again),
    ]);
    assert_eq!(words(&describe(&decided[2]))[0], "allocated(4)");
    stock.audit();
}

/// Two mugs, and what the lines of the script do then.
fn shop_after(lines: &[&str]) -> Stock {
    let lines = Script::default().read(["stock MUG 2"].into_iter().chain(lines.iter().copied()));
    let mut stock = Stock::default();
    lines.iter().for_each(|line| run_batch(&mut stock, std::slice::from_ref(line)));
    stock.audit();
    stock
}
