//! What the warehouse does: it sets up locations and products, receives, adjusts and counts.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::MAX_ATTEMPTS;
use crate::client::{Call, ask};
use crate::history::{Heard, Stocking};
use crate::node::Service;
use crate::states::broken;
use crate::world::World;

/// Sets up locations and products with their first units, repeating each request until it is done.
pub(crate) async fn set_up(world: &Arc<World>) {
    for location in 1..world.config.locations {
        let body = json!({"name": format!("Location {location}"), "priority": location});
        insist(world, format!("/api/inventory/locations/l{location}"), &body).await;
    }
    // Customers may order one more product, which is unknown.
    for product in 0..world.config.products.max(2) - 1 {
        insist(
            world,
            format!("/api/inventory/products/p{product}"),
            &json!({"name": format!("Product {product}")}),
        )
        .await;
        let units = world.random.within(1..=world.config.units);
        let stocking = movement(world, product, &json!({"kind": "receive", "quantity": units}));
        settle(world, stocking, MAX_ATTEMPTS).await;
    }
}

async fn insist(world: &Arc<World>, path: String, body: &Value) {
    while world.monitor.violation().is_none() {
        let call = Call::new(Method::PUT, path.clone(), body.to_string());
        if ask(world, Service::Inventory, call).await.heard == Heard::Done {
            return;
        }
        tokio::time::sleep(world.random.millis(10..=1_000)).await;
    }
}

/// One random request of the warehouse.
pub(crate) async fn request(world: &Arc<World>) {
    let random = &world.random;
    let product = random.below(world.config.products.max(2) - 1);
    let change = match random.below(9) {
        6 => json!({"kind": "quarantine", "quantity": 1, "reason": "looked odd"}),
        7 => json!({"kind": "unquarantine", "quantity": 1, "reason": "is fine"}),
        8 => json!({"kind": "write_off", "quantity": 1, "reason": "is broken"}),
        0..=2 => json!({"kind": "receive", "quantity": random.within(1..=8)}),
        3 => json!({"kind": "adjust", "quantity": -1, "reason": "broken"}),
        4 => json!({"kind": "adjust", "quantity": 2, "reason": "found"}),
        _ => {
            let mut count =
                json!({"kind": "count", "quantity": random.within(0..=20), "reason": "counted"});
            if random.chance(500) {
                count["expected_on_hand"] = random.within(0..=20).into();
            }
            count
        }
    };
    let stocking = movement(world, product, &change);
    settle(world, stocking, MAX_ATTEMPTS).await;
}

/// Records a new movement in the history and returns its number.
fn movement(world: &World, product: u64, change: &Value) -> usize {
    let location = world.random.below(world.config.locations);
    let mut history = world.history();
    let number = history.stockings.len();
    let mut body = change.clone();
    let reference = format!("movement-{number}");
    body["reference"] = reference.clone().into();
    body["location_id"] = if location == 0 { "main".into() } else { format!("l{location}").into() };
    let key = world.random.chance(800).then(|| format!("stock-{number}"));
    let product_id = format!("p{product}");
    let body = body.to_string();
    let heard = Vec::new();
    history.begin_stocking(Stocking { reference, product_id, key, body, heard })
}

pub(crate) async fn settle(world: &Arc<World>, stocking: usize, attempts: usize) {
    for _ in 0..attempts {
        let wanted = world.history().stockings[stocking].clone();
        let path = format!("/api/inventory/products/{}/movements", wanted.product_id);
        let mut call = Call::new(Method::POST, path, wanted.body);
        if let Some(key) = &wanted.key {
            call = call.with("idempotency-key", key);
        }
        let reply = ask(world, Service::Inventory, call).await;
        world.history().stockings[stocking].heard.push(reply.heard);
        if reply.heard == Heard::Refused
            && !["stock_changed", "below_reserved", "quantity_unavailable"].contains(&reply.code())
        {
            world
                .monitor
                .require(broken("HTTP", format!("a good movement was answered {reply:?}")));
        }
        if matches!(reply.heard, Heard::Done | Heard::Refused) || wanted.key.is_none() {
            return;
        }
        tokio::time::sleep(world.random.millis(1..=2_000)).await;
    }
}
