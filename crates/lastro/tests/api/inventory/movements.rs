//! The ledger: everything that changes stock is a movement, and movements never change.

use serde_json::{Value, json};

use testbed::{Deployment, Response, members};

/// A movement in short: `main #2 adjust -1 → 4/0/4`, with its balances on hand, reserved and
/// available.
fn line(movement: &Value) -> String {
    let delta = match movement["reserved_delta"].as_i64() {
        Some(0) => format!("{:+}", movement["on_hand_delta"].as_i64().expect("a number")),
        reserved => format!(
            "{:+}/{:+}",
            movement["on_hand_delta"].as_i64().expect("a number"),
            reserved.expect("one")
        ),
    };
    let (location, kind) = (movement["location_id"].as_str(), movement["kind"].as_str());
    let [on_hand, reserved, available] =
        ["on_hand", "reserved", "available"].map(|name| movement[name].to_string());
    let (location, kind) = (location.expect("a location"), kind.expect("a kind"));
    format!("{location} #{} {kind} {delta} → {on_hand}/{reserved}/{available}", movement["seq"])
}

/// The movement in short, or the kind of the refusal and the faults.
fn reported(answer: &Response) -> String {
    match answer.status {
        201 => line(&answer.json()),
        _ => [vec![answer.verdict()], answer.faults()].concat().join(", "),
    }
}

#[tokio::test]
async fn every_kind_of_movement_does_what_it_says() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    for (movement, expected) in [
        (json!({"kind": "receive", "quantity": 10}), "main #1 receive +10 → 10/0/10"),
        (
            json!({"kind": "adjust", "quantity": -3, "reason": "broken"}),
            "main #2 adjust -3 → 7/0/7",
        ),
        (json!({"kind": "adjust", "quantity": 1, "reason": "found"}), "main #3 adjust +1 → 8/0/8"),
        (
            json!({"kind": "count", "quantity": 6, "reason": "stocktaking"}),
            "main #4 count -2 → 6/0/6",
        ),
        (
            json!({"kind": "count", "quantity": 6, "reason": "again", "expected_on_hand": 6}),
            "main #5 count +0 → 6/0/6",
        ),
        (
            json!({"kind": "count", "quantity": 9, "reason": "late", "expected_on_hand": 5}),
            "409 stock_changed",
        ),
        (json!({"kind": "adjust", "quantity": -7, "reason": "too many"}), "409 below_reserved"),
        (json!({"kind": "count", "quantity": 0, "reason": "sold out"}), "main #6 count -6 → 0/0/0"),
        (
            json!({"kind": "receive", "quantity": 1, "location_id": "attic"}),
            "422 invalid_request, /location_id unknown_location",
        ),
    ] {
        assert_eq!(reported(&shop.move_stock("MUG", &movement).await), expected, "{movement}");
    }
    shop.must_verify().await;
}

/// They are on hand all the time, and nobody can buy them.
#[tokio::test]
async fn quarantined_units_are_sold_again_or_written_off() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    shop.confirmed(&[("MUG", 1)]).await;
    let by = |kind: &str, quantity: i64| json!({"kind": kind, "quantity": quantity, "reason": "x"});
    for (movement, expected) in [
        (by("quarantine", 5), "409 quantity_unavailable"),
        (by("quarantine", 3), "main #3 quarantine +0 → 5/1/1"),
        (by("unquarantine", 4), "409 quantity_unavailable"),
        (by("unquarantine", 1), "main #4 unquarantine +0 → 5/1/2"),
        (by("adjust", -3), "409 below_reserved"),
        (by("write_off", 3), "409 quantity_unavailable"),
        (by("write_off", 2), "main #5 write_off -2 → 3/1/2"),
        (json!({"kind": "write_off", "quantity": 1}), "422 invalid_request, /reason required"),
    ] {
        assert_eq!(reported(&shop.move_stock("MUG", &movement).await), expected, "{movement}");
    }
    let (_, rejected) = shop.settle(&[("MUG", 3)]).await;
    assert_eq!(rejected, "rejected");
    shop.must_verify().await;
}

#[tokio::test]
async fn reserved_units_stay_on_hand() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    shop.confirmed(&[("MUG", 3)]).await;
    for (movement, expected) in [
        (json!({"kind": "adjust", "quantity": -3, "reason": "x"}), "409 below_reserved"),
        (json!({"kind": "count", "quantity": 2, "reason": "x"}), "409 below_reserved"),
        (json!({"kind": "adjust", "quantity": -2, "reason": "x"}), "main #3 adjust -2 → 3/3/0"),
        (json!({"kind": "count", "quantity": 3, "reason": "x"}), "main #4 count +0 → 3/3/0"),
    ] {
        assert_eq!(reported(&shop.move_stock("MUG", &movement).await), expected, "{movement}");
    }
}

#[tokio::test]
async fn a_location_holds_no_more_than_a_trillion_units() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    let count = json!({"kind": "count", "quantity": 1_000_000_000, "reason": "a lot"});
    assert_eq!(
        reported(&shop.move_stock("MUG", &count).await),
        "main #1 count +1000000000 → 1000000000/0/1000000000"
    );
    let receive = json!({"kind": "receive", "quantity": 1_000_000});
    assert_eq!(
        reported(&shop.move_stock("MUG", &receive).await),
        "main #2 receive +1000000 → 1001000000/0/1001000000"
    );
    let too_much =
        json!({"kind": "count", "quantity": 1_000_000_001, "reason": "more than anybody counts"});
    assert_eq!(
        reported(&shop.move_stock("MUG", &too_much).await),
        "422 invalid_request, /quantity out_of_range"
    );
}

#[tokio::test]
async fn the_ledger_explains_the_stock_newest_first() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    let delivery = json!({"kind": "receive", "quantity": 10, "reference": "PO-7"});
    let movement = shop.move_stock("MUG", &delivery).await.ok();
    let expected = [
        "product_id",
        "location_id",
        "seq",
        "kind",
        "on_hand_delta",
        "reserved_delta",
        "quarantined_delta",
        "on_hand",
        "reserved",
        "quarantined",
    ];
    let more = ["available", "order_id", "reference", "reason", "actor", "created_at"];
    assert_eq!(members(&movement), [&expected[..], &more].concat());
    assert_eq!((&movement["reference"], &movement["order_id"]), (&json!("PO-7"), &json!(null)));

    let cancelled = shop.confirmed(&[("MUG", 2)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    let fulfilled = shop.confirmed(&[("MUG", 4)]).await;
    shop.ask(&fulfilled, "fulfill").await.ok();
    let (ledger, _) = shop.pages("/api/inventory/products/MUG/movements?limit=2").await;
    let expected = [
        "main #5 ship -4/-4 → 6/0/6",
        "main #4 reserve +0/+4 → 10/4/6",
        "main #3 release +0/-2 → 10/0/10",
        "main #2 reserve +0/+2 → 10/2/8",
        "main #1 receive +10 → 10/0/10",
    ];
    assert_eq!(ledger.iter().map(line).collect::<Vec<_>>(), expected);
    let orders: Vec<_> = ledger.iter().map(|movement| movement["order_id"].as_str()).collect();
    assert_eq!(
        orders,
        [Some(fulfilled.as_str()), Some(&fulfilled), Some(&cancelled), Some(&cancelled), None]
    );
    assert_eq!(ledger[4], movement);
}

#[tokio::test]
async fn the_ledger_of_one_location_is_a_ledger_of_its_own() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    shop.put("/api/inventory/locations/shop", &json!({"name": "Deployment", "priority": 1}))
        .await
        .ok();
    for (location, units) in [("main", 1), ("shop", 2), ("main", 3)] {
        shop.receive("MUG", location, units).await;
    }
    for (query, expected) in [
        (
            "",
            &[
                "main #2 receive +3 → 4/0/4",
                "shop #1 receive +2 → 2/0/2",
                "main #1 receive +1 → 1/0/1",
            ][..],
        ),
        ("location_id=main", &["main #2 receive +3 → 4/0/4", "main #1 receive +1 → 1/0/1"]),
        ("location_id=shop", &["shop #1 receive +2 → 2/0/2"]),
        ("location_id=elsewhere", &[]),
    ] {
        for limit in ["limit=1", "limit=50"] {
            let (ledger, _) =
                shop.pages(&format!("/api/inventory/products/MUG/movements?{limit}&{query}")).await;
            assert_eq!(ledger.iter().map(line).collect::<Vec<_>>(), expected, "{query} {limit}");
        }
    }
    let cursor =
        shop.get("/api/inventory/products/MUG/movements?limit=1").await.text_at("/next_cursor");
    let elsewhere =
        format!("/api/inventory/products/MUG/movements?location_id=main&cursor={cursor}");
    assert_eq!(shop.get(&elsewhere).await.verdict(), "400 invalid_cursor");
}

#[tokio::test]
async fn a_movement_with_a_key_moves_stock_once() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    let path = "/api/inventory/products/MUG/movements";
    let receive = json!({"kind": "receive", "quantity": 5});
    let count =
        json!({"kind": "count", "quantity": 3, "expected_on_hand": 5, "reason": "stocktaking"});
    let first = shop.post_with(path, &[("idempotency-key", "R")], &receive).await;
    let counted = shop.post_with(path, &[("idempotency-key", "C")], &count).await;
    for (key, movement, stored) in [("R", &receive, &first), ("C", &count, &counted)] {
        let again = shop.post_with(path, &[("idempotency-key", key)], movement).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
        assert_eq!((again.json(), stored.header("idempotent-replayed")), (stored.json(), None));
    }
    let other = shop
        .post_with(path, &[("idempotency-key", "R")], &json!({"kind": "receive", "quantity": 6}))
        .await;
    assert_eq!(other.verdict(), "422 idempotency_key_reused");
    assert_eq!(shop.levels("MUG").await, [3, 0, 3]);
}

#[tokio::test]
async fn all_products_of_a_delivery_may_share_its_key() {
    let shop = Deployment::open().await;
    for product in ["MUG", "TEE"] {
        shop.stock(product, 0).await;
        let path = format!("/api/inventory/products/{product}/movements");
        let receive = json!({"kind": "receive", "quantity": 5, "reference": "DN-7"});
        for replayed in [None, Some("true")] {
            let answer = shop.post_with(&path, &[("idempotency-key", "DN-7")], &receive).await;
            assert_eq!((answer.status, answer.header("idempotent-replayed")), (201, replayed));
        }
        assert_eq!(shop.levels(product).await, [5, 0, 5]);
    }
}

#[tokio::test]
async fn a_refused_movement_does_not_use_its_key_up() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let path = "/api/inventory/products/MUG/movements";
    let take = json!({"kind": "adjust", "quantity": -2, "reason": "broken"});
    let refused = shop.post_with(path, &[("idempotency-key", "K")], &take).await;
    assert_eq!(refused.verdict(), "409 below_reserved");
    shop.receive("MUG", "main", 1).await;
    let done = shop.post_with(path, &[("idempotency-key", "K")], &take).await;
    assert_eq!(
        (reported(&done).as_str(), done.header("idempotent-replayed")),
        ("main #3 adjust -2 → 0/0/0", None)
    );
}
