use super::*;

const NO_UNITS: [(&str, i64); 0] = [];

/// An order of two mugs for 10 each and a tee for 3, which waits a minute for its payment.
fn content(waits: bool) -> Content {
    let line = |product: &str, units, price| (product.to_owned(), units, price);
    Content {
        lines: vec![line("MUG", 2, 10), line("TEE", 1, 3)],
        pays_within_s: waits.then_some(60),
        created_at: 0,
    }
}

fn step(status: Status, made: Made) -> Step {
    Step { status, at: 7, made }
}

fn at(units: &[(&str, i64)]) -> StockUnits {
    units.iter().map(|(product, units)| (((*product).to_owned(), "x".to_owned()), *units)).collect()
}

fn granted(status: Status) -> Step {
    answer(status, Some(at(&[("MUG", 2), ("TEE", 1)])))
}

fn answer(status: Status, allocated: Option<StockUnits>) -> Step {
    let (shortages, booked_at) = (Vec::new(), None);
    step(status, Made::Answer(Answer { decided_at: 1, allocated, shortages, booked_at }))
}

fn paid(status: Status, amount: i64) -> Step {
    step(status, Made::Payment { reference: "p".to_owned(), amount })
}

fn refunded(status: Status, amount: i64) -> Step {
    step(status, Made::Refund { reference: "r".to_owned(), amount })
}

fn intent(status: Status, revision: i64, change: impl FnOnce(&mut NewIntent)) -> Step {
    let mut new = NewIntent { revision, ..NewIntent::default() };
    change(&mut new);
    step(status, Made::Intent(new))
}

fn wants(mugs: i64, tees: i64) -> impl FnOnce(&mut NewIntent) {
    move |new| {
        new.key = Some(format!("{mugs} {tees}"));
        new.wanted = Some([("MUG".to_owned(), mugs), ("TEE".to_owned(), tees)].into());
    }
}

fn ships(units: &[(&str, i64)]) -> impl FnOnce(&mut NewIntent) {
    let shipped = at(units);
    move |new| {
        new.key = Some(format!("{shipped:?}"));
        new.shipped = Some(shipped);
    }
}

fn fold(waits: bool, steps: &[Step]) -> Result<Registers, &'static str> {
    Registers::of(content(waits), steps).map_err(|violation| violation.invariant)
}

#[test]
fn what_is_owed_follows_from_what_is_kept() {
    use Status::{Amending, Cancelled, Cancelling, Confirmed, Reserved};
    let mut steps = vec![granted(Reserved), paid(Confirmed, 25)];
    let due = |steps: &[Step]| fold(true, steps).expect("a good history").refund_due();
    assert_eq!(due(&steps), 2, "more was paid than it costs");
    steps.push(intent(Amending, 2, wants(1, 1)));
    assert_eq!(due(&steps), 12);
    steps.push(answer(Confirmed, Some(at(&[("MUG", 1), ("TEE", 1)]))));
    steps.push(refunded(Confirmed, 12));
    assert_eq!(due(&steps), 0);
    steps.push(intent(Cancelling, 3, wants(0, 0)));
    steps.push(answer(Cancelled, Some(at(&NO_UNITS))));
    assert_eq!(due(&steps), 13);
    assert_eq!(
        fold(true, &steps).expect("a good history").kinds,
        [
            "received",
            "reserved",
            "confirmed",
            "cancellation.created",
            "amended",
            "refunded",
            "cancellation.created",
            "cancelled"
        ]
    );
}

#[test]
fn a_late_payment_asks_again_at_once() {
    use Status::{Confirmed, Expired, Expiring, Reserved, Reviving};
    let expired = [
        granted(Reserved),
        intent(Expiring, 2, |_| {}),
        answer(Expired, Some(at(&NO_UNITS))),
        paid(Expired, 23),
    ];
    assert_eq!(fold(true, &expired[..3]).map(|registers| registers.pay_by()), Ok(None));
    assert_eq!(fold(true, &expired[..1]).map(|registers| registers.pay_by()), Ok(Some(60_000_007)));
    assert_eq!(fold(true, &expired).err(), Some("INV-4"));
    let revived = [intent(Reviving, 3, |_| {}), granted(Confirmed)];
    let whole = [expired.as_slice(), &revived].concat();
    let registers = fold(true, &whole).expect("a good history");
    assert_eq!((registers.status, registers.refund_due()), (Confirmed, 0));
    assert!(registers.intent(2).expect("it was sent").sent_wanted().values().all(|n| *n == 0));
    let unpaid = [expired[..3].to_vec(), revived.to_vec()].concat();
    assert_eq!(fold(true, &unpaid).err(), Some("INV-4"));
    let refunded_before = [expired.as_slice(), &[refunded(Expired, 23)], &revived[..1]].concat();
    assert_eq!(fold(true, &refunded_before).err(), Some("INV-4"));
    let again = intent(Reviving, 4, |_| {});
    let short = Made::Answer(Answer {
        decided_at: 1,
        allocated: None,
        shortages: vec![("MUG".to_owned(), 2, 0, "out_of_stock".to_owned())],
        booked_at: None,
    });
    let short = [expired.as_slice(), &revived[..1], &[step(Expired, short)]].concat();
    fold(true, &short).expect("a good history");
    assert_eq!(fold(true, &[short, vec![again]].concat()).err(), Some("INV-4"));
}

#[test]
fn no_entry_breaks_the_arithmetic() {
    use Status::{Amending, Cancelling, Confirmed, Fulfilling, Reserved};
    let shipped = || vec![granted(Confirmed), intent(Amending, 2, ships(&[("MUG", 1)]))];
    let wrong: [(&str, bool, Vec<Step>, Step); 12] = [
        ("INV-4", true, vec![], granted(Confirmed)),
        ("INV-9", false, vec![granted(Confirmed)], paid(Confirmed, 23)),
        ("INV-9", true, vec![granted(Reserved)], paid(Confirmed, 22)),
        ("INV-9", true, vec![granted(Reserved), paid(Confirmed, 23)], paid(Confirmed, 23)),
        ("INV-9", true, vec![granted(Reserved), paid(Confirmed, 23)], refunded(Confirmed, 24)),
        ("INV-10", false, vec![], answer(Confirmed, Some(at(&[("MUG", 2)])))),
        ("INV-6", false, shipped(), intent(Amending, 3, ships(&[("MUG", 1)]))),
        ("INV-4", false, shipped(), intent(Amending, 3, wants(0, 1))),
        ("INV-4", false, shipped(), intent(Cancelling, 3, wants(0, 0))),
        ("INV-10", false, shipped(), intent(Fulfilling, 3, ships(&[("MUG", 3)]))),
        (
            "INV-4",
            false,
            vec![granted(Confirmed), intent(Amending, 2, wants(1, 1))],
            intent(Amending, 3, ships(&[("MUG", 1)])),
        ),
        (
            "INV-4",
            false,
            shipped(),
            intent(Fulfilling, 4, |new| {
                new.shipped = Some(at(&[("MUG", 2), ("TEE", 1)]));
            }),
        ),
    ];
    for (number, (invariant, waits, mut steps, last)) in wrong.into_iter().enumerate() {
        fold(waits, &steps).expect("a good history");
        steps.push(last);
        assert_eq!(fold(waits, &steps).err(), Some(invariant), "history {number}");
    }
}
