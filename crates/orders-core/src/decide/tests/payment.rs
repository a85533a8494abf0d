//! Orders that wait for their payment.

use super::harness::{NOW, check};
use super::script::id_of;
use crate::decide::Deadline;

#[test]
fn a_payment_and_a_deadline_cannot_both_win() {
    check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        pay A r1           -> confirmed
        expire A           -> stale
        money A            -> paid of 2000: paid 2000, refunded 0, owed 0
        ",
    );
    check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        expire A           -> expiring
        pay A r1           -> reviving     // it is late, and asks for the units again
        expire A           -> stale
        money A            -> paid of 2000: paid 2000, refunded 0, owed 0
        units A            -> MUG 2/0/0
        answer A           -> confirmed
        ",
    );
}

#[test]
fn a_deadline_that_finds_another_status_changes_nothing() {
    check(
        "
        place A 2 pay=900  -> placed received
        expire A           -> stale
        answer A           -> reserved
        pay A r1           -> confirmed
        ship A k MUG 1     -> amending
        expire A           -> stale
        answer A           -> confirmed
        expire A           -> stale
        fulfill A          -> fulfilling
        expire A           -> stale
        answer A           -> fulfilled
        expire A           -> stale
        place B 2 pay=900  -> placed received
        answer B           -> reserved
        cancel B           -> cancelling
        expire B           -> stale
        answer B           -> cancelled
        expire B           -> stale
        place C 2 pay=900  -> placed received
        answer C short     -> rejected
        expire C           -> stale
        place D 2          -> placed received   // without a payment
        answer D           -> confirmed
        expire D           -> stale
        ",
    );
}

#[test]
fn a_late_payment_gets_the_units_back_or_is_owed_but_never_both() {
    for (answer, outcome, money, units) in [
        ("", "confirmed", "paid of 2000: paid 2000, refunded 0, owed 0", "MUG 2/0/0"),
        ("short", "expired", "refund_due of 2000: paid 2000, refunded 0, owed 2000", "MUG 0/0/0"),
    ] {
        let script = format!(
            "
            place A 2 pay=900  -> placed received
            answer A           -> reserved
            expire A           -> expiring
            money A            -> expired of 2000: paid 0, refunded 0, owed 0
            units A            -> MUG 0/0/0
            answer A           -> expired
            money A            -> expired of 2000: paid 0, refunded 0, owed 0
            pay A r1           -> reviving
            answer A {answer}  -> {outcome}
            money A            -> {money}
            units A            -> {units}
            pay A r1           -> again {outcome}
            pay A r2           -> already paid
            "
        );
        check(&script);
    }
}

/// The release was not carried out yet, and the new revision overtakes it: no unit moves.
#[test]
fn a_late_payment_overtakes_the_release() {
    check(
        "
        place A 2 pay=900  -> placed received
        answer A split     -> reserved
        expire A           -> expiring
        pay A r1           -> reviving
        answer A short     -> confirmed    // nobody else could get the units
        late A 1           -> stale
        ",
    );
    check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        expire A           -> expiring
        carry-out A        -> carried out  // it was carried out, and the answer is on its way
        pay A r1           -> reviving
        late A 2           -> stale
        answer A short     -> expired
        ",
    );
}

#[test]
fn a_late_payment_never_revives_a_cancelled_order() {
    for before in [
        "cancel A   -> cancelling",
        "expire A   -> expiring \n cancel A -> cancelling",
        "expire A   -> expiring \n answer A -> expired \n cancel A -> cancelling",
    ] {
        for answer in ["", "answer A -> cancelled"] {
            let status = if answer.is_empty() { "cancelling" } else { "cancelled" };
            let script = format!(
                "
                place A 2 pay=900 -> placed received
                answer A          -> reserved
                {before}
                {answer}
                money A           -> not_due of 0: paid 0, refunded 0, owed 0
                pay A r1          -> amount required   // nothing is due
                pay A r1 2000     -> {status}
                money A           -> refund_due of 0: paid 2000, refunded 0, owed 2000
                pay A r1          -> again {status}
                answer A          -> {}
                units A           -> MUG 0/0/0
                refund A r1 2000  -> cancelled
                money A           -> not_due of 0: paid 2000, refunded 2000, owed 0
                ",
                if answer.is_empty() { "cancelled" } else { "stale" }
            );
            check(&script);
        }
    }
}

#[test]
fn an_order_that_is_cancelled_while_it_revives_owes_its_money() {
    check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        expire A           -> expiring
        answer A           -> expired
        pay A r1           -> reviving
        carry-out A        -> carried out
        cancel A           -> cancelling
        late A             -> stale
        money A            -> refund_due of 0: paid 2000, refunded 0, owed 2000
        answer A           -> cancelled
        ",
    );
}

#[test]
fn money_that_comes_after_a_rejection_is_recorded_and_owed() {
    check(
        "
        place A 2 pay=900  -> placed received
        answer A short     -> rejected
        money A            -> not_due of 0: paid 0, refunded 0, owed 0
        pay A r1           -> amount required
        pay A r1 500       -> rejected     // any amount: the money is there
        money A            -> refund_due of 0: paid 500, refunded 0, owed 500
        pay A r1           -> again rejected
        refund A back 500  -> rejected
        money A            -> not_due of 0: paid 500, refunded 500, owed 0
        ",
    );
}

/// An order may be paid before Inventory has answered, and whatever Inventory answers.
#[test]
fn money_that_comes_first_confirms_the_order_or_is_owed() {
    for (next, status, money) in [
        ("answer A", "confirmed", "paid of 2000: paid 2000, refunded 0, owed 0"),
        ("answer A short", "rejected", "refund_due of 0: paid 2000, refunded 0, owed 2000"),
        ("cancel A", "cancelling", "refund_due of 0: paid 2000, refunded 0, owed 2000"),
    ] {
        let script = format!(
            "
            place A 2 pay=900  -> placed received
            money A            -> due of 2000: paid 0, refunded 0, owed 0
            pay A r1           -> received
            money A            -> paid of 2000: paid 2000, refunded 0, owed 0
            {next}             -> {status}
            money A            -> {money}
            expire A           -> stale
            "
        );
        check(&script);
    }
}

#[test]
fn a_payment_is_recorded_once_and_not_in_part() {
    check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        pay A r1 1999      -> underpaid, 2000 due
        money A            -> due of 2000: paid 0, refunded 0, owed 0
        pay A r1 2000      -> confirmed #3
        pay A r1 2000      -> again confirmed #3
        pay A r1           -> again confirmed #3
        pay A r1 1999      -> key reused
        pay A r2           -> already paid
        place B 2          -> placed received
        pay B r1           -> payment not expected
        refund B r1 1      -> at most 0
        ",
    );
}

#[test]
fn what_is_paid_too_much_is_owed_as_it_was_paid() {
    check(
        "
        place A 2 pay=900               -> placed received
        answer A                        -> reserved
        pay A r1 9223372036854775807    -> confirmed
        pay A r1 9223372036854775807    -> again confirmed
        money A -> refund_due of 2000: paid 9223372036854775807, refunded 0, \
         owed 9223372036854773807
        ",
    );
}

#[test]
fn no_more_is_refunded_than_was_paid_and_each_refund_once() {
    check(
        "
        place A 2 pay=900        -> placed received
        answer A                 -> reserved
        refund A x 1             -> at most 0
        pay A r1                 -> confirmed
        cancel-lines A k MUG 1   -> amending
        money A                  -> refund_due of 1000: paid 2000, refunded 0, owed 1000
        refund A x 600           -> amending #5
        refund A x 600           -> again amending #5
        refund A x 601           -> key reused
        answer A                 -> confirmed
        money A                  -> refund_due of 1000: paid 2000, refunded 600, owed 400
        refund A y 1401          -> at most 1400
        refund A y 400           -> confirmed
        money A                  -> paid of 1000: paid 2000, refunded 1000, owed 0
        refund A goodwill 1000   -> confirmed        // it is the shop's money
        refund A more 1          -> at most 0
        ",
    );
}

#[test]
fn an_order_that_costs_nothing_waits_for_no_payment() {
    check(
        "
        place A MUG:2:0 pay=900  -> placed received
        money A                  -> not_due of 0: paid 0, refunded 0, owed 0
        answer A                 -> confirmed
        pay A r1                 -> already paid
        expire A                 -> stale
        ",
    );
}

#[test]
fn the_deadline_counts_from_when_the_units_were_reserved() {
    let world = check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        place B 2 pay=900  -> placed received
        place C 2 pay=900  -> placed received
        answer C           -> reserved
        pay C r1           -> confirmed
        place D 2          -> placed received
        answer D           -> confirmed
        ",
    );
    let deadline = |name: &str| world.store.orders[&id_of(name)].deadline();
    let pay_by_micros = NOW + 900_000_000;
    assert_eq!(deadline("A"), Some(Deadline { armed_at_micros: NOW, pay_by_micros }));
    assert_eq!(["B", "C", "D"].map(deadline), [None; 3]);
    let receipt = world.store.orders[&id_of("A")].receipt();
    let balance = receipt.balance.expect("the order waits for its payment");
    assert_eq!(balance.pay_by_micros, Some(pay_by_micros));
}

#[test]
fn a_receipt_says_what_was_short_when_a_late_payment_found_nothing() {
    let world = check(
        "
        place A 2 pay=900  -> placed received
        answer A           -> reserved
        expire A           -> expiring
        answer A           -> expired
        place B 2 pay=900  -> placed received
        answer B           -> reserved
        expire B           -> expiring
        answer B           -> expired
        pay B r1           -> reviving
        answer B short     -> expired
        ",
    );
    let shortages = |name: &str| world.store.orders[&id_of(name)].receipt().shortages.len();
    assert_eq!((shortages("A"), shortages("B")), (0, 1));
}
