//! Units that come back from the customer.

use contract::BookedAt;

use super::*;
use crate::reservation::{ReservationState, ReturnedStock};
use crate::stock::Deltas;

#[test]
fn what_comes_back_is_sold_again_or_quarantined_or_written_off() {
    check(
        "
        stock   MUG 5
        place   A  MUG 4                                            -> allocated
        fulfill A  MUG@main 4                                       -> allocated(2)
        levels  MUG                                                 -> main 1/0
        revise  A 3 wants MUG 4 ships MUG@main 4 returns MUG@main 1/0/0 -> allocated(3) MUG@main(4)
        levels  MUG                                                 -> main 2/0
        revise  A 4 wants MUG 4 ships MUG@main 4 returns MUG@main 1/1/1 -> allocated(4) MUG@main(4)
        levels  MUG                                                 -> main 3/0/1
        place   B  MUG 3                                            -> rejected MUG(3>2)
        write_off MUG 1                                             -> moved #6 2/0
    ",
    );
}

/// The numbers are absolute, so neither a repeat nor an older revision adds anything.
#[test]
fn a_return_counts_once() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2                                            -> allocated
        fulfill A  MUG@main 2                                       -> allocated(2)
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/0 -> allocated(3)
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/0 -> allocated(3)
        fulfill A  MUG@main 2                                       -> allocated(3)
        levels  MUG                                                 -> main 1/0
        revise  A 4 wants MUG 2 ships MUG@main 2 returns MUG@main 2/0/0 -> allocated(4)
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/0 -> allocated(4)
        levels  MUG                                                 -> main 2/0
    ",
    );
}

/// The order had them, and has them no more: a return is no cancellation of its shipment.
#[test]
fn units_that_came_back_still_count_as_shipped() {
    let stock = shop_after(&[
        "revise A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 2/0/0 -> allocated(3)",
    ]);
    let reservation = stock.reservation("A").expect("shipped");
    assert_eq!(reservation.state(), ReservationState::Shipped);
    assert_eq!((reservation.shipped().total(), reservation.returned().total()), (2, 2));
}

#[test]
fn one_revision_has_one_movement_for_each_location_that_something_came_back_to() {
    let stock = shop_after(&[
        "location SHOP 5",
        "revise A 3 wants MUG 2 ships MUG@main 2 returns MUG@SHOP 0/1/0 MUG@main 0/0/1",
    ]);
    let back = |location: &str| {
        let movement = stock.ledger("MUG", location).last().expect("a movement");
        (movement.kind.as_str(), movement.deltas, movement.seq())
    };
    let quarantined = Deltas { on_hand: 1, reserved: 0, quarantined: 1 };
    assert_eq!(back("SHOP"), ("return", quarantined, 1));
    assert_eq!(
        back("main"),
        ("return", Deltas::default(), 4),
        "written off: a movement by nothing"
    );
    assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "SHOP 1/0/1 main 3/0");
}

/// It stays there when somebody makes the location later, so that one entry is booked at one place.
#[test]
fn what_comes_back_to_an_unknown_location_is_booked_at_the_first_one() {
    let entry = |units: [u32; 3], booked_at: &str, movements: &[i64]| ReturnedStock {
        units: returned(&["MUG@DEPOT", &units.map(|n| n.to_string()).join("/")]),
        booked_at: booked_at.parse().expect("an id"),
        movements: movements.to_vec(),
    };
    let stock = shop_after(&[
        "location SHOP 0",
        "location ATTIC 0",
        "revise A 3 wants MUG 2 ships MUG@main 2 returns MUG@DEPOT 1/0/0
             -> allocated(3) MUG@main(2) MUG@DEPOT>ATTIC",
        "location DEPOT 0",
        "location ATTIC 9",
        "revise A 4 wants MUG 2 ships MUG@main 2 returns MUG@DEPOT 1/1/0
             -> allocated(4) MUG@main(2) MUG@DEPOT>ATTIC",
    ]);
    let reservation = stock.reservation("A").expect("shipped");
    assert_eq!(reservation.returns, [entry([1, 1, 0], "ATTIC", &[4, 5])]);
    let booked = BookedAt {
        product_id: product_id("MUG"),
        location_id: "DEPOT".parse().expect("an id"),
        booked_at: "ATTIC".parse().expect("an id"),
    };
    assert_eq!(reservation.facts().booked_at, [booked]);
    assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "ATTIC 2/0/1 main 3/0");
}

/// Two entries of the intent, two entries of the reservation, one stock key.
#[test]
fn units_from_two_unknown_locations_are_two_entries_at_one_location() {
    let stock = shop_after(&[
        "revise A 3 wants MUG 2 ships MUG@main 2 returns MUG@BARN 1/0/0 MUG@DEPOT 0/0/1
             -> allocated(3) MUG@main(2) MUG@BARN>main MUG@DEPOT>main",
    ]);
    let movements: Vec<_> = stock.reservation("A").expect("shipped").movements().collect();
    assert_eq!(movements, [2, 3, 4, 5]);
    assert_eq!(describe_levels(stock.levels(&product_id("MUG"))), "main 4/0");
}

#[test]
fn a_return_that_no_order_can_have_made_is_an_anomaly() {
    check(
        "
        stock   MUG 5
        stock   TEE 5
        place   A  MUG 2 TEE 1                                          -> allocated
        revise  B 2 wants MUG 0 returns MUG@main 1/0/0                  -> anomaly // never shipped
        revise  A 2 wants MUG 2 TEE 1 returns MUG@main 1/0/0            -> anomaly // not shipped
        revise  A 2 wants MUG 2 TEE 1 ships MUG@main 2 TEE@main 1
                    returns MUG@main 1/0/0 MUG@SHOP 1/0/1               -> anomaly // 3 of 2
        revise  A 2 wants MUG 2 TEE 1 ships MUG@main 2 returns TEE@main 1/0/0 -> anomaly
        revise  A 2 wants MUG 2 TEE 1 ships MUG@main 2 returns PIN@main 1/0/0 -> anomaly
        revise  A 2 wants MUG 2 TEE 1 ships MUG@main 2 returns MUG@main 1/1/0 -> allocated(2)
        revise  A 3 wants MUG 2 TEE 1 ships MUG@main 2 returns MUG@main 2/0/0 -> anomaly // 0 < 1
        revise  A 3 wants MUG 2 TEE 1 ships MUG@main 2                  -> anomaly // nothing
        revise  A 3 wants MUG 2 TEE 1 ships MUG@main 1 returns MUG@main 1/1/0 -> anomaly // 2 of 1
        levels  MUG                                                     -> main 5/0/1
    ",
    );
}

/// R23: what is out first, then what came back.
#[test]
fn a_shipment_and_its_return_may_be_one_revision() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2                                                -> allocated
        revise  A 4 wants MUG 1 ships MUG@main 1 returns MUG@main 1/0/0 -> allocated(4) MUG@main(1)
        levels  MUG                                                     -> main 2/0
    ",
    );
}

#[test]
fn a_return_that_does_not_fit_is_an_anomaly_and_one_that_fits_to_the_unit_is_none() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2                                                -> allocated
        fulfill A  MUG@main 2                                           -> allocated(2)
        adjust  MUG 999999999999                                        -> moved
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/1/0 -> anomaly
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/0 MUG@SHOP 1/0/0 -> anomaly
        revise  A 3 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/1 -> allocated(3)
        levels  MUG                                                     -> main 1000000000000/0
        revise  A 4 wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/1 -> allocated(4)
    ",
    );
}

/// Without a location, units can be booked nowhere.
#[test]
fn a_return_to_a_shop_without_readable_locations_is_an_anomaly() {
    let shop = shop_after(&[]);
    let intent = revised("3", &words("wants MUG 2 ships MUG@main 2 returns MUG@main 1/0/0"));
    let decided = shop.run_without_locations(&[allocate(order_id("A"), intent)]);
    assert_eq!(describe(&decided[0]), "anomaly");
}

/// Five mugs of which order A had two shipped, and what the lines of the script do then.
fn shop_after(lines: &[&str]) -> Stock {
    let begin = ["stock MUG 5", "place A MUG 2", "fulfill A MUG@main 2"];
    let lines = Script::default().read(begin.into_iter().chain(lines.iter().copied()));
    let mut stock = Stock::default();
    lines.iter().for_each(|line| run_batch(&mut stock, std::slice::from_ref(line)));
    stock.audit();
    stock
}
