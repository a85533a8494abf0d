use super::*;
use crate::store::laws::a_return;

#[tokio::test]
async fn units_go_into_quarantine_and_leave_it_both_ways() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    for (kind, quantity, [on_hand, quarantined, available]) in
        [("quarantine", 3, [5, 3, 2]), ("unquarantine", 1, [5, 2, 3]), ("write_off", 2, [3, 0, 3])]
    {
        let body = json!({"kind": kind, "quantity": quantity, "reason": "looked at"});
        let moved = api.post("/products/789/movements", None, body.clone()).await;
        assert_eq!((moved.status, &moved.body["kind"]), (StatusCode::CREATED, &json!(kind)));
        let levels = ["on_hand", "quarantined", "available"].map(|name| moved.body[name].as_i64());
        assert_eq!(levels, [on_hand, quarantined, available].map(Some), "{kind}");
    }
    for (kind, expected) in [
        ("quarantine", "there are only 3 units at this location for this movement"),
        ("unquarantine", "there are only 0 units at this location for this movement"),
        ("write_off", "there are only 0 units at this location for this movement"),
    ] {
        let body = json!({"kind": kind, "quantity": 4, "reason": "looked at"});
        let refused = api.post("/products/789/movements", None, body).await;
        assert_eq!(refused.problem(), (409, "quantity_unavailable", vec![]));
        assert_eq!(refused.body["detail"], expected);
    }
}

#[tokio::test]
async fn a_count_below_what_is_reserved_and_quarantined_says_how_many_are() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    api.service.batcher.submit(place(1, &[("789", 2)])).await.expect("a reservation");
    let quarantined = json!({"kind": "quarantine", "quantity": 2, "reason": "scratched"});
    api.post("/products/789/movements", None, quarantined).await;
    let refused = api.post("/products/789/movements", None, count(3, None)).await;
    assert_eq!(refused.problem(), (409, "below_reserved", vec![]));
    let detail = "2 units are reserved for orders and 2 are quarantined; the stock on hand cannot be less than both together";
    assert_eq!(refused.body["detail"], detail);
}

#[tokio::test]
async fn a_product_shows_what_is_quarantined() {
    let api = Api::new().await;
    api.receive("789", 5).await;
    api.service.batcher.submit(place(1, &[("789", 2)])).await.expect("a reservation");
    let quarantined = json!({"kind": "quarantine", "quantity": 2, "reason": "scratched"});
    api.post("/products/789/movements", None, quarantined).await;
    let read = api.get("/products/789").await.body;
    let level = json!([{"location_id": "main", "on_hand": 5, "reserved": 2, "quarantined": 2, "available": 1}]);
    assert_eq!(
        (&read["quarantined"], &read["available"], &read["locations"]),
        (&json!(2), &json!(1), &level)
    );
}

#[tokio::test]
async fn a_reservation_shows_what_came_back_and_where_it_is_booked() {
    let api = Api::new().await;
    for command in a_return() {
        api.service.batcher.submit(command).await.expect("a decision");
    }
    let found = api.get(&reservation(4)).await.body;
    let returns = json!([{
        "product_id": "TEE", "location_id": "NOWHERE", "restocked": 0, "quarantined": 1, "written_off": 1,
        "booked_at": "main",
    }]);
    assert_eq!(
        (&found["state"], &found["revision"], &found["returns"]),
        (&json!("shipped"), &json!(3), &returns)
    );
    let kinds: Vec<_> =
        found["movements"].as_array().expect("a list").iter().map(|its| &its["kind"]).collect();
    assert_eq!(kinds, ["reserve", "ship", "return"]);
}
