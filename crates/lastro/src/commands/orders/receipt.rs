//! What the service answers to a change of an order, as people read it.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::{Context, field, items, text};
use crate::client::{Failed, Request};
use crate::output::{line, show, time};

/// The money of an order. Amounts are kept as the service wrote them.
#[derive(Debug, Deserialize)]
pub(super) struct Payment {
    state: String,
    amount: Box<RawValue>,
    paid: Box<RawValue>,
    refunded: Box<RawValue>,
    refund_due: Box<RawValue>,
    pay_by: Option<String>,
}

impl Payment {
    /// The payment in the JSON of an order or a receipt, if it has one.
    pub(super) fn of(raw: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Paid {
            payment: Option<Payment>,
        }
        serde_json::from_str::<Paid>(raw).ok()?.payment
    }
}

impl fmt::Display for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        let amounts = [
            ("amount", &self.amount),
            ("paid", &self.paid),
            ("refunded", &self.refunded),
            ("refund due", &self.refund_due),
        ];
        let is_zero = |raw: &RawValue| raw.get().parse::<f64>().is_ok_and(|number| number == 0.0);
        for (name, amount) in amounts.into_iter().filter(|(_, amount)| !is_zero(amount)) {
            write!(f, ", {name} {}", amount.get())?;
        }
        match &self.pay_by {
            Some(by) => write!(f, ", to be paid by {}", time(&by.as_str().into())),
            None => Ok(()),
        }
    }
}

/// Sends a change of an order, and prints what the service answers.
pub(super) async fn show_receipt(context: &Context, request: &Request) -> Result<(), Failed> {
    let answer = context.client.send(request).await?;
    let raw = answer.raw()?;
    if context.json {
        return line(raw);
    }
    let receipt = answer.json()?;
    field("order", show(&receipt["order_id"]))?;
    field("status", show(&receipt["status"]))?;
    field("message", show(&receipt["message"]))?;
    for shortage in items(&receipt["shortages"]) {
        field("short", show_shortage(shortage))?;
    }
    if let Some(payment) = Payment::of(&raw) {
        field("payment", payment)?;
    }
    let shipment = &receipt["shipment"];
    if shipment.is_object() {
        let (id, state) = (&shipment["shipment_id"], show(&shipment["state"]));
        field("shipment", format_args!("{id}: {state}, {}", show_units(&shipment["lines"])))?;
    }
    let returned = &receipt["return"];
    if returned.is_object() {
        let (id, lines) = (&returned["return_id"], show_units(&returned["lines"]));
        field("return", format_args!("{id}: {lines}"))?;
    }
    if answer.headers.contains_key("idempotent-replayed") {
        field("repeated", "this command was carried out before; this is the state of now")?;
    }
    Ok(())
}

/// Why a product was short.
pub(in crate::commands) fn show_shortage(shortage: &Value) -> String {
    let (product, reason) = (show(&shortage["product_id"]), show(&shortage["reason"]));
    let (requested, available) = (&shortage["requested"], &shortage["available"]);
    format!("{product}: {requested} requested, {available} available ({reason})")
}

/// Units of products, such as `2 × 789 at main`.
pub(in crate::commands) fn show_units(lines: &Value) -> String {
    let one = |line: &Value| {
        let at = text(line, "location_id");
        let at = if at.is_empty() { String::new() } else { format!(" at {at}") };
        let what = line["disposition"].as_str().map(|what| format!(", {what}"));
        let (quantity, product) = (&line["quantity"], show(&line["product_id"]));
        format!("{quantity} × {product}{at}{}", what.unwrap_or_default())
    };
    items(lines).iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_shows_the_amounts_that_say_something_as_the_service_wrote_them() {
        let raw = r#"{"payment": {"state": "due", "amount": 60.00, "paid": 0.00, "refunded": 0.00,
            "refund_due": 0.00, "pay_by": "2026-11-28T20:03:27.397974Z"}}"#;
        let shown = Payment::of(raw).expect("a payment").to_string();
        assert_eq!(shown, "due, amount 60.00, to be paid by 2026-11-28 20:03:27");
        assert!(Payment::of(r#"{"payment": null}"#).is_none());
    }
}
