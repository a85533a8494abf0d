//! The sample catalogue: a dozen products at two locations.

use serde_json::json;

use super::client::DemoClient;
use super::output::print_line;

/// The products: id, name, price, and the units in the warehouse and in the store.
pub(super) const PRODUCTS: [(&str, &str, f64, i64, i64); 12] = [
    ("789", "Coffee, ground, 500 g", 19.99, 60, 20),
    ("456", "Moka pot, 3 cups", 29.99, 25, 5),
    ("mug-white", "Mug, white", 14.5, 80, 20),
    ("mug-black", "Mug, black", 14.5, 80, 10),
    ("filter-2", "Paper filters no. 2", 6.9, 200, 40),
    ("filter-4", "Paper filters no. 4", 7.9, 150, 40),
    ("grinder", "Hand grinder", 89.0, 12, 3),
    ("kettle", "Gooseneck kettle", 159.9, 8, 2),
    ("scale", "Scale with timer", 119.0, 10, 0),
    ("beans-1", "Beans, Mogiana, 1 kg", 64.0, 40, 12),
    ("beans-2", "Beans, Cerrado, 1 kg", 68.0, 40, 0),
    ("tin", "Storage tin", 24.0, 30, 6),
];

/// Creates the locations and the products, and receives their stock.
pub(super) async fn stock(client: &DemoClient) -> anyhow::Result<()> {
    client
        .put("/api/inventory/locations/main", &json!({"name": "Main warehouse", "priority": 0}))
        .await?;
    client
        .put("/api/inventory/locations/store", &json!({"name": "Corner store", "priority": 10}))
        .await?;
    print_line(format_args!(
        "── The sample catalogue: {} products at two locations ──\n",
        PRODUCTS.len()
    ))?;
    for (id, name, _, in_main, in_store) in PRODUCTS {
        client
            .put(
                &format!("/api/inventory/products/{id}"),
                &json!({"name": name, "low_stock_at": 5}),
            )
            .await?;
        for (location, quantity) in [("main", in_main), ("store", in_store)] {
            if quantity > 0 {
                receive(client, id, location, quantity, "opening stock").await?;
            }
        }
        print_line(format_args!("  {}", client.stock(id).await?))?;
    }
    Ok(())
}

/// Receives units of a product at a location.
pub(super) async fn receive(
    client: &DemoClient,
    id: &str,
    location: &str,
    quantity: i64,
    reference: &str,
) -> anyhow::Result<()> {
    let movement = json!({"kind": "receive", "quantity": quantity, "location_id": location, "reference": reference});
    client.post(&format!("/api/inventory/products/{id}/movements"), &movement).await.map(drop)
}
