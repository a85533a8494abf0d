//! `lastro pending`: the commands that wait for Inventory's answer.

use std::time::Duration;

use clap::Subcommand;
use platform::clock::Timestamp;
use platform::process::ProgramError;
use serde_json::Value;

use super::{Context, ListArgs, show_list};
use crate::client::{ConnectArgs, Failed, Item, Query, done};
use crate::output::{age, note, now, show, span, time};

mod retry;

pub(super) use retry::{AnswerArgs, request, retry};

/// A command that is pending for longer is stuck.
const STUCK_S: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    // Before the others: what follows them stands below their heading.
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send an order's command again now, instead of when its turn comes, and say the outcome
    Retry(retry::Retry),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only commands that have been pending for this long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, global = true)]
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
        Some(Command::Retry(_)) if args.list.list.is_given() => Err(Failed::usage(
            "--limit and --all before `retry` are for the list: --older-than says which commands \
             `lastro pending retry --all` sends again",
        )),
        Some(Command::Retry(retry)) => {
            retry.run(&context, &args.list.query(), args.list.older_than.is_some()).await
        }
    }
}

impl List {
    fn query(&self) -> Query {
        let older_than = self.older_than.map(|age| age.as_secs());
        Query::of("/api/orders/pending").with("older_than_s", older_than)
    }
}

async fn list(context: &Context, args: &List) -> Result<(), Failed> {
    let query = args.query();
    let now = now();
    let row = |Item { value: command, .. }: &Item| {
        vec![
            show(&command["order_id"]),
            show(&command["revision"]),
            age(&command["since"], now).map(span).unwrap_or_default(),
            show(&command["attempt"]),
            time(&command["sent_at"]),
            next(command, now),
        ]
    };
    let headings = ["ORDER", "REVISION", "PENDING FOR", "ATTEMPT", "SENT", "NEXT"];
    let what = match args.older_than {
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
             broker; `lastro orders show ORDER` says where one is stuck, `lastro pending retry \
             ORDER` sends its command now, and `lastro pending retry --all --older-than 10s` all \
             such commands",
        );
    }
    Ok(())
}

/// When a command is sent next, and how long that is from now.
fn next(command: &Value, now: Timestamp) -> String {
    let next = &command["next_attempt_at"];
    let wait = next.as_str().and_then(Timestamp::from_rfc3339).map(|at| at.since(now));
    match wait {
        Some(wait) if wait >= Duration::from_secs(1) => {
            format!("{}, in {}", time(next), span(wait))
        }
        Some(_) => format!("{}, now", time(next)),
        None => time(next),
    }
}
