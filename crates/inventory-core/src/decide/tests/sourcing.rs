use contract::{Intent, Wanted};

use super::stock::Stock;
use super::{
    Change, allocate, check, describe, movement_request, order_id, product_id, put_location,
    put_product, quantity, words,
};

#[test]
fn one_location_serves_the_whole_order_if_any_can_whatever_its_priority() {
    check(
        "
        location SHOP 1
        location BARN 2
        stock   MUG 9 @SHOP
        stock   TEE 1 @SHOP
        stock   MUG 3 @BARN
        stock   TEE 3 @BARN
        place A  MUG 2 TEE 2  -> allocated MUG@BARN(2) TEE@BARN(2)
        place B  MUG 1 TEE 1  -> allocated MUG@SHOP(1) TEE@SHOP(1)
    ",
    );
}

#[test]
fn locations_serve_by_priority_and_then_by_id() {
    check(
        "
        location B 5
        location A 5
        location Z 1
        stock   MUG 1 @A
        stock   MUG 1 @B
        stock   MUG 1 @Z
        place O1  MUG 1       -> allocated MUG@Z(1)
        place O2  MUG 1       -> allocated MUG@A(1)
        place O3  MUG 1       -> allocated MUG@B(1)
    ",
    );
}

#[test]
fn an_order_that_no_location_can_serve_is_split_line_by_line() {
    check(
        "
        location SHOP 1
        location BARN 2
        stock   MUG 1
        stock   MUG 2 @SHOP
        stock   MUG 9 @BARN
        stock   TEE 4 @SHOP
        place A  MUG 5 TEE 4  -> allocated MUG@BARN(2) MUG@SHOP(2) MUG@main(1) TEE@SHOP(4)
        levels  MUG             -> BARN 9/2 SHOP 2/2 main 1/1
    ",
    );
}

#[test]
fn a_rejection_counts_the_available_units_of_all_locations() {
    check(
        "
        location SHOP 1
        stock   MUG 2
        stock   MUG 3 @SHOP
        place A  MUG 6        -> rejected MUG(6>5)
        place B  MUG 5        -> allocated
    ",
    );
}

#[test]
fn a_release_and_a_shipment_follow_the_recorded_allocations_and_not_the_priorities() {
    check(
        "
        location SHOP 1
        stock   MUG 1
        stock   MUG 5 @SHOP
        place A  MUG 3        -> allocated MUG@SHOP(3)
        place B  MUG 3        -> allocated MUG@SHOP(2) MUG@main(1)
        location main 9         -> replaced
        location SHOP 20        -> replaced
        receive MUG 50
        fulfill A  MUG@SHOP 3   -> allocated
        cancel B               -> nothing
        levels  MUG             -> SHOP 2/0 main 51/0
        place C  MUG 1        -> allocated MUG@main(1)
    ",
    );
}

/// 100 lines whose units lie at this many locations each need as many allocations per line.
fn a_hundred_lines_over(locations: usize) -> String {
    let mut stock = Stock::default();
    let location = |number: usize| format!("L{number}");
    let product = |number: usize| format!("P{number}");
    stock.run(&(0..locations).map(|n| put_location(&location(n), 1)).collect::<Vec<_>>());
    for line in 0..100 {
        let one = Change::Receive(quantity(1));
        let receive = |at: usize| {
            let key = format!("{line} {at}");
            movement_request(&product(line), &location(at), one, &key)
        };
        stock.run(&[put_product(&product(line))]);
        stock.run(&(0..locations).map(receive).collect::<Vec<_>>());
    }
    let units = u32::try_from(locations).expect("few");
    let lines = (0..100).map(|line| (product_id(&product(line)), quantity(units)));
    let intent = Intent::placed(Wanted::sum(lines).expect("a hundred lines"));
    let decided = stock.run(&[allocate(order_id("A"), intent)]);
    stock.audit();
    let text = describe(&decided[0]);
    words(&text)[0].to_owned() + " " + words(&text)[1]
}

#[test]
fn an_order_that_would_need_more_than_4000_allocations_is_rejected() {
    assert_eq!(a_hundred_lines_over(40), "allocated(1) P0@L0(1)");
    assert_eq!(a_hundred_lines_over(41), "rejected(1) P0(41>41)");
}
