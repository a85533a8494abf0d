use contract::OrderId;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::fold::Content;

const ORDER: OrderId = OrderId(Uuid::from_u128(7));

/// An order that was received, and nothing else.
fn order() -> OrderRow {
    OrderRow {
        order_id: ORDER,
        customer_id: "c".to_owned(),
        total_minor: 1,
        key: None,
        first_digest: Vec::new(),
        content: Content { lines: Vec::new(), pays_within_s: None, created_at: 0 },
        state: None,
        pending: None,
        deadline: None,
    }
}

fn received(seq: u32) -> Value {
    json!({
        "id": format!("{ORDER}.{seq}"),
        "subject": ORDER.to_string(),
        "sequence": format!("{seq:010}"),
        "type": "dev.lastro.order.received",
        "data": {"status": "received"},
    })
}

#[test]
fn a_history_is_told_once_and_whole() {
    assert_eq!(check_histories(&[received(1)], &[order()]), Ok(()));
    for wrong in [vec![], vec![received(1); 2], vec![received(2)], vec![received(1), received(2)]] {
        let violation = check_histories(&wrong, &[order()]).expect_err("it is wrong");
        assert_eq!(violation.invariant, "R29", "{wrong:?}");
    }
    assert!(check_histories(&[received(1)], &[]).is_err(), "an order that does not exist");
}

fn movement(number: i64) -> MovementRow {
    MovementRow {
        number,
        key: ("p".to_owned(), "l".to_owned()),
        previous: None,
        previous_of_product: None,
        kind: "receive".to_owned(),
        on_hand_delta: 5,
        reserved_delta: 0,
        quarantined_delta: 0,
        after: Level { on_hand: 5 * number, seq: number, ..Level::default() },
        order_id: None,
        reference: None,
    }
}

fn moved(from: i64, to: i64, on_hand: i64) -> Value {
    json!({
        "id": format!("p/l.{to}"),
        "data": {
            "product_id": "p", "location_id": "l", "from_seq": from, "to_seq": to,
            "on_hand": on_hand, "reserved": 0, "quarantined": 0,
        },
    })
}

#[test]
fn a_ledger_is_told_once_and_whole() {
    let ledger = [movement(1), movement(2), movement(3)];
    for right in [vec![moved(1, 3, 15)], vec![moved(1, 1, 5), moved(2, 3, 15)]] {
        assert_eq!(check_stock(&right, &ledger), Ok(()));
    }
    let wrong = [
        vec![moved(1, 2, 10)],
        vec![moved(2, 3, 15)],
        vec![moved(1, 2, 10), moved(2, 3, 15)],
        vec![moved(2, 3, 15), moved(1, 1, 5)],
        vec![moved(1, 3, 14)],
        vec![moved(1, 3, 15), moved(4, 4, 20)],
    ];
    for wrong in wrong {
        let violation = check_stock(&wrong, &ledger).expect_err("it is wrong");
        assert_eq!(violation.invariant, "R29", "{wrong:?}");
    }
}
