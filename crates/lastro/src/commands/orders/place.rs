//! `lastro orders place`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Number, json};

use super::super::{Context, KeyArgs, WaitArgs};
use super::receipt::show_receipt;
use crate::client::{Failed, Request};

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Who orders
    #[arg(long, value_name = "ID", required_unless_present = "file")]
    customer: Option<String>,
    /// A product, its quantity and its price, such as 789:2:19.99; once for each line
    #[arg(long = "line", value_name = "PRODUCT:QUANTITY:PRICE", required_unless_present = "file")]
    lines: Vec<Line>,
    /// The currency of the prices [default: that of the service]
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Hold the units until the order is paid, for this long at most
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pay_within: Option<Duration>,
    /// The order as JSON, as `POST /api/orders` takes it; - for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["customer", "lines", "currency", "pay_within"]
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    key: KeyArgs,
}

/// A line of an order. The price is kept as it was written, and never goes through a float.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    product: String,
    quantity: u32,
    price: String,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "must be PRODUCT:QUANTITY:PRICE, such as 789:2:19.99".to_owned();
        let parts: Vec<_> = text.split(':').collect();
        let [product, quantity, price] = *parts else { return Err(rule()) };
        let quantity = quantity.parse().map_err(|_| rule())?;
        price.parse::<Number>().map_err(|_| rule())?;
        Ok(Self { product: product.to_owned(), quantity, price: price.to_owned() })
    }
}

impl Place {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let body = self.body()?;
        let request = Request::post("/api/orders", body).waiting(self.wait.wait);
        let request = request.idempotent(&self.key.key())?;
        show_receipt(context, &request).await
    }

    fn body(&self) -> Result<String, Failed> {
        if let Some(file) = &self.file {
            return read(file);
        }
        let line = |Line { product, quantity, price }: &Line| {
            format!(r#"{{"product_id":{},"quantity":{quantity},"price":{price}}}"#, json!(product))
        };
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        let (customer, lines) = (json!(self.customer), lines.join(","));
        let currency = self.currency.as_ref().map(|code| format!(r#","currency":{}"#, json!(code)));
        let payment = self
            .pay_within
            .map(|within| format!(r#","payment":{{"within_s":{}}}"#, within.as_secs()));
        let (currency, payment) = (currency.unwrap_or_default(), payment.unwrap_or_default());
        Ok(format!(r#"{{"customer_id":{customer},"products":[{lines}]{currency}{payment}}}"#))
    }
}

fn read(file: &Path) -> Result<String, Failed> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = read.map_err(|error| Failed::usage(format!("{}: {error}", file.display())))?;
    if text.trim().is_empty() {
        return Err(Failed::usage(format!("{}: it is empty", file.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_sent_as_it_was_written() {
        let line: Line = "789:2:29.949999999999999999".parse().expect("a line");
        assert_eq!(line.price, "29.949999999999999999");
        for wrong in ["789", "789:2", "789:x:1", "789:1:", "789:1:1,5", "789:1:NaN", "a:1:2:3"] {
            assert!(wrong.parse::<Line>().is_err(), "{wrong}");
        }
    }
}
