//! Locations, and the choice of locations for an order.

use serde_json::{Value, json};

use testbed::Deployment;

async fn put(shop: &Deployment, location_id: &str, priority: u32) -> u16 {
    let location = json!({"name": location_id, "priority": priority});
    shop.put(&format!("/api/inventory/locations/{location_id}"), &location).await.status
}

#[tokio::test]
async fn locations_are_listed_in_the_order_in_which_they_serve() {
    let shop = Deployment::open().await;
    let listed = shop.get("/api/inventory/locations").await.ok();
    let main = json!({"location_id": "main", "name": "Main", "priority": 0});
    assert_eq!(listed, json!({"data": [main], "next_cursor": null}));
    assert_eq!(
        (put(&shop, "b", 5).await, put(&shop, "a", 5).await, put(&shop, "c", 1).await),
        (201, 201, 201)
    );
    assert_eq!((put(&shop, "main", 9).await, put(&shop, "main", 9).await), (200, 200));
    assert_eq!(
        shop.column("/api/inventory/locations", "location_id").await,
        ["c", "a", "b", "main"]
    );
}

/// The locations, products and units that an order is served from: `MUG 2 from main`.
async fn sources(shop: &Deployment, products: &[(&str, u32)]) -> Vec<String> {
    let order = shop.order(&shop.confirmed(products).await).await;
    let allocations = order["allocations"].as_array().expect("allocations");
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let line = |one: &Value| {
        format!(
            "{} {} from {}",
            text(&one["product_id"]),
            one["quantity"],
            text(&one["location_id"])
        )
    };
    let mut lines: Vec<_> = allocations.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn an_order_is_served_from_one_location_if_any_has_it_all() {
    let shop = Deployment::open().await;
    assert_eq!((put(&shop, "near", 1).await, put(&shop, "far", 2).await), (201, 201));
    shop.stock("MUG", 1).await;
    shop.stock("TEE", 1).await;
    for (location, product, units) in [("near", "MUG", 5), ("far", "MUG", 5), ("far", "TEE", 5)] {
        shop.receive(product, location, units).await;
    }
    for (products, expected) in [
        // First `main` has everything; then only `far` has both products; then the order is split
        // line by line.
        (&[("MUG", 1), ("TEE", 1)][..], &["MUG 1 from main", "TEE 1 from main"][..]),
        (&[("MUG", 2), ("TEE", 2)], &["MUG 2 from far", "TEE 2 from far"]),
        (&[("MUG", 4), ("TEE", 3)], &["MUG 4 from near", "TEE 3 from far"]),
        (&[("MUG", 4)], &["MUG 1 from near", "MUG 3 from far"]),
    ] {
        let mut expected: Vec<_> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(sources(&shop, products).await, expected, "{products:?}");
    }
    assert_eq!(shop.available("MUG").await + shop.available("TEE").await, 0);
}

#[tokio::test]
async fn stock_goes_back_to_where_it_came_from() {
    let shop = Deployment::open().await;
    put(&shop, "near", 1).await;
    shop.stock("MUG", 2).await;
    shop.receive("MUG", "near", 2).await;
    let id = shop.confirmed(&[("MUG", 3)]).await;
    put(&shop, "near", 0).await;
    put(&shop, "main", 7).await;
    shop.ask(&id, "cancel").await.ok();
    let product = shop.get("/api/inventory/products/MUG").await.ok();
    let level = |location: &str| json!({"location_id": location, "on_hand": 2, "reserved": 0, "quarantined": 0, "available": 2});
    assert_eq!(product["locations"], json!([level("main"), level("near")]));
}
