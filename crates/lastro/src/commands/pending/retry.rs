//! `lastro pending retry`: sends commands again, and says the outcome.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::orders::{Found, IN_FLIGHT, command};
use super::super::{Context, field, progress, text};
use super::next;
use crate::client::{Answer, Failed, Query, Request, segment, time_up_to};
use crate::output::{line, note, now, show, time};

/// The pauses before an order is looked at again. They double.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait for an answer, unless the user says otherwise, and at most.
const WAIT: Duration = Duration::from_secs(3);
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);
/// How many requests are on the way at a time, if all commands are sent again.
const AT_ONCE: usize = 8;

/// How long to wait for the outcome of a retry.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::commands) struct AnswerArgs {
    /// How long to wait for Inventory's answer, which usually takes milliseconds, up to 10m; with
    /// --json, nothing is waited for [default: 3s]
    #[arg(long, value_name = "TIME", value_parser = wait)]
    wait: Option<Duration>,
}

fn wait(text: &str) -> Result<Duration, String> {
    time_up_to(text, LONGEST_WAIT)
}

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    /// The order
    #[arg(value_name = "ORDER", required_unless_present = "all")]
    id: Option<String>,
    /// Send every command that is pending, or with --older-than every one that is as old
    #[arg(long, conflicts_with_all = ["id", "wait"])]
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
        has_older_than: bool,
    ) -> Result<(), Failed> {
        match &self.id {
            None => all(context, listed).await,
            Some(_) if has_older_than => {
                Err(Failed::usage("--older-than says which commands --all sends again"))
            }
            Some(id) => {
                self.wait.check(context)?;
                retry(context, &request(id), self.wait).await
            }
        }
    }
}

impl AnswerArgs {
    /// Refuses a time to wait where nothing is waited for.
    ///
    /// # Errors
    ///
    /// A time is given beside `--json`.
    pub(in crate::commands) fn check(self, context: &Context) -> Result<(), Failed> {
        if context.json && self.wait.is_some() {
            return Err(Failed::usage(
                "--json prints the service's answer and waits for nothing: leave --wait out",
            ));
        }
        Ok(())
    }

    fn time(self) -> Duration {
        self.wait.unwrap_or(WAIT)
    }
}

/// The request that sends an order's command again.
pub(in crate::commands) fn request(order_id: &str) -> Request {
    Request::post(format!("/api/orders/pending/{}/retry", segment(order_id)), "")
}

/// Sends a command again by this request, and prints the outcome.
pub(in crate::commands) async fn retry(
    context: &Context,
    request: &Request,
    wait: AnswerArgs,
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
    match settled(context, id, wait.time()).await {
        Ok(Some(status)) => field("answered", format_args!("the order is {status}")),
        Ok(None) => unanswered(context, &sent, wait.time()).await,
        // A key may send commands and not read orders.
        Err(error) => {
            field("due", time(&sent["next_attempt_at"]))?;
            note(format_args!("the outcome is not known: {}", error.first_line()));
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
async fn unanswered(context: &Context, before: &Value, wait: Duration) -> Result<(), Failed> {
    let id = text(before, "order_id");
    match command(context, id).await {
        Found::Item(item) => {
            let command = &item.value;
            if sendings(command) > sendings(before) {
                let (at, attempt) = (time(&command["sent_at"]), &command["attempt"]);
                field("sent", format_args!("{at}, attempt {attempt}; it is not answered yet"))?;
            } else {
                field("sent", "not yet")?;
                if !wait.is_zero() {
                    note("while Inventory does not answer, few commands are sent at a time");
                }
            }
            field("next", next(command, now()))?;
        }
        Found::Nothing => field("answered", "just now")?,
        Found::NotKnown(why) => field("sent", format_args!("not known: {why}"))?,
    }
    note(format_args!("`lastro orders show {}` says where it is", show(&id.into())));
    Ok(())
}

/// How often an order's commands were sent: each revision counts anew.
fn sendings(command: &Value) -> (Option<i64>, Option<i64>) {
    (command["revision"].as_i64(), command["attempt"].as_i64())
}

/// The answers to requests that send commands again.
struct Answers {
    bar: ProgressBar,
    json: bool,
    /// How many commands are due now.
    due: usize,
    /// How many had nothing pending any more.
    answered: usize,
    failed: usize,
    /// The first error. It is reported in the end: the other commands are sent all the same.
    error: Option<Failed>,
    /// Whether anybody reads what is printed. The commands are sent without as well.
    is_read: bool,
}

/// Sends every command again that a query lists.
async fn all(context: &Context, listed: &Query) -> Result<(), Failed> {
    let ids = ids(context, listed).await?;
    if ids.is_empty() {
        note("no command is to be sent again");
        return Ok(());
    }
    let mut answers = Answers::to(context, ids.len());
    let mut sent = stream::iter(ids)
        .map(|id| async move { context.client.send(&request(&id)).await })
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = sent.next().await {
        answers.add(answer);
    }
    answers.end()
}

/// The orders whose commands a query lists.
async fn ids(context: &Context, listed: &Query) -> Result<Vec<String>, Failed> {
    let mut ids = Vec::new();
    let read = context.client.pages(listed, usize::MAX, |items| {
        ids.extend(items.iter().map(|item| text(&item.value, "order_id").to_owned()));
        Ok(())
    });
    read.await?;
    Ok(ids)
}

impl Answers {
    /// Of so many commands, of which there are no answers yet.
    fn to(context: &Context, commands: usize) -> Self {
        let bar = if context.shows_lines() {
            ProgressBar::hidden()
        } else {
            let commands = u64::try_from(commands).unwrap_or(u64::MAX);
            progress(Some(commands), "{bar:30} {pos} of {len} commands, {eta} left")
        };
        Self { bar, json: context.json, due: 0, answered: 0, failed: 0, error: None, is_read: true }
    }

    fn add(&mut self, answer: Result<Answer, Failed>) {
        self.bar.inc(1);
        match answer.and_then(|answer| answer.raw()) {
            Ok(raw) => {
                self.due += 1;
                self.print(&raw);
            }
            Err(error) if error.code() == Some("nothing_pending") => self.answered += 1,
            Err(error) => {
                self.failed += 1;
                self.error.get_or_insert(error);
            }
        }
    }

    /// Prints an answer for scripts, while somebody reads.
    fn print(&mut self, raw: &str) {
        if !self.json || !self.is_read {
            return;
        }
        if let Err(error) = self.bar.suspend(|| line(raw)) {
            self.is_read = false;
            if !matches!(error, Failed::Closed) {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Prints how many there were. Returns the first error.
    fn end(self) -> Result<(), Failed> {
        self.bar.finish_and_clear();
        let are = |one| if one == 1 { "command is" } else { "commands are" };
        let were = |one| if one == 1 { "was" } else { "were" };
        let Self { due, answered, failed, .. } = self;
        let mut summary =
            format!("{due} {} due now, {answered} {} answered meanwhile", are(due), were(answered));
        if failed > 0 {
            summary.push_str(&format!(", {failed} failed"));
        }
        let printed = if self.json {
            note(summary);
            Ok(())
        } else {
            line(summary)
        };
        note("`lastro pending` lists those that still wait");
        match self.error {
            Some(error) => Err(error),
            None => printed,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_has_an_end() {
        assert_eq!(wait("10m"), Ok(LONGEST_WAIT));
        for wrong in ["10m 1s", "18446744073709551615s", "soon", ""] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_later_revision_is_sent_later_whatever_its_attempt() {
        let sent = |revision, attempt| sendings(&json!({"revision": revision, "attempt": attempt}));
        assert!(sent(1, 6) > sent(1, 5) && sent(2, 1) > sent(1, 5));
        assert!(sent(1, 5) <= sent(1, 5));
    }
}
