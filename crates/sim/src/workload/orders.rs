//! What customers do: place orders, change their mind, look, and send malformed requests.

use std::collections::BTreeSet;
use std::sync::Arc;

use contract::OrderId;
use http::Method;
use orders_core::status::Status;

use super::{MAX_ATTEMPTS, changes};
use crate::client::{Call, Reply, ask};
use crate::config::Fault;
use crate::history::{Heard, Purchase};
use crate::node::Service;
use crate::states::broken;
use crate::world::World;

/// One random request of a customer.
pub(crate) async fn request(world: &Arc<World>) {
    if world.faults.happens(Fault::Rubbish) {
        send_malformed(world).await;
    }
    match world.random.below(24) {
        12.. => changes::request(world).await,
        0..=4 => buy(world, None).await,
        5 => buy_twice_at_once(world).await,
        6 => reuse_a_key(world).await,
        7 => buy_and_cancel(world).await,
        8 => transition(world, "cancel", None).await,
        9 | 10 => transition(world, "fulfill", None).await,
        _ => look(world).await,
    }
}

async fn buy(world: &Arc<World>, key: Option<String>) {
    let purchase = wanted(world, key);
    settle(world, purchase, MAX_ATTEMPTS).await;
    let bought = world.history().purchases[purchase].clone();
    let within_s = bought.pays_within_s.and_then(|seconds| u64::try_from(seconds).ok());
    if let (Some(within_s), Some(order_id)) = (within_s, bought.order_ids.first().copied()) {
        let world = world.clone();
        world.history().payers += 1;
        world.clone().executor.spawn(None, async move {
            changes::pay_sometime(&world, order_id, within_s).await;
            world.history().payers -= 1;
        });
    }
}

/// Repeats the request until its outcome is known, at most `attempts` times. Without a key it is
/// sent once: a repeat would be another order.
pub(crate) async fn settle(world: &Arc<World>, purchase: usize, attempts: usize) {
    for _ in 0..attempts {
        let heard = place(world, purchase).await.heard;
        let has_key = world.history().purchases[purchase].key.is_some();
        if matches!(heard, Heard::Done | Heard::Refused) || !has_key {
            return;
        }
        tokio::time::sleep(world.random.millis(1..=2_000)).await;
    }
}

/// Records a new purchase in the history and returns its number.
fn wanted(world: &Arc<World>, key: Option<String>) -> usize {
    let random = &world.random;
    let mut lines = Vec::new();
    let mut products = Vec::new();
    for _ in 0..random.within(1..=world.config.lines) {
        let product = format!("p{}", random.below(world.config.products));
        let quantity = random.within(1..=4);
        let price = random.within(0..=9_999);
        products.push(format!(
            r#"{{"product_id":"{product}","quantity":{quantity},"price":{}.{:02}}}"#,
            price / 100,
            price % 100
        ));
        let [units, price_minor] =
            [quantity, price].map(|n| i64::try_from(n).expect("a small number"));
        lines.push((product, units, price_minor));
    }
    let mut history = world.history();
    let number = history.purchases.len();
    let customer_id = format!("customer-{number}");
    let key = key.or_else(|| random.chance(800).then(|| format!("key-{number}")));
    let pays_within_s = random.chance(500).then(|| *random.pick(&[60, 60, 90, 600]));
    let payment = pays_within_s
        .map(|seconds: i64| format!(r#","payment":{{"within_s":{seconds}}}"#))
        .unwrap_or_default();
    let products = products.join(",");
    let body = format!(r#"{{"customer_id":"{customer_id}","products":[{products}]{payment}}}"#);
    let heard = Vec::new();
    let order_ids = BTreeSet::new();
    history.begin_purchase(Purchase {
        customer_id,
        key,
        pays_within_s,
        lines,
        body,
        heard,
        order_ids,
    })
}

async fn place(world: &Arc<World>, purchase: usize) -> Reply {
    let wanted = world.history().purchases[purchase].clone();
    let mut call = Call::new(Method::POST, "/api/orders", wanted.body);
    if let Some(key) = &wanted.key {
        call = call.with("idempotency-key", key);
    }
    if world.random.chance(300) {
        call = call.with("prefer", format!("wait={}", world.random.below(12)));
    }
    let reply = ask(world, Service::Orders, call).await;
    world.history().purchases[purchase].heard.push(reply.heard);
    match (reply.heard, reply.order()) {
        (Heard::Done, Some((order_id, status))) => {
            world.history().purchases[purchase].order_ids.insert(order_id);
            acknowledge(world, order_id, status);
        }
        (Heard::Refused, _)
            if reply.code() == "idempotency_key_reused"
                && is_shared(world, wanted.key.as_deref()) => {}
        (Heard::Done | Heard::Refused, _) => {
            world.monitor.require(broken("HTTP", format!("a good order was answered {reply:?}")));
        }
        (Heard::NotDone | Heard::Unknown, _) => {}
    }
    reply
}

fn is_shared(world: &World, key: Option<&str>) -> bool {
    world.history().purchases.iter().filter(|purchase| purchase.key.as_deref() == key).count() > 1
}

/// Records that a client got the status of an order: the order must have had it.
pub(crate) fn acknowledge(world: &World, order_id: OrderId, status: Status) {
    world.history().acknowledge(order_id, status);
    let row = world.monitor.databases().order(order_id);
    if !row.as_ref().is_some_and(|row| row.was(status)) {
        world.monitor.require(broken(
            "INV-6",
            format!("a client gets the answer that {order_id} is {status:?}: {row:?}"),
        ));
    }
}

async fn buy_twice_at_once(world: &Arc<World>) {
    let number = world.history().purchases.len();
    let purchase = wanted(world, Some(format!("twin-{number}")));
    let once = || settle(world, purchase, MAX_ATTEMPTS);
    tokio::join!(biased; once(), once());
}

async fn reuse_a_key(world: &Arc<World>) {
    let keys: Vec<String> =
        world.history().purchases.iter().filter_map(|purchase| purchase.key.clone()).collect();
    let key = (!keys.is_empty()).then(|| world.random.pick(&keys).clone());
    buy(world, key).await;
}

/// Places and cancels an order. The release follows the reservation closely, or overtakes it.
async fn buy_and_cancel(world: &Arc<World>) {
    let purchase = wanted(world, None);
    settle(world, purchase, MAX_ATTEMPTS).await;
    let order_id = world.history().purchases[purchase].order_ids.first().copied();
    if order_id.is_some() {
        transition(world, "cancel", order_id).await;
    }
}

pub(crate) async fn transition(world: &Arc<World>, verb: &str, order_id: Option<OrderId>) {
    let known = world.history().known_orders();
    if known.is_empty() {
        return;
    }
    let order_id = order_id.unwrap_or_else(|| *world.random.pick(&known));
    let times = world.random.within(1..=2);
    for _ in 0..times {
        let mut call =
            Call::new(Method::POST, format!("/api/orders/{order_id}/{verb}"), Vec::new());
        if world.random.chance(200) {
            call = call.with("prefer", "wait=5");
        }
        let reply = ask(world, Service::Orders, call).await;
        match (reply.heard, reply.order()) {
            (Heard::Done, Some((order_id, status))) if was_led_to(world, verb, order_id) => {
                acknowledge(world, order_id, status);
            }
            (Heard::Refused, _)
                if reply.code() == "invalid_transition"
                    && may_be_refused(world, verb, order_id) =>
            {
                return;
            }
            (Heard::Done | Heard::Refused, _) => {
                world.monitor.require(broken(
                    "HTTP",
                    format!("{verb} of {order_id} was answered {reply:?}"),
                ));
            }
            (Heard::NotDone | Heard::Unknown, _) => {}
        }
    }
}

/// Whether the order has had the status that the request leads to. Others may have changed it since.
fn was_led_to(world: &World, verb: &str, order_id: OrderId) -> bool {
    let row = world.monitor.databases().order(order_id);
    let status = if verb == "cancel" { Status::Cancelling } else { Status::Fulfilling };
    row.is_some_and(|row| row.was(status))
}

/// An order cannot be cancelled if it was rejected, or if something of it was shipped. It can be
/// fulfilled only when it is confirmed or changed, and every order has had another status.
fn may_be_refused(world: &World, verb: &str, order_id: OrderId) -> bool {
    let row = world.monitor.databases().order(order_id);
    let registers = row.as_ref().and_then(|row| row.registers().ok());
    let has_shipped = registers.is_some_and(|registers| registers.shipments().next().is_some());
    verb != "cancel" || row.is_some_and(|row| row.was(Status::Rejected)) || has_shipped
}

async fn look(world: &Arc<World>) {
    let known = world.history().known_orders();
    let list = known.is_empty() || world.random.chance(300);
    let path = if list {
        format!("/api/orders?limit={}", world.random.within(1..=5))
    } else {
        format!("/api/orders/{}", world.random.pick(&known))
    };
    let reply = ask(world, Service::Orders, Call::new(Method::GET, path, Vec::new())).await;
    match (reply.heard, reply.order()) {
        (Heard::Refused, _) => {
            world.monitor.require(broken(
                "INV-6",
                format!("an order that was confirmed is answered {reply:?}"),
            ));
        }
        (Heard::Done, Some((order_id, status))) => acknowledge(world, order_id, status),
        _ => {}
    }
}

/// Once no customer orders any more, the pages list every order once. One whose commit lands late,
/// while the pages are read, may be missing.
pub(crate) async fn browse(world: &Arc<World>) {
    let order_ids = || world.monitor.databases().orders().into_iter().map(|row| row.order_id);
    let before: Vec<OrderId> = order_ids().collect();
    let mut listed = Vec::new();
    let mut cursor = String::new();
    while world.monitor.violation().is_none() {
        let path = format!("/api/orders?limit={}{cursor}", world.random.within(1..=5));
        let reply = ask(world, Service::Orders, Call::new(Method::GET, path, Vec::new())).await;
        if reply.heard != Heard::Done {
            tokio::time::sleep(world.random.millis(10..=1_000)).await;
            continue;
        }
        let rows = reply.body["data"].as_array().into_iter().flatten();
        listed.extend(rows.filter_map(|row| row["order_id"].as_str()?.parse::<OrderId>().ok()));
        match reply.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.sort();
    let booked: Vec<OrderId> =
        order_ids().filter(|id| before.contains(id) || listed.contains(id)).collect();
    if listed != booked {
        world.monitor.require(broken(
            "HTTP",
            format!("the pages list {listed:?}, and there are {booked:?}"),
        ));
    }
}

async fn send_malformed(world: &Arc<World>) {
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        r#"{"customer_id":1}"#,
        r#"{"customer_id":"c","products":[]}"#,
        "\u{feff}{}",
        r#"{"customer_id":"c","products":[{"product_id":"p0","quantity":0,"price":1}]}"#,
        r#"{"customer_id":"c","products":[{"product_id":"p0","quantity":1,"price":0.001}]}"#,
        r#"{"customer_id":"c","customer_id":"d","products":[{"product_id":"p0","quantity":1,"price":1}]}"#,
        r#"{"customer_id":"c","products":[{"product_id":"p0","quantity":99999999999999999999,"price":1e400}]}"#,
    ];
    let (service, path) = match world.random.below(3) {
        0 => (Service::Inventory, "/api/inventory/products/p0/movements"),
        1 => (Service::Orders, "/api/orders/not-an-order/cancel"),
        _ => (Service::Orders, "/api/orders"),
    };
    let reply =
        ask(world, service, Call::new(Method::POST, path, *world.random.pick(&bodies))).await;
    if reply.heard == Heard::Done {
        world
            .monitor
            .require(broken("HTTP", format!("a malformed request was answered {reply:?}")));
    }
}
