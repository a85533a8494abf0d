//! `lastro stock show`: why the stock is what it is.

use serde_json::Value;

use super::super::{Context, field, items, text};
use crate::client::{Failed, Item, Query, segment};
use crate::output::{Columns, age, line, note, now, show, span, time};

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The product
    #[arg(value_name = "PRODUCT")]
    id: String,
    /// Only this location
    #[arg(long, value_name = "ID")]
    location: Option<String>,
    /// How many of the last movements to show
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    movements: usize,
    /// How many of the orders that hold units to show
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    holders: usize,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let path = format!("/api/inventory/products/{}", segment(&self.id));
        let product = context.client.get(&path).await?;
        let (raw, product) = (product.raw()?, product.json()?);
        let of = |what: &str| {
            Query::of(format!("{path}/{what}")).with("location_id", self.location.as_ref())
        };
        let movements = list(context, &of("movements"), self.movements).await?;
        let holders = list(context, &of("holders"), self.holders).await?;
        if context.json {
            return line(format_args!(
                r#"{{"product":{raw},"movements":{},"holders":{}}}"#,
                as_json(&movements),
                as_json(&holders)
            ));
        }
        field("product", show(&product["product_id"]))?;
        field("name", show(&product["name"]))?;
        if let Some(low) = product["low_stock_at"].as_i64() {
            field("low at", low)?;
        }
        self.levels(&product)?;
        line("")?;
        match movements {
            Ok(movements) => self.show_movements(&movements)?,
            Err(why) => note(format_args!("movements are not shown: {why}")),
        }
        match holders {
            Ok(holders) => self.show_holders(&product, &holders)?,
            Err(why) => note(format_args!("orders that hold units are not shown: {why}")),
        }
        Ok(())
    }

    fn levels(&self, product: &Value) -> Result<(), Failed> {
        let names = ["on_hand", "reserved", "quarantined", "available"];
        line("")?;
        let mut table =
            Columns::new(&["LOCATION", "ON HAND", "RESERVED", "QUARANTINED", "AVAILABLE"]);
        let is_asked = |level: &&Value| {
            self.location.as_ref().is_none_or(|asked| text(level, "location_id") == asked)
        };
        for level in items(&product["locations"]).iter().filter(is_asked) {
            let cells = names.map(|name| show(&level[name]));
            table.row([show(&level["location_id"])].into_iter().chain(cells));
        }
        if self.location.is_none() {
            let cells = names.map(|name| show(&product[name]));
            table.row(["all".to_owned()].into_iter().chain(cells));
        }
        table.print()
    }

    fn show_movements(&self, movements: &[Item]) -> Result<(), Failed> {
        line("the last movements, newest first; each says what the stock was after it:")?;
        let mut table = Columns::new(&[
            "AT",
            "LOCATION",
            "NO",
            "KIND",
            "CHANGE",
            "ON HAND",
            "RESERVED",
            "AVAILABLE",
            "CAUSE",
            "BY",
        ]);
        for Item { value: movement, .. } in movements {
            let [seq, on_hand, reserved, available] =
                ["seq", "on_hand", "reserved", "available"].map(|name| show(&movement[name]));
            table.row([
                time(&movement["created_at"]),
                show(&movement["location_id"]),
                seq,
                show(&movement["kind"]),
                super::super::orders::deltas(movement),
                on_hand,
                reserved,
                available,
                cause(movement),
                show(&movement["actor"]),
            ]);
        }
        if movements.is_empty() {
            return line("none");
        }
        table.print()
    }

    fn show_holders(&self, product: &Value, holders: &[Item]) -> Result<(), Failed> {
        line("")?;
        let held: i64 = holders.iter().filter_map(|it| it.value["quantity"].as_i64()).sum();
        let reserved = product["reserved"].as_i64().unwrap_or_default();
        let shown = if self.location.is_none() && held < reserved {
            format!(" ({held} of {reserved} units; --holders shows more)")
        } else {
            format!(" ({held} units)")
        };
        line(format_args!("orders that hold units, the latest first{shown}:"))?;
        if holders.is_empty() {
            return line("none");
        }
        let now = now();
        let mut table = Columns::new(&["ORDER", "LOCATION", "UNITS", "SINCE"]);
        for Item { value: holder, .. } in holders {
            let since = age(&holder["since"], now).map(span).unwrap_or_default();
            let order = show(&holder["order_id"]);
            table.row([order, show(&holder["location_id"]), show(&holder["quantity"]), since]);
        }
        table.print()
    }
}

/// A list that the key may not be allowed to read: then the reason.
async fn list(
    context: &Context,
    query: &Query,
    limit: usize,
) -> Result<Result<Vec<Item>, String>, Failed> {
    if limit == 0 {
        return Ok(Ok(Vec::new()));
    }
    match context.client.list(query, limit).await {
        Ok(items) => Ok(Ok(items)),
        Err(error) if error.code() == Some("forbidden") => Ok(Err(error.first_line())),
        Err(error) => Err(error),
    }
}

fn as_json(list: &Result<Vec<Item>, String>) -> String {
    match list {
        Ok(items) => {
            let raw: Vec<_> = items.iter().map(|item| item.raw.as_str()).collect();
            format!("[{}]", raw.join(","))
        }
        Err(_) => "null".to_owned(),
    }
}

/// Why a movement was made.
fn cause(movement: &Value) -> String {
    let order = movement["order_id"].as_str().map(|id| format!("order {id}"));
    let texts = [movement["reason"].as_str(), movement["reference"].as_str()];
    let texts = texts.into_iter().flatten().map(|text| show(&text.into()));
    let all: Vec<_> = order.into_iter().chain(texts).collect();
    if all.is_empty() { "–".to_owned() } else { all.join("; ") }
}

/// A level of stock on one line.
pub(super) fn level(level: &Value) -> String {
    let [on_hand, reserved, available] =
        ["on_hand", "reserved", "available"].map(|name| show(&level[name]));
    format!("{on_hand} on hand, {reserved} reserved, {available} available")
}
