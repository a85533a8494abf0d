use contract::{
    Allocation, Allocations, LocationId, ProductId, Quantity, Revision, Wanted, WantedLine,
};

use super::*;

const PURPOSES: [Purpose; 6] = [
    Purpose::Place,
    Purpose::Amend,
    Purpose::Cancel,
    Purpose::Fulfill,
    Purpose::Expire,
    Purpose::Revive,
];

fn units(count: u32) -> Allocations {
    let one =
        |quantity| Allocation { product_id: mug(), location_id: LocationId::main(), quantity };
    let list: Vec<_> = Quantity::new(count).into_iter().map(one).collect();
    list.try_into().expect("at most one allocation")
}

fn mug() -> ProductId {
    "MUG".parse().expect("an id")
}

/// An intent of revision 2 that wants and ships these many units.
fn intent(wanted: u32, shipped: u32) -> Intent {
    let line = WantedLine { product_id: mug(), quantity: wanted };
    let wanted = Wanted::try_from(vec![line]).expect("one line");
    let revision = Revision::FIRST.next();
    Intent { revision, shipped: units(shipped), ..Intent::placed(wanted) }
}

#[test]
fn names_are_read_back() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
    }
    for other in ["", "Received", "received ", "backordered"] {
        assert_eq!(Status::parse(other), None);
    }
}

#[test]
fn a_status_in_flight_names_its_purpose() {
    for purpose in PURPOSES {
        assert_eq!(Purpose::of_status(purpose.status()), Some(purpose));
    }
    let in_flight = Status::ALL.into_iter().filter(|status| status.is_in_flight());
    assert_eq!(in_flight.count(), PURPOSES.len());
    let last: Vec<_> = Status::ALL.into_iter().filter(|status| status.is_final()).collect();
    assert_eq!(last, [Status::Rejected, Status::Cancelled]);
    let asks: Vec<_> = PURPOSES.into_iter().filter(|purpose| purpose.asks_for_stock()).collect();
    assert_eq!(asks, [Purpose::Place, Purpose::Revive]);
}

/// While the intent is ahead, what the order had before decides nothing.
#[test]
fn the_purpose_decides_while_the_intent_is_ahead() {
    let before = Facts { allocated: units(2), ..Facts::nothing(Revision::FIRST) };
    for purpose in PURPOSES {
        for facts in [None, Some(&before)] {
            for is_due in [true, false] {
                let seen = status(&intent(2, 0), purpose, facts, || is_due);
                assert_eq!(seen, purpose.status());
            }
        }
    }
}

/// Rows: the purpose. Columns: nothing granted; granted and due; granted; granted and shipped in
/// part; granted and shipped.
#[test]
fn what_the_order_has_decides_once_it_is_settled() {
    use Status::{Cancelled, Confirmed, Expired, Fulfilled, Rejected, Reserved};
    let columns = [(0, 0, false), (2, 0, true), (2, 0, false), (2, 1, false), (2, 2, false)];
    for (purpose, row) in [
        (Purpose::Place, [Rejected, Reserved, Confirmed, Confirmed, Fulfilled]),
        (Purpose::Amend, [Cancelled, Reserved, Confirmed, Confirmed, Fulfilled]),
        (Purpose::Cancel, [Cancelled, Reserved, Confirmed, Confirmed, Fulfilled]),
        (Purpose::Fulfill, [Cancelled, Reserved, Confirmed, Confirmed, Fulfilled]),
        (Purpose::Expire, [Expired, Reserved, Confirmed, Confirmed, Fulfilled]),
        (Purpose::Revive, [Expired, Reserved, Confirmed, Confirmed, Fulfilled]),
    ] {
        for ((granted, shipped, is_due), expected) in columns.into_iter().zip(row) {
            let revision = Revision::FIRST.next();
            let facts = Facts { allocated: units(granted), ..Facts::nothing(revision) };
            let seen = status(&intent(2, shipped), purpose, Some(&facts), || is_due);
            assert_eq!(seen, expected, "{purpose:?} {granted} {shipped} {is_due}");
        }
    }
}

#[test]
fn the_purpose_of_a_change_is_what_it_leads_to() {
    for (wanted, shipped, ships_or_cancels, expected) in [
        (0, 0, true, Purpose::Cancel),
        (2, 0, true, Purpose::Amend),
        (2, 1, true, Purpose::Amend),
        (2, 2, true, Purpose::Fulfill),
        (2, 2, false, Purpose::Amend), // a return
        (2, 1, false, Purpose::Amend), // a cancelled shipment
    ] {
        assert_eq!(Purpose::of_change(&intent(wanted, shipped), ships_or_cancels), expected);
    }
}

/// The table of requests: n is the next revision, u unchanged, - refused.
#[test]
fn every_status_admits_what_the_table_says() {
    use RequestKind::{Cancel, Change, Expire, Fulfill, Pay};
    let table = [
        (Status::Received, "n--uu"),
        (Status::Reserved, "n--un"),
        (Status::Confirmed, "nnnuu"),
        (Status::Rejected, "---uu"),
        (Status::Amending, "nnnuu"),
        (Status::Cancelling, "u--uu"),
        (Status::Cancelled, "u--uu"),
        (Status::Fulfilling, "-unuu"),
        (Status::Fulfilled, "-unuu"),
        (Status::Expiring, "n--nu"),
        (Status::Expired, "n--nu"),
        (Status::Reviving, "n--uu"),
    ];
    for ((status, row), expected) in table.into_iter().zip(Status::ALL) {
        assert_eq!(status, expected, "the table has every status");
        let cells: String = [Cancel, Fulfill, Change, Pay, Expire]
            .into_iter()
            .map(|request| match status.admits(request) {
                Admission::Next => 'n',
                Admission::Unchanged => 'u',
                Admission::Refused => '-',
            })
            .collect();
        assert_eq!(cells, row, "{status:?}");
    }
}
