//! Entries that no request makes, so that no history has them.

use super::*;
use crate::changes::Tracking;

/// What is wrong, the order, and the intent that does not follow: its purpose and what it changes.
type Case = (&'static str, Scenario, Purpose, fn(&mut Intended));

fn check(cases: Vec<Case>) {
    for (why, scenario, purpose, change) in cases {
        let mut next = scenario.next(purpose);
        change(&mut next);
        check_event(why, scenario, next.into());
    }
}

fn check_event(why: &str, mut scenario: Scenario, event: Event) {
    let before = scenario.registers.clone();
    assert!(scenario.try_add(event).is_err(), "{why}");
    assert_eq!(scenario.registers, before, "{why}: nothing is changed");
}

fn confirmed() -> Scenario {
    Scenario::placed(None).answer(2)
}

fn shipped() -> Scenario {
    confirmed().ship_one()
}

fn reserved() -> Scenario {
    Scenario::placed(Some(900)).answer(2)
}

fn rejected() -> Scenario {
    Scenario::placed(None).short()
}

fn unchanged(_: &mut Intended) {}

fn want_nothing(next: &mut Intended) {
    next.wanted = Some(wanted("MUG", 0));
}

fn want_one(next: &mut Intended) {
    next.wanted = Some(wanted("MUG", 1));
}

fn ship_one(next: &mut Intended) {
    next.shipped = Some(allocations(&[("MUG", "main", 1)]));
}

fn ship_two(next: &mut Intended) {
    next.shipped = Some(allocations(&[("MUG", "main", 2)]));
}

fn with_key(next: &mut Intended, change: fn(&mut Intended)) {
    change(next);
    next.key = key("x");
}

#[test]
fn an_order_is_cancelled_once_and_only_while_nothing_is_shipped() {
    check(vec![
        ("it is shipped", confirmed().fulfill().answer(2), Purpose::Cancel, want_nothing),
        ("it is shipped in part", shipped(), Purpose::Cancel, want_nothing),
        ("it was rejected", rejected(), Purpose::Cancel, want_nothing),
        ("it is cancelled", confirmed().cancel(), Purpose::Cancel, want_nothing),
        ("a revision is skipped", confirmed(), Purpose::Cancel, |next| {
            want_nothing(next);
            next.revision = next.revision.next();
        }),
        ("it is placed again", confirmed(), Purpose::Place, unchanged),
    ]);
}

#[test]
fn only_units_that_are_granted_and_kept_are_shipped() {
    check(vec![
        ("it was rejected", rejected(), Purpose::Fulfill, ship_two),
        ("it has no answer", Scenario::placed(None), Purpose::Fulfill, ship_two),
        ("it is not paid", reserved(), Purpose::Fulfill, ship_two),
        ("units are taken", confirmed().cancel_one(), Purpose::Fulfill, |next| {
            with_key(next, ship_one);
        }),
        ("it has none there", confirmed(), Purpose::Amend, |next| {
            with_key(next, |next| next.shipped = Some(allocations(&[("MUG", "east", 1)])));
        }),
        ("it has fewer", confirmed(), Purpose::Fulfill, |next| {
            with_key(next, |next| next.shipped = Some(allocations(&[("MUG", "main", 3)])));
        }),
    ]);
}

#[test]
fn a_change_has_its_purpose_and_a_key_of_its_own() {
    check(vec![
        ("a shipment has no key", confirmed(), Purpose::Amend, ship_one),
        ("a cancellation has no key", confirmed(), Purpose::Amend, want_one),
        ("the last cancellation has no key", shipped(), Purpose::Fulfill, want_one),
        ("the key was used", shipped(), Purpose::Fulfill, |next| {
            ship_two(next);
            next.key = key("s");
        }),
        ("it does not ship all", confirmed(), Purpose::Fulfill, |next| with_key(next, ship_one)),
        ("it ships all", confirmed(), Purpose::Amend, |next| with_key(next, ship_two)),
        ("it cancels all", confirmed(), Purpose::Amend, |next| with_key(next, want_nothing)),
    ]);
}

#[test]
fn a_change_is_of_one_register_and_takes_units_of_the_order() {
    check(vec![
        ("it is not paid", reserved(), Purpose::Amend, |next| with_key(next, want_one)),
        ("it wants more", confirmed().cancel_one(), Purpose::Amend, |next| {
            with_key(next, |next| next.wanted = Some(wanted("MUG", 2)));
        }),
        ("it wants another product", confirmed(), Purpose::Amend, |next| {
            with_key(next, |next| next.wanted = Some(wanted("TEE", 1)));
        }),
        ("it changes two registers", confirmed(), Purpose::Fulfill, |next| {
            want_one(next);
            with_key(next, ship_one);
        }),
        ("it changes nothing", confirmed(), Purpose::Amend, |next| with_key(next, unchanged)),
    ]);
}

#[test]
fn no_more_comes_back_than_is_out() {
    check(vec![
        ("more comes back", shipped(), Purpose::Amend, |next| {
            with_key(next, |next| next.returned = Some(returned(2)));
        }),
        ("less came back", shipped().return_one(), Purpose::Amend, |next| {
            with_key(next, |next| next.returned = Some(Returned::default()));
        }),
        ("another product comes back", shipped(), Purpose::Amend, |next| {
            let mut entry = returned(1)[0].clone();
            entry.product_id = "TEE".parse().expect("an id");
            next.returned = Some(Returned::sorted(vec![entry]).expect("one entry"));
            next.key = key("x");
        }),
        ("the shipment came back", shipped().return_one(), Purpose::Amend, |next| {
            next.shipped = Some(Allocations::default());
            next.cancelled_shipment = Some(3);
        }),
    ]);
}

#[test]
fn a_cancelled_shipment_takes_back_its_units() {
    check(vec![
        ("no shipment is named", shipped(), Purpose::Amend, |next| {
            with_key(next, |next| next.shipped = Some(Allocations::default()));
        }),
        ("there is no such shipment", shipped(), Purpose::Amend, |next| {
            next.shipped = Some(Allocations::default());
            next.cancelled_shipment = Some(4);
        }),
        ("other units are cancelled", confirmed().fulfill(), Purpose::Amend, |next| {
            ship_one(next);
            next.cancelled_shipment = Some(3);
        }),
        ("no unit is cancelled", shipped(), Purpose::Amend, |next| {
            next.cancelled_shipment = Some(3);
        }),
    ]);
    let tracking = Tracking::default();
    let event = Event::Tracked { actor: None, shipment: 4, tracking };
    check_event("there is no such shipment", shipped(), event);
}

#[test]
fn an_order_expires_unless_it_is_paid_and_revives_when_it_is() {
    check(vec![
        ("it is confirmed", confirmed(), Purpose::Expire, unchanged),
        ("it is paid", reserved().pay(2000), Purpose::Expire, unchanged),
        ("it is expired", reserved().expire(), Purpose::Expire, unchanged),
        ("it is not paid", reserved().expire(), Purpose::Revive, unchanged),
        ("it is cancelled", reserved().cancel().pay(2000), Purpose::Revive, unchanged),
        ("it never expired", reserved().pay(2000), Purpose::Revive, unchanged),
        ("it is revived", late_payment().revive(), Purpose::Revive, unchanged),
        ("it was short", late_payment().revive().short(), Purpose::Revive, unchanged),
        (
            "its money went back",
            late_payment().revive().short().refund(2000),
            Purpose::Revive,
            unchanged,
        ),
    ]);
}

fn late_payment() -> Scenario {
    reserved().expire().pay(2000)
}

/// A late payment asks for the units again at once, or the order would wait for nothing.
#[test]
fn nothing_comes_between_a_late_payment_and_its_revival() {
    check(vec![
        ("it is cancelled", late_payment(), Purpose::Cancel, want_nothing),
        ("it expires again", late_payment(), Purpose::Expire, unchanged),
    ]);
    check_event("it is refunded", late_payment(), refunded("y", 1));
    let settled =
        |scenario: &Scenario| Event::settled(&scenario.registers, &facts(2, &[], false), 5);
    let scenario = late_payment();
    let event = settled(&scenario);
    check_event("the release is answered", scenario, event);
    let Scenario { terms, entries, .. } = late_payment();
    let broken = fold(&terms, &entries);
    assert!(matches!(broken, Err(BrokenHistory::Misfit { seq: 4, .. })), "{broken:?}");
    let Scenario { terms, entries, .. } = late_payment().revive();
    assert!(fold(&terms, &entries).is_ok());
}

#[test]
fn money_is_recorded_once_and_no_more_is_refunded_than_was_paid() {
    for (why, scenario, event) in [
        ("a payment of nothing", reserved(), paid(0)),
        ("a payment of too little", reserved(), paid(1999)),
        ("a late payment of too little", reserved().expire(), paid(1999)),
        ("a payment of nothing, of an order that is over", reserved().cancel(), paid(0)),
        ("a second payment", reserved().pay(2000), paid(1)),
        ("a payment that is not expected", confirmed(), paid(2000)),
        ("a refund of nothing", reserved().pay(2000), refunded("y", 0)),
        ("a refund without a payment", reserved(), refunded("y", 1)),
        ("too much is refunded", reserved().pay(2000).refund(1), refunded("y", 2000)),
        ("a refund is recorded twice", reserved().pay(2000).refund(1), refunded("x", 1)),
    ] {
        check_event(why, scenario, event);
    }
}
