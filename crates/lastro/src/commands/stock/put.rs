//! `lastro stock put`.

use std::str::FromStr;

use serde_json::Value;

use super::super::{Context, field, put};
use crate::client::Failed;
use crate::output::show;

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
    /// Create it, and refuse that if it exists with other values
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
        let put = put::Put {
            kind: "product",
            id: self.id,
            members: vec![
                ("name", self.name.map(Value::from)),
                ("low_stock_at", self.low_stock.map(|Threshold(units)| Value::from(units))),
            ],
            is_new: self.new,
        };
        let Some(product) = put.run(context).await? else { return Ok(()) };
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
