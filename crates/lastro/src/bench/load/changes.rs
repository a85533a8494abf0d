//! Orders that change: each is paid, shipped in two parts, and partly returned.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Load, WATCHING_PATIENCE, reported};
use crate::bench::tally::Response;
use crate::bench::wire::{Answer, Broken, Line};
use crate::bench::workload::{Order, product_id};

/// A change of an order: the end of its path, its idempotency key if it takes one, and its body.
struct Change {
    path: &'static str,
    key: Option<&'static str>,
    body: Value,
}

impl Load {
    /// Places an order that waits for its payment, waits until it is reserved, and changes it. The
    /// changes of one order follow on each other, as those of a shop do.
    pub(super) async fn change(
        self: Arc<Self>,
        order: Order,
        intended: Instant,
        _permit: OwnedSemaphorePermit,
    ) {
        let mut line = self.idle_watcher();
        let held = intended.elapsed();
        let placed = line.place_and_wait(&order.body, WATCHING_PATIENCE).await;
        let id = placed.as_ref().ok().and_then(reserved_order);
        self.count(reported(placed, true), true, intended, held);
        if let Some(id) = id {
            for change in changes(&order) {
                if !self.changed(&mut line, &id, change).await {
                    break;
                }
            }
        }
        self.keep_watcher(line);
    }

    /// Sends a change, and waits until Inventory has answered it. Returns whether it was done.
    async fn changed(&self, line: &mut Line, id: &str, change: Change) -> bool {
        let sent = Instant::now();
        let path = format!("/api/orders/{id}/{}", change.path);
        let body = change.body.to_string();
        let answer = line.change(&path, change.key, body.as_bytes(), WATCHING_PATIENCE).await;
        let failure = failure(answer);
        let measured = self.times.is_measured(sent);
        let took: Duration = sent.elapsed();
        self.tally().changes.count(failure.clone(), measured, took);
        failure.is_none()
    }
}

/// The id of an order that was reserved.
fn reserved_order(answer: &Answer) -> Option<String> {
    let receipt: Value = serde_json::from_slice(&answer.body).ok()?;
    let reserved = answer.status == StatusCode::OK && receipt["status"] == "reserved";
    reserved.then(|| receipt["order_id"].as_str().map(str::to_owned)).flatten()
}

/// What happens to an order: it is paid; a unit is shipped, then the rest; the unit comes back.
fn changes(order: &Order) -> Vec<Change> {
    let unit = product_id(order.first_product);
    let units = json!([{"product_id": unit, "quantity": 1}]);
    let back = json!([{"product_id": unit, "quantity": 1, "disposition": "restock"}]);
    let mut changes = vec![
        Change { path: "pay", key: None, body: json!({"reference": "bench"}) },
        Change { path: "shipments", key: Some("first"), body: json!({"lines": units}) },
    ];
    // Each line is one unit, so an order of one line has no second part.
    if order.lines > 1 {
        changes.push(Change { path: "shipments", key: Some("rest"), body: json!({}) });
    }
    changes.push(Change { path: "returns", key: Some("back"), body: json!({"lines": back}) });
    changes
}

/// The kind of the failure; `None` if the change was done.
fn failure(answer: Result<Answer, Broken>) -> Option<String> {
    match reported(answer, false) {
        Response::Accepted { .. } => None,
        Response::Shed => Some("503 overloaded".to_owned()),
        Response::Failed { kind, .. } => Some(kind),
    }
}
