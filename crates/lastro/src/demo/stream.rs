//! A slow stream of orders, so that the running demo shows some activity.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::catalogue::{PRODUCTS, receive};
use super::client::DemoClient;

/// The time between two orders.
const PERIOD: Duration = Duration::from_millis(500);
/// With fewer available units, a product is restocked.
const LOW: i64 = 10;
/// The units that a restocked product receives.
const RESTOCK: i64 = 50;

/// Places orders until `shutdown`. A failed order is logged, and the next one follows.
pub(super) async fn order(client: &DemoClient, shutdown: CancellationToken) -> anyhow::Result<()> {
    for round in 0.. {
        if let Err(error) = one_round(client, round).await {
            warn!(
                error = format!("{error:#}"),
                "demo order failed, continuing with the next order"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.cancelled() => break,
        }
    }
    Ok(())
}

/// Places an order, fulfills every third, cancels every seventh, and restocks a product that runs
/// low. Every fifth order waits for its payment; all but every fourth of these are paid.
async fn one_round(client: &DemoClient, round: usize) -> anyhow::Result<()> {
    let line = |at: usize, quantity: usize| {
        let (id, _, price, _, _) = PRODUCTS[at % PRODUCTS.len()];
        json!({"product_id": id, "quantity": quantity, "price": price})
    };
    let lines: Vec<Value> =
        (0..=round % 3).map(|n| line(round * 5 + n, 1 + (round + n) % 2)).collect();
    let mut order = json!({"customer_id": format!("customer-{}", round % 17), "products": lines});
    let with_payment = round % 5 == 4;
    if with_payment {
        order["payment"] = json!({"within_s": 120});
    }
    let receipt = client.post("/api/orders", &order).await?;
    let path = format!("/api/orders/{}", receipt["order_id"].as_str().unwrap_or_default());
    if with_payment && round % 4 != 3 {
        let payment = json!({"reference": format!("charge-{round}")});
        client.post(&format!("{path}/pay"), &payment).await?;
    }
    if round % 7 == 6 {
        client.post(&format!("{path}/cancel"), &json!({"reason": "changed my mind"})).await?;
    } else if round % 3 == 2 && client.get(&path).await?["status"] == "confirmed" {
        client.post(&format!("{path}/fulfill"), &json!({})).await?;
    }
    let (id, ..) = PRODUCTS[round % PRODUCTS.len()];
    if client.stock(id).await?.available < LOW {
        receive(client, id, "main", RESTOCK, "restocked by the demo").await?;
    }
    Ok(())
}
