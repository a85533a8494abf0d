//! The part of the transcript about an order that changes: it is paid, shipped in two parts, and
//! partly returned.

use anyhow::ensure;
use serde_json::{Value, json};

use super::client::{DemoClient, pretty};
use super::output::print_line;
use super::text;

/// A request waits for Inventory's answer.
const WAIT: (&str, &str) = ("prefer", "wait=10");

/// Places an order that waits for its payment, and plays what happens to it.
pub(super) async fn pay_ship_and_return(client: &DemoClient) -> anyhow::Result<()> {
    print_line(format_args!(
        "\n── An order is paid, shipped in two parts, and partly returned ──\n"
    ))?;
    let before = client.stock("789").await?;
    let order = json!({
        "customer_id": "123456",
        "products": [{"product_id": "789", "quantity": 3, "price": 19.99}],
        "payment": {"within_s": 900},
    });
    let receipt = client.post_shown("/api/orders", &order, &[WAIT]).await?;
    ensure!(receipt["status"] == "reserved", "the status is {}", receipt["status"]);
    let path = format!("/api/orders/{}", text(&receipt["order_id"])?);

    let payment = json!({"reference": "charge-1"});
    let paid = client.post_shown(&format!("{path}/pay"), &payment, &[]).await?;
    ensure!(paid["status"] == "confirmed", "the status is {}", paid["status"]);
    ensure!(paid["payment"]["state"] == "paid", "the payment is {}", paid["payment"]);

    ship(client, &path, &first_part(), "parcel-1").await?;
    ship(client, &path, &json!({}), "parcel-2").await?;
    let order = client.get(&path).await?;
    ensure!(order["status"] == "fulfilled", "the status is {}", order["status"]);
    ensure!(order["shipments"].as_array().map(Vec::len) == Some(2), "two shipments are expected");

    let units = json!({
        "lines": [{"product_id": "789", "quantity": 1, "disposition": "quarantine"}],
        "reason": "the box was open",
    });
    let headers = [("idempotency-key", "return-1"), WAIT];
    client.post_shown(&format!("{path}/returns"), &units, &headers).await?;

    let order = client.get(&path).await?;
    print_line(format_args!("GET {path}\n{}\n", pretty(&history_of(&order)?)))?;
    ensure!(order["returns_status"] == "partial", "the returns are {}", order["returns_status"]);
    let after = client.stock("789").await?;
    print_line(format_args!("stock before: {before}\nstock after:  {after}"))?;
    ensure!(
        after.on_hand == before.on_hand - 2 && after.available == before.available - 3,
        "three units are out, and one of them came back and cannot be sold yet"
    );
    Ok(())
}

/// One unit, and how to follow it.
fn first_part() -> Value {
    json!({
        "lines": [{"product_id": "789", "quantity": 1}],
        "tracking": {"carrier": "Correios", "number": "BR123456789BR"},
    })
}

async fn ship(
    client: &DemoClient,
    path: &str,
    units: &Value,
    key: &'static str,
) -> anyhow::Result<()> {
    let headers = [("idempotency-key", key), WAIT];
    let shipped = client.post_shown(&format!("{path}/shipments"), units, &headers).await?;
    let state = &shipped["shipment"]["state"];
    ensure!(*state == "shipped", "the shipment is {state}");
    Ok(())
}

/// What a reader of the order's page sees first.
fn history_of(order: &Value) -> anyhow::Result<Value> {
    let members = ["status", "payment", "fulfillment", "returns_status", "items", "history"];
    let member = |name: &str| Some((name.to_owned(), order.get(name)?.clone()));
    let found: serde_json::Map<String, Value> =
        members.iter().filter_map(|name| member(name)).collect();
    ensure!(found.len() == members.len(), "the order lacks one of {members:?}");
    Ok(Value::Object(found))
}
