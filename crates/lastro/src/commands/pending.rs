//! `lastro pending`: the commands that wait for Inventory's answer.

use std::time::Duration;

use clap::Subcommand;
use platform::process::ProgramError;

use super::{Context, ListArgs, field, show_list};
use crate::client::{ConnectArgs, Failed, Item, Query, Request, done, segment};
use crate::output::{age, line, note, now, show, span, time};

/// A command that is pending for longer is stuck.
const STUCK_S: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send an order's command again now, instead of when its turn comes
    Retry {
        /// The order
        #[arg(value_name = "ORDER")]
        id: String,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only commands that have been pending for this long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    #[command(flatten)]
    list: ListArgs,
}

/// Runs the command.
///
/// # Errors
///
/// The service refuses it or cannot be reached.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    match args.command {
        None => list(&context, &args.list).await,
        Some(Command::Retry { id }) => retry(&context, &id).await,
    }
}

async fn list(context: &Context, args: &List) -> Result<(), Failed> {
    let older_than = args.older_than.map(|age| age.as_secs());
    let query = Query::of("/api/orders/pending").with("older_than_s", older_than);
    let now = now();
    let row = |Item { value: command, .. }: &Item| {
        vec![
            show(&command["order_id"]),
            show(&command["revision"]),
            age(&command["since"], now).map(span).unwrap_or_default(),
            show(&command["attempt"]),
            time(&command["sent_at"]),
            time(&command["next_attempt_at"]),
        ]
    };
    let headings = ["ORDER", "REVISION", "PENDING FOR", "ATTEMPT", "SENT", "NEXT"];
    let what = match older_than {
        Some(_) => "commands that have been pending for so long",
        None => "pending commands",
    };
    let shown = show_list(context, &query, &args.list, what, &headings, row).await?;
    if shown.items > 0 && !context.json {
        hint(context).await?;
    }
    Ok(())
}

/// Says how many there are in all, and what to do about those that are old.
async fn hint(context: &Context) -> Result<(), Failed> {
    let page =
        context.client.page(&Query::of("/api/orders/pending").with("limit", Some(1))).await?;
    let oldest = page.whole["oldest_age_s"].as_f64().unwrap_or_default();
    note(format_args!("{} in all; the oldest is pending for {oldest:.1} s", page.whole["total"]));
    if oldest >= STUCK_S {
        note(
            "hint: Inventory answers in milliseconds. See /readyz of both services and the \
             broker; `lastro orders show ORDER` says where one is stuck, and `lastro pending \
             retry ORDER` sends its command now",
        );
    }
    Ok(())
}

/// Sends an order's command again, and prints when it is due.
pub(super) async fn retry(context: &Context, order_id: &str) -> Result<(), Failed> {
    let path = format!("/api/orders/pending/{}/retry", segment(order_id));
    let answer = context.client.send(&Request::post(path, "")).await?;
    show_retried(context, &answer)
}

pub(super) fn show_retried(
    context: &Context,
    answer: &crate::client::Answer,
) -> Result<(), Failed> {
    if context.json {
        return line(answer.raw()?);
    }
    let command = answer.json()?;
    field("order", show(&command["order_id"]))?;
    field("revision", &command["revision"])?;
    field("sent before", format_args!("{} times", command["attempt"]))?;
    field("due", time(&command["next_attempt_at"]))?;
    note("its command is sent now; `lastro orders show` says what came of it");
    Ok(())
}
