use super::check;

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
        reserve A  MUG 2 TEE 2  -> reserved MUG@BARN(2) TEE@BARN(2)
        reserve B  MUG 1 TEE 1  -> reserved MUG@SHOP(1) TEE@SHOP(1)
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
        reserve O1  MUG 1       -> reserved MUG@Z(1)
        reserve O2  MUG 1       -> reserved MUG@A(1)
        reserve O3  MUG 1       -> reserved MUG@B(1)
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
        reserve A  MUG 5 TEE 4  -> reserved MUG@BARN(2) MUG@SHOP(2) MUG@main(1) TEE@SHOP(4)
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
        reserve A  MUG 6        -> rejected MUG(6>5)
        reserve B  MUG 5        -> reserved
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
        reserve A  MUG 3        -> reserved MUG@SHOP(3)
        reserve B  MUG 3        -> reserved MUG@SHOP(2) MUG@main(1)
        location main 9         -> replaced
        location SHOP 20        -> replaced
        receive MUG 50
        ship    A               -> shipped
        release B               -> released
        levels  MUG             -> SHOP 2/0 main 51/0
        reserve C  MUG 1        -> reserved MUG@main(1)
    ",
    );
}
