//! `lastro stock receive`, `adjust` and `count`.

use serde_json::{Map, Value, json};

use super::super::{Context, KeyArgs, field};
use super::show::level;
use crate::client::{Failed, Request, segment};
use crate::output::{line, show};

#[derive(Debug, clap::Args)]
pub(super) struct Receive {
    /// The product
    #[arg(value_name = "PRODUCT")]
    id: String,
    /// How many units have arrived
    #[arg(value_name = "UNITS")]
    units: u64,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct Adjust {
    /// The product
    #[arg(value_name = "PRODUCT")]
    id: String,
    /// How many units to add, or to remove if it is negative
    #[arg(value_name = "UNITS", allow_negative_numbers = true)]
    units: i64,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct Count {
    /// The product
    #[arg(value_name = "PRODUCT")]
    id: String,
    /// How many units were found
    #[arg(value_name = "UNITS")]
    units: u64,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Refuse the count if another number is on hand now
    #[arg(long, value_name = "UNITS")]
    expected: Option<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Where
    #[arg(long, value_name = "ID", default_value = "main")]
    location: String,
    /// A name for it elsewhere, such as the number of a delivery note
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

impl Receive {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let own = [("quantity", json!(self.units)), ("reason", json!(self.reason))];
        movement(context, &self.id, "receive", &own, &self.common).await
    }
}

impl Adjust {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let own = [("quantity", json!(self.units)), ("reason", json!(self.reason))];
        movement(context, &self.id, "adjust", &own, &self.common).await
    }
}

impl Count {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let own = [
            ("quantity", json!(self.units)),
            ("reason", json!(self.reason)),
            ("expected_on_hand", json!(self.expected)),
        ];
        movement(context, &self.id, "count", &own, &self.common).await
    }
}

/// Sends a movement, and prints what the stock is after it.
async fn movement(
    context: &Context,
    id: &str,
    kind: &str,
    own: &[(&str, Value)],
    common: &Common,
) -> Result<(), Failed> {
    let all = [
        ("kind", json!(kind)),
        ("location_id", json!(common.location)),
        ("reference", json!(common.reference)),
    ];
    let given = all.iter().chain(own).filter(|(_, value)| !value.is_null());
    let body: Map<_, _> = given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let path = format!("/api/inventory/products/{}/movements", segment(id));
    let request = Request::post(path, Value::Object(body).to_string());
    let request = request.idempotent(&common.key.key())?;
    let answer = context.client.send(&request).await?;
    if context.json {
        return line(answer.raw()?);
    }
    let movement = answer.json()?;
    field("product", show(&movement["product_id"]))?;
    field("location", show(&movement["location_id"]))?;
    let delta = movement["on_hand_delta"].as_i64().unwrap_or_default();
    let (kind, seq) = (show(&movement["kind"]), &movement["seq"]);
    field("movement", format_args!("{seq}: {kind}, {delta:+} on hand"))?;
    field("now", level(&movement))
}
