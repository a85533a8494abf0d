use contract::{
    Allocation, BookedAt, LocationId, Quantity, Returned, ReturnedUnits, Shortage, ShortageReason,
    WantedLine,
};

use super::*;
use crate::changes::RequestKey;
use crate::history::{BrokenHistory, Entry, Intended, fold, last_allocated};
use crate::money::Currency;
use crate::order::{OrderLine, PaymentTerms};

mod broken;

const AT: i64 = 7;

/// Two mugs at 10.00, and maybe a payment.
fn terms(within_s: Option<u32>) -> Terms {
    let line = |units, price_minor| OrderLine {
        product_id: mug(),
        quantity: Quantity::new(units).expect("a quantity"),
        price_minor,
    };
    Terms {
        customer_id: "123456".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: 2000,
        lines: vec![line(1, 1000), line(1, 1000)],
        payment: within_s.map(|within_s| PaymentTerms { within_s }),
    }
}

fn mug() -> ProductId {
    "MUG".parse().expect("an id")
}

fn location(text: &str) -> LocationId {
    text.parse().expect("an id")
}

fn allocations(parts: &[(&str, &str, u32)]) -> Allocations {
    let part = |(product, at, units): &(&str, &str, u32)| Allocation {
        product_id: product.parse().expect("an id"),
        location_id: location(at),
        quantity: Quantity::new(*units).expect("a quantity"),
    };
    Allocations::sorted(parts.iter().map(part).collect()).expect("distinct stock keys")
}

fn returned(units: u32) -> Returned {
    let entry = ReturnedUnits {
        product_id: mug(),
        location_id: location("main"),
        restocked: units,
        quarantined: 0,
        written_off: 0,
    };
    Returned::sorted(vec![entry]).expect("one entry")
}

fn wanted(product: &str, quantity: u32) -> Wanted {
    let product_id = product.parse().expect("an id");
    Wanted::try_from(vec![WantedLine { product_id, quantity }]).expect("one line")
}

fn facts(revision: u32, parts: &[(&str, &str, u32)], is_short: bool) -> Facts {
    let requested = Quantity::new(2).expect("a quantity");
    let reason = ShortageReason::OutOfStock;
    let shortage = Shortage { product_id: mug(), requested, available: 1, reason };
    Facts {
        allocated: allocations(parts),
        shortages: if is_short { vec![shortage] } else { Vec::new() },
        ..Facts::nothing(Revision::try_from(revision).expect("a revision"))
    }
}

fn key(text: &str) -> Option<RequestKey> {
    Some(RequestKey { key: text.to_owned(), digest: Digest::of(text.as_bytes()) })
}

/// An order and its history, to which a test adds events.
#[derive(Clone)]
struct Scenario {
    terms: Terms,
    registers: Registers,
    entries: Vec<Entry>,
}

impl Scenario {
    fn placed(within_s: Option<u32>) -> Self {
        let terms = terms(within_s);
        let registers = Registers::placed(terms.ordered());
        Self { terms, registers, entries: Vec::new() }
    }

    fn try_add(&mut self, event: Event) -> Result<(), Misfit> {
        let seq = u32::try_from(self.entries.len() + 2).expect("few entries");
        self.registers.apply(&self.terms, seq, AT, &event)?;
        let status = self.registers.status(&self.terms);
        self.entries.push(Entry { seq, status, at_micros: AT, event, trace_id: None });
        Ok(())
    }

    fn add(mut self, event: Event) -> Self {
        self.try_add(event).expect("an event that follows");
        self
    }

    fn next(&self, purpose: Purpose) -> Intended {
        Intended::unchanged(self.registers.intent.revision.next(), purpose)
    }

    /// Inventory answers with these units at `main`.
    fn answer(self, units: u32) -> Self {
        let parts = [("MUG", "main", units)];
        let parts = if units == 0 { &[][..] } else { &parts[..] };
        let event = Event::settled(&self.registers, &facts(1, parts, false), 5);
        self.add(event)
    }

    fn short(self) -> Self {
        let event = Event::settled(&self.registers, &facts(1, &[], true), 5);
        self.add(event)
    }

    fn pay(self, amount_minor: i64) -> Self {
        self.add(paid(amount_minor))
    }

    fn refund(self, amount_minor: i64) -> Self {
        self.add(refunded("x", amount_minor))
    }

    fn cancel(self) -> Self {
        let wanted = Some(wanted("MUG", 0));
        let next = Intended { wanted, ..self.next(Purpose::Cancel) };
        self.add(next.into())
    }

    fn cancel_one(self) -> Self {
        let next =
            Intended { wanted: Some(wanted("MUG", 1)), key: key("c"), ..self.next(Purpose::Amend) };
        self.add(next.into())
    }

    fn ship_one(self) -> Self {
        let shipped = Some(allocations(&[("MUG", "main", 1)]));
        let next = Intended { shipped, key: key("s"), ..self.next(Purpose::Amend) };
        self.add(next.into())
    }

    fn fulfill(self) -> Self {
        let shipped = Some(allocations(&[("MUG", "main", 2)]));
        let next = Intended { shipped, ..self.next(Purpose::Fulfill) };
        self.add(next.into())
    }

    fn return_one(self) -> Self {
        let next =
            Intended { returned: Some(returned(1)), key: key("r"), ..self.next(Purpose::Amend) };
        self.add(next.into())
    }

    fn expire(self) -> Self {
        let next = self.next(Purpose::Expire);
        self.add(next.into())
    }

    fn revive(self) -> Self {
        let next = self.next(Purpose::Revive);
        self.add(next.into())
    }

    fn read(&self, facts: &Facts) -> Reading {
        let digest = Digest([7; 16]);
        match self.registers.read(facts, digest, digest) {
            Reading::Anomaly(_) => Reading::Anomaly(""),
            reading => reading,
        }
    }
}

fn paid(amount_minor: i64) -> Event {
    Event::Paid { actor: None, reference: "r1".to_owned(), amount_minor }
}

fn refunded(reference: &str, amount_minor: i64) -> Event {
    Event::Refunded { actor: None, reference: reference.to_owned(), amount_minor }
}

/// Paths through the registers, with the status that each leads to.
#[test]
fn each_path_of_an_order_leads_to_its_status() {
    let plain = || Scenario::placed(None);
    let due = || Scenario::placed(Some(900));
    for (status, scenario) in [
        (Status::Received, plain()),
        (Status::Confirmed, plain().answer(2)),
        (Status::Rejected, plain().short()),
        (Status::Cancelling, plain().cancel()),
        (Status::Cancelling, plain().answer(2).cancel()),
        (Status::Cancelled, plain().cancel().answer(0)),
        (Status::Cancelled, plain().answer(2).cancel().answer(0)),
        (Status::Fulfilling, plain().answer(2).fulfill()),
        (Status::Fulfilled, plain().answer(2).fulfill().answer(2)),
        (Status::Amending, plain().answer(2).cancel_one()),
        (Status::Confirmed, plain().answer(2).cancel_one().answer(1)),
        (Status::Amending, plain().answer(2).ship_one()),
        (Status::Confirmed, plain().answer(2).ship_one().answer(2)),
        (Status::Amending, plain().answer(2).fulfill().return_one()),
        (Status::Fulfilled, plain().answer(2).fulfill().return_one().answer(2)),
        (Status::Received, due()),
        (Status::Received, due().pay(2000)),
        (Status::Confirmed, due().pay(2000).answer(2)),
        (Status::Reserved, due().answer(2)),
        (Status::Confirmed, due().answer(2).pay(2000)),
        (Status::Expiring, due().answer(2).expire()),
        (Status::Expired, due().answer(2).expire().answer(0)),
        (Status::Reviving, due().answer(2).expire().pay(2000).revive()),
        (Status::Confirmed, due().answer(2).expire().pay(2000).revive().answer(2)),
        (Status::Expired, due().answer(2).expire().pay(2000).revive().short()),
        (Status::Rejected, due().short().pay(5)),
        (Status::Cancelling, due().answer(2).expire().answer(0).cancel()),
    ] {
        let seen = scenario.registers.status(&scenario.terms);
        assert_eq!(seen, status, "{:?}", scenario.entries);
        assert_eq!(scenario.registers.in_flight().is_some(), status.is_in_flight());
        assert_eq!(fold(&scenario.terms, &scenario.entries).as_ref(), Ok(&scenario.registers));
    }
}

/// One row per state, one column per answer: a grant and a rejection of revision 1; of revision 2
/// an empty answer, one with all units, one with one unit; of revision 3 a rejection and a grant.
/// An answer settles (s), is stale (o), or is an anomaly (-).
#[test]
fn every_state_reads_every_answer_as_the_table_says() {
    let (two, one) = ([("MUG", "main", 2)], [("MUG", "main", 1)]);
    let answers = [
        facts(1, &two, false),
        facts(1, &[], true),
        facts(2, &[], false),
        facts(2, &two, false),
        facts(2, &one, false),
        facts(3, &[], true),
        facts(3, &two, false),
    ];
    let plain = || Scenario::placed(None);
    let due = || Scenario::placed(Some(900)).answer(2);
    let reviving = || due().expire().answer(0).pay(2000).revive();
    for (scenario, expected) in [
        (plain(), "ss-----"),
        (plain().answer(2), "o------"),
        (plain().short(), "-o-----"),
        (plain().cancel(), "oos----"),
        (plain().answer(2).cancel(), "oos----"),
        (plain().cancel().answer(0), "ooo----"),
        (plain().answer(2).fulfill(), "oo-s---"),
        (plain().answer(2).fulfill().answer(2), "oo-o---"),
        (plain().answer(2).cancel_one(), "oo--s--"),
        (plain().answer(2).ship_one(), "oo-s---"),
        (due(), "o------"),
        (due().expire(), "oos----"),
        (due().expire().answer(0), "ooo----"),
        (reviving(), "oooooss"),
        (reviving().short(), "oooooo-"),
        (reviving().answer(2), "ooooo-o"),
    ] {
        let read = |facts| match scenario.read(facts) {
            Reading::Settles => 's',
            Reading::Stale => 'o',
            Reading::Anomaly(_) => '-',
        };
        let seen: String = answers.iter().map(read).collect();
        assert_eq!(seen, expected, "{:?}", scenario.registers.status(&scenario.terms));
    }
}

#[test]
fn an_answer_to_another_intent_of_the_same_revision_is_an_anomaly() {
    let scenario = Scenario::placed(None);
    let granted = facts(1, &[("MUG", "main", 2)], false);
    let reading = scenario.registers.read(&granted, Digest([1; 16]), Digest([2; 16]));
    assert!(matches!(reading, Reading::Anomaly(_)));
}

#[test]
fn an_answer_that_breaks_the_arithmetic_of_a_line_is_an_anomaly() {
    let received = Scenario::placed(None);
    let fulfilling = Scenario::placed(None).answer(2).fulfill();
    let reduced = Scenario::placed(None).answer(2).ship_one().cancel_one_more();
    let reviving = Scenario::placed(Some(900)).answer(2).expire().pay(2000).revive();
    let booked = |facts: Facts| {
        let (location_id, booked_at) = (location("moon"), location("main"));
        Facts { booked_at: vec![BookedAt { product_id: mug(), location_id, booked_at }], ..facts }
    };
    for (scenario, wrong) in [
        (&received, facts(1, &[("MUG", "main", 1)], false)),
        (&received, facts(1, &[("MUG", "main", 3)], false)),
        (&received, facts(1, &[("MUG", "main", 2)], true)),
        (&received, facts(1, &[("MUG", "main", 2), ("TEE", "main", 1)], false)),
        (&received, facts(1, &[], false)),
        (&received, booked(facts(1, &[("MUG", "main", 2)], false))),
        (&fulfilling, facts(2, &[("MUG", "other", 2)], false)),
        (&fulfilling, facts(2, &[("MUG", "main", 1), ("MUG", "other", 1)], false)),
        (&fulfilling, facts(2, &[], true)),
        (&reduced, facts(3, &[("MUG", "other", 1)], false)),
        (&reviving, facts(3, &[], false)),
        (&reviving, facts(3, &[("MUG", "main", 1)], false)),
    ] {
        assert_eq!(scenario.read(&wrong), Reading::Anomaly(""), "{wrong:?}");
    }
    let split = facts(1, &[("MUG", "main", 1), ("MUG", "other", 1)], false);
    assert_eq!(received.read(&split), Reading::Settles);
}

impl Scenario {
    /// Cancels the unit beside the one that is shipped.
    fn cancel_one_more(self) -> Self {
        let wanted = Some(wanted("MUG", 1));
        let next = Intended { wanted, key: key("c"), ..self.next(Purpose::Fulfill) };
        self.add(next.into())
    }
}

#[test]
fn inventory_is_sent_nothing_wanted_once_the_deadline_has_passed() {
    let expiring = Scenario::placed(Some(900)).answer(2).expire();
    let sent = expiring.registers.sent_intent();
    assert_eq!((sent.wanted.total(), expiring.registers.intent.wanted.total()), (0, 2));
    assert!(sent.wanted.names(&mug()));
    assert_eq!(expiring.registers.kept(&mug()), 0);
    let reviving = expiring.pay(2000).revive();
    assert_eq!(reviving.registers.sent_intent(), reviving.registers.intent);
    assert_eq!((reviving.registers.intent.wanted.total(), reviving.registers.kept(&mug())), (2, 2));
}

#[test]
fn an_order_is_reducing_until_inventory_has_taken_the_units() {
    let scenario = Scenario::placed(None).answer(2);
    assert!(!scenario.registers.is_reducing());
    let scenario = scenario.cancel_one();
    assert!(scenario.registers.is_reducing());
    assert!(!scenario.answer(1).registers.is_reducing());
    assert!(!Scenario::placed(None).cancel().registers.is_reducing(), "nothing was granted yet");
    assert!(Scenario::placed(Some(900)).answer(2).expire().registers.is_reducing());
}

/// Inventory says where it booked what came back to locations that it does not know.
#[test]
fn the_places_of_returns_are_sorted_and_name_other_locations() {
    let came_back =
        |at: &str| ReturnedUnits { location_id: location(at), ..returned(1)[0].clone() };
    let returned =
        Returned::sorted(vec![came_back("moon"), came_back("sun")]).expect("two entries");
    let fulfilled = Scenario::placed(None).answer(2).fulfill().answer(2);
    let next =
        Intended { returned: Some(returned), key: key("r"), ..fulfilled.next(Purpose::Amend) };
    let scenario = fulfilled.add(next.into());
    let booked = |(at, booked_at): (&str, &str)| BookedAt {
        product_id: mug(),
        location_id: location(at),
        booked_at: location(booked_at),
    };
    for (places, expected) in [
        (&[("moon", "main"), ("sun", "main")][..], Reading::Settles),
        (&[("sun", "main")], Reading::Settles),
        (&[("sun", "main"), ("moon", "main")], Reading::Anomaly("")),
        (&[("moon", "main"), ("moon", "east")], Reading::Anomaly("")),
        (&[("moon", "moon")], Reading::Anomaly("")),
        (&[("mars", "main")], Reading::Anomaly("")),
    ] {
        let booked_at = places.iter().copied().map(booked).collect();
        let facts = Facts { booked_at, ..facts(3, &[("MUG", "main", 2)], false) };
        assert_eq!(scenario.read(&facts), expected, "{places:?}");
    }
}

/// What an order means for its money, in each status.
#[test]
fn the_balance_of_an_order_says_what_is_due_or_owed() {
    use PaymentState::{Due, Expired, NotDue, Paid, RefundDue};
    let due = || Scenario::placed(Some(900));
    let reserved = || due().answer(2);
    for (scenario, state, [amount, paid, refunded, owed]) in [
        (due(), Due, [2000, 0, 0, 0]),
        (reserved(), Due, [2000, 0, 0, 0]),
        (due().pay(2000), Paid, [2000, 2000, 0, 0]),
        (reserved().pay(2000), Paid, [2000, 2000, 0, 0]),
        (reserved().pay(2100), RefundDue, [2000, 2100, 0, 100]),
        (reserved().pay(2100).refund(100), Paid, [2000, 2100, 100, 0]),
        (reserved().pay(2000).cancel_one(), RefundDue, [1000, 2000, 0, 1000]),
        (reserved().pay(2000).cancel_one().refund(1000), Paid, [1000, 2000, 1000, 0]),
        (reserved().cancel(), NotDue, [0, 0, 0, 0]),
        (reserved().pay(2000).cancel(), RefundDue, [0, 2000, 0, 2000]),
        (reserved().pay(2000).cancel().refund(2000), NotDue, [0, 2000, 2000, 0]),
        (due().short(), NotDue, [0, 0, 0, 0]),
        (due().short().pay(5), RefundDue, [0, 5, 0, 5]),
        (reserved().expire(), Expired, [2000, 0, 0, 0]),
        (reserved().expire().answer(0), Expired, [2000, 0, 0, 0]),
        (reserved().expire().pay(2000).revive(), Paid, [2000, 2000, 0, 0]),
        (reserved().expire().pay(2000).revive().short(), RefundDue, [2000, 2000, 0, 2000]),
        (
            reserved().expire().pay(2000).revive().short().refund(2000),
            NotDue,
            [2000, 2000, 2000, 0],
        ),
    ] {
        let balance =
            scenario.registers.balance(&scenario.terms).expect("the order waits for a payment");
        assert_eq!(balance.state, state, "{balance:?}");
        let seen = [
            balance.amount_minor,
            balance.paid_minor,
            balance.refunded_minor,
            balance.refund_due_minor,
        ];
        assert_eq!(seen, [amount, paid, refunded, owed], "{state:?}");
        let is_reserved = scenario.registers.status(&scenario.terms) == Status::Reserved;
        let pay_by = is_reserved.then_some(AT + 900_000_000);
        assert_eq!(balance.pay_by_micros, pay_by);
    }
    assert_eq!(Scenario::placed(None).answer(2).registers.balance(&terms(None)), None);
}

#[test]
fn the_fold_of_a_history_is_the_registers_and_checks_every_prefix() {
    let scenario = Scenario::placed(None).answer(2).cancel().answer(0);
    let (terms, good) = (scenario.terms.clone(), scenario.entries.clone());
    assert_eq!(fold(&terms, &good), Ok(scenario.registers));
    assert_eq!(last_allocated(&good), allocations(&[("MUG", "main", 2)]));
    assert_eq!(last_allocated(&good[..0]), Allocations::default());

    let mut gap = good.clone();
    gap.remove(1);
    assert_eq!(fold(&terms, &gap), Err(BrokenHistory::Gap { expected: 3, found: 4 }));

    let mut wrong_status = good.clone();
    wrong_status[1].status = Status::Confirmed;
    assert!(matches!(
        fold(&terms, &wrong_status),
        Err(BrokenHistory::Status { seq: 3, expected: Status::Cancelling, .. })
    ));

    let again = Entry { seq: 5, ..good[2].clone() };
    let answered_twice = [good, vec![again]].concat();
    assert!(matches!(fold(&terms, &answered_twice), Err(BrokenHistory::Misfit { seq: 5, .. })));
}
