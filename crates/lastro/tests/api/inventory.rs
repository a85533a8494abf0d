//! Stock as the staff of the shop sees it: products, movements, reservations, locations.

use serde_json::json;

use testbed::{Deployment, members};

mod locations;
mod movements;
mod products;

#[tokio::test]
async fn a_reservation_shows_the_allocations_of_an_order() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 5).await;
    let (confirmed, _) = shop.settle(&[("MUG", 2), ("MUG", 1)]).await;
    let (rejected, _) = shop.settle(&[("MUG", 3)]).await;
    let held = json!([{"product_id": "MUG", "location_id": "main", "quantity": 3}]);
    let short =
        json!([{"product_id": "MUG", "requested": 3, "available": 2, "reason": "out_of_stock"}]);
    for (id, state, allocations, shortages) in
        [(&confirmed, "reserved", held, json!([])), (&rejected, "rejected", json!([]), short)]
    {
        let reservation = shop.get(&format!("/api/inventory/reservations/{id}")).await.ok();
        assert_eq!(
            members(&reservation),
            [
                "order_id",
                "state",
                "revision",
                "allocations",
                "shortages",
                "returns",
                "movements",
                "created_at",
                "updated_at"
            ]
        );
        assert_eq!((&reservation["order_id"], &reservation["state"]), (&json!(id), &json!(state)));
        assert_eq!(
            (&reservation["allocations"], &reservation["shortages"]),
            (&allocations, &shortages)
        );
    }
    shop.ask(&confirmed, "fulfill").await.ok();
    let shipped = shop.get(&format!("/api/inventory/reservations/{confirmed}")).await.ok();
    assert_eq!(
        (&shipped["state"], shipped["allocations"].as_array().map(Vec::len)),
        (&json!("shipped"), Some(1))
    );
}

#[tokio::test]
async fn a_reservation_that_is_not_there_is_not_found() {
    let shop = Deployment::open().await;
    for id in ["0197a9c4-0000-7000-8000-000000000000", "nonsense"] {
        let answer = shop.get(&format!("/api/inventory/reservations/{id}")).await;
        assert_eq!(answer.verdict(), "404 reservation_not_found");
    }
}
