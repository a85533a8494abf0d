use contract::OrderId;
use orders_core::status::Status;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::databases::StateRow;
use crate::fold::{Answer, Content, Step, StockKey};

const ORDER: OrderId = OrderId(Uuid::from_u128(1));

fn at(product: &str) -> StockKey {
    (product.to_owned(), "main".to_owned())
}

fn tracking(number: &str) -> Tracking {
    Tracking { number: Some(number.to_owned()), ..Tracking::default() }
}

/// What was made of two mugs, which were paid, shipped in two parts and returned in part.
fn made() -> [(Status, Made); 8] {
    let both = StockUnits::from([(at("MUG"), 2)]);
    [
        (Status::Reserved, answer(Some(both.clone()))),
        (Status::Confirmed, Made::Payment { reference: "charge".to_owned(), amount: 20 }),
        (
            Status::Amending,
            Made::Intent(NewIntent {
                revision: 2,
                shipped: Some([(at("MUG"), 1)].into()),
                key: Some("one".to_owned()),
                tracking: Some(tracking("BR1")),
                ..NewIntent::default()
            }),
        ),
        (
            Status::Fulfilling,
            Made::Intent(NewIntent {
                revision: 3,
                shipped: Some(both),
                key: Some("rest".to_owned()),
                ..NewIntent::default()
            }),
        ),
        (Status::Fulfilled, answer(None)),
        (Status::Fulfilled, Made::Tracking { shipment: 5, tracking: tracking("BR2") }),
        (
            Status::Amending,
            Made::Intent(NewIntent {
                revision: 4,
                returned: Some([(at("MUG"), [0, 1, 0])].into()),
                key: Some("back".to_owned()),
                ..NewIntent::default()
            }),
        ),
        (Status::Amending, Made::Refund { reference: "refund".to_owned(), amount: 10 }),
    ]
}

/// The order of these mugs, for 10 each.
fn row() -> OrderRow {
    let history: Vec<_> =
        made().into_iter().map(|(status, made)| Step { status, at: 7, made }).collect();
    let state = StateRow {
        status: Status::Amending,
        revision: 4,
        settled: 3,
        last_seq: 9,
        digest: None,
        updated_at: 7,
        refund_due: None,
        history,
    };
    OrderRow {
        order_id: ORDER,
        customer_id: "c".to_owned(),
        total_minor: 20,
        key: None,
        first_digest: Vec::new(),
        content: Content {
            lines: vec![("MUG".to_owned(), 2, 10)],
            pays_within_s: Some(60),
            created_at: 0,
        },
        state: Some(state),
        pending: None,
        deadline: None,
    }
}

fn answer(allocated: Option<StockUnits>) -> Made {
    Made::Answer(Answer { decided_at: 1, allocated, shortages: Vec::new(), booked_at: None })
}

fn change(path: &str, body: &Value, mark: Mark) -> Change {
    let heard = vec![Heard::Done];
    let (path, body) = (path.to_owned(), body.to_string());
    Change { order_id: ORDER, method: "POST", path, body, mark, heard }
}

fn is_right(change: &Change) -> bool {
    check(change, std::slice::from_ref(change), &[row()]).is_ok()
}

#[test]
fn money_is_recorded_with_the_amount_that_was_asked() {
    for (path, reference, amount, expected) in [
        ("pay", "charge", Some(20), true),
        ("pay", "charge", None, true),
        ("pay", "charge", Some(21), false),
        ("pay", "refund", Some(10), false),
        ("refunds", "refund", Some(10), true),
        ("refunds", "refund", Some(9), false),
        ("refunds", "another", Some(10), false),
    ] {
        let change = change(path, &json!({}), Mark::Payment(reference.to_owned(), amount));
        assert_eq!(is_right(&change), expected, "{change:?}");
    }
}

#[test]
fn a_shipment_is_followed_as_it_was_asked() {
    for (shipment, number, expected) in
        [(5, "BR2", true), (4, "BR1", true), (5, "BR1", false), (4, "BR2", false)]
    {
        let change = change("tracking", &json!({}), Mark::Track(shipment, tracking(number)));
        assert_eq!(is_right(&change), expected, "{change:?}");
    }
}

#[test]
fn a_change_with_a_key_is_of_the_units_that_were_asked() {
    let mug = |units: u32| json!({"product_id": "MUG", "quantity": units});
    let back = |disposition: &str, location: &str| {
        json!({"lines": [{
            "product_id": "MUG", "quantity": 1, "disposition": disposition, "location_id": location,
        }]})
    };
    let followed = |units| json!({"lines": [mug(units)], "tracking": {"number": "BR1"}});
    for (path, key, body, expected) in [
        ("shipments", "one", followed(1), true),
        ("shipments", "one", followed(2), false),
        ("shipments", "one", json!({"lines": [mug(1)]}), false),
        ("shipments", "rest", json!({}), true),
        ("shipments", "one", json!({}), false),
        ("shipments", "back", json!({"lines": [mug(1)]}), false),
        ("cancellations", "one", json!({"lines": [mug(1)]}), false),
        ("returns", "back", back("quarantine", "main"), true),
        ("returns", "back", back("restock", "main"), false),
        ("returns", "back", back("quarantine", "nowhere"), false),
        ("returns", "another", back("quarantine", "main"), false),
    ] {
        let change = change(path, &body, Mark::Key(key.to_owned()));
        assert_eq!(is_right(&change), expected, "{change:?}");
    }
}

/// A client that uses a key twice gets what it asked for first, and a refusal.
#[test]
fn of_two_changes_with_one_key_the_confirmed_one_was_made() {
    let lines = |units: u32| json!({"lines": [{"product_id": "MUG", "quantity": units}]});
    let mark = || Mark::Key("rest".to_owned());
    let first = change("shipments", &lines(1), mark());
    let second = Change { heard: vec![Heard::Refused], ..change("shipments", &lines(2), mark()) };
    let all = [first.clone(), second.clone()];
    assert!(check(&first, &all, &[row()]).is_ok() && check(&second, &all, &[row()]).is_ok());
    let swapped = Change { heard: vec![Heard::Done], ..second };
    assert!(check(&swapped, &all, &[row()]).is_err());
}
