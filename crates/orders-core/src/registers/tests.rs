use contract::{Allocation, Allocations, ProductId, Quantity, Shortage, ShortageReason};

use super::*;
use crate::history::{BrokenHistory, Entry, fold, last_allocated};
use crate::money::Currency;
use crate::order::{OrderLine, Terms};

fn product() -> ProductId {
    "MUG".parse().expect("an id")
}

fn terms() -> Terms {
    let quantity = Quantity::new(2).expect("a quantity");
    let line = OrderLine { product_id: product(), quantity, price_minor: 1 };
    Terms {
        customer_id: "123456".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 2,
        lines: vec![line],
    }
}

fn allocations(parts: &[(&str, &str, u32)]) -> Allocations {
    let part = |(product, location, units): &(&str, &str, u32)| Allocation {
        product_id: product.parse().expect("an id"),
        location_id: location.parse().expect("an id"),
        quantity: Quantity::new(*units).expect("a quantity"),
    };
    Allocations::sorted(parts.iter().map(part).collect()).expect("distinct stock keys")
}

fn facts(revision: u32, parts: &[(&str, &str, u32)], short: bool) -> Facts {
    let shortage = Shortage {
        product_id: product(),
        requested: Quantity::new(2).expect("a quantity"),
        available: 1,
        reason: ShortageReason::OutOfStock,
    };
    Facts {
        revision: Revision::try_from(revision).expect("a revision"),
        allocated: allocations(parts),
        shortages: if short { vec![shortage] } else { Vec::new() },
    }
}

fn settled(facts: &Facts) -> Event {
    Event::Settled {
        decided_at_micros: 5,
        allocated: Some(facts.allocated.clone()),
        shortages: facts.shortages.clone(),
    }
}

fn intended(registers: &Registers, request: Request) -> Event {
    let next = registers.next_intent(request);
    Event::Intended {
        revision: next.revision,
        actor: None,
        reason: None,
        wanted: Some(next.wanted),
        shipped: Some(next.shipped),
    }
}

/// The registers after these events, all of which fit.
fn after(events: &[&dyn Fn(&Registers) -> Event]) -> Registers {
    let mut registers = Registers::placed(terms().ordered());
    for event in events {
        let event = event(&registers);
        registers.apply(&event).expect("an event that follows");
    }
    registers
}

fn grant(registers: &Registers) -> Event {
    settled(&facts(registers.intent.revision.get(), &[("MUG", "main", 2)], false))
}

fn reject(_: &Registers) -> Event {
    settled(&facts(1, &[], true))
}

fn release(_: &Registers) -> Event {
    settled(&facts(2, &[], false))
}

fn cancel(registers: &Registers) -> Event {
    intended(registers, Request::Cancel)
}

fn fulfill(registers: &Registers) -> Event {
    intended(registers, Request::Fulfill)
}

/// Every path through the registers, with the status that it leads to.
#[test]
fn each_path_of_an_order_leads_to_its_status() {
    for (status, events) in [
        (Status::Received, &[][..]),
        (Status::Confirmed, &[&grant as &dyn Fn(&Registers) -> Event]),
        (Status::Rejected, &[&reject]),
        (Status::Cancelling, &[&cancel]),
        (Status::Cancelling, &[&grant, &cancel]),
        (Status::Cancelled, &[&cancel, &release]),
        (Status::Cancelled, &[&grant, &cancel, &release]),
        (Status::Fulfilling, &[&grant, &fulfill]),
        (Status::Fulfilled, &[&grant, &fulfill, &grant]),
    ] {
        let registers = after(events);
        assert_eq!(registers.status(), status);
        assert_eq!(registers.in_flight().is_some(), status.is_in_flight());
    }
}

/// One row per state, one column per answer: grants and rejections of revision 1, and of revision 2
/// an empty answer and one with all units; then an answer of revision 3.
#[test]
fn every_state_reads_every_answer_as_the_table_says() {
    use Reading::{Settles, Stale};
    let anomaly = Reading::Anomaly("");
    let answers = [
        facts(1, &[("MUG", "main", 2)], false),
        facts(1, &[], true),
        facts(2, &[], false),
        facts(2, &[("MUG", "main", 2)], false),
        facts(3, &[], false),
    ];
    #[rustfmt::skip]
    let table = [
        (after(&[]),                           [Settles, Settles, anomaly, anomaly, anomaly]),
        (after(&[&grant]),                     [Stale,   anomaly, anomaly, anomaly, anomaly]),
        (after(&[&reject]),                    [anomaly, Stale,   anomaly, anomaly, anomaly]),
        (after(&[&cancel]),                    [Stale,   Stale,   Settles, anomaly, anomaly]),
        (after(&[&grant, &cancel]),            [Stale,   Stale,   Settles, anomaly, anomaly]),
        (after(&[&cancel, &release]),          [Stale,   Stale,   Stale,   anomaly, anomaly]),
        (after(&[&grant, &fulfill]),           [Stale,   Stale,   anomaly, Settles, anomaly]),
        (after(&[&grant, &fulfill, &grant]),   [Stale,   Stale,   anomaly, Stale,   anomaly]),
    ];
    let digest = Digest([7; 16]);
    for (registers, expected) in table {
        for (facts, expected) in answers.iter().zip(expected) {
            let reading = match registers.read(facts, digest, digest) {
                Reading::Anomaly(_) => anomaly,
                reading => reading,
            };
            assert_eq!(reading, expected, "{:?} reads {facts:?}", registers.status());
        }
    }
}

#[test]
fn an_answer_to_another_intent_of_the_same_revision_is_an_anomaly() {
    let registers = after(&[]);
    let granted = facts(1, &[("MUG", "main", 2)], false);
    let reading = registers.read(&granted, Digest([1; 16]), Digest([2; 16]));
    assert!(matches!(reading, Reading::Anomaly(_)));
}

#[test]
fn an_answer_that_breaks_the_arithmetic_of_a_line_is_an_anomaly() {
    let digest = Digest([7; 16]);
    let received = after(&[]);
    let fulfilling = after(&[&grant, &fulfill]);
    for (registers, wrong) in [
        (&received, facts(1, &[("MUG", "main", 1)], false)),
        (&received, facts(1, &[("MUG", "main", 3)], false)),
        (&received, facts(1, &[("MUG", "main", 2)], true)),
        (&received, facts(1, &[("MUG", "main", 2), ("TEE", "main", 1)], false)),
        (&received, facts(1, &[], false)),
        (&fulfilling, facts(2, &[("MUG", "other", 2)], false)),
        (&fulfilling, facts(2, &[("MUG", "main", 1), ("MUG", "other", 1)], false)),
    ] {
        let reading = registers.read(&wrong, digest, digest);
        assert!(matches!(reading, Reading::Anomaly(_)), "{wrong:?}");
    }
    let split = facts(1, &[("MUG", "main", 1), ("MUG", "other", 1)], false);
    assert_eq!(received.read(&split, digest, digest), Reading::Settles);
}

#[test]
fn fulfilling_ships_what_was_allocated_where_it_was_allocated() {
    let split = |_: &Registers| settled(&facts(1, &[("MUG", "a", 1), ("MUG", "b", 1)], false));
    let registers = after(&[&split]);
    let next = registers.next_intent(Request::Fulfill);
    assert_eq!(next.revision, Revision::FIRST.next());
    assert_eq!(next.shipped, allocations(&[("MUG", "a", 1), ("MUG", "b", 1)]));
    assert_eq!(next.wanted, registers.intent.wanted);
    let cancelled = registers.next_intent(Request::Cancel);
    assert_eq!((cancelled.wanted.total(), cancelled.shipped.is_empty()), (0, true));
    assert!(cancelled.wanted.names(&product()));
}

/// The history of an order, entry by entry, from events.
fn entries(events: &[&dyn Fn(&Registers) -> Event]) -> Vec<Entry> {
    let mut registers = Registers::placed(terms().ordered());
    let mut entries = Vec::new();
    for (event, seq) in events.iter().zip(2..) {
        let event = event(&registers);
        registers.apply(&event).expect("an event that follows");
        entries.push(Entry { seq, status: registers.status(), at_micros: 7, event });
    }
    entries
}

#[test]
fn the_fold_of_a_history_is_the_registers_and_checks_every_prefix() {
    let good = entries(&[&grant, &cancel, &release]);
    let folded = fold(&terms(), &good).expect("a history");
    assert_eq!(folded.status(), Status::Cancelled);
    assert_eq!(last_allocated(&good), allocations(&[("MUG", "main", 2)]));
    assert_eq!(last_allocated(&good[..0]), Allocations::default());

    let mut gap = good.clone();
    gap.remove(1);
    assert_eq!(fold(&terms(), &gap), Err(BrokenHistory::Gap { expected: 3, found: 4 }));

    let mut wrong_status = good.clone();
    wrong_status[1].status = Status::Confirmed;
    assert!(matches!(
        fold(&terms(), &wrong_status),
        Err(BrokenHistory::Status { seq: 3, expected: Status::Cancelling, .. })
    ));

    let again = Entry { seq: 5, ..good[2].clone() };
    let answered_twice = [good, vec![again]].concat();
    assert!(matches!(fold(&terms(), &answered_twice), Err(BrokenHistory::Misfit { seq: 5, .. })));

    let skipped = Event::Intended {
        revision: Revision::try_from(7).expect("a revision"),
        actor: None,
        reason: None,
        wanted: Some(terms().ordered().nothing()),
        shipped: None,
    };
    let entry = Entry { seq: 2, status: Status::Cancelling, at_micros: 7, event: skipped };
    assert!(matches!(fold(&terms(), &[entry]), Err(BrokenHistory::Misfit { seq: 2, .. })));
}

/// A fulfilled order cannot be cancelled, and a rejected one cannot be fulfilled.
#[test]
fn an_intent_that_no_request_makes_does_not_follow() {
    for (events, request) in [
        (&[&grant as &dyn Fn(&Registers) -> Event, &fulfill, &grant][..], Request::Cancel),
        (&[&reject], Request::Fulfill),
        (&[&reject], Request::Cancel),
        (&[], Request::Fulfill),
    ] {
        let mut registers = after(events);
        let event = intended(&registers, request);
        assert!(registers.apply(&event).is_err(), "{request:?}");
    }
    let mut registers = after(&[&grant]);
    let partly = Event::Intended {
        revision: Revision::FIRST.next(),
        actor: None,
        reason: None,
        wanted: None,
        shipped: Some(allocations(&[("MUG", "main", 1)])),
    };
    assert!(registers.apply(&partly).is_err());
}
