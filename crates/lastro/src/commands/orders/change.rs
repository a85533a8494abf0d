//! The changes of an order: cancel, fulfill, pay, refund, ship and return.

use std::str::FromStr;

use serde_json::{Map, Number, Value, json};

use super::super::{Context, KeyArgs, WaitArgs};
use super::receipt::show_receipt;
use crate::client::{Failed, Request, segment};

#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Cancel only these units; once for each product [default: all]
    #[arg(long = "line", value_name = "PRODUCT:QUANTITY")]
    lines: Vec<Units>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Fulfill {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pay {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    /// The name of the payment where the money was taken; a repeat finds it
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// What was paid [default: what the order costs]
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<Amount>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Refund {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    /// The name of the refund where the money was returned; a repeat finds it
    #[arg(long, value_name = "TEXT")]
    reference: String,
    /// What was returned
    #[arg(long, value_name = "AMOUNT")]
    amount: Amount,
}

#[derive(Debug, clap::Args)]
pub(super) struct Ship {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    /// Ship only these units; once for each product and location [default: all that it holds]
    #[arg(long = "line", value_name = "PRODUCT:QUANTITY[:LOCATION]")]
    lines: Vec<Units>,
    /// Who carries the parcel
    #[arg(long, value_name = "NAME")]
    carrier: Option<String>,
    /// The number by which the parcel is followed
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// The page on which the parcel is followed
    #[arg(long, value_name = "URL")]
    tracking_url: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Return {
    /// The order
    #[arg(value_name = "ORDER")]
    id: String,
    /// What came back; once for each product and location
    #[arg(long = "line", value_name = "PRODUCT:QUANTITY[:LOCATION]", required = true)]
    lines: Vec<Units>,
    /// What becomes of the units
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "restock",
        value_parser = ["restock", "quarantine", "write_off"]
    )]
    disposition: String,
    /// Why they came back
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    key: KeyArgs,
}

/// An amount of money, as it was written.
#[derive(Clone, Debug)]
struct Amount(String);

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Number>().map_err(|_| "must be a number, such as 19.99".to_owned())?;
        Ok(Self(text.to_owned()))
    }
}

/// Units of a product, perhaps at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Units {
    product: String,
    quantity: u32,
    location: Option<String>,
}

impl FromStr for Units {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Without an @, behind which a password could end.
        let rule = || "must be PRODUCT:QUANTITY or PRODUCT:QUANTITY:LOCATION".to_owned();
        let parts: Vec<_> = text.split(':').collect();
        let (product, quantity, location) = match *parts {
            [product, quantity] => (product, quantity, None),
            [product, quantity, location] => (product, quantity, Some(location.to_owned())),
            _ => return Err(rule()),
        };
        let quantity = quantity.parse().map_err(|_| rule())?;
        Ok(Self { product: product.to_owned(), quantity, location })
    }
}

impl Units {
    fn json(&self) -> Value {
        let mut line = json!({"product_id": self.product, "quantity": self.quantity});
        if let Some(location) = &self.location {
            line["location_id"] = json!(location);
        }
        line
    }
}

fn path(id: &str, what: &str) -> String {
    format!("/api/orders/{}/{what}", segment(id))
}

/// A body of the members that have a value.
fn body(members: &[(&str, Value)]) -> Map<String, Value> {
    let given = members.iter().filter(|(_, value)| !value.is_null());
    given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn post(id: &str, what: &str, body: Map<String, Value>) -> Request {
    Request::post(path(id, what), Value::Object(body).to_string())
}

fn units(lines: &[Units]) -> Value {
    lines.iter().map(Units::json).collect()
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let reason = ("reason", json!(self.reason));
        if self.lines.is_empty() {
            let request = post(&self.id, "cancel", body(&[reason]));
            return show_receipt(context, &request.waiting(self.wait.wait)).await;
        }
        if self.lines.iter().any(|line| line.location.is_some()) {
            let line = "--line of a cancellation names no location: Inventory chooses it";
            return Err(Failed::usage(line));
        }
        let body = body(&[("lines", units(&self.lines)), reason]);
        let request = post(&self.id, "cancellations", body).waiting(self.wait.wait);
        show_receipt(context, &request.idempotent(&self.key.key())?).await
    }
}

impl Fulfill {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let request = Request::post(path(&self.id, "fulfill"), "");
        show_receipt(context, &request.waiting(self.wait.wait)).await
    }
}

impl Pay {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let reference = json!(self.reference);
        let amount = self.amount.map(|Amount(amount)| format!(r#","amount":{amount}"#));
        let body = format!(r#"{{"reference":{reference}{}}}"#, amount.unwrap_or_default());
        show_receipt(context, &Request::post(path(&self.id, "pay"), body)).await
    }
}

impl Refund {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let (reference, Amount(amount)) = (json!(self.reference), self.amount);
        let body = format!(r#"{{"reference":{reference},"amount":{amount}}}"#);
        show_receipt(context, &Request::post(path(&self.id, "refunds"), body)).await
    }
}

impl Ship {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let lines = if self.lines.is_empty() { Value::Null } else { units(&self.lines) };
        let tracking = body(&[
            ("carrier", json!(self.carrier)),
            ("number", json!(self.number)),
            ("url", json!(self.tracking_url)),
        ]);
        let tracking = if tracking.is_empty() { Value::Null } else { Value::Object(tracking) };
        let body = body(&[("lines", lines), ("tracking", tracking)]);
        let request = post(&self.id, "shipments", body).waiting(self.wait.wait);
        show_receipt(context, &request.idempotent(&self.key.key())?).await
    }
}

impl Return {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let line = |units: &Units| {
            let mut line = units.json();
            line["disposition"] = json!(self.disposition);
            line
        };
        let lines: Value = self.lines.iter().map(line).collect();
        let body = body(&[("lines", lines), ("reason", json!(self.reason))]);
        let request = post(&self.id, "returns", body).waiting(self.wait.wait);
        show_receipt(context, &request.idempotent(&self.key.key())?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_of_a_product_and_perhaps_at_a_location() {
        let units: Units = "a.b-c:12:main".parse().expect("units");
        let expected = json!({"product_id": "a.b-c", "quantity": 12, "location_id": "main"});
        assert_eq!(units.json(), expected);
        assert_eq!("789:1".parse::<Units>().expect("units").location, None);
        for wrong in ["789", "789:", "789:-1", "789:1.5", "789:1:a:b"] {
            assert!(wrong.parse::<Units>().is_err(), "{wrong}");
        }
    }
}
