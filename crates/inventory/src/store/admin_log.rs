//! The entries of the admin log about the stock.

use inventory_core::admin::{AdminAct, AdminEvent, Note};
use inventory_core::reservation::{Holding, Reservation};
use inventory_core::stock::{Cause, Location, Movement, Product};
use platform::admin::AdminEntry;
use platform::clock::Timestamp;
use serde_json::{Value, json};

/// The entry of an act.
pub(super) fn entry(act: &AdminAct) -> AdminEntry {
    let (action, subject, before, after) = match &act.event {
        AdminEvent::Product { before, after } => (
            "put_product",
            after.product_id.to_string(),
            before.as_ref().map(product),
            product(after),
        ),
        AdminEvent::Location { before, after } => (
            "put_location",
            after.location_id.to_string(),
            before.as_ref().map(location),
            location(after),
        ),
        AdminEvent::Stock(movement) => {
            let (before, after) = stock(movement);
            (movement.kind.as_str(), movement.product_id.to_string(), Some(before), after)
        }
        AdminEvent::Repaired { before, after } => (
            "repair_order",
            after.order_id.to_string(),
            before.as_ref().map(reservation),
            reservation(after),
        ),
        AdminEvent::Noted(Note::ImportBegan { key, reason }) => {
            ("import_began", key.clone(), None, json!({"reason": reason}))
        }
        AdminEvent::Noted(Note::ImportEnded {
            key,
            is_complete,
            rows,
            changed,
            failed,
            sha256,
        }) => {
            let after = json!({
                "complete": is_complete, "rows": rows, "changed": changed, "failed": failed,
                "sha256": sha256,
            });
            ("import_ended", key.clone(), None, after)
        }
    };
    let requester = act.requester.clone();
    AdminEntry {
        number: 0,
        at: Timestamp(act.at_micros),
        actor: requester.actor,
        action: action.to_owned(),
        subject,
        before: before.map(|value| value.to_string()),
        after: after.to_string(),
        request_id: requester.request_id,
        address: requester.address,
    }
}

fn product(product: &Product) -> Value {
    json!({"name": product.name, "low_stock_at": product.low_stock_at})
}

fn location(location: &Location) -> Value {
    json!({"name": location.name, "priority": location.priority})
}

/// The sums: the ledger has each movement, with the order as its cause.
fn reservation(reservation: &Reservation) -> Value {
    let units = |of: fn(&Holding) -> i64| reservation.holdings.iter().map(of).sum::<i64>();
    let returned: i64 = reservation.returns.iter().map(|entry| entry.units.units()).sum();
    json!({
        "revision": reservation.revision.get(),
        "state": reservation.state().as_str(),
        "reserved": units(Holding::held),
        "shipped": units(|holding| holding.shipped),
        "returned": returned,
    })
}

fn stock(movement: &Movement) -> (Value, Value) {
    let place = movement.location_id.as_str();
    let before = movement.after.on_hand - movement.deltas.on_hand;
    let reason = match &movement.cause {
        Cause::Request(request) => request.reason.as_deref(),
        Cause::Order(_) => None,
    };
    let after = movement.after.on_hand;
    let mut entries = (
        json!({"location_id": place, "on_hand": before}),
        json!({"location_id": place, "on_hand": after, "reason": reason}),
    );
    if movement.deltas.quarantined != 0 {
        let quarantined = movement.after.quarantined;
        entries.0["quarantined"] = json!(quarantined - movement.deltas.quarantined);
        entries.1["quarantined"] = json!(quarantined);
    }
    entries
}
