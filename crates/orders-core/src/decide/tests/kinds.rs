//! What the entries of a history are for those who follow the changes of orders.

use super::harness::{World, check};
use super::script::id_of;

/// The names of the kinds, in the order of the history.
fn kinds(world: &World, name: &str) -> String {
    let kinds = world.store.kinds(id_of(name)).iter().map(|kind| kind.as_str());
    kinds.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_first_answer_and_requests_about_the_whole_order_are_statuses() {
    let world = check(
        "
        place A 2          -> placed received
        answer A           -> confirmed
        fulfill A          -> fulfilling
        answer A           -> fulfilled
        place B 2          -> placed received
        answer B           -> confirmed
        cancel B           -> cancelling
        answer B           -> cancelled
        place C 2 pay=900  -> placed received
        answer C           -> reserved
        expire C           -> expiring
        answer C           -> expired
        pay C r1           -> reviving
        answer C           -> confirmed
        place D 2          -> placed received
        answer D short     -> rejected
        ",
    );
    assert_eq!(kinds(&world, "A"), "confirmed, fulfilling, fulfilled");
    assert_eq!(kinds(&world, "B"), "confirmed, cancelling, cancelled");
    assert_eq!(kinds(&world, "C"), "reserved, expiring, expired, paid, reviving, confirmed");
    assert_eq!(kinds(&world, "D"), "rejected");
}

#[test]
fn a_change_is_what_the_client_did_and_its_answer_says_that_it_was_carried_out() {
    let world = check(
        "
        place A 5 pay=900           -> placed received
        answer A                    -> reserved
        pay A r1                    -> confirmed
        ship A k MUG 1              -> amending #4
        track A 4 BR1               -> amending
        cancel-lines A l MUG 1      -> amending
        answer A                    -> confirmed
        refund A x 1000             -> confirmed
        cancel-shipment A 4         -> amending
        answer A                    -> confirmed
        ",
    );
    assert_eq!(
        kinds(&world, "A"),
        "reserved, confirmed, shipment.created, shipment.tracked, cancellation.created, amended, \
         refunded, shipment.cancelled, amended"
    );
}

#[test]
fn an_order_is_fulfilled_once_by_the_answer_to_the_last_shipment() {
    let world = check(
        "
        place A 3                     -> placed received
        answer A                      -> confirmed
        ship A k MUG 2                -> amending
        ship A l MUG 1                -> fulfilling
        return A r MUG 1 restock      -> amending      // before the answer to the shipment
        answer A                      -> fulfilled
        return A s MUG 1 restock      -> amending
        answer A                      -> fulfilled
        place B 3                     -> placed received
        answer B                      -> confirmed
        ship B k MUG 2                -> amending
        answer B                      -> confirmed
        cancel-lines B l MUG 1        -> fulfilling    // nothing is left to ship
        answer B                      -> fulfilled
        ",
    );
    assert_eq!(
        kinds(&world, "A"),
        "confirmed, shipment.created, shipment.created, return.created, fulfilled, \
         return.created, amended"
    );
    assert_eq!(
        kinds(&world, "B"),
        "confirmed, shipment.created, amended, cancellation.created, fulfilled"
    );
}

#[test]
fn an_order_whose_last_unit_is_cancelled_is_cancelled_by_the_answer() {
    let world = check(
        "
        place A 1                     -> placed received
        answer A                      -> confirmed
        cancel-lines A k MUG 1        -> cancelling
        answer A                      -> cancelled
        ",
    );
    assert_eq!(kinds(&world, "A"), "confirmed, cancellation.created, cancelled");
}
