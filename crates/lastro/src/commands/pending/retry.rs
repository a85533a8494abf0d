//! `lastro pending retry`: sends commands again, and says what comes of it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::orders::{Found, IN_FLIGHT, command};
use super::super::{Context, field, text};
use super::next;
use crate::client::{Answer, Failed, Query, Request, segment};
use crate::output::{line, note, now, show, time};

/// The pauses before an order is looked at again. They double.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How many requests are on the way at a time, if all commands are sent again.
const AT_ONCE: usize = 8;

/// How long to wait for what comes of a retry.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::commands) struct AnswerArgs {
    /// How long to wait for Inventory's answer, which usually takes milliseconds
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(in crate::commands) wait: Duration,
}

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    /// The order
    #[arg(value_name = "ORDER", required_unless_present = "all")]
    id: Option<String>,
    /// Send every command that is pending, or with --older-than every one that is as old
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    wait: AnswerArgs,
}

impl Retry {
    /// Sends the command of an order, or those that this query lists.
    pub(super) async fn run(
        self,
        context: &Context,
        listed: &Query,
        is_part: bool,
    ) -> Result<(), Failed> {
        match &self.id {
            None => all(context, listed).await,
            Some(_) if is_part => {
                Err(Failed::usage("--older-than says which commands --all sends again"))
            }
            Some(id) => retry(context, &request(id), self.wait.wait).await,
        }
    }
}

/// The request that sends an order's command again.
pub(in crate::commands) fn request(order_id: &str) -> Request {
    Request::post(format!("/api/orders/pending/{}/retry", segment(order_id)), "")
}

/// Sends a command again by this request, and prints what comes of it within a time.
pub(in crate::commands) async fn retry(
    context: &Context,
    request: &Request,
    wait: Duration,
) -> Result<(), Failed> {
    let answer = context.client.send(request).await?;
    if context.json {
        return line(answer.raw()?);
    }
    let sent = answer.json()?;
    field("order", show(&sent["order_id"]))?;
    field("revision", &sent["revision"])?;
    field("sent before", format_args!("{} times", sent["attempt"]))?;
    let id = text(&sent, "order_id");
    match settled(context, id, wait).await {
        Ok(Some(status)) => field("answered", format_args!("the order is {status}")),
        Ok(None) => unanswered(context, &sent).await,
        // A key may send commands and not read orders.
        Err(error) => {
            field("due", time(&sent["next_attempt_at"]))?;
            note(format_args!("what came of it is not known: {}", error.first_line()));
            Ok(())
        }
    }
}

/// Waits until Inventory has answered, and returns the order's status then.
async fn settled(context: &Context, id: &str, wait: Duration) -> Result<Option<String>, Failed> {
    let path = format!("/api/orders/{}", segment(id));
    let deadline = Instant::now() + wait;
    let mut pause = FIRST_PAUSE;
    loop {
        let order = context.client.get(&path).await?.json()?;
        if !IN_FLIGHT.contains(&text(&order, "status")) {
            return Ok(Some(show(&order["status"])));
        }
        if Instant::now() + pause > deadline {
            return Ok(None);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says whether the command was sent, and when it is sent next.
async fn unanswered(context: &Context, before: &Value) -> Result<(), Failed> {
    let id = text(before, "order_id");
    match command(context, id).await {
        Found::Item(item) => {
            let (command, attempt) = (&item.value, &item.value["attempt"]);
            if attempt.as_i64() > before["attempt"].as_i64() {
                let at = time(&command["sent_at"]);
                field("sent", format_args!("{at}, attempt {attempt}; it is not answered yet"))?;
            } else {
                let why = "while Inventory does not answer, few commands are sent at a time";
                field("sent", format_args!("not yet: {why}"))?;
            }
            field("next", next(command, now()))?;
        }
        Found::Nothing => field("answered", "just now")?,
        Found::NotKnown(why) => field("sent", format_args!("not known: {why}"))?,
    }
    note(format_args!("`lastro orders show {}` says where it is", show(&id.into())));
    Ok(())
}

/// Sends every command again that a query lists.
async fn all(context: &Context, listed: &Query) -> Result<(), Failed> {
    let mut ids = Vec::new();
    let read = context.client.pages(listed, usize::MAX, |items| {
        ids.extend(items.iter().map(|item| text(&item.value, "order_id").to_owned()));
        Ok(())
    });
    read.await?;
    if ids.is_empty() {
        note("no command is to be sent again");
        return Ok(());
    }
    let bar = bar(context, ids.len());
    let of = ids.len();
    let mut sent = 0;
    let mut answered = 0;
    let mut answers = stream::iter(ids)
        .map(|id| async move { context.client.send(&request(&id)).await })
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        bar.inc(1);
        match answer {
            Ok(answer) => {
                sent += 1;
                print(context, &bar, &answer)?;
            }
            Err(error) if error.code() == Some("nothing_pending") => answered += 1,
            Err(error) => {
                bar.abandon();
                note(format_args!("{sent} of {of} commands were made due before this error:"));
                return Err(error);
            }
        }
    }
    bar.finish_and_clear();
    let commands = if sent == 1 { "command is" } else { "commands are" };
    let summary = format!("{sent} {commands} sent again, {answered} answered meanwhile");
    if context.json {
        note(summary);
    } else {
        line(summary)?;
    }
    note("`lastro pending` lists those that still wait");
    Ok(())
}

/// Prints an answer for scripts.
fn print(context: &Context, bar: &ProgressBar, answer: &Answer) -> Result<(), Failed> {
    if !context.json {
        return Ok(());
    }
    let raw = answer.raw()?;
    bar.suspend(|| line(raw))
}

/// The progress of so many commands, on standard error if that is a terminal.
fn bar(context: &Context, commands: usize) -> ProgressBar {
    if context.json && io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(commands).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} commands, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
