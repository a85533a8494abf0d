//! Units that leave the stock in parts, and come back to the order.

use super::*;

#[test]
fn an_order_is_shipped_in_parts_from_each_location() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 3 @SHOP
        place   A  MUG 4                              -> allocated MUG@SHOP(2) MUG@main(2)
        revise  A 2 wants MUG 4 ships MUG@SHOP 1      -> allocated(2) MUG@SHOP(2) MUG@main(2)
        levels  MUG                                   -> SHOP 2/1 main 2/2
        revise  A 3 wants MUG 4 ships MUG@SHOP 2 MUG@main 2 -> allocated(3)
        levels  MUG                                   -> SHOP 1/0 main 0/0
        revise  A 2 wants MUG 4 ships MUG@SHOP 1      -> allocated(3)    // late, and a repeat
        levels  MUG                                   -> SHOP 1/0 main 0/0
    ",
    );
}

/// Another order cannot have them, although they are on hand again.
#[test]
fn units_of_a_cancelled_shipment_go_back_to_the_order_and_not_to_the_shelf() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2                              -> allocated
        fulfill A  MUG@main 2                         -> allocated(2)
        levels  MUG                                   -> main 0/0
        revise  A 3 wants MUG 2 ships MUG@main 1      -> allocated(3) MUG@main(2)
        levels  MUG                                   -> main 1/1
        place   B  MUG 1                              -> rejected MUG(1>0)
        revise  A 4 wants MUG 2                       -> allocated(4) MUG@main(2)
        revise  A 5 wants MUG 2 ships MUG@main 2      -> allocated(5) MUG@main(2)
        levels  MUG                                   -> main 0/0
    ",
    );
}

/// Only once it is wanted no more is it free, which one revision may say at once.
#[test]
fn a_shipment_can_be_cancelled_and_its_units_released_at_once() {
    check(
        "
        stock   MUG 3
        place   A  MUG 3                              -> allocated
        revise  A 2 wants MUG 3 ships MUG@main 2      -> allocated(2)
        revise  A 4 wants MUG 1                       -> allocated(4) MUG@main(1)
        levels  MUG                                   -> main 3/1
        place   B  MUG 2                              -> allocated
    ",
    );
}

#[test]
fn what_one_location_takes_back_another_one_may_ship_in_the_same_revision() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 2 @SHOP
        place   A  MUG 4                              -> allocated MUG@SHOP(2) MUG@main(2)
        revise  A 2 wants MUG 4 ships MUG@SHOP 2      -> allocated(2)
        revise  A 4 wants MUG 4 ships MUG@main 2      -> allocated(4) MUG@SHOP(2) MUG@main(2)
        levels  MUG                                   -> SHOP 2/2 main 0/0
    ",
    );
}

/// An order that was shipped, unshipped and cancelled leaves the stock as it was.
#[test]
fn nothing_that_an_order_goes_through_before_its_cancellation_leaves_a_trace_in_the_levels() {
    check(
        "
        location SHOP 1
        stock   MUG 5
        stock   MUG 2 @SHOP
        stock   TEE 3
        place   A  MUG 6 TEE 1
        revise  A 2 wants MUG 6 TEE 1 ships MUG@SHOP 2 TEE@main 1
        revise  A 3 wants MUG 5 TEE 1 ships MUG@SHOP 2 TEE@main 1
        revise  A 4 wants MUG 5 TEE 1 ships TEE@main 1
        revise  A 5 wants MUG 3 TEE 1
        revise  A 6 wants MUG 0 TEE 0               -> nothing(6)
        levels  MUG                                 -> SHOP 2/0 main 5/0
        levels  TEE                                 -> main 3/0
    ",
    );
}

#[test]
fn a_shipment_beside_its_cancellation_in_one_batch_is_two_movements() {
    let mut stock = Stock::default();
    let five = movement_request("MUG", "main", Change::Receive(quantity(5)), "five");
    let placed = Intent::placed(wanted("MUG", 2));
    stock.run(&[put_product("MUG"), five, allocate(order_id("A"), placed)]);
    let ship = revised("2", &words("wants MUG 2 ships MUG@main 2"));
    let back = revised("3", &words("wants MUG 2"));
    let decided = stock.run(&[allocate(order_id("A"), ship), allocate(order_id("A"), back)]);
    assert_eq!(describe(&decided[1]), "allocated(3) MUG@main(2)");
    let kinds: Vec<_> =
        stock.ledger("MUG", "main").iter().map(|movement| movement.kind.as_str()).collect();
    assert_eq!(kinds, ["receive", "reserve", "ship", "unship"]);
    assert_eq!(stock.reservation("A").expect("reserved").holdings[0].movements, [2, 3, 4]);
    stock.audit();
}

#[test]
fn a_cancelled_shipment_that_does_not_fit_any_more_is_an_anomaly() {
    check(
        "
        stock   MUG 2
        place   A  MUG 2                              -> allocated
        fulfill A  MUG@main 2                         -> allocated(2)
        adjust  MUG 1000000000000                     -> moved
        revise  A 3 wants MUG 2 ships MUG@main 1      -> anomaly
        adjust  MUG -1                                -> moved
        revise  A 3 wants MUG 2 ships MUG@main 1      -> allocated(3)
        levels  MUG                                   -> main 1000000000000/1
    ",
    );
}
