//! `lastro stock put`.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::super::{Context, field, put};
use crate::client::{Failed, segment};
use crate::output::{line, show};

#[derive(Debug, clap::Args)]
pub(super) struct Put {
    /// The product
    #[arg(value_name = "PRODUCT")]
    id: String,
    /// What people call it; a new product needs it [default: as it is]
    #[arg(long, value_name = "TEXT", required_unless_present = "low_stock")]
    name: Option<String>,
    /// It is low on stock while at most so many units are available; none for never [default: as it
    /// is, and none if it is new]
    #[arg(long, value_name = "UNITS")]
    low_stock: Option<Threshold>,
    /// Create it, and refuse that if it exists
    #[arg(long, requires = "name")]
    new: bool,
}

/// How many units are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Threshold(Option<u64>);

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let units = text.parse().map_err(|_| "must be a number of units, or none".to_owned())?;
        Ok(Self(Some(units)))
    }
}

impl Put {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let mut given = Map::new();
        if let Some(name) = &self.name {
            given.insert("name".to_owned(), json!(name));
        }
        if let Some(Threshold(units)) = self.low_stock {
            given.insert("low_stock_at".to_owned(), json!(units));
        }
        let put = put::Put {
            path: format!("/api/inventory/products/{}", segment(&self.id)),
            name: format!("product {}", show(&Value::from(self.id))),
            members: &["name", "low_stock_at"],
            given,
            is_new: self.new,
        };
        let answer = put.send(context).await?;
        if context.json {
            return line(answer.raw()?);
        }
        let product = answer.json()?;
        field("product", format_args!("{}, {}", show(&product["product_id"]), put::done(&answer)))?;
        field("name", show(&product["name"]))?;
        field("low at", show(&product["low_stock_at"]))?;
        field("available", show(&product["available"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_a_number_of_units_or_none() {
        let read = |text: &str| text.parse::<Threshold>();
        assert_eq!((read("0"), read("none")), (Ok(Threshold(Some(0))), Ok(Threshold(None))));
        for wrong in ["", "-1", "1.5", "null", "None"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
