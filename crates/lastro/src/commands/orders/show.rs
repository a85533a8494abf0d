//! `lastro orders show`: what is stuck, and why, in one look.

use serde_json::Value;

use super::super::{Context, field, items, text};
use super::advice::advice;
use super::amount;
use super::held::OrderStock;
use super::look::{Found, Look};
use super::owed;
use super::receipt::{Payment, show_shortage, show_units};
use crate::client::Failed;
use crate::output::{Columns, age, line, show, span, time};

pub(super) async fn run(context: &Context, id: &str) -> Result<(), Failed> {
    let look = Look::at(context, id).await?;
    if context.json {
        return line(format_args!(
            r#"{{"order":{},"command":{},"reservation":{},"set_aside":{},"advice":{}}}"#,
            look.order.raw,
            look.command.raw(),
            look.reservation.raw(),
            look.set_aside.iter().map(|(_, entry)| entry.clone()).collect::<Value>(),
            Value::from(advice(&look))
        ));
    }
    head(&look)?;
    both_services(&look)?;
    units(&look)?;
    timeline(&look)?;
    line("")?;
    line(advice(&look))
}

/// The order as a whole.
fn head(look: &Look) -> Result<(), Failed> {
    let order = &look.order.value;
    let since = |member: &str| age(&order[member], look.now).map(span).unwrap_or_default();
    field("order", show(&order["order_id"]))?;
    field("status", format_args!("{}, for {}", show(&order["status"]), since("updated_at")))?;
    field("customer", show(&order["customer_id"]))?;
    field("placed", format_args!("{}, {} ago", time(&order["created_at"]), since("created_at")))?;
    field("total", amount(&order["total"], text(order, "currency")))?;
    if let Some(payment) = Payment::of(&look.order.raw) {
        field("payment", payment)?;
    }
    if let Some(owed) = owed(order) {
        field("owed", owed)?;
    }
    // By this id, a collector of traces finds what the last traced request caused.
    let traced = items(&order["history"]).iter().rev();
    if let Some(trace) = traced.filter_map(|entry| entry["trace_id"].as_str()).next() {
        field("trace", show(&trace.into()))?;
    }
    Ok(())
}

/// What the order waits for, and what Inventory has.
fn both_services(look: &Look) -> Result<(), Failed> {
    match &look.command {
        Found::Item(item) => {
            let command = &item.value;
            let waiting = look.waiting().map(span).unwrap_or_default();
            let (revision, attempt) = (&command["revision"], &command["attempt"]);
            let (sent, next) = (time(&command["sent_at"]), time(&command["next_attempt_at"]));
            field(
                "command",
                format_args!(
                    "revision {revision}, pending for {waiting}, attempt {attempt} at {sent}, next at {next}"
                ),
            )?;
        }
        Found::Nothing => field("command", "none is pending")?,
        Found::NotKnown(why) => field("command", format_args!("not known: {why}"))?,
    }
    match &look.reservation {
        Found::Item(item) => {
            let (state, revision) = (show(&item.value["state"]), &item.value["revision"]);
            let stock = OrderStock::in_reservation(&item.value);
            field("inventory", format_args!("{state} at revision {revision}: {stock}"))?;
        }
        Found::Nothing => field("inventory", "has not seen the order")?,
        Found::NotKnown(why) => field("inventory", format_args!("not known: {why}"))?,
    }
    for (service, entry) in &look.set_aside {
        let id: String = text(entry, "id").chars().take(12).collect();
        let (kind, reason) = (show(&entry["kind"]), show(&entry["reason"]));
        field("set aside", format_args!("{id} at {service}, {kind}: {reason}"))?;
    }
    Ok(())
}

/// The lines, and what became of the units.
fn units(look: &Look) -> Result<(), Failed> {
    let order = &look.order.value;
    line("")?;
    let mut table = Columns::new(&[
        "PRODUCT",
        "PRICE",
        "ORDERED",
        "CANCELLED",
        "ALLOCATED",
        "SHIPPED",
        "RETURNED",
    ]);
    for item in items(&order["items"]) {
        let mut lines = items(&order["products"]).iter();
        let line = lines.find(|line| line["product_id"] == item["product_id"]);
        let price = line.map(|line| amount(&line["price"], text(order, "currency")));
        let numbers = ["ordered", "cancelled", "allocated", "shipped", "returned"];
        let cells = [show(&item["product_id"]), price.unwrap_or_default()];
        table.row(cells.into_iter().chain(numbers.map(|name| show(&item[name]))));
    }
    table.print()?;
    for shortage in items(&order["shortages"]) {
        field("short", show_shortage(shortage))?;
    }
    for shipment in items(&order["shipments"]) {
        let (id, state) = (&shipment["shipment_id"], show(&shipment["state"]));
        field("shipment", format_args!("{id}: {state}, {}", show_units(&shipment["lines"])))?;
    }
    for returned in items(&order["returns"]) {
        let (id, lines) = (&returned["return_id"], show_units(&returned["lines"]));
        field("return", format_args!("{id}: {lines}"))?;
    }
    Ok(())
}

/// What happened at both services, in the order of their clocks.
fn timeline(look: &Look) -> Result<(), Failed> {
    let of_order = items(&look.order.value["history"]).iter().map(|entry| {
        let reason = entry["reason"].as_str().map(|reason| format!(" ({})", show(&reason.into())));
        let change = entry["change"]["type"].as_str().map(|what| format!(", {what}"));
        let what = format!(
            "{}{}{}",
            show(&entry["status"]),
            change.unwrap_or_default(),
            reason.unwrap_or_default()
        );
        (text(entry, "at"), "orders", what, show(&entry["actor"]))
    });
    let reservation = look.reservation.value().unwrap_or(&Value::Null);
    let of_stock = items(&reservation["movements"]).iter().map(|movement| {
        let (kind, product) = (show(&movement["kind"]), show(&movement["product_id"]));
        let location = show(&movement["location_id"]);
        let what = format!("{kind} {product} at {location}: {}", deltas(movement));
        (text(movement, "created_at"), "inventory", what, show(&movement["actor"]))
    });
    let mut all: Vec<_> = of_order.chain(of_stock).collect();
    all.sort_by_key(|(at, ..)| *at);
    line("")?;
    let mut table = Columns::new(&["AT", "SERVICE", "WHAT", "BY"]);
    for (at, service, what, actor) in all {
        // Milliseconds tell what came first.
        let at: String = at.chars().take(23).collect();
        table.row([at.replace('T', " "), service.to_owned(), what, actor]);
    }
    table.print()
}

/// What a movement changed.
pub(in crate::commands) fn deltas(movement: &Value) -> String {
    let names = [
        ("on_hand_delta", "on hand"),
        ("reserved_delta", "reserved"),
        ("quarantined_delta", "quarantined"),
    ];
    let changed = names.iter().filter_map(|(member, name)| {
        let delta = movement[*member].as_i64().filter(|delta| *delta != 0)?;
        Some(format!("{name} {delta:+}"))
    });
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() { "no change".to_owned() } else { changed.join(", ") }
}
