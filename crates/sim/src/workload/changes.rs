//! What is done with accepted orders: customers pay early, in time, late and twice, and cancel
//! lines; the shop ships, cancels shipments, and books what comes back.

use std::sync::Arc;
use std::time::Duration;

use contract::OrderId;
use http::Method;
use orders_core::status::Status;
use serde_json::{Value, json};

use super::{MAX_ATTEMPTS, orders};
use crate::client::{Call, Reply, ask};
use crate::databases::OrderRow;
use crate::fold::Tracking;
use crate::history::{Change, Heard, Mark};
use crate::node::Service;
use crate::states::broken;
use crate::world::World;

/// Some random requests about an order, one after the other.
pub(crate) async fn request(world: &Arc<World>) {
    let known = world.history().known_orders();
    if known.is_empty() {
        return;
    }
    let random = &world.random;
    // Of most orders, nothing can be changed any more.
    let (mut lively, mut late) = (Vec::new(), Vec::new());
    for order in world.monitor.databases().orders() {
        match order.status() {
            Status::Confirmed | Status::Amending | Status::Fulfilling | Status::Fulfilled => {
                lively.push(order.order_id);
            }
            Status::Expiring | Status::Expired | Status::Reviving => late.push(order.order_id),
            _ => {}
        }
    }
    let from = match random.below(10) {
        0..=5 if !lively.is_empty() => &lively,
        6 | 7 if !late.is_empty() => &late,
        _ => &known,
    };
    let order_id = *random.pick(from);
    for _ in 0..random.within(1..=4) {
        anything(world, order_id).await;
    }
}

/// Any request about the order.
async fn anything(world: &Arc<World>, order_id: OrderId) {
    let Some(order) = world.monitor.databases().order(order_id) else { return };
    match world.random.below(16) {
        0 | 1 => pay(world, &order).await,
        2 | 3 => refund(world, &order).await,
        4 | 5 => cancel_lines(world, &order).await,
        6..=8 => ship(world, &order).await,
        9 | 10 => with_a_shipment(world, &order, true).await,
        11 => with_a_shipment(world, &order, false).await,
        12 | 13 => book_return(world, &order).await,
        14 => orders::transition(world, "cancel", Some(order_id)).await,
        _ => orders::transition(world, "fulfill", Some(order_id)).await,
    }
}

/// Pays an order that was just placed: at once, in time, at about its deadline, late, or never.
pub(crate) async fn pay_sometime(world: &Arc<World>, order_id: OrderId, within_s: u64) {
    let random = &world.random;
    let seconds = match random.below(8) {
        0 => return,
        1 => 0,
        2..=4 => random.below(within_s.min(20)),
        5 | 6 => random.within(within_s.saturating_sub(3)..=within_s + 3),
        _ => within_s + random.within(5..=60),
    };
    tokio::time::sleep(Duration::from_secs(seconds) + random.millis(0..=999)).await;
    if random.chance(400) {
        for _ in 0..random.within(1..=3) {
            anything(world, order_id).await;
        }
    }
    let order = world.monitor.databases().order(order_id);
    if let Some(order) = order {
        pay(world, &order).await;
    }
}

/// Pays what the order costs, more or less, by a charge that most customers make once.
async fn pay(world: &Arc<World>, order: &OrderRow) {
    let random = &world.random;
    let charge = random.below(5) / 4;
    let reference = format!("charge-{}-{charge}", order.order_id);
    let amount = match random.below(10) {
        0 => Some(order.total_minor + 5),
        1 => Some(order.total_minor - 1),
        2..=4 => Some(order.total_minor),
        _ => None,
    };
    let amount = amount.filter(|minor| *minor > 0);
    let mut body = json!({"reference": reference});
    if let Some(minor) = amount {
        body["amount"] = money(minor);
    }
    let mark = Mark::Payment(reference, amount);
    make(world, order, "POST", "pay", body, mark).await;
}

async fn refund(world: &Arc<World>, order: &OrderRow) {
    let random = &world.random;
    let number = random.below(3);
    let reference = format!("refund-{}-{number}", order.order_id);
    // The amount of a reference is always the same.
    let minor = (order.total_minor / (i64::try_from(number).unwrap_or(0) + 1)).max(1);
    let body = json!({"reference": reference, "amount": money(minor)});
    make(world, order, "POST", "refunds", body, Mark::Payment(reference, Some(minor))).await;
}

async fn cancel_lines(world: &Arc<World>, order: &OrderRow) {
    let random = &world.random;
    let (product, units, _) = random.pick(&order.content.lines).clone();
    let quantity = random.within(1..=u64::try_from(units).unwrap_or(1));
    let body = json!({"lines": [{"product_id": product, "quantity": quantity}]});
    keyed(world, order, "cancellations", body).await;
}

async fn ship(world: &Arc<World>, order: &OrderRow) {
    let random = &world.random;
    let (product, units, _) = random.pick(&order.content.lines).clone();
    let quantity = random.within(1..=u64::try_from(units).unwrap_or(1));
    let mut line = json!({"product_id": product, "quantity": quantity});
    if random.chance(100) {
        line["location_id"] = "main".into();
    }
    let mut body = if random.chance(700) { json!({"lines": [line]}) } else { json!({}) };
    if random.chance(300) {
        body["tracking"] = json!({"carrier": "post", "number": "1"});
    }
    keyed(world, order, "shipments", body).await;
}

/// Cancels a shipment, or says how to follow it.
async fn with_a_shipment(world: &Arc<World>, order: &OrderRow, cancel: bool) {
    let Ok(registers) = order.registers() else { return };
    let shipments: Vec<i64> = registers.shipments().map(|(seq, ..)| seq).collect();
    let random = &world.random;
    let shipment = if shipments.is_empty() { 2 } else { *random.pick(&shipments) };
    if shipments.is_empty() && random.chance(900) {
        return;
    }
    if cancel {
        let path = format!("shipments/{shipment}/cancel");
        make(world, order, "POST", &path, json!({}), Mark::Unship(shipment)).await;
    } else {
        let number = random.below(2).to_string();
        let body = json!({"carrier": "post", "number": number});
        let tracking =
            Tracking { carrier: Some("post".to_owned()), number: Some(number), url: None };
        let path = format!("shipments/{shipment}/tracking");
        make(world, order, "PUT", &path, body, Mark::Track(shipment, tracking)).await;
    }
}

async fn book_return(world: &Arc<World>, order: &OrderRow) {
    let random = &world.random;
    let (product, units, _) = random.pick(&order.content.lines).clone();
    let quantity = random.within(1..=u64::try_from(units).unwrap_or(1).min(2));
    let disposition = *random.pick(&["restock", "quarantine", "write_off"]);
    let mut line = json!({"product_id": product, "quantity": quantity, "disposition": disposition});
    if random.chance(400) {
        line["location_id"] = (*random.pick(&["main", "nowhere"])).into();
    }
    keyed(world, order, "returns", json!({"lines": [line]})).await;
}

async fn keyed(world: &Arc<World>, order: &OrderRow, path: &str, body: Value) {
    // Some repeat what they have asked before, much later.
    let known = world.history().changes_of(order.order_id, path);
    let again = (!known.is_empty() && world.random.chance(200)).then(|| *world.random.pick(&known));
    let Some(change) = again else {
        let number = world.history().changes.len();
        let mark = Mark::Key(format!("change-{number}"));
        return make(world, order, "POST", path, body, mark).await;
    };
    if world.random.chance(700) {
        return settle(world, change, 1).await;
    }
    // Others use the key of a change for another one.
    let Change { mark, body: before, .. } = world.history().changes[change].clone();
    if before != body.to_string().as_str() {
        make(world, order, "POST", path, body, mark).await;
    }
}

async fn make(
    world: &Arc<World>,
    order: &OrderRow,
    method: &'static str,
    path: &str,
    body: Value,
    mark: Mark,
) {
    let change = world.history().begin_change(Change {
        order_id: order.order_id,
        method,
        path: path.to_owned(),
        body: body.to_string(),
        mark,
        heard: Vec::new(),
    });
    settle(world, change, MAX_ATTEMPTS).await;
}

/// Repeats the request until its outcome is known, at most `attempts` times.
pub(crate) async fn settle(world: &Arc<World>, change: usize, attempts: usize) {
    for _ in 0..attempts {
        let heard = send(world, change).await.heard;
        world.history().changes[change].heard.push(heard);
        if matches!(heard, Heard::Done | Heard::Refused) {
            return;
        }
        tokio::time::sleep(world.random.millis(1..=2_000)).await;
    }
}

async fn send(world: &Arc<World>, change: usize) -> Reply {
    let Change { order_id, method, path, body, mark, .. } = world.history().changes[change].clone();
    let method = if method == "PUT" { Method::PUT } else { Method::POST };
    let mut call = Call::new(method, format!("/api/orders/{order_id}/{path}"), body);
    if let Mark::Key(key) = &mark {
        call = call.with("idempotency-key", key);
    }
    if world.random.chance(200) {
        call = call.with("prefer", "wait=5");
    }
    let reply = ask(world, Service::Orders, call).await;
    match (reply.heard, reply.order()) {
        (Heard::Done, Some((order_id, status))) => orders::acknowledge(world, order_id, status),
        (Heard::Refused, _) if refusals(&path).contains(&reply.code()) => {}
        // Nothing is due of an order that is over.
        (Heard::Refused, _)
            if reply.code() == "invalid_request" && matches!(mark, Mark::Payment(_, None)) => {}
        (Heard::Refused, _)
            if reply.code() == "idempotency_key_reused" && world.history().shares_key(change) => {}
        (Heard::Done | Heard::Refused, _) => {
            let what = format!("{path} of {order_id} was answered {reply:?}");
            world.monitor.require(broken("HTTP", what));
        }
        (Heard::NotDone | Heard::Unknown, _) => {}
    }
    reply
}

/// What a good request may be refused with.
fn refusals(path: &str) -> &'static [&'static str] {
    match path {
        "pay" => &["already_paid", "underpaid", "payment_not_expected", "idempotency_key_reused"],
        "refunds" => &["refund_exceeds_payment"],
        "cancellations" | "shipments" | "returns" => {
            &["invalid_transition", "quantity_unavailable"]
        }
        _ => &["shipment_not_found", "invalid_transition", "quantity_unavailable"],
    }
}

/// An amount as a JSON number with two decimals.
fn money(minor: i64) -> Value {
    let text = format!("{}.{:02}", minor / 100, minor % 100);
    serde_json::from_str(&text).expect("a number")
}
