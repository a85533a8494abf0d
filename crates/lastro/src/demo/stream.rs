//! A gentle stream of orders, so that there is something to look at.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::catalogue::{PRODUCTS, receive};
use super::shop::Shop;

/// Between two orders.
const PERIOD: Duration = Duration::from_millis(500);
/// Below this many available units, a product is restocked by as many as `RESTOCK`.
const LOW: i64 = 10;
const RESTOCK: i64 = 50;

/// Orders until `shutdown`; what fails is told and tried again with the next order.
pub(super) async fn order(shop: &Shop, shutdown: CancellationToken) -> anyhow::Result<()> {
    for round in 0.. {
        if let Err(error) = one_round(shop, round).await {
            warn!(error = format!("{error:#}"), "demo order failed, continuing with the next order");
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = shutdown.cancelled() => break,
        }
    }
    Ok(())
}

/// Places an order; every third is fulfilled, every seventh cancelled, and what ran low is restocked.
async fn one_round(shop: &Shop, round: usize) -> anyhow::Result<()> {
    let line = |at: usize, quantity: usize| {
        let (id, _, price, _, _) = PRODUCTS[at % PRODUCTS.len()];
        json!({"product_id": id, "quantity": quantity, "price": price})
    };
    let lines: Vec<Value> = (0..=round % 3).map(|n| line(round * 5 + n, 1 + (round + n) % 2)).collect();
    let order = json!({"customer_id": format!("customer-{}", round % 17), "products": lines});
    let receipt = shop.post("/api/orders", &order).await?;
    let path = format!("/api/orders/{}", receipt["order_id"].as_str().unwrap_or_default());
    if round % 7 == 6 {
        shop.post(&format!("{path}/cancel"), &json!({"reason": "changed my mind"})).await?;
    } else if round % 3 == 2 && shop.get(&path).await?["status"] == "confirmed" {
        shop.post(&format!("{path}/fulfill"), &json!({})).await?;
    }
    let (id, ..) = PRODUCTS[round % PRODUCTS.len()];
    if shop.stock(id).await?.available < LOW {
        receive(shop, id, "main", RESTOCK, "restocked by the demo").await?;
    }
    Ok(())
}
