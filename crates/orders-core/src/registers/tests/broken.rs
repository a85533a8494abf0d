//! Entries that no history has.

use super::*;
use crate::changes::Tracking;

/// No request makes these entries, so no history has them.
#[test]
fn an_entry_that_no_request_makes_does_not_follow() {
    let confirmed = || Scenario::placed(None).answer(2);
    let shipped = || confirmed().ship_one();
    let reserved = || Scenario::placed(Some(900)).answer(2);
    let of = |scenario: &Scenario, purpose, change: fn(&mut Intended)| {
        let mut next = scenario.next(purpose);
        change(&mut next);
        Event::from(next)
    };
    let nothing: fn(&mut Intended) = |next| next.wanted = Some(wanted("MUG", 0));
    let one: fn(&mut Intended) = |next| {
        (next.wanted, next.key) = (Some(wanted("MUG", 1)), key("x"));
    };
    let ship_two: fn(&mut Intended) =
        |next| next.shipped = Some(allocations(&[("MUG", "main", 2)]));
    let unchanged: fn(&mut Intended) = |_| {};
    let cases: Vec<(&str, Scenario, Purpose, fn(&mut Intended))> = vec![
        ("cancels what is shipped", confirmed().fulfill().answer(2), Purpose::Cancel, nothing),
        ("cancels what is shipped in part", shipped(), Purpose::Cancel, nothing),
        ("cancels what was rejected", Scenario::placed(None).short(), Purpose::Cancel, nothing),
        ("cancels twice", confirmed().cancel(), Purpose::Cancel, nothing),
        ("ships what was rejected", Scenario::placed(None).short(), Purpose::Fulfill, ship_two),
        ("ships what is not granted", Scenario::placed(None), Purpose::Fulfill, ship_two),
        ("ships what is not paid", reserved(), Purpose::Fulfill, ship_two),
        ("changes what is not paid", reserved(), Purpose::Amend, one),
        ("ships while units are taken", confirmed().cancel_one(), Purpose::Amend, |next| {
            (next.shipped, next.key) = (Some(allocations(&[("MUG", "main", 1)])), key("x"));
        }),
        ("ships from elsewhere", confirmed(), Purpose::Amend, |next| {
            (next.shipped, next.key) = (Some(allocations(&[("MUG", "east", 1)])), key("x"));
        }),
        ("ships in part without a key", confirmed(), Purpose::Amend, |next| {
            next.shipped = Some(allocations(&[("MUG", "main", 1)]));
        }),
        ("cancels in part without a key", confirmed(), Purpose::Amend, |next| {
            next.wanted = Some(wanted("MUG", 1));
        }),
        ("cancels the rest without a key", shipped(), Purpose::Fulfill, |next| {
            next.wanted = Some(wanted("MUG", 1));
        }),
        ("uses a key twice", shipped(), Purpose::Fulfill, |next| {
            (next.shipped, next.key) = (Some(allocations(&[("MUG", "main", 2)])), key("s"));
        }),
        ("has a wrong purpose", confirmed(), Purpose::Fulfill, one),
        ("has a wrong purpose", confirmed(), Purpose::Amend, |next| {
            (next.shipped, next.key) = (Some(allocations(&[("MUG", "main", 2)])), key("x"));
        }),
        ("wants more", confirmed().cancel_one(), Purpose::Amend, |next| {
            (next.wanted, next.key) = (Some(wanted("MUG", 2)), key("x"));
        }),
        ("wants another product", confirmed(), Purpose::Amend, |next| {
            (next.wanted, next.key) = (Some(wanted("TEE", 1)), key("x"));
        }),
        ("changes two registers", confirmed(), Purpose::Fulfill, |next| {
            next.wanted = Some(wanted("MUG", 1));
            (next.shipped, next.key) = (Some(allocations(&[("MUG", "main", 1)])), key("x"));
        }),
        ("changes nothing", confirmed(), Purpose::Amend, |next| next.key = key("x")),
        ("takes more back than is out", shipped(), Purpose::Amend, |next| {
            (next.returned, next.key) = (Some(returned(2)), key("x"));
        }),
        ("takes less back than before", shipped().take_back_one(), Purpose::Amend, |next| {
            (next.returned, next.key) = (Some(Returned::default()), key("x"));
        }),
        ("unships what came back", shipped().take_back_one(), Purpose::Amend, |next| {
            (next.shipped, next.cancelled_shipment) = (Some(Allocations::default()), Some(3));
        }),
        ("unships without a shipment", shipped(), Purpose::Amend, |next| {
            (next.shipped, next.key) = (Some(Allocations::default()), key("x"));
        }),
        ("unships another shipment", shipped(), Purpose::Amend, |next| {
            (next.shipped, next.cancelled_shipment) = (Some(Allocations::default()), Some(4));
        }),
        ("unships other units", confirmed().fulfill(), Purpose::Amend, |next| {
            next.shipped = Some(allocations(&[("MUG", "main", 1)]));
            next.cancelled_shipment = Some(3);
        }),
        ("expires what is confirmed", confirmed(), Purpose::Expire, unchanged),
        ("expires what is paid", reserved().pay(2000), Purpose::Expire, unchanged),
        ("expires twice", reserved().expire(), Purpose::Expire, unchanged),
        ("revives what is not paid", reserved().expire(), Purpose::Revive, unchanged),
        ("revives for too little", reserved().expire().pay(1999), Purpose::Revive, unchanged),
        ("revives what is cancelled", reserved().cancel().pay(2000), Purpose::Revive, unchanged),
        ("revives what is confirmed", reserved().pay(2000), Purpose::Revive, unchanged),
        ("places again", confirmed(), Purpose::Place, unchanged),
        ("skips a revision", confirmed(), Purpose::Cancel, |next| {
            (next.revision, next.wanted) = (next.revision.next(), Some(wanted("MUG", 0)));
        }),
    ];
    for (why, mut scenario, purpose, change) in cases {
        let before = scenario.registers.clone();
        let event = of(&scenario, purpose, change);
        assert!(scenario.try_add(event).is_err(), "{why}");
        assert_eq!(scenario.registers, before, "{why}: nothing is changed");
    }
    for (why, mut scenario, event) in [
        ("a payment of nothing", reserved(), paid(0)),
        ("a second payment", reserved().pay(2000), paid(1)),
        ("a payment that is not expected", confirmed(), paid(2000)),
        ("a refund of nothing", reserved().pay(2000), refunded("y", 0)),
        ("a refund without a payment", reserved(), refunded("y", 1)),
        ("too much is refunded", reserved().pay(2000).refund(1), refunded("y", 2000)),
        ("a refund is recorded twice", reserved().pay(2000).refund(1), refunded("x", 1)),
        (
            "there is no such shipment",
            shipped(),
            Event::Tracked { actor: None, shipment: 4, tracking: Tracking::default() },
        ),
    ] {
        let before = scenario.registers.clone();
        assert!(scenario.try_add(event).is_err(), "{why}");
        assert_eq!(scenario.registers, before, "{why}: nothing is changed");
    }
}
