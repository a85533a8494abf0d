//! `lastro stock`.

use clap::Subcommand;
use platform::process::ProgramError;

use super::{Context, ListArgs, show_list};
use crate::client::{ConnectArgs, Failed, Item, Query, done};
use crate::output::show;

mod csv;
mod export;
mod import;
mod movement;
mod put;
mod show;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List products with their stock over all locations
    List(List),
    /// Show one product: its stock at each location, what moved it, and who holds it
    Show(show::Show),
    /// Create a product, or change its name or when it is low on stock
    Put(put::Put),
    /// Add units that have arrived
    Receive(movement::Receive),
    /// Add or remove units
    Adjust(movement::Adjust),
    /// Say how many units were found
    Count(movement::Count),
    /// Count many products at once, from a file
    Import(import::Import),
    /// Write the stock of all products as CSV, which `lastro stock import` reads
    Export(export::Export),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only products whose id begins with this text, or whose name contains it
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only these products
    #[arg(long, value_name = "ID,…")]
    ids: Option<String>,
    /// Only products of which there are few
    #[arg(long)]
    low: bool,
    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
///
/// # Errors
///
/// The service refuses it or cannot be reached, its outcome is unknown, or a row of an import was
/// refused.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    match args.command {
        Command::List(args) => list(&context, &args).await,
        Command::Show(args) => args.run(&context).await,
        Command::Put(args) => args.run(&context).await,
        Command::Receive(args) => args.run(&context).await,
        Command::Adjust(args) => args.run(&context).await,
        Command::Count(args) => args.run(&context).await,
        Command::Import(args) => args.run(&context).await,
        Command::Export(args) => args.run(&context).await,
    }
}

async fn list(context: &Context, args: &List) -> Result<(), Failed> {
    let query = Query::of("/api/inventory/products")
        .with("q", args.search.as_ref())
        .with("ids", args.ids.as_ref())
        .with("low_stock", args.low.then_some(true));
    let headings = ["PRODUCT", "NAME", "ON HAND", "RESERVED", "QUARANTINED", "AVAILABLE", "LOW AT"];
    let members =
        ["product_id", "name", "on_hand", "reserved", "quarantined", "available", "low_stock_at"];
    let row = |product: &Item| members.map(|name| show(&product.value[name])).to_vec();
    show_list(context, &query, &args.list, "products", &headings, row).await.map(drop)
}
