//! What an event says, for people: a short sentence for each type.

use serde_json::Value;

use super::super::orders::{amount, owed, show_shortage, show_units};
use super::super::{items, text};
use crate::output::{show, time};

/// The sentence of an event, from its type without `dev.lastro.` and its data.
pub(super) fn sentence(kind: &str, data: &Value) -> String {
    if data.is_null() {
        return "cannot be read".to_owned();
    }
    if data["on_hand"].is_number() {
        return stock(data);
    }
    // The order is as it was after the entry of the event, so that is its last one.
    let entry = items(&data["history"]).last().unwrap_or(&Value::Null);
    let change = &entry["change"];
    let currency = text(data, "currency");
    let said = match kind {
        "order.paid" | "order.refunded" => money(kind, change, currency),
        "order.cancellation.created" => {
            let value = amount(&change["amount"], currency);
            format!("units are to be cancelled: {}, worth {value}", show_units(&change["lines"]))
        }
        "order.shipment.created" | "order.shipment.tracked" | "order.shipment.cancelled" => {
            shipment(kind, change)
        }
        "order.return.created" => {
            let (id, lines) = (&change["return_id"], show_units(&change["lines"]));
            format!("return {id}: units returned: {lines}")
        }
        // A payment that the order had waited for.
        _ if change["type"] == "paid" => {
            format!("{}; {}", money("order.paid", change, currency), status(kind, data))
        }
        _ => status(kind, data),
    };
    let said = match entry["reason"].as_str() {
        Some(reason) => format!("{said} ({})", show(&reason.into())),
        None => said,
    };
    match entry["actor"].as_str() {
        None | Some("system") => said,
        Some(actor) => format!("{said}, by {}", show(&actor.into())),
    }
}

/// What a transaction left of a product at a location.
fn stock(data: &Value) -> String {
    let [on_hand, reserved, available] =
        ["on_hand", "reserved", "available"].map(|name| show(&data[name]));
    let quarantined = data["quarantined"].as_i64().filter(|units| *units != 0);
    let quarantined = quarantined.map(|units| format!(", {units} quarantined"));
    let quarantined = quarantined.unwrap_or_default();
    format!("{on_hand} on hand, {reserved} reserved{quarantined}, {available} available")
}

/// A status that the order entered.
fn status(kind: &str, data: &Value) -> String {
    match kind {
        "order.received" => {
            let ordered = show_units(&data["products"]);
            format!("customer {} orders {ordered}, for {}", customer(data), total(data))
        }
        "order.reserved" => {
            let payment = &data["payment"];
            let due = amount(&payment["amount"], text(data, "currency"));
            format!("its units are reserved; {due} are to be paid by {}", time(&payment["pay_by"]))
        }
        "order.confirmed" => format!("it has its units: {}", show_units(&data["allocations"])),
        "order.rejected" => {
            let short = items(&data["shortages"]).iter().map(show_shortage);
            format!("there was too little stock: {}", short.collect::<Vec<_>>().join("; "))
        }
        "order.cancelling" => "it is to be cancelled; Inventory releases its units".to_owned(),
        "order.cancelled" => with_debt("it is cancelled, and its units are released", data),
        "order.fulfilling" => "all units that are reserved for it are to be shipped".to_owned(),
        "order.fulfilled" => "all that it keeps has left the stock".to_owned(),
        "order.expiring" => "it was not paid in time; Inventory releases its units".to_owned(),
        "order.expired" => "it was not paid in time, and its units are released".to_owned(),
        "order.reviving" => {
            "it was paid after its deadline; Inventory reserves its units again, if it can"
                .to_owned()
        }
        "order.amended" => with_debt(
            &format!("its changes are carried out; it is {}", show(&data["status"])),
            data,
        ),
        // A type of a later version.
        _ => format!("customer {}, {}, {}", customer(data), show(&data["status"]), total(data)),
    }
}

fn customer(data: &Value) -> String {
    show(&data["customer_id"])
}

fn total(data: &Value) -> String {
    amount(&data["total"], text(data, "currency"))
}

fn with_debt(said: &str, data: &Value) -> String {
    match owed(data) {
        Some(owed) => format!("{said}; {owed} are owed to the customer"),
        None => said.to_owned(),
    }
}

/// A payment or a refund.
fn money(kind: &str, change: &Value, currency: &str) -> String {
    let (amount, reference) = (amount(&change["amount"], currency), show(&change["reference"]));
    let what = if kind == "order.paid" { "were paid" } else { "were refunded" };
    format!("{amount} {what}, reference {reference}")
}

/// A shipment that was asked for or cancelled, or whose tracking was changed.
fn shipment(kind: &str, change: &Value) -> String {
    let (id, lines) = (&change["shipment_id"], show_units(&change["lines"]));
    let tracking = &change["tracking"];
    let known = ["carrier", "number", "url"].map(|name| tracking[name].as_str());
    let known: Vec<_> = known.into_iter().flatten().map(|text| show(&text.into())).collect();
    let known = known.join(" ");
    match kind {
        "order.shipment.tracked" if known.is_empty() => format!("shipment {id}: tracking removed"),
        "order.shipment.tracked" => format!("shipment {id}: tracking: {known}"),
        "order.shipment.cancelled" => format!("shipment {id} is cancelled: {lines}"),
        _ if known.is_empty() => format!("shipment {id}: {lines}"),
        _ => format!("shipment {id}: {lines}, tracking: {known}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn order(entry: &Value) -> Value {
        json!({
            "customer_id": "C1", "status": "confirmed", "currency": "BRL", "total": 30.0,
            "products": [{"product_id": "MUG", "quantity": 3, "price": 10.0}],
            "allocations": [{"product_id": "MUG", "location_id": "main", "quantity": 3}],
            "shortages": [{"product_id": "MUG", "requested": 3, "available": 1,
                           "reason": "out_of_stock"}],
            "payment": {"amount": 30.0, "pay_by": "2026-11-28T12:00:00Z"},
            "refund_due": 5, "history": [{"actor": null, "reason": null, "change": null}, entry],
        })
    }

    /// A change whose members serve every type.
    fn changed() -> Value {
        let lines = json!([{"product_id": "MUG", "location_id": "main", "quantity": 1}]);
        order(&json!({"actor": "key:k", "reason": "late", "change": {
            "reference": "ch_1", "amount": 9.5, "shipment_id": 4, "return_id": 6, "lines": lines,
            "tracking": {"carrier": "Correios", "number": "BR1", "url": null}}}))
    }

    #[test]
    fn every_type_of_event_has_a_sentence_of_its_own() {
        let mut all = BTreeSet::new();
        for kind in orders::EVENT_TYPES {
            let kind = kind.strip_prefix("dev.lastro.").expect("the prefix of all types");
            let said = sentence(kind, &changed());
            assert_ne!(said, sentence("order.of_a_later_version", &changed()), "{kind}");
            assert!(said.ends_with(" (late), by key:k"), "{kind}: {said}");
            assert!(!said.contains("null") && !said.contains('–'), "{kind}: {said}");
            assert!(all.insert(said.clone()), "{kind} says the same as another one: {said}");
        }
        assert_eq!(inventory::EVENT_TYPES.len(), 1, "one kind of sentence about stock");
    }

    #[test]
    fn a_sentence_says_what_happened() {
        let says = |kind: &str| sentence(kind, &changed()).replace(" (late), by key:k", "");
        for (kind, said) in [
            ("order.received", "customer C1 orders 3 × MUG, for BRL 30.00"),
            (
                "order.reserved",
                "its units are reserved; BRL 30.00 are to be paid by 2026-11-28 12:00:00",
            ),
            ("order.confirmed", "it has its units: 3 × MUG at main"),
            (
                "order.rejected",
                "there was too little stock: MUG: 3 requested, 1 available (out_of_stock)",
            ),
            (
                "order.cancelled",
                "it is cancelled, and its units are released; BRL 5.00 are owed to the customer",
            ),
            ("order.paid", "BRL 9.50 were paid, reference ch_1"),
            ("order.shipment.created", "shipment 4: 1 × MUG at main, tracking: Correios BR1"),
            ("order.shipment.cancelled", "shipment 4 is cancelled: 1 × MUG at main"),
            ("order.return.created", "return 6: units returned: 1 × MUG at main"),
            ("order.later", "customer C1, confirmed, BRL 30.00"),
        ] {
            assert_eq!(says(kind), said);
        }
        let change = json!({"type": "paid", "reference": "ch_1", "amount": 30.0});
        let paid = order(&json!({"actor": null, "reason": null, "change": change}));
        let said = "BRL 30.00 were paid, reference ch_1; it has its units: 3 × MUG at main";
        assert_eq!(sentence("order.confirmed", &paid), said);
        let system = order(&json!({"actor": "system", "reason": null, "change": null}));
        assert_eq!(sentence("order.expired", &system), status("order.expired", &system));
        assert_eq!(sentence("order.paid", &Value::Null), "cannot be read");
    }

    #[test]
    fn a_change_of_stock_says_what_is_left() {
        let left = |quarantined: i64| {
            let data =
                json!({"on_hand": 9, "reserved": 2, "quarantined": quarantined, "available": 7});
            sentence("stock.changed", &data)
        };
        assert_eq!(left(0), "9 on hand, 2 reserved, 7 available");
        assert_eq!(left(1), "9 on hand, 2 reserved, 1 quarantined, 7 available");
    }
}
