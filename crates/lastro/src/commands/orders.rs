//! `lastro orders`.

use std::fmt;

use clap::Subcommand;
use orders_core::money::Currency;
use platform::process::ProgramError;
use serde_json::Value;

use super::{Context, ListArgs, show_list, text};
use crate::client::{ConnectArgs, Failed, Item, Query, done};
use crate::output::{age, line, now, show, span, time};
use sum::{Money, Sum};

mod advice;
mod change;
mod held;
mod look;
mod place;
mod receipt;
mod show;
mod sum;

pub(super) use look::{Found, IN_FLIGHT, command};
pub(super) use receipt::{show_shortage, show_units};
pub(super) use show::deltas;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List orders, the newest first
    List(List),
    /// Show one order: what happened at both services, what it waits for, and what to do
    Show {
        /// The order
        #[arg(value_name = "ORDER")]
        id: String,
    },
    /// Place an order, and wait for its outcome
    Place(place::Place),
    /// Cancel an order, or units of it that are not shipped
    Cancel(change::Cancel),
    /// Ship all that an order holds
    Fulfill(change::Fulfill),
    /// Record the payment of an order
    Pay(change::Pay),
    /// Record a refund
    Refund(change::Refund),
    /// Ship units of an order
    Ship(change::Ship),
    /// Book units that came back from the customer
    Return(change::Return),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only orders in these statuses, such as received,confirmed
    #[arg(long, value_name = "STATUS,…")]
    status: Option<String>,
    /// Only orders of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Only orders that wait for their payment, or that owe the customer money
    #[arg(long, value_name = "STATE", value_parser = ["due", "refund_due"])]
    payment: Option<String>,
    /// Only orders that were accepted at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only orders that were accepted before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
///
/// # Errors
///
/// The service refuses it or cannot be reached, or its outcome is unknown.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    match args.command {
        Command::List(args) => list(&context, &args).await,
        Command::Show { id } => show::run(&context, &id).await,
        Command::Place(args) => args.run(&context).await,
        Command::Cancel(args) => args.run(&context).await,
        Command::Fulfill(args) => args.run(&context).await,
        Command::Pay(args) => args.run(&context).await,
        Command::Refund(args) => args.run(&context).await,
        Command::Ship(args) => args.run(&context).await,
        Command::Return(args) => args.run(&context).await,
    }
}

async fn list(context: &Context, args: &List) -> Result<(), Failed> {
    let query = Query::of("/api/orders")
        .with("status", args.status.as_ref())
        .with("customer_id", args.customer.as_ref())
        .with("payment", args.payment.as_ref())
        .with("from", args.from.as_ref())
        .with("to", args.to.as_ref());
    let now = now();
    let headings = ["ORDER", "STATUS", "SINCE", "CUSTOMER", "TOTAL", "OWED", "PLACED"];
    let mut sum = match args.payment.as_deref() {
        Some("refund_due") => Some(Sum::of("owed to customers", Money::RefundDue)),
        Some("due") => Some(Sum::of("to be paid", Money::Total)),
        _ => None,
    };
    let row = |Item { raw, value: order }: &Item| {
        if let Some(sum) = &mut sum {
            sum.add(raw);
        }
        vec![
            show(&order["order_id"]),
            show(&order["status"]),
            age(&order["updated_at"], now).map(span).unwrap_or_default(),
            show(&order["customer_id"]),
            amount(&order["total"], text(order, "currency")),
            owed(order).map_or_else(|| "–".to_owned(), |owed| owed.to_string()),
            time(&order["created_at"]),
        ]
    };
    let shown = show_list(context, &query, &args.list, "orders", &headings, row).await?;
    match sum {
        Some(sum) if !context.json && shown.items > 0 => line(sum.line(shown)),
        _ => Ok(()),
    }
}

/// An amount of money with its currency, such as `BRL 39.90`.
pub(super) fn amount(value: &Value, currency: &str) -> String {
    match value.as_f64() {
        Some(number) => {
            format!("{} {}", show(&currency.into()), with_decimals(number, currency))
        }
        None => show(value),
    }
}

/// An amount without its currency, but with the currency's decimals.
fn with_decimals(amount: f64, currency: &str) -> String {
    let decimals = currency.parse::<Currency>().map_or(2, Currency::decimals);
    // The service sends what its own integers are, so the nearest number of cents is exact.
    format!("{amount:.*}", usize::from(decimals))
}

/// What an order owes the customer.
pub(super) struct Owed {
    currency: String,
    /// The amount without its currency.
    amount: String,
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.amount)
    }
}

/// What an order owes the customer, if anything.
pub(super) fn owed(order: &Value) -> Option<Owed> {
    let due = order["refund_due"].as_f64().filter(|due| *due > 0.0)?;
    let currency = text(order, "currency");
    Some(Owed { currency: show(&currency.into()), amount: with_decimals(due, currency) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        assert_eq!(amount(&json!(39.9), "BRL"), "BRL 39.90");
        assert_eq!(amount(&json!(1500), "JPY"), "JPY 1500");
        // 2^53-1 cents: the highest total of an order.
        let highest = serde_json::from_str("90071992547409.91").expect("a number");
        assert_eq!(amount(&highest, "EUR"), "EUR 90071992547409.91");
        let owed = |due: f64| owed(&json!({"refund_due": due, "currency": "BRL"}));
        assert!(owed(0.0).is_none());
        assert_eq!(owed(5.0).expect("a debt").to_string(), "BRL 5.00");
    }
}
