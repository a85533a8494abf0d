//! Creates and stocks the products of a run through the public API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, Uri};
use platform::process::ProgramError;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::wire::{Answer, Broken, Endpoint, Line};
use super::workload::product_id;

/// Products that are created concurrently, so that they share commits.
const AT_ONCE: usize = 64;
/// The most units that one movement may receive.
const MAX_DELIVERY: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Creates the products and receives `units` of each in each of `locations` locations. Products of
/// an earlier run are kept, and their stock grows.
///
/// # Errors
///
/// The first request that the service did not accept.
pub(super) async fn stock(
    inventory: &Endpoint,
    products: u32,
    units: u64,
    locations: u32,
) -> Result<(), ProgramError> {
    let mut line = Line::to(inventory);
    for location in 1..locations {
        let location = location_id(location);
        let path = format!("/api/inventory/locations/{location}");
        let body = json!({"name": location, "priority": 1});
        send(&mut line, Method::PUT, &path, &body).await?;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut making: JoinSet<Result<(), ProgramError>> = JoinSet::new();
    for _ in 0..AT_ONCE {
        let next = next.clone();
        let mut line = Line::to(inventory);
        making.spawn(async move {
            loop {
                let product = next.fetch_add(1, Ordering::Relaxed);
                if product >= products {
                    return Ok(());
                }
                make(&mut line, &product_id(product), units, locations).await?;
            }
        });
    }
    while let Some(made) = making.join_next().await {
        made.map_err(ProgramError::failed)??;
    }
    Ok(())
}

/// The first location is the one that exists from the start.
fn location_id(location: u32) -> String {
    if location == 0 { "main".to_owned() } else { format!("bench-{location}") }
}

async fn make(line: &mut Line, id: &str, units: u64, locations: u32) -> Result<(), ProgramError> {
    let path = format!("/api/inventory/products/{id}");
    send(line, Method::PUT, &path, &json!({"name": format!("Product {id}")})).await?;
    for location in (0..locations).map(location_id) {
        let mut left = units;
        while left > 0 {
            let quantity = left.min(MAX_DELIVERY);
            let delivery = json!({
                "kind": "receive",
                "quantity": quantity,
                "location_id": location,
                "reference": "lastro bench",
            });
            send(line, Method::POST, &format!("{path}/movements"), &delivery).await?;
            left -= quantity;
        }
    }
    Ok(())
}

async fn send(
    line: &mut Line,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<(), ProgramError> {
    let uri = Uri::try_from(path).expect("ids of products are plain ASCII");
    let answer = line.json(method, uri, body.to_string().into(), PATIENCE).await;
    let reported = match answer {
        Ok(Answer { status, .. }) if status.is_success() => return Ok(()),
        Ok(Answer { status, body }) => format!("{status} {}", String::from_utf8_lossy(&body)),
        Err(Broken::Timeout) => format!("no answer within {PATIENCE:?}"),
        Err(broken) => broken.to_string(),
    };
    Err(ProgramError::failed(format!("cannot stock the products: {path}: {reported}")))
}
